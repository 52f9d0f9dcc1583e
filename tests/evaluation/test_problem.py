"""Problems and folds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mne_neurolm import Task
from mne_neurolm.datasets import simulate_epochs
from mne_neurolm.evaluation import Fold, Problem, make_folds

TASK = Task("state", "Is this active?", {"rest": "No", "active": "Yes"})
SUBJECTS = np.repeat([f"s{k}" for k in range(6)], 10)
Y = np.tile(["a", "b"], 30)


def whole(folds: list[Fold]) -> np.ndarray:
    """Return the test epochs of all folds, sorted."""
    return np.sort(np.concatenate([fold.test for fold in folds]))


def test_group_folds() -> None:
    folds = make_folds("group-3-fold", Y, SUBJECTS)
    assert [fold.name for fold in folds] == ["fold 1", "fold 2", "fold 3"]
    assert np.array_equal(whole(folds), np.arange(60))
    for fold in folds:
        assert not set(SUBJECTS[fold.train]) & set(SUBJECTS[fold.test])
        assert set(Y[fold.test]) == {"a", "b"}


def test_group_folds_do_not_depend_on_the_names_of_classes() -> None:
    other = np.where(Y == "a", 1, 0)
    for one, two in zip(
        make_folds("group-3-fold", Y, SUBJECTS),
        make_folds("group-3-fold", other, SUBJECTS),
        strict=True,
    ):
        assert np.array_equal(one.test, two.test)


def test_leave_one_subject_out() -> None:
    folds = make_folds("leave-one-subject-out", Y, SUBJECTS)
    assert [fold.name for fold in folds] == [f"subject s{k}" for k in range(6)]
    assert all(len(fold.test) == 10 for fold in folds)


def test_repeated_folds() -> None:
    folds = make_folds("repeated-5-fold", Y, np.zeros(60))
    assert len(folds) == 50
    for repeat in range(10):
        assert np.array_equal(whole([f for f in folds if f.repeat == repeat]), np.arange(60))
    assert not np.array_equal(folds[0].test, folds[5].test)


def test_paper_split() -> None:
    parts = np.repeat(["train", "validation", "test"], 20)
    (fold,) = make_folds("paper", Y, SUBJECTS, parts=parts)
    assert (fold.name, len(fold.train), len(fold.validation), len(fold.test)) == (
        "test set",
        20,
        20,
        20,
    )


def test_paper_split_without_test_subjects() -> None:
    parts = np.repeat(["train", "validation"], 30)
    (fold,) = make_folds("paper", Y, SUBJECTS, parts=parts)
    assert fold.name == "validation set (no test subjects)"
    assert fold.test.tolist() == list(range(30, 60)) and fold.validation is None


@pytest.mark.parametrize(
    ("scheme", "options", "message"),
    [
        ("5-fold", {}, "choose one of paper, group-5-fold"),
        ("group-1-fold", {}, "from 2 on"),
        ("paper", {}, "is known for the downstream data sets"),
        ("paper", {"parts": ["train"] * 60}, "60 for training, 0 for validation and 0 for"),
        ("group-7-fold", {}, "needs 7 subjects or more; there are"),
        ("repeated-31-fold", {}, "one has 30. Take fewer"),
    ],
)
def test_folds_that_cannot_be(scheme: str, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_folds(scheme, Y, SUBJECTS, **options)
    with pytest.raises(ValueError, match="two subjects or more"):
        make_folds("leave-one-subject-out", Y, np.zeros(60))


def test_positions_follow_the_task(problem: Problem, labels: np.ndarray) -> None:
    assert np.array_equal(problem.positions, (labels == "active").astype(int))
    assert problem.answers == ["No", "Yes"]
    assert not problem.pooled


def test_pooled_where_a_fold_lacks_a_class(problem: Problem, labels: np.ndarray) -> None:
    rest, active = np.flatnonzero(labels == "rest"), np.flatnonzero(labels == "active")
    mixed = Fold("one", np.concatenate([rest[4:], active[:4]]), rest[:4])
    assert replace(problem, folds=[mixed]).pooled


def test_fingerprint(problem: Problem) -> None:
    same = replace(problem, name="other", description="other", folds=problem.folds[:1])
    assert same.fingerprint == problem.fingerprint
    flipped = np.where(problem.y == "rest", "active", "rest")
    louder = problem.epochs.copy().load_data()
    louder._data = louder._data.copy()
    louder._data[0, 0, 0] *= 1.001
    renamed = problem.epochs.copy().rename_channels({"Cz": "CPz"}, verbose="error")
    asked = Task("state", "Is this really active?", {"rest": "No", "active": "Yes"})
    for change in (dict(y=flipped), dict(epochs=louder), dict(epochs=renamed), dict(task=asked)):
        assert replace(problem, **change).fingerprint != problem.fingerprint


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(subjects=np.zeros(3)), "24 labels and 3 subjects"),
        (dict(y=np.full(24, "rest")), "single class"),
        (dict(y=np.full(24, "dreaming")), "do not belong to task"),
        (dict(folds=[]), "no folds"),
        (dict(folds=[Fold("x", np.arange(12), np.arange(10, 24))]), "2 repeated"),
        (dict(folds=[Fold("x", np.arange(12), np.array([], int))]), "12, 0 with"),
        (dict(folds=[Fold("x", np.arange(12), np.arange(12, 25))]), "there are 0 to 23"),
    ],
)
def test_wrong_problem(problem: Problem, change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(problem, **change)


def test_single_class_to_train_on(problem: Problem, labels: np.ndarray) -> None:
    rest = np.flatnonzero(labels == "rest")
    with pytest.raises(ValueError, match="single class to train on"):
        replace(problem, folds=[Fold("x", rest, np.flatnonzero(labels == "active"))])


def test_epochs_of_other_lengths_differ() -> None:
    short = simulate_epochs(1, 4, duration=1.0, random_state=0)
    y, subjects = short.metadata["state"].to_numpy(dtype=str), np.zeros(4)
    folds = [Fold("x", np.arange(3), np.array([3]))]
    if len(set(y[:3])) < 2:
        folds = [Fold("x", np.arange(1, 4), np.array([0]))]
    assert len(Problem("short", TASK, short, y, subjects, folds).fingerprint) == 16
