"""Weights laid out once for all products of an inference.

On CPUs oneDNN lays out the other matrix of a product anew each time, and torch's autocast casts it
for each call. Where nothing is trained it is cast once, and laid out once if there is enough to
multiply, which spares a tenth of the time of a product of 2,000 rows and half of that of one row.
What follows (bias, GELU) is done while the result is in the cache.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from .products import (
    cpu_has_bfloat16,
    has_onednn,
    is_served,
    mkl_holds_back,
    multiply,
    plain_products,
)

# Rows that the layout is made for. Others are multiplied as well, whatever their number.
_ROWS = 2048
# Packing takes about as long as it spares in products of so many rows together, where a product of
# few rows, which is bound by memory, gains as much as one of 80.
_ROWS_UNPACKED = 3500
_LEAST_ROWS = 80
# What needs no cast stays there beside its layout, so of large models only some get one.
_MOST_BYTES_BESIDE = 2**30
_active: ContextVar[_Packing | None] = ContextVar("weights are packed", default=None)


@contextmanager
def packed_weights(model: nn.Module) -> Iterator[None]:
    """Lay out weights once for all products without gradients.

    Parameters
    ----------
    model : torch.nn.Module
        The model that will run forward, on its device. Its weights must not change meanwhile.

    Notes
    -----
    It applies to linear layers of the thread that enters it, in bfloat16 on CPUs that multiply such
    numbers natively, and in float32 where :func:`~mne_neurolm.utils.products.mkl_holds_back`.
    Elsewhere nothing changes, nor for compiled modules, whose compiler does the same.
    """
    dtypes = set() if _active.get() is not None or _is_compiled(model) else _packable(model)
    if not dtypes:
        yield
        return
    packing = _Packing(frozenset(dtypes))
    token = _active.set(packing)
    try:
        with plain_products(), packing:
            yield
    finally:
        _active.reset(token)
        packing.close()


def packed_gelu(
    rows: Tensor, weight: Tensor, bias: Tensor | None, *, transposed: bool
) -> Tensor | None:
    """Return a linear layer's output after an exact GELU, in one go where weights are packed.

    Parameters
    ----------
    rows : Tensor, shape (..., n_inputs)
        What the layer is given.
    weight : Tensor, shape (n_outputs, n_inputs), or (n_inputs, n_outputs) if ``transposed``
        Its weight.
    bias : Tensor, shape (n_outputs,) | None
        Its bias.
    transposed : bool
        Whether the weight is, as in the ``Conv1D`` of transformers.

    Returns
    -------
    y : Tensor, shape (..., n_outputs) | None
        None where weights are not packed.
    """
    packing = _active.get()
    if packing is None:
        return None
    return packing.product(rows, weight, bias, transposed=transposed, activation="gelu")


def _packable(model: nn.Module) -> set[torch.dtype]:
    """Return the types in which this CPU gains by it."""
    parameter = next(model.parameters(), None)
    if (
        parameter is None
        or not parameter.is_cpu
        or not has_onednn()
        or not hasattr(torch.ops.mkldnn, "_reorder_linear_weight")
    ):
        return set()
    types = {torch.bfloat16: cpu_has_bfloat16, torch.float32: mkl_holds_back}
    return {dtype for dtype, gains in types.items() if gains()}


def _is_compiled(model: nn.Module) -> bool:
    return any(module._compiled_call_impl is not None for module in model.modules())


class _Packing(TorchFunctionMode):
    """Sees every function of torch that is called, and does those products that it can.

    Parameters
    ----------
    dtypes : frozenset of torch.dtype
        Types to multiply in.
    """

    def __init__(self, dtypes: frozenset[torch.dtype]) -> None:
        super().__init__()
        self._dtypes = dtypes
        self._known: dict[tuple[int, torch.dtype, bool], _Known] = {}  # bool: transposed
        self._n_bytes_beside = 0

    def close(self) -> None:
        """Forget all weights, and leave all to torch; contexts of Python may be copied."""
        self._known.clear()
        self._dtypes = frozenset()

    def __torch_function__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        """Do products with weights; all else as ever."""
        operands_of = None if kwargs else _OPERANDS.get((func, len(args)))
        operands = operands_of(*args) if operands_of is not None else None
        if operands is not None:
            result = self.product(*operands)
            if result is not None:
                return result
        return func(*args, **(kwargs or {}))

    def product(
        self,
        rows: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        transposed: bool = False,
        activation: str = "none",
    ) -> Tensor | None:
        """Return ``activation(rows @ weight.T + bias)``, or None where it is left to torch."""
        casts = torch.is_autocast_enabled("cpu")
        dtype = torch.get_autocast_dtype("cpu") if casts else weight.dtype
        if (
            torch.compiler.is_compiling()
            or torch.is_grad_enabled()
            or dtype not in self._dtypes
            or not all(_is_plain(x, casts, dtype) for x in (rows, weight, bias) if x is not None)
            or not _is_product(rows, weight, bias, transposed)
        ):
            return None
        if isinstance(weight, nn.Parameter):
            matrix = self._weight(weight, dtype, transposed, rows.shape[:-1].numel())
            offset = bias if bias is None else self._bias(bias, dtype)
            return multiply(rows.to(dtype), matrix, offset, activation)
        # What was computed on the way may be gone the next time.
        matrix = weight.t() if transposed else weight
        if activation == "none" and not casts and is_served(rows, matrix, bias):
            return multiply(rows, matrix, bias)
        return None

    def _weight(self, weight: Tensor, dtype: torch.dtype, transposed: bool, n_rows: int) -> Tensor:
        """Return a weight cast, and packed if it was multiplied with enough rows before."""
        key = id(weight), dtype, transposed
        known = self._known.get(key)
        if known is None:
            matrix = weight.detach().t() if transposed else weight.detach()
            known = self._known[key] = _Known(weight, matrix.to(dtype))
        if known.n_rows >= _ROWS_UNPACKED and not known.is_settled:
            known.is_settled = True
            if self._has_room(known):
                known.cast = torch.ops.mkldnn._reorder_linear_weight(known.cast, _ROWS)
        known.n_rows += max(n_rows, _LEAST_ROWS)
        return known.cast

    def _bias(self, bias: Tensor, dtype: torch.dtype) -> Tensor:
        if not isinstance(bias, nn.Parameter):
            return bias.to(dtype).contiguous()
        key = id(bias), dtype, False
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = _Known(bias, bias.detach().to(dtype).contiguous())
        return known.cast

    def _has_room(self, known: _Known) -> bool:
        if known.cast.dtype is not known.parameter.dtype:
            return True  # the layout takes the place of the cast weight
        if self._n_bytes_beside + known.cast.nbytes > _MOST_BYTES_BESIDE:
            return False
        self._n_bytes_beside += known.cast.nbytes
        return True


@dataclass(slots=True)
class _Known:
    """What is kept of a parameter.

    Attributes
    ----------
    parameter : Tensor
        The parameter, so that no other one gets its identity.
    cast : Tensor
        Its values in the type of the products, perhaps packed.
    n_rows : int
        Rows that it was multiplied with. Default 0.
    is_settled : bool
        Whether it is packed, or there was no room for that. Default False.
    """

    parameter: Tensor
    cast: Tensor
    n_rows: int = 0
    is_settled: bool = False


_Operands = tuple[Tensor, Tensor, Tensor | None, bool]
# Function and number of arguments: rows, weight, bias, and whether the weight is transposed.
_OPERANDS: dict[tuple[Any, int], Callable[..., _Operands | None]] = {
    (F.linear, 2): lambda a, w: (a, w, None, False),
    (F.linear, 3): lambda a, w, c: (a, w, c, False),
    # Of these two torch takes matrices only.
    (torch.addmm, 3): lambda c, a, b: (a, b, c, True) if a.dim() == 2 else None,
    (torch.mm, 2): lambda a, b: (a, b, None, True) if a.dim() == 2 else None,
    (torch.matmul, 2): lambda a, b: (a, b, None, True),
    (Tensor.matmul, 2): lambda a, b: (a, b, None, True),  # also @
}


def _is_product(rows: Tensor, weight: Tensor, bias: Tensor | None, transposed: bool) -> bool:
    """Return whether shapes fit; where they don't, torch is to say so."""
    if rows.dim() < 2 or weight.dim() != 2 or not rows.numel() or not weight.numel():
        return False
    n_outputs, n_inputs = weight.shape[::-1] if transposed else weight.shape
    return rows.shape[-1] == n_inputs and (bias is None or bias.shape == (n_outputs,))


def _is_plain(tensor: Tensor, casts: bool, dtype: torch.dtype) -> bool:
    return (
        type(tensor) in (Tensor, nn.Parameter)
        and tensor.is_cpu
        and tensor.layout is torch.strided
        and (tensor.dtype is dtype or (casts and tensor.dtype in (torch.float32, torch.bfloat16)))
    )
