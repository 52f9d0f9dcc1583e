"""Which windows make up which step: pure functions of the data, the seed and the step.

Nothing about the order of data needs to be saved: step ``s`` of a run holds the same windows after
a restart, and on any number of processes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..patches import MAX_SECONDS, PATCH_SIZE


class Bucket(NamedTuple):
    """What windows must share to form a batch without padding.

    Attributes
    ----------
    channels : tuple of int
        Rows of :data:`mne_neurolm.channels.CHANNELS`, ascending.
    n_seconds : int
        Length of a window.
    task : int
        Which task the windows are questions of; -1 without one.
    """

    channels: tuple[int, ...]
    n_seconds: int
    task: int = -1


class Windows(NamedTuple):
    """Windows of recordings.

    Attributes
    ----------
    buckets : list of Bucket
        The distinct shapes.
    bucket : ndarray of int32, shape (n_windows,)
        Index into ``buckets``.
    recording : ndarray of int32, shape (n_windows,)
        Index of the recording.
    start : ndarray of int64, shape (n_windows,)
        First sample.
    slack : ndarray of int64, shape (n_windows,)
        By how many samples all windows of a recording may start later together.
    label : ndarray of int64, shape (n_windows,)
        Index of the right answer; -1 without a task.
    """

    buckets: list[Bucket]
    bucket: NDArray[np.int32]
    recording: NDArray[np.int32]
    start: NDArray[np.int64]
    slack: NDArray[np.int64]
    label: NDArray[np.int64]

    def __len__(self) -> int:
        """Return the number of windows."""
        return len(self.bucket)

    def take(self, rows: NDArray[np.int64]) -> Windows:
        """Return some of the windows."""
        return Windows(
            self.buckets,
            self.bucket[rows],
            self.recording[rows],
            self.start[rows],
            self.slack[rows],
            self.label[rows],
        )


class Batch(NamedTuple):
    """Windows of one bucket that form a step, or a part of one.

    Attributes
    ----------
    epoch : int
        Which pass over the data.
    bucket : int
        Index of the bucket.
    rows : ndarray of int64, shape (batch_size,)
        Indices of windows.
    """

    epoch: int
    bucket: int
    rows: NDArray[np.int64]


def make_windows(rows: Sequence[tuple[Bucket, int, int, int, int]]) -> Windows:
    """Return windows from rows of (bucket, recording, start, slack, label)."""
    buckets = sorted({row[0] for row in rows})
    number = {bucket: i for i, bucket in enumerate(buckets)}
    columns = list(zip(*rows, strict=True)) if rows else [(), (), (), (), ()]
    return Windows(
        buckets,
        np.array([number[bucket] for bucket in columns[0]], dtype=np.int32),
        np.array(columns[1], dtype=np.int32),
        *(np.array(column, dtype=np.int64) for column in columns[2:]),
    )


def cut_windows(
    recordings: Sequence, chosen: Sequence[int], *, max_tokens: int, min_seconds: int
) -> Windows:
    """Cut recordings into windows without labels that do not overlap.

    Parameters
    ----------
    recordings : sequence of Recording
        All recordings of a store.
    chosen : sequence of int
        Which of them to cut.
    max_tokens : int
        With C channels a window lasts ``max_tokens // C`` whole seconds, at most 64.
    min_seconds : int
        Recordings with fewer whole seconds, and montages whose windows would be shorter, are left
        out. A recording shorter than a full window is one shorter window.

    Returns
    -------
    windows : Windows
        In the order of the recordings.
    """
    rows = []
    for index in chosen:
        recording = recordings[index]
        whole = recording.n_times // PATCH_SIZE
        seconds = min(max_tokens // len(recording.channels), MAX_SECONDS, whole)
        if seconds < min_seconds:
            continue
        length = seconds * PATCH_SIZE
        count = recording.n_times // length
        bucket = Bucket(tuple(sorted(recording.channels)), seconds)
        slack = recording.n_times - count * length
        rows += [(bucket, index, i * length, slack, -1) for i in range(count)]
    return make_windows(rows)


def split_recordings(recordings: Sequence, val_fraction: float) -> tuple[list[int], list[int]]:
    """Hold out subjects for validation.

    Parameters
    ----------
    recordings : sequence of Recording
        Their ``split`` is followed where it is not empty: ``"train"``, ``"val"``; ``"test"`` is
        used for neither.
    val_fraction : float
        Share of the subjects of recordings without a split to hold out, rounded up, if there are
        two subjects or more. 0 holds out none.

    Returns
    -------
    train, val : list of int
        Indices of recordings. No subject without a split is in both.

    Notes
    -----
    Subjects are drawn by a hash of their names, so a store that grows keeps most of its split.
    """
    free = sorted({(r.dataset, r.subject) for r in recordings if not r.split})
    n_held_out = int(np.ceil(val_fraction * len(free))) if len(free) > 1 else 0
    by_hash = sorted(free, key=lambda s: hashlib.sha256("/".join(s).encode()).digest())
    held_out = set(by_hash[:n_held_out])
    train, val = [], []
    for index, recording in enumerate(recordings):
        subject = (recording.dataset, recording.subject)
        split = recording.split or ("val" if subject in held_out else "train")
        if split == "train":
            train.append(index)
        elif split == "val":
            val.append(index)
    return train, val


class Plan:
    """Order of the windows over a run.

    Parameters
    ----------
    buckets : ndarray of int32, shape (n_windows,)
        Bucket of each window.
    batch_size : int
        Windows per step; the last step of a bucket may have fewer.
    seed : int
        What the order depends on, beside the epoch. None: in the order of the windows, for
        validation.

    Attributes
    ----------
    mix_tasks : bool
        Whether a step has windows of several tasks: here, of one bucket.
    """

    mix_tasks = False

    def __init__(self, buckets: NDArray[np.int32], batch_size: int, seed: int | None) -> None:
        self.batch_size = batch_size
        self.seed = seed
        self.members = [np.flatnonzero(buckets == b) for b in np.unique(buckets)]
        self.numbers = [int(b) for b in np.unique(buckets)]
        self.steps_per_epoch = sum(-(-len(m) // batch_size) for m in self.members)
        self._epoch = lru_cache(maxsize=2)(self._make_epoch)

    def __getstate__(self) -> dict:
        """Leave the cache behind: worker processes make their own."""
        return {k: v for k, v in self.__dict__.items() if k != "_epoch"}

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)
        self._epoch = lru_cache(maxsize=2)(self._make_epoch)

    def __len__(self) -> int:
        """Return the number of steps per epoch."""
        return self.steps_per_epoch

    def parts(self, step: int) -> list[Batch]:
        """Return the windows of a step, counted from 0 over all epochs: here, of one bucket."""
        epoch, position = divmod(step, self.steps_per_epoch)
        return self._epoch(epoch)[position]

    def _make_epoch(self, epoch: int) -> list[list[Batch]]:
        if self.seed is None:
            orders = self.members
        else:
            rng = np.random.default_rng([self.seed, epoch])
            orders = [members[rng.permutation(len(members))] for members in self.members]
        batches = [
            [Batch(epoch, number, order[i : i + self.batch_size])]
            for number, order in zip(self.numbers, orders, strict=True)
            for i in range(0, len(order), self.batch_size)
        ]
        if self.seed is None:
            return batches
        return [batches[i] for i in rng.permutation(len(batches))]


def share(rows: NDArray, rank: int, world: int) -> NDArray:
    """Return the contiguous part of a step's rows that a process works on, perhaps empty."""
    return np.array_split(rows, world)[rank]


def phases(slack: NDArray[np.int64], recording: NDArray, seed: int, epoch: int) -> NDArray:
    """Return by how many samples each window starts later in this epoch.

    Windows do not fill a recording to the last sample; starting each epoch at another phase lets
    all of it be seen. Windows of one recording move together.
    """
    # One draw per recording, whatever else is in the batch.
    unique, inverse = np.unique(recording, return_inverse=True)
    uniform = [np.random.default_rng([seed, 3, epoch, int(r)]).random() for r in unique]
    return (np.array(uniform)[inverse] * (slack + 1)).astype(np.int64)
