"""How much arithmetic a device can do: what its maker states, or what a matrix product reaches."""

from __future__ import annotations

import re
import time
from functools import lru_cache

import torch

from ..utils.products import fast_products

# Dense products (no sparsity) with float32 accumulation, operations per second, by a pattern of
# torch.cuda.get_device_name(); the first that matches counts. From NVIDIA's data sheets: A100
# (2021), H100 and H200 Tensor Core GPU, L40S, Ada architecture (RTX 4090), V100. Where a sheet
# prints the number with sparsity, half of it.
_BFLOAT16 = torch.bfloat16, torch.float16
_STATED: tuple[tuple[str, tuple[torch.dtype, ...], float], ...] = (
    (r"A100", _BFLOAT16, 312e12),
    (r"H100 PCIe", _BFLOAT16, 756e12),
    (r"H100 NVL", _BFLOAT16, 835e12),
    (r"H100 80GB HBM3|H100 SXM", _BFLOAT16, 989e12),
    (r"H200 NVL", _BFLOAT16, 835e12),
    (r"H200$|GH200", _BFLOAT16, 989e12),
    (r"L40S", _BFLOAT16, 362e12),
    (r"RTX 4090$", _BFLOAT16, 165e12),
    (r"V100", (torch.float16,), 125e12),
)
_SIZES = {"cpu": 1024, "cuda": 8192, "mps": 2048}  # of the square matrices
_AT_LEAST, _SECONDS = 3, 0.3  # repetitions, and time for more


def peak_flops(device: torch.device | str, dtype: torch.dtype | str = "bfloat16") -> float:
    """Return the operations per second that a device can do at most.

    Parameters
    ----------
    device : torch.device | str
        The device.
    dtype : torch.dtype | str
        Precision of products, such as ``"bfloat16"`` (default) or ``"float32"``.

    Returns
    -------
    peak : float
        The maker's figure for known GPUs at full size; for all else, other precisions and slices
        of a GPU, :func:`measured_peak`, measured once per process.

    Raises
    ------
    ValueError
        If there is no such precision.
    """
    device, kind = torch.device(device), _dtype(dtype)
    if device.type == "cuda":
        stated = stated_peak(torch.cuda.get_device_name(device), kind)
        if stated is not None:
            return stated
    return _measured_once(device, kind)


def stated_peak(name: str, dtype: torch.dtype) -> float | None:
    """Return the maker's figure for a GPU's name, or None if it is not known."""
    if "MIG" in name:  # a slice of it
        return None
    for pattern, dtypes, peak in _STATED:
        if dtype in dtypes and re.search(pattern, name):
            return peak
    return None


def measured_peak(dtype: torch.dtype | str, device: torch.device | str = "cpu") -> float:
    """Return the operations per second of a large matrix product, the fastest of several.

    Parameters
    ----------
    dtype : torch.dtype | str
        Precision.
    device : torch.device | str
        Where. Default ``"cpu"``, with as many threads as torch has now.

    Returns
    -------
    peak : float
        Operations per second.
    """
    device, kind = torch.device(device), _dtype(dtype)
    size = _SIZES.get(device.type, 2048)
    left, right = (torch.ones(size, size, dtype=kind, device=device) for _ in range(2))
    best, n_done, started = float("inf"), 0, time.perf_counter()
    with torch.inference_mode(), fast_products(device):
        left @ right  # warms up
        _wait(device)
        while n_done < _AT_LEAST or time.perf_counter() - started < _SECONDS:
            before = time.perf_counter()
            left @ right
            _wait(device)
            best = min(best, time.perf_counter() - before)
            n_done += 1
    return 2.0 * size**3 / best


@lru_cache(maxsize=16)
def _measured_once(device: torch.device, dtype: torch.dtype) -> float:
    return measured_peak(dtype, device)


def _wait(device: torch.device) -> None:
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def _dtype(dtype: torch.dtype | str) -> torch.dtype:
    found = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype
    if not isinstance(found, torch.dtype) or not found.is_floating_point:
        raise ValueError(f"Unknown precision {dtype!r}; use 'float32', 'bfloat16' or 'float16'.")
    return found
