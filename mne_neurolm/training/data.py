"""Batches: windows of a step as tensors, and rows of text."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ..patches import PATCH_SIZE, VOLTS_PER_UNIT, Patches
from ..store import Store
from ..tokens import EEGTokens
from .plan import Bucket, Plan, Windows, phases, share


@dataclass(slots=True, kw_only=True)
class EEGBatch:
    """Windows of one montage and one length, so nothing is padded.

    Attributes
    ----------
    channels, times : Tensor of int64, shape (N,)
        Vocabulary row and second of each patch.
    counts : Tensor of int16, shape (B, n_times, n_channels) | None
        Windows as a store holds them.
    scale : Tensor of float32, shape (B,) | None
        Volts per count.
    patches : Tensor of float32, shape (B, N, 200) | None
        Patches in units of 100 µV.
    hidden : Tensor of float32, shape (B, N, n_embd) | None
        Encoder hidden states, where they are known already.
    labels : Tensor of int64, shape (B,) | None
        Right answers.
    task : int
        Which task's; -1 without one.
    share : float
        What these windows count for in the loss of the step, 0 to 1. A process for which none are
        left gets some that count 0, so that all processes run the same computation.
    window_share : float
        What they count for in means over windows. The loss may be a mean over tokens, of which
        windows have different numbers.
    """

    channels: Tensor
    times: Tensor
    counts: Tensor | None = None
    scale: Tensor | None = None
    patches: Tensor | None = None
    hidden: Tensor | None = None
    labels: Tensor | None = None
    task: int = -1
    share: float = 1.0
    window_share: float = 1.0

    def pin_memory(self) -> EEGBatch:
        """Return the batch in memory that a GPU can read while the CPU goes on."""
        return self._each(lambda tensor: tensor.pin_memory())

    def to(self, device: torch.device) -> EEGBatch:
        """Return the batch on a device, counts as patches."""
        batch = self._each(lambda tensor: tensor.to(device, non_blocking=True))
        if batch.counts is None or batch.scale is None:
            return batch
        patches = counts_to_patches(batch.counts, batch.scale)
        return replace(batch, patches=patches, counts=None, scale=None)

    def _each(self, function: Any) -> EEGBatch:
        changed = {
            field.name: function(value)
            for field in fields(self)
            if isinstance(value := getattr(self, field.name), Tensor)
        }
        return replace(self, **changed)


def counts_to_patches(counts: Tensor, scale: Tensor) -> Tensor:
    """Return patches (B, N, 200), second outer, of counts (B, n_times, C) and volts per count (B,).

    It runs where the counts are: half the bytes of float32 travel to a GPU.
    """
    n_windows, n_times, n_channels = counts.shape
    units = counts.float() * (scale / VOLTS_PER_UNIT)[:, None, None]
    seconds = units.view(n_windows, n_times // PATCH_SIZE, PATCH_SIZE, n_channels)
    return seconds.transpose(2, 3).reshape(n_windows, -1, PATCH_SIZE)


class Source(Dataset):
    """Batches of a run by step, cut into what one process computes at a time.

    Parameters
    ----------
    windows : Windows
        The windows.
    plan : Plan
        Their order.
    rank, world : int
        Which of how many processes this is.
    micro_batch_size : int | None
        Most windows at a time.
    weights : sequence of ndarray | None
        For each task, what a window with each answer counts for in the loss: the answer's number of
        tokens. None: windows count equally.
    of_all : bool
        Let shares be those of all windows in place of the step's, so that steps add up to a mean
        over all: for validation. Default False.
    """

    def __init__(
        self,
        windows: Windows,
        plan: Plan,
        *,
        rank: int = 0,
        world: int = 1,
        micro_batch_size: int | None = None,
        weights: Sequence[np.ndarray] | None = None,
        of_all: bool = False,
    ) -> None:
        self.windows = windows
        self.plan = plan
        self.rank = rank
        self.world = world
        self.micro_batch_size = micro_batch_size
        self.weights = weights
        self.of_all = of_all

    def __getitem__(self, step: int) -> list[EEGBatch]:
        """Return what this process computes in a step, at least one batch."""
        parts = self.plan.parts(step)
        rows_of_step = [part.rows for part in parts]
        counted = np.arange(len(self.windows)) if self.of_all else np.concatenate(rows_of_step)
        total = self._weight(counted)
        batches = []
        for epoch, bucket, rows in parts:
            largest = -(-len(rows) // self.world)
            # The same in all processes.
            n_pieces = -(-largest // (self.micro_batch_size or largest))
            own = share(rows, self.rank, self.world)
            for piece in np.array_split(own, n_pieces):
                batch = self.load(bucket, piece if len(piece) else rows[:1], epoch)
                batch.share = self._weight(piece) / total
                batch.window_share = len(piece) / len(counted)
                batches.append(batch)
        return batches

    def load(self, bucket: int, rows: np.ndarray, epoch: int) -> EEGBatch:
        """Return windows of a bucket."""
        raise NotImplementedError

    def names(self, step: int) -> list[str]:
        """Return what the windows of a step were cut from, for messages."""
        parts = self.plan.parts(step)
        return sorted({self._name(int(row)) for part in parts for row in part.rows})

    def shapes(self, step: int) -> list[tuple[Bucket, int]]:
        """Return what the windows of each part of a step share, and their number."""
        parts = self.plan.parts(step)
        return [(self.windows.buckets[part.bucket], len(part.rows)) for part in parts]

    def amount(self, step: int, without: Collection[int] = ()) -> tuple[float, int]:
        """Return what a step's windows count for in the loss, before division, and their number.

        They are those of all processes together, ``without`` some tasks.
        """
        rows = [
            part.rows
            for part in self.plan.parts(step)
            if self.windows.buckets[part.bucket].task not in without
        ]
        return sum(self._weight(r) for r in rows), sum(map(len, rows))

    def _name(self, row: int) -> str:
        return f"set {int(self.windows.recording[row])}"

    def _weight(self, rows: np.ndarray) -> float:
        if self.weights is None:
            return float(len(rows))
        tasks = np.array([bucket.task for bucket in self.windows.buckets])
        task, label = tasks[self.windows.bucket[rows]], self.windows.label[rows]
        return float(sum(self.weights[t][label[task == t]].sum() for t in np.unique(task).tolist()))

    def _template(self, bucket: int, rows: np.ndarray) -> dict[str, Any]:
        """Return the fields of a batch that all kinds of sources share."""
        channels, n_seconds, task = self.windows.buckets[bucket]
        return {
            "channels": torch.tensor(channels).repeat(n_seconds),
            "times": torch.arange(n_seconds).repeat_interleave(len(channels)),
            "labels": torch.from_numpy(self.windows.label[rows]) if task >= 0 else None,
            "task": task,
        }


class StoreSource(Source):
    """Windows read from a store when they are needed.

    Parameters
    ----------
    store : Store
        The store that the windows were cut from.
    windows, plan, **kwargs
        As for :class:`Source`.
    """

    def __init__(self, store: Store, windows: Windows, plan: Plan, **kwargs: Any) -> None:
        super().__init__(windows, plan, **kwargs)
        self.store = store
        recordings = store.recordings
        # Montages that differ in the order of their channels only form one bucket.
        self._orders = {
            int(i): np.argsort(recordings[i].channels, kind="stable")
            for i in np.unique(windows.recording)
        }

    def load(self, bucket: int, rows: np.ndarray, epoch: int) -> EEGBatch:
        """Return windows of a bucket, one contiguous read each."""
        n_times = self.windows.buckets[bucket].n_seconds * PATCH_SIZE
        recordings = self.windows.recording[rows]
        starts = self.windows.start[rows]
        if self.plan.seed is not None:
            starts = starts + phases(self.windows.slack[rows], recordings, self.plan.seed, epoch)
        counts = np.stack(
            [
                self.store.counts(int(index), int(start), n_times)[:, self._orders[int(index)]]
                for index, start in zip(recordings, starts, strict=True)
            ]
        )
        scale = np.array([self.store.recordings[i].scale for i in recordings], dtype=np.float32)
        return EEGBatch(
            counts=torch.from_numpy(counts),
            scale=torch.from_numpy(scale),
            **self._template(bucket, rows),
        )

    def _name(self, row: int) -> str:
        return self.store.recordings[int(self.windows.recording[row])].name


class PatchesSource(Source):
    """Windows in memory as patches."""

    def __init__(
        self, data: Sequence[Patches], windows: Windows, plan: Plan, **kwargs: Any
    ) -> None:
        super().__init__(windows, plan, **kwargs)
        self.data = data

    def load(self, bucket: int, rows: np.ndarray, epoch: int) -> EEGBatch:
        """Return windows of a bucket, all of which come from one set."""
        patches = self.data[int(self.windows.recording[rows[0]])]
        fields = self._template(bucket, rows)
        # The set's own order of channels, which need not be ascending.
        fields["channels"] = torch.from_numpy(patches.channels)
        data = torch.from_numpy(patches.data[self.windows.start[rows]])
        return EEGBatch(patches=data, **fields)


class TokensSource(Source):
    """Windows in memory as hidden states."""

    def __init__(
        self, data: Sequence[EEGTokens], windows: Windows, plan: Plan, **kwargs: Any
    ) -> None:
        super().__init__(windows, plan, **kwargs)
        self.data = data

    def load(self, bucket: int, rows: np.ndarray, epoch: int) -> EEGBatch:
        """Return windows of a bucket, all of which come from one set."""
        tokens = self.data[int(self.windows.recording[rows[0]])]
        fields = self._template(bucket, rows)
        fields["channels"] = torch.from_numpy(tokens.channels)
        # Copied out of a memory map, if it is one, and single precision in any case.
        states = np.asarray(tokens.hidden[self.windows.start[rows]], dtype=np.float32)
        hidden = torch.from_numpy(states)
        return EEGBatch(hidden=hidden, **fields)


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
