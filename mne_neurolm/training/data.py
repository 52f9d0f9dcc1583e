"""Batches from data in memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..patches import Patches


class Batch(NamedTuple):
    """Samples of one set: one montage and one length, so nothing is padded.

    Attributes
    ----------
    source : int
        Index of the set.
    rows : ndarray of int64
        Samples of the set.
    """

    source: int
    rows: np.ndarray


def shuffled_batches(
    lengths: Sequence[int], batch_size: int, *, seed: int, epoch: int
) -> list[Batch]:
    """Return the batches of an epoch, a function of seed and epoch alone.

    Parameters
    ----------
    lengths : sequence of int
        Number of samples of each set.
    batch_size : int
        Samples per batch; the last one of a set may be smaller.
    seed, epoch : int
        What the order depends on.

    Returns
    -------
    batches : list of Batch
        All samples once, batches of all sets mixed.
    """
    rng = np.random.default_rng([seed, epoch])
    batches = []
    for source, length in enumerate(lengths):
        order = rng.permutation(length)
        batches += [Batch(source, order[i : i + batch_size]) for i in range(0, length, batch_size)]
    return [batches[i] for i in rng.permutation(len(batches))]


def text_rows(tokens: np.ndarray, n_rows: int, length: int, *, seed: int, step: int) -> Tensor:
    """Cut random rows from a text corpus.

    Parameters
    ----------
    tokens : ndarray of int, shape (n_tokens,)
        The corpus as ids.
    n_rows, length : int
        Rows, and tokens per row.
    seed, step : int
        What the choice depends on.

    Returns
    -------
    rows : Tensor of int64, shape (n_rows, length)
        The rows.

    Raises
    ------
    ValueError
        If the corpus is shorter than a row.
    """
    if len(tokens) < length:
        raise ValueError(
            f"The text has {len(tokens)} tokens; a row needs {length}. Give more text."
        )
    rng = np.random.default_rng([seed, 1, step])
    starts = rng.integers(0, len(tokens) - length + 1, size=n_rows)
    return torch.from_numpy(np.stack([tokens[s : s + length] for s in starts]).astype(np.int64))


def to_tensors(patches: Patches, rows: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
    """Return the patches of some samples with their channels and times, as tensors."""
    return (
        torch.from_numpy(patches.data[rows]),
        torch.from_numpy(patches.channels),
        torch.from_numpy(patches.times),
    )
