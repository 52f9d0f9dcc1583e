"""Where and in which precision a model computes."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch

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


def autocast(dtype: str, device: torch.device) -> AbstractContextManager:
    """Return the context in which a model runs forward.

    Parameters
    ----------
    dtype : "auto" | "float32" | "bfloat16"
        ``"auto"``: bfloat16 where the device multiplies such numbers natively, float32 elsewhere.
    device : torch.device
        Where the model is.

    Returns
    -------
    context : context manager
        Autocast to bfloat16, or nothing. Weights stay float32.

    Raises
    ------
    ValueError
        If ``dtype`` is none of the three.
    """
    if dtype == "auto":
        dtype = "bfloat16" if _has_native_bfloat16(device) else "float32"
    if dtype not in _DTYPES:
        raise ValueError(f"dtype must be 'auto', 'float32' or 'bfloat16'; got {dtype!r}.")
    if dtype == "float32":
        return nullcontext()
    return torch.autocast(device.type, dtype=_DTYPES[dtype])


def _has_native_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        # torch has no public way to ask; without these names float32 is right everywhere.
        probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
        return any(getattr(torch.cpu, probe, bool)() for probe in probes)
    return False
