"""Seconds that a function takes, the memory that it needs, and how fast this machine multiplies."""

from __future__ import annotations

import ctypes
import gc
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import torch
from torch.nn import functional as F

# Shapes (rows, inputs, outputs) of products whose best rate is what this machine can do: squares,
# and the layers of the presets tiny and b for a batch of 8 windows of 23 channels and 10 s.
_SHAPES = {
    "cpu": (
        (512, 512, 512),
        (1024, 1024, 1024),
        (2048, 2048, 2048),
        (1840, 192, 768),
        (1840, 768, 2304),
        (1840, 768, 3072),
        (1840, 3072, 768),
    ),
    "cuda": ((4096, 4096, 4096), (8192, 8192, 8192), (16384, 1600, 6400), (8192, 768, 3072)),
}
_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class BestProduct(NamedTuple):
    """The fastest matrix product found.

    Attributes
    ----------
    flops : float
        Operations per second.
    shape : tuple of int
        Rows, inputs and outputs.
    way : str
        What multiplied.
    """

    flops: float
    shape: tuple[int, ...]
    way: str


class Peak:
    """Bytes that a piece of work needed at most; None where that cannot be told."""

    n_bytes: int | None = None


def synchronize(device: torch.device) -> None:
    """Wait until a device has done what it was told."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def run_times(
    function: Callable[[], object], seconds: float, device: torch.device, *, at_least: int = 1
) -> list[float]:
    """Return the seconds of each run of a function.

    Parameters
    ----------
    function : callable
        What to time.
    seconds : float
        Runs start until so much time has passed.
    device : torch.device
        Where it computes; it is waited for.
    at_least : int
        Number of runs that take place in any case. Default 1.

    Returns
    -------
    times : list of float
        In the order of the runs.
    """
    times: list[float] = []
    started = time.perf_counter()
    while len(times) < at_least or time.perf_counter() - started < seconds:
        before = time.perf_counter()
        function()
        synchronize(device)
        times.append(time.perf_counter() - before)
    return times


@contextmanager
def peak_memory(device: torch.device) -> Iterator[Peak]:
    """Find out how far memory grows inside the context, beyond what was in use before it.

    Parameters
    ----------
    device : torch.device
        On CUDA the memory of tensors, as torch counts it. On the CPU the resident memory of the
        process, whose peak the kernel keeps and forgets on request (Linux).

    Yields
    ------
    peak : Peak
        Its bytes are there after the context.
    """
    peak = Peak()
    release_memory(device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        yield peak
        peak.n_bytes = torch.cuda.max_memory_allocated(device) - before
    elif device.type == "cpu" and _forget_peak():
        resident = _resident_peak()
        yield peak
        peak.n_bytes = max(0, _resident_peak() - resident)
    else:
        yield peak


def release_memory(device: torch.device) -> None:
    """Give back memory that is not used, so that the next case starts as the first one did."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "cpu":
        try:
            ctypes.CDLL("libc.so.6").malloc_trim(0)
        except (OSError, AttributeError):  # another C library
            return


def best_product(dtype: torch.dtype, device: torch.device, seconds: float) -> BestProduct:
    """Return the fastest matrix product of several shapes and of all ways to multiply.

    Parameters
    ----------
    dtype : torch.dtype
        Precision.
    device : torch.device
        Where.
    seconds : float
        Time for each shape and way.

    Returns
    -------
    best : BestProduct
        The fastest single run.
    """
    best = BestProduct(0.0, (), "")
    with torch.inference_mode():
        for shape in _SHAPES.get(device.type, _SHAPES["cpu"]):
            n_rows, n_in, n_out = shape
            left = torch.randn(n_rows, n_in, dtype=dtype, device=device)
            weight = torch.randn(n_out, n_in, dtype=dtype, device=device)
            for way, multiply in _ways(left, weight).items():
                fastest = min(run_times(multiply, seconds, device, at_least=2))
                rate = 2.0 * n_rows * n_in * n_out / fastest
                if rate > best.flops:
                    best = BestProduct(rate, shape, way)
    return best


def _ways(left: torch.Tensor, weight: torch.Tensor) -> dict[str, Callable[[], object]]:
    """Return what torch has to multiply with, weights laid out in either way."""
    turned = weight.t().contiguous()
    ways: dict[str, Callable[[], object]] = {
        "mm": lambda: torch.mm(left, turned),
        "mm, transposed": lambda: torch.mm(left, weight.t()),
        "linear": lambda: F.linear(left, weight),
        "linear, transposed": lambda: F.linear(left, turned.t()),
    }
    if left.device.type == "cpu" and hasattr(torch.ops.mkldnn, "_linear_pointwise"):

        def onednn() -> object:
            return torch.ops.mkldnn._linear_pointwise(left, weight, None, "none", [], "")

        try:
            onednn()
        except RuntimeError:  # not for this precision on this CPU
            return ways
        ways["oneDNN"] = onednn
    return ways


def _forget_peak() -> bool:
    """Let the kernel start a new peak of this process's resident memory; False if it cannot."""
    try:
        _CLEAR.write_text("5")
    except OSError:
        return False
    return True


def _resident_peak() -> int:
    found = re.search(r"VmHWM:\s+(\d+) kB", _STATUS.read_text())
    assert found is not None
    return int(found[1]) * 1024
