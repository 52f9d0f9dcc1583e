"""What is held out: whole groups, all classes."""

from __future__ import annotations

import numpy as np
import pytest

from mne_neurolm.training.holdout import hold_out

LABELS = np.tile([0, 1], 50)
GROUPS = np.repeat(np.arange(10), 10)


def test_groups_are_held_out_whole() -> None:
    train, held_out = hold_out(LABELS, GROUPS, 0.2, 0)
    assert sorted([*train, *held_out]) == list(range(100))
    assert len(held_out) == 20 and not set(GROUPS[train]) & set(GROUPS[held_out])
    assert set(LABELS[train]) == set(LABELS[held_out]) == {0, 1}
    draws = {tuple(hold_out(LABELS, GROUPS, 0.2, seed)[1]) for seed in range(5)}
    assert len(draws) > 1
    assert tuple(hold_out(LABELS, GROUPS, 0.2, 3)[1]) == tuple(hold_out(LABELS, GROUPS, 0.2, 3)[1])


def test_without_groups_classes_keep_their_shares() -> None:
    labels = np.repeat([0, 1], [80, 20])
    train, held_out = hold_out(labels, None, 0.25, 0)
    assert len(held_out) == 25 and not set(train) & set(held_out)
    assert np.bincount(labels[held_out]).tolist() == [20, 5]


def test_a_class_of_one_group_stays_in_training() -> None:
    labels = np.where(GROUPS == 3, 1, 0)
    train, held_out = hold_out(labels, GROUPS, 0.2, 0)
    assert set(labels[train]) == {0, 1} and set(labels[held_out]) == {0}


@pytest.mark.parametrize(
    ("labels", "groups", "fraction", "message"),
    [
        (LABELS, None, 0.0, "between 0 and 1; got 0.0"),
        (LABELS, GROUPS[1:], 0.2, "100 labels, but groups of"),
        (LABELS, np.zeros(100), 0.2, "groups name 1 group"),
        (np.array([0, 0, 0, 1]), None, 0.5, "rarest class has 1"),
        (np.array([0, 1, 0, 1]), None, 0.2, "can't be held out"),
        (np.array([0, 0, 1, 1]), np.array([0, 0, 1, 1]), 0.5, "No groups can be held out"),
    ],
)
def test_refused(labels, groups, fraction, message) -> None:
    with pytest.raises(ValueError, match=message):
        hold_out(labels, groups, fraction, 0)
