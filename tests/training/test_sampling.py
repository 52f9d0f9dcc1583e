"""Shares of tasks and classes: as asked for, and a function of seed and step."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from mne_neurolm.training.plan import Bucket, Plan, Windows
from mne_neurolm.training.sampling import SampledPlan, make_plan, task_shares, weights_of

# Task 0: 90 windows of two montages, 80 of class 0. Task 1: 10 windows, 5 of each class.
BUCKETS = [Bucket((0, 1), 4, 0), Bucket((0, 1, 2), 4, 0), Bucket((0, 1), 2, 1)]
BUCKET = np.repeat([0, 1, 2], [60, 30, 10]).astype(np.int32)
LABEL = np.concatenate([np.repeat([0, 1], [55, 5]), np.repeat([0, 1], [25, 5]), [0, 1] * 5])
WINDOWS = Windows(
    BUCKETS, BUCKET, BUCKET, np.arange(100), np.zeros(100, dtype=np.int64), LABEL.astype(np.int64)
)
TASK = np.array([b.task for b in BUCKETS])[BUCKET]


def epoch(plan: Plan, number: int) -> np.ndarray:
    steps = range(number * plan.steps_per_epoch, (number + 1) * plan.steps_per_epoch)
    batches = [part for step in steps for part in plan.parts(step)]
    assert all(b.epoch == number and set(BUCKET[b.rows]) == {b.bucket} for b in batches)
    return np.concatenate([b.rows for b in batches])


def test_shares_of_tasks() -> None:
    np.testing.assert_allclose(task_shares([90, 10]), [0.9, 0.1])
    np.testing.assert_allclose(task_shares([90, 10], "balanced"), [0.5, 0.5])
    np.testing.assert_allclose(task_shares([90, 10], "temperature", 2), [0.75, 0.25])
    np.testing.assert_allclose(task_shares([90, 10], "temperature", 1), [0.9, 0.1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1], "equal"), "sampling must be one of"),
        (([1], "temperature", 0.5), "must be 1 or more; got 0.5"),
        (([3, 0], "size"), "Every task needs a window"),
    ],
)
def test_impossible_shares(arguments: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        task_shares(*arguments)


def test_by_size_every_window_comes_once() -> None:
    plan = make_plan(WINDOWS, 8, 0, mix_tasks=False)
    assert type(plan) is Plan
    assert sorted(epoch(plan, 0)) == list(range(100))
    mixed = make_plan(WINDOWS, 8, 0)
    for number in range(3):
        assert sorted(epoch(mixed, number)) == list(range(100))


def test_every_step_has_every_task() -> None:
    """Each has its share of every step, to a window; montages come one after the other."""
    plan = make_plan(WINDOWS, 20, 0, sampling="temperature")
    assert plan.steps_per_epoch == 5
    montages = []
    for step in range(10):
        parts = plan.parts(step)
        rows = np.concatenate([part.rows for part in parts])
        assert len(rows) == 20 and 4 <= (TASK[rows] == 1).sum() <= 6
        assert all(set(BUCKET[part.rows]) == {part.bucket} for part in parts)
        montages.append(len(parts))
    assert max(montages) <= 3 and 2 in montages, "a step of 15 windows of task 0 is of few montages"


def test_weights_of_tasks() -> None:
    """A factor on what sampling makes of the sizes; a task without one has 1."""
    weights = weights_of(["zero", "one"], {"one": 3.0})
    assert weights == [1, 3] and weights_of(["zero", "one"], {}) is None
    np.testing.assert_allclose(task_shares([90, 10], weights=weights), [0.75, 0.25])
    np.testing.assert_allclose(task_shares([90, 10], "balanced", weights=weights), [0.25, 0.75])
    for mix_tasks in (True, False):
        plan = make_plan(WINDOWS, 8, 0, mix_tasks=mix_tasks, weights=weights)
        assert (TASK[epoch(plan, 0)] == 1).sum() == 25
    with pytest.raises(
        ValueError, match=r"task_weights has \['two'\]; tasks are \['zero', 'one'\]"
    ):
        weights_of(["zero", "one"], {"two": 1.0})
    with pytest.raises(ValueError, match=r"must be above 0, such as 0.5; got \[0\]"):
        task_shares([90, 10], weights=[1, 0])


def test_one_task_fills_its_steps() -> None:
    windows = Windows(BUCKETS[:2], *(column[:90] for column in tuple(WINDOWS)[1:]))
    assert type(make_plan(windows, 8, 0)) is Plan
    plan = make_plan(windows, 8, 0, class_balanced=True)
    assert all(len(plan.parts(step)) == 1 for step in range(plan.steps_per_epoch))


@pytest.mark.parametrize(
    ("sampling", "expected"), [("balanced", 50), ("temperature", 25), ("size", 10)]
)
def test_tasks_have_their_share(sampling: str, expected: int) -> None:
    plan = make_plan(WINDOWS, 8, 0, sampling=sampling, class_balanced=True)
    rows = epoch(plan, 0)
    assert len(rows) == 100
    assert (TASK[rows] == 1).sum() == expected
    for task in (0, 1):  # and so have classes
        counts = np.bincount(LABEL[rows[TASK[rows] == task]])
        assert abs(counts[0] - counts[1]) <= 1


def test_classes_keep_their_shares_unless_balanced() -> None:
    rows = epoch(make_plan(WINDOWS, 8, 0, sampling="balanced"), 0)
    rare = (LABEL[rows[TASK[rows] == 0]] == 1).mean()
    assert rare == pytest.approx(10 / 90, abs=0.03)


def test_no_window_is_seen_much_oftener_than_its_equals() -> None:
    plan = make_plan(WINDOWS, 8, 3, sampling="balanced", class_balanced=True)
    seen = np.bincount(np.concatenate([epoch(plan, e) for e in range(7)]), minlength=100)
    for bucket in range(3):
        for label in (0, 1):
            cell = seen[(BUCKET == bucket) & (LABEL == label)]
            assert cell.min() >= 1 and cell.max() - cell.min() <= 1


def test_order_is_a_function_of_seed_and_step() -> None:
    def order(seed: int, steps: range) -> list:
        plan = make_plan(WINDOWS, 8, seed, sampling="balanced", class_balanced=True)
        return [[part.rows.tolist() for part in plan.parts(step)] for step in steps]

    n = make_plan(WINDOWS, 8, 0, sampling="balanced").steps_per_epoch
    assert order(0, range(3 * n))[2 * n :] == order(0, range(2 * n, 3 * n))
    assert order(0, range(n)) != order(0, range(n, 2 * n))
    assert order(0, range(n)) != order(1, range(n))
    plan = make_plan(WINDOWS, 8, 0, sampling="balanced")
    again = pickle.loads(pickle.dumps(plan)).parts(n + 2)
    assert [part.rows.tolist() for part in again] == [p.rows.tolist() for p in plan.parts(n + 2)]


def test_a_montage_with_few_windows_still_comes() -> None:
    bucket = np.repeat([0, 1], [999, 1]).astype(np.int32)
    windows = Windows(
        BUCKETS[:2], bucket, bucket, np.arange(1000), np.zeros(1000, int), np.arange(1000) % 2
    )
    plan = SampledPlan(windows, 100, 0, class_balanced=True)
    batches = [part for step in range(plan.steps_per_epoch) for part in plan.parts(step)]
    assert 999 in np.concatenate([b.rows for b in batches])


def test_windows_without_labels() -> None:
    windows = Windows([b._replace(task=-1) for b in BUCKETS], *tuple(WINDOWS)[1:])
    with pytest.raises(ValueError, match="Only windows with labels"):
        make_plan(windows, 8, 0, sampling="balanced")
