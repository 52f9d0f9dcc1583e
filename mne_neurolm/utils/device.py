"""Where and in which precision a model computes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch

from .products import cpu_has_bfloat16, fast_products

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def resolve_device(device: str | torch.device) -> torch.device:
    """Return the device that ``"auto"`` stands for: CUDA, else Apple's MPS, else the CPU.

    Parameters
    ----------
    device : str | torch.device
        ``"auto"``, or anything that :class:`torch.device` takes.

    Returns
    -------
    device : torch.device
        The device.

    Raises
    ------
    ValueError
        If it is not a device, or there is none of its kind.
    """
    if device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        resolved = torch.device(device)
    except RuntimeError as error:
        raise ValueError(
            f"Unknown device {device!r}; use 'auto', 'cpu', 'cuda', 'cuda:1' or 'mps'."
        ) from error
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not available.get(resolved.type, True):
        raise ValueError(f"device={device!r}, but torch sees no such device; use device='auto'.")
    return resolved


def resolve_dtype(dtype: str, device: torch.device) -> torch.dtype:
    """Return the precision that ``"auto"`` stands for on a device.

    Parameters
    ----------
    dtype : "auto" | "float32" | "bfloat16"
        ``"auto"``: bfloat16 where the device multiplies such numbers natively, float32 elsewhere.
    device : torch.device
        Where the model is.

    Returns
    -------
    dtype : torch.dtype
        The precision.

    Raises
    ------
    ValueError
        If ``dtype`` is none of the three.
    """
    if dtype == "auto":
        dtype = "bfloat16" if _has_native_bfloat16(device) else "float32"
    if dtype not in _DTYPES:
        raise ValueError(f"dtype must be 'auto', 'float32' or 'bfloat16'; got {dtype!r}.")
    return _DTYPES[dtype]


def autocast(dtype: str, device: torch.device) -> AbstractContextManager:
    """Return the context in which a model runs forward.

    Parameters
    ----------
    dtype : "auto" | "float32" | "bfloat16"
        See :func:`resolve_dtype`.
    device : torch.device
        Where the model is.

    Returns
    -------
    context : context manager
        Products in this precision; weights stay float32. Their bfloat16 copies are kept until the
        outermost such context ends, so enter one around many batches.

    Raises
    ------
    ValueError
        If ``dtype`` is none of the three.
    """
    return _computing(resolve_dtype(dtype, device), device)


@contextmanager
def _computing(dtype: torch.dtype, device: torch.device) -> Iterator[None]:
    casts = dtype is torch.bfloat16
    with fast_products(device), torch.autocast(device.type, dtype) if casts else nullcontext():
        yield


def _has_native_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and cpu_has_bfloat16()
