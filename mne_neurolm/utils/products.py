"""Matrix products by the library that is fastest on the CPU at hand.

torch multiplies float32 matrices with Intel's MKL, which on other makers' CPUs does not use
AVX-512: on a Zen 5 core oneDNN, which torch carries too and uses for bfloat16, is twice as fast.
Results differ in the last digits, as between any two ways to add.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.utils._python_dispatch import TorchDispatchMode, _get_current_dispatch_mode_stack

_SMALLEST = 2**21  # multiplications; below, a call costs more than it saves
_CPU_INFO = Path("/proc/cpuinfo")  # Linux
_WANTED = ContextVar("fast products are wanted", default=True)
_aten = torch.ops.aten


@contextmanager
def fast_products(device: torch.device, *, compiled: bool = False) -> Iterator[None]:
    """Let oneDNN do float32 products of large matrices, where MKL is slow.

    Parameters
    ----------
    device : torch.device
        Where the model is; on others than the CPU nothing changes.
    compiled : bool
        Whether parts of it are compiled; then :func:`plain_products`. Default False.

    Notes
    -----
    It applies to the thread that enters it, and to the backward pass if that runs inside.
    """
    served = device.type == "cpu" and _WANTED.get() and mkl_holds_back()
    if compiled:
        with plain_products():
            yield
    elif not served or _OneDNN.is_active():
        yield
    else:
        with _OneDNN():
            yield


@contextmanager
def plain_products() -> Iterator[None]:
    """Leave products as they are, also inside :func:`fast_products`.

    Notes
    -----
    For what is compiled: torch's compiler does not look into functions that run where every
    operation is seen, and calls oneDNN itself.
    """
    token = _WANTED.set(False)
    try:
        yield
    finally:
        _WANTED.reset(token)


@lru_cache(maxsize=1)
def mkl_holds_back() -> bool:
    """Return whether torch's float32 products leave out instructions that this CPU has.

    Returns
    -------
    answer : bool
        True on CPUs by AMD with AVX-512 (Zen 4 and later), where torch has both MKL and oneDNN.
    """
    return bool(
        torch.backends.mkl.is_available()
        and has_onednn()
        and torch.backends.cpu.get_cpu_capability() == "AVX512"
        and _is_by_amd()
    )


def has_onednn() -> bool:
    """Return whether :func:`multiply` can be called.

    Returns
    -------
    answer : bool
        Whether torch has oneDNN, and lets it be used.
    """
    return bool(
        torch.backends.mkldnn.is_available()
        and torch.backends.mkldnn.enabled
        # What torch's own compiler calls; no part of its public functions.
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    )


def multiply(rows: Tensor, weight: Tensor, bias: Tensor | None, activation: str = "none") -> Tensor:
    """Return a product by oneDNN: ``activation(rows @ weight.T + bias)``.

    Parameters
    ----------
    rows : Tensor, shape (..., n_inputs)
        The rows.
    weight : Tensor, shape (n_outputs, n_inputs)
        What they are multiplied with, or its layout.
    bias : Tensor, shape (n_outputs,) | None
        What is added.
    activation : "none" | "gelu"
        What follows; GELU is exact. Default none.

    Returns
    -------
    product : Tensor, shape (..., n_outputs)
        The product, in the type of the rows.
    """
    algorithm = "none" if activation == "gelu" else ""
    return torch.ops.mkldnn._linear_pointwise(rows, weight, bias, activation, [], algorithm)


@lru_cache(maxsize=1)
def cpu_has_bfloat16() -> bool:
    """Return whether this CPU multiplies bfloat16 numbers natively.

    Returns
    -------
    answer : bool
        False also where torch does not tell; float32 is right everywhere.
    """
    # torch has no public way to ask.
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, probe, bool)() for probe in probes)


def _is_by_amd() -> bool:
    try:
        maker = _CPU_INFO.read_text()
    except OSError:
        maker = platform.processor()
    return "AuthenticAMD" in maker


class _OneDNN(TorchDispatchMode):
    """Sees every operation below autograd, so that backward passes are served too."""

    @classmethod
    def is_active(cls) -> bool:
        """Return whether this thread is inside already."""
        return any(isinstance(mode, cls) for mode in _get_current_dispatch_mode_stack())

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        """Do products of large matrices; all else as ever."""
        if func in _OPERANDS and not kwargs:
            rows, weight, bias = _OPERANDS[func](*args)
            if is_served(rows, weight, bias):
                return multiply(rows, weight, bias)
        return func(*args, **(kwargs or {}))


# Operation: the rows, the other matrix as a linear layer has it, and what is added.
_OPERANDS: dict[Any, Callable[..., tuple[Tensor, Tensor, Tensor | None]]] = {
    _aten.mm.default: lambda a, b: (a, b.t(), None),
    _aten.addmm.default: lambda c, a, b: (a, b.t(), c),
    # In inference mode these two are seen whole.
    _aten.linear.default: lambda a, w, c=None: (a, w, c),
    _aten.matmul.default: lambda a, b: (a, b.mT if b.dim() > 1 else b, None),
}


def is_served(rows: Tensor, weight: Tensor, bias: Tensor | None) -> bool:
    """Return whether oneDNN is to do a product.

    Parameters
    ----------
    rows : Tensor, shape (..., n_inputs)
        The rows.
    weight : Tensor, shape (n_outputs, n_inputs)
        What they are multiplied with.
    bias : Tensor | None
        What is added.

    Returns
    -------
    answer : bool
        True for large matrices in float32.
    """
    return (
        weight.dim() == 2
        and rows.dim() >= 2
        and rows.numel() * len(weight) >= _SMALLEST
        and _is_plain(rows)
        and _is_plain(weight)
        and (bias is None or (_is_plain(bias) and _is_row_of(bias, weight)))
    )


def _is_row_of(bias: Tensor, weight: Tensor) -> bool:
    """Return whether it is laid out as oneDNN reads it: a value for each column, side by side."""
    return bias.shape == weight.shape[:1] and bias.is_contiguous()


def _is_plain(tensor: Tensor) -> bool:
    return (
        type(tensor) in (Tensor, Parameter)
        and tensor.dtype is torch.float32
        and tensor.is_cpu
        and tensor.layout is torch.strided
    )
