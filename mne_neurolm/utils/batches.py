"""Run arrays that may be large through a function on a device, a few rows at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm.auto import tqdm

# Tokens in a pass on a CPU: intermediate results of more leave its cache, and their memory is given
# back to the system and asked for again at every layer. Two thirds of the time with the tiny model.
_TOKENS_ON_CPU = 2048


def rows_at_a_time(batch_size: int, n_tokens: int, device: torch.device) -> int:
    """Return how many of a batch's rows to compute at once without gradients.

    Parameters
    ----------
    batch_size : int
        What the user asks for, the most that there may be.
    n_tokens : int
        Tokens of a row.
    device : torch.device
        Where they are computed.

    Returns
    -------
    n_rows : int
        All on a GPU, as many as the cache of a CPU is good for there.
    """
    if device.type != "cpu":
        return batch_size
    return max(1, min(batch_size, _TOKENS_ON_CPU // max(n_tokens, 1)))


def compute_in_batches(
    function: Callable[[Tensor], Sequence[Tensor]],
    data: NDArray[Any],
    outputs: Sequence[NDArray[Any]],
    device: torch.device,
    *,
    batch_size: int,
    description: str = "",
    progress: bool = False,
) -> None:
    """Fill arrays with a function of other rows.

    Parameters
    ----------
    function : callable
        Maps a batch (n, ...) on the device to one tensor for each output, with n rows.
    data : ndarray, shape (n_rows, ...)
        What it is given.
    outputs : sequence of ndarray, shape (n_rows, ...)
        What is filled, and cast to their types.
    device : torch.device
        Where to compute. On a GPU batches and results travel through pinned memory, and are read
        and written while it computes.
    batch_size : int
        Rows at a time.
    description : str
        For the progress bar.
    progress : bool
        Whether there is one. Default False.
    """
    on_gpu = device.type == "cuda"

    def send(start: int) -> Tensor:
        batch = torch.from_numpy(readable(data[start : start + batch_size]))
        return (batch.pin_memory() if on_gpu else batch).to(device, non_blocking=on_gpu)

    starts = range(0, len(data), batch_size)
    sent = send(0) if len(data) else None
    fetched: _Fetched | None = None
    with tqdm(total=len(data), desc=description, disable=not progress, leave=False) as bar:
        for start in starts:
            assert sent is not None
            n_rows = len(sent)
            results = function(sent)
            sent = send(start + batch_size) if start + batch_size < len(data) else None
            before, fetched = fetched, _Fetched(start, results)
            if before is not None:
                before.write(outputs)
            bar.update(n_rows)
        if fetched is not None:
            fetched.write(outputs)


def readable(rows: NDArray[Any]) -> NDArray[Any]:
    """Return an array as torch takes it: without backward steps, and not read-only.

    Parameters
    ----------
    rows : ndarray
        Any array, such as a reversed one or a map of a file.

    Returns
    -------
    rows : ndarray
        The same, or a copy.
    """
    return rows if rows.flags.writeable and min(rows.strides, default=0) >= 0 else rows.copy()


class _Fetched:
    """Results that are on their way from a GPU, or here already."""

    def __init__(self, start: int, results: Sequence[Tensor]) -> None:
        self.start = start
        on_gpu = results[0].is_cuda
        # torch pins what it copies to without waiting
        self.results = [result.to("cpu", non_blocking=on_gpu) for result in results]
        self.arrived = torch.cuda.Event() if on_gpu else None
        if self.arrived is not None:
            self.arrived.record()

    def write(self, outputs: Sequence[NDArray[Any]]) -> None:
        """Copy into the arrays, when all is here."""
        if self.arrived is not None:
            self.arrived.synchronize()
        for output, result in zip(outputs, self.results, strict=True):
            if result.dtype is torch.bfloat16:  # numpy has none
                result = result.float()
            np.copyto(output[self.start : self.start + len(result)], result.numpy())
