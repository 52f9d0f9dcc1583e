"""Which task, and which class, the windows of an epoch come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from .plan import Batch, Plan, Windows

Sampling = Literal["size", "balanced", "temperature"]
SAMPLING: tuple[str, ...] = get_args(Sampling)


def task_shares(
    sizes: Sequence[int],
    sampling: str = "size",
    temperature: float = 2.0,
    weights: Sequence[float] | None = None,
) -> NDArray[np.float64]:
    """Return the share of each task in an epoch.

    Parameters
    ----------
    sizes : sequence of int
        Number of windows n of each task, at least 1.
    sampling : "size" | "balanced" | "temperature"
        A task's share is proportional to n, the same for all tasks, or proportional to
        n ** (1 / temperature).
    temperature : float
        1 is ``"size"``, and large values approach ``"balanced"``. Default 2.
    weights : sequence of float | None
        Factor on what ``sampling`` makes of each task's size, above 0. None (default): 1.

    Returns
    -------
    shares : ndarray, shape (n_tasks,)
        They add up to 1.

    Raises
    ------
    ValueError
        If ``sampling`` is unknown, the temperature is below 1, a task has no window, or a weight is
        not above 0.

    Notes
    -----
    Temperature-scaled mixing is that of Raffel et al., Exploring the limits of transfer learning
    with a unified text-to-text transformer (2020), section 3.5.2, where T = 2 was the best without
    a limit on sizes; multilingual BERT weights languages by n ** 0.7, which is T = 1.43.

    Examples
    --------
    >>> from mne_neurolm.training.sampling import task_shares
    >>> task_shares([900, 100], "temperature").round(2).tolist()
    [0.75, 0.25]
    >>> task_shares([900, 100], weights=[1.0, 9.0]).round(2).tolist()
    [0.5, 0.5]
    """
    n = np.asarray(sizes, dtype=np.float64)
    if sampling not in SAMPLING:
        raise ValueError(f"sampling must be one of {SAMPLING}; got {sampling!r}.")
    if not 1 <= temperature < np.inf:
        raise ValueError(f"The sampling temperature must be 1 or more; got {temperature}.")
    if not n.size or n.min() < 1:
        raise ValueError(f"Every task needs a window; there are {list(sizes)} by task.")
    exponent = {"size": 1.0, "balanced": 0.0, "temperature": 1 / temperature}[sampling]
    amounts = n**exponent
    if weights is not None:
        check_weights(weights)
        amounts = amounts * np.asarray(weights, dtype=np.float64)
    return amounts / amounts.sum()


def check_weights(weights: Sequence[float]) -> None:
    """Refuse weights of tasks that are not above 0, or no number."""
    wrong = [weight for weight in weights if not 0 < weight < np.inf]
    if wrong:
        raise ValueError(
            f"Weights of tasks must be above 0, such as 0.5; got {wrong}. To train without a task, "
            "leave it out."
        )


def weights_of(tasks: Sequence[str], task_weights: Mapping[str, float]) -> list[float] | None:
    """Return the weight of each task in their order, 1 where none is given; None if none is.

    Parameters
    ----------
    tasks : sequence of str
        Names of the tasks.
    task_weights : mapping of str to float
        Weights by name.

    Returns
    -------
    weights : list of float | None
        One per task.

    Raises
    ------
    ValueError
        If there is a weight for a task that is not there.
    """
    unknown = sorted(set(task_weights) - set(tasks))
    if unknown:
        raise ValueError(f"task_weights has {unknown}; tasks are {list(tasks)}.")
    return [task_weights.get(name, 1.0) for name in tasks] if task_weights else None


def make_plan(
    windows: Windows,
    batch_size: int,
    seed: int,
    *,
    sampling: str = "size",
    temperature: float = 2.0,
    class_balanced: bool = False,
    mix_tasks: bool = True,
    weights: Sequence[float] | None = None,
) -> Plan:
    """Return the order of training windows with labels.

    Parameters
    ----------
    windows : Windows
        The windows; all belong to a task.
    batch_size : int
        Windows per step.
    seed : int
        What the order depends on, beside the epoch.
    sampling, temperature
        See :func:`task_shares`.
    class_balanced : bool
        Let every class of a task have the same number of windows in an epoch. Default False.
    mix_tasks : bool
        Deal the windows of each task evenly over the steps, so that every step has its share of all
        tasks, but for those with fewer windows than there are steps. False: a step has one task.
        Default True.
    weights : sequence of float | None
        See :func:`task_shares`; by the number of the task. Default None.

    Returns
    -------
    plan : Plan
        With ``sampling="size"``, without weights and balanced classes, every epoch has every window
        once.
    """
    mix_tasks = mix_tasks and len({bucket.task for bucket in windows.buckets}) > 1
    if sampling == "size" and weights is None and not (class_balanced or mix_tasks):
        return Plan(windows.bucket, batch_size, seed)
    return SampledPlan(
        windows,
        batch_size,
        seed,
        sampling=sampling,
        temperature=temperature,
        class_balanced=class_balanced,
        mix_tasks=mix_tasks,
        weights=weights,
    )


class SampledPlan(Plan):
    """An order in which tasks, and perhaps classes, have the share that was asked for.

    An epoch has about as many windows as there are. Rare windows come several times in it, frequent
    ones not in every epoch: each class of each bucket is gone through in random order, from where
    the epoch before has stopped, so none is seen more than once oftener than another.

    Parameters
    ----------
    windows, batch_size, seed, sampling, temperature, class_balanced, mix_tasks, weights
        See :func:`make_plan`.

    Attributes
    ----------
    steps_per_epoch : int
        Steps per epoch.
    """

    def __init__(
        self,
        windows: Windows,
        batch_size: int,
        seed: int,
        *,
        sampling: str = "balanced",
        temperature: float = 2.0,
        class_balanced: bool = False,
        mix_tasks: bool = False,
        weights: Sequence[float] | None = None,
    ) -> None:
        super().__init__(windows.bucket, batch_size, seed)
        self.mix_tasks = mix_tasks
        self._bucket = windows.bucket
        self._task_of_bucket = [bucket.task for bucket in windows.buckets]
        self._cells, self._quotas = _cells(windows, sampling, temperature, class_balanced, weights)
        self._cell_buckets = [int(windows.bucket[cell[0]]) for cell in self._cells]
        drawn = np.zeros(len(windows.buckets), dtype=np.int64)
        np.add.at(drawn, self._cell_buckets, self._quotas)
        filled = drawn.sum(keepdims=True) if mix_tasks else drawn
        self.steps_per_epoch = int((-(-filled // batch_size)).sum())

    def _make_epoch(self, epoch: int) -> list[list[Batch]]:
        rng = np.random.default_rng([int(self.seed or 0), 6, epoch])
        drawn = [self._draw(cell, epoch) for cell in range(len(self._cells))]
        rows_of = {}
        for number in self.numbers:
            rows = np.concatenate(
                [d for d, b in zip(drawn, self._cell_buckets, strict=True) if b == number]
            )
            rows_of[number] = rows[rng.permutation(len(rows))]
        if self.mix_tasks:
            return self._mix(rows_of, epoch, rng)
        batches = [
            [Batch(epoch, number, rows[i : i + self.batch_size])]
            for number, rows in rows_of.items()
            for i in range(0, len(rows), self.batch_size)
        ]
        return [batches[i] for i in rng.permutation(len(batches))]

    def _mix(
        self, rows_of: Mapping[int, NDArray[np.int64]], epoch: int, rng: np.random.Generator
    ) -> list[list[Batch]]:
        """Deal the windows of each task evenly over the steps of an epoch."""
        total = sum(map(len, rows_of.values()))
        order: list[NDArray[np.int64]] = []
        place: list[NDArray[np.float64]] = []
        for task in sorted(set(self._task_of_bucket)):
            own = [rows for b, rows in rows_of.items() if self._task_of_bucket[b] == task]
            n = sum(map(len, own))
            # Windows of one montage follow one another for as long as a step lasts: parts of a step
            # are computed one after the other, and there shall be few.
            length = max(1, round(self.batch_size * n / total))
            runs = [rows[i : i + length] for rows in own for i in range(0, len(rows), length)]
            order += [runs[i] for i in rng.permutation(len(runs))]
            place.append((np.arange(n) + rng.random()) / max(n, 1))
        dealt = np.concatenate(order)[np.argsort(np.concatenate(place), kind="stable")]
        return [
            [
                Batch(epoch, int(b), rows[self._bucket[rows] == b])
                for b in np.unique(self._bucket[rows])
            ]
            for rows in np.array_split(dealt, self.steps_per_epoch)
        ]

    def _draw(self, cell: int, epoch: int) -> NDArray[np.int64]:
        """Return the windows of a cell in an epoch: the next ones of its endless shuffled order."""
        members, quota = self._cells[cell], self._quotas[cell]
        first, last = epoch * quota, (epoch + 1) * quota
        rounds = range(first // len(members), -(-last // len(members)))
        order = np.concatenate(
            [
                members[
                    np.random.default_rng([int(self.seed or 0), 7, cell, r]).permutation(
                        len(members)
                    )
                ]
                for r in rounds
            ]
        )
        skipped = rounds.start * len(members)
        return order[first - skipped : last - skipped]


def _cells(
    windows: Windows,
    sampling: str,
    temperature: float,
    class_balanced: bool,
    weights: Sequence[float] | None,
) -> tuple[list[NDArray[np.int64]], list[int]]:
    """Return the windows of each class in each bucket, and how many of them an epoch has."""
    task_of_bucket = np.array([bucket.task for bucket in windows.buckets])
    task = task_of_bucket[windows.bucket]
    tasks = np.unique(task)
    if tasks.min() < 0:
        raise ValueError("Only windows with labels can be sampled by task and class.")
    own_weights = None if weights is None else [weights[t] for t in tasks]
    sizes = [int((task == t).sum()) for t in tasks]
    shares = task_shares(sizes, sampling, temperature, own_weights)
    cells: list[NDArray[np.int64]] = []
    quotas: list[int] = []
    for number, share in zip(tasks, shares, strict=True):
        own = np.flatnonzero(task == number)
        classes, count = np.unique(windows.label[own], return_counts=True)
        of_class = np.full(len(classes), 1 / len(classes)) if class_balanced else count / len(own)
        wanted = []
        for label, n, class_share in zip(classes, count, of_class, strict=True):
            members = own[windows.label[own] == label]
            for bucket in np.unique(windows.bucket[members]):
                cell = members[windows.bucket[members] == bucket]
                cells.append(cell)
                wanted.append(len(windows) * share * class_share * len(cell) / n)
        quotas += _rounded(np.array(wanted))
    return cells, quotas


def _rounded(wanted: NDArray[np.float64]) -> list[int]:
    """Round to whole numbers with the same sum (largest remainders), but none to nothing."""
    whole = np.floor(wanted).astype(np.int64)
    missing = int(round(float(wanted.sum()))) - int(whole.sum())
    whole[np.argsort(whole - wanted, kind="stable")[:missing]] += 1
    return np.maximum(whole, 1).tolist()
