"""What several processes must agree on: sums over them, and rows of the batch they share.

Every function is a collective: all processes call it, in the same order. In a single process it
does nothing beyond its own arithmetic. Only operations that both gloo and nccl have are used.
"""

from __future__ import annotations

import torch
from torch import Tensor, distributed


def is_distributed() -> bool:
    """Return whether this process is one of a group."""
    return distributed.is_available() and distributed.is_initialized()


def sum_over_ranks(tensor: Tensor) -> Tensor:
    """Add a tensor over all processes, in place, and return it."""
    if is_distributed():
        distributed.all_reduce(tensor)
    return tensor


def gather_counts(count: int, device: torch.device) -> list[int]:
    """Return a number of every process, in the order of ranks.

    Parameters
    ----------
    count : int
        This process's number, such as its share of a batch.
    device : torch.device
        A device that the process group can send from.

    Returns
    -------
    counts : list of int
        One per process.
    """
    if not is_distributed():
        return [count]
    own = torch.tensor([count], device=device)
    every = [torch.empty_like(own) for _ in range(distributed.get_world_size())]
    distributed.all_gather(every, own)
    return [int(other) for other in torch.cat(every).tolist()]


def pick_rows(rows: Tensor, picks: Tensor, counts: list[int]) -> Tensor:
    """Return rows of the table that the processes' rows form, one rank's after another's.

    Parameters
    ----------
    rows : Tensor, shape (n, dim)
        This process's rows; none is allowed. They must be finite.
    picks : Tensor of int64, shape (k,)
        Indices into the whole table, the same in all processes.
    counts : list of int
        Rows of each process, see :func:`gather_counts`.

    Returns
    -------
    picked : Tensor, shape (k, dim)
        The same in all processes, bit for bit.
    """
    rank = distributed.get_rank() if is_distributed() else 0
    local = picks.to(rows.device) - sum(counts[:rank])
    is_own = (local >= 0) & (local < len(rows))
    picked = rows.new_zeros(len(picks), rows.shape[1])
    picked[is_own] = rows[local[is_own]]
    return sum_over_ranks(picked)  # one addend is not zero
