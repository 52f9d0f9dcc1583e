"""Splits by subject and by time."""

from __future__ import annotations

import numpy as np
import pytest

from mne_neurolm.datasets.splits import split_by_subject, split_by_time


def test_by_subject() -> None:
    subjects = np.repeat(list("abcdefghij"), 6)
    y = np.tile(["x", "y", "y"], 20)
    train, test = split_by_subject(y, subjects)
    assert not set(subjects[train]) & set(subjects[test])
    assert sorted([*train, *test]) == list(range(60))
    assert len(set(subjects[test])) == 3
    again = split_by_subject(y, subjects)
    assert np.array_equal(test, again[1])
    drawn = {tuple(split_by_subject(y, subjects, random_state=k)[1]) for k in range(5)}
    assert len(drawn) > 1


def test_by_subject_keeps_all_classes_on_both_sides() -> None:
    """Class z is in two of ten subjects only; one must be on each side."""
    subjects = np.repeat(np.arange(10), 3)
    y = np.array(["x", "y", "y"] * 10)
    y[[5, 29]] = "z"
    for seed in range(10):
        train, test = split_by_subject(y, subjects, random_state=seed)
        assert set(y[train]) == set(y[test]) == {"x", "y", "z"}


@pytest.mark.parametrize("subjects", [["a"] * 4, ["a", "a", "b", "b"]])
def test_by_subject_impossible(subjects: list[str]) -> None:
    with pytest.raises(ValueError, match="cannot be split"):
        split_by_subject(["x", "x", "y", "y"], subjects)


def test_by_time() -> None:
    """Two blocks: every class gives its own last windows, and neighbours are left out."""
    starts = np.concatenate([np.arange(0, 40, 2.0), np.arange(100, 120, 2.0)])
    y = np.array(["x"] * 20 + ["y"] * 10)
    train, test = split_by_time(y, starts, duration=4.0, gap=4.0)
    assert starts[test].tolist() == [28, 30, 32, 34, 36, 38, 114, 116, 118]
    assert starts[train].tolist() == [*np.arange(0, 21, 2.0), *np.arange(100, 107, 2.0)]
    between = np.abs(starts[train][:, None] - starts[test][None])
    assert between.min() == 8.0  # a window of 4 s and a gap of 4 s


def test_by_time_any_order() -> None:
    starts = np.random.default_rng(0).permutation(20) * 4.0
    train, test = split_by_time(np.zeros(20, int), starts, duration=4.0)
    assert sorted(starts[test]) == [56, 60, 64, 68, 72, 76]
    assert sorted(starts[train]) == list(np.arange(0, 56, 4.0))


def test_by_time_impossible() -> None:
    with pytest.raises(ValueError, match="Class 'y' has 2 windows of 4 s"):
        split_by_time(["x"] * 10 + ["y"] * 2, np.arange(12) * 4.0, duration=4.0, gap=4.0)
