"""Metrics against values computed by hand."""

from __future__ import annotations

import numpy as np
import pytest

from mne_neurolm.evaluation import METRICS, score_predictions


def test_binary_by_hand() -> None:
    """Six epochs, two of them wrong."""
    y = ["no", "no", "no", "no", "yes", "yes"]
    yes = np.array([0.1, 0.3, 0.6, 0.2, 0.9, 0.4])
    scores = score_predictions(y, np.column_stack([1 - yes, yes]), ["no", "yes"])
    assert tuple(scores) == METRICS
    # Recall: no 3 of 4, yes 1 of 2.
    assert scores["balanced_accuracy"] == pytest.approx((3 / 4 + 1 / 2) / 2)
    # Pairs (yes, no) in the right order: 0.9 beats all 4, 0.4 beats 3.
    assert scores["auroc"] == pytest.approx(7 / 8)
    # Ranking: yes (0.9), no (0.6), yes (0.4): precision at the hits 1/1 and 2/3, recall steps 1/2.
    assert scores["auc_pr"] == pytest.approx((1 + 2 / 3) / 2)
    # Agreement 4/6; by chance (4/6)(4/6) + (2/6)(2/6) = 20/36.
    assert scores["cohen_kappa"] == pytest.approx((4 / 6 - 20 / 36) / (1 - 20 / 36))
    # F1: no 2*3/(4+4), yes 2*1/(2+2), weighted 4:2.
    assert scores["f1_weighted"] == pytest.approx((4 * 0.75 + 2 * 0.5) / 6)


def test_binary_takes_the_positive_column() -> None:
    y, yes = [0, 0, 1, 1], np.array([0.2, 0.6, 0.55, 0.8])
    both = score_predictions(y, np.column_stack([1 - yes, yes]), [0, 1])
    assert score_predictions(y, yes, [0, 1]) == pytest.approx(both)
    # The other way round, class 0 is the positive one: the same AUROC, another average precision.
    other = score_predictions(y, np.column_stack([yes, 1 - yes]), [1, 0])
    assert other["auroc"] == pytest.approx(both["auroc"]) == 0.75
    assert both["auc_pr"] == pytest.approx((1 + 2 / 3) / 2)
    assert other["auc_pr"] == pytest.approx((1 + 2 / 3) / 2)


def test_three_classes_by_hand() -> None:
    proba = np.array(
        [
            [0.7, 0.2, 0.1],  # a
            [0.2, 0.5, 0.3],  # a, taken for b
            [0.1, 0.8, 0.1],  # b
            [0.3, 0.3, 0.4],  # c
        ]
    )
    scores = score_predictions(["a", "a", "b", "c"], proba, ["a", "b", "c"])
    assert scores["balanced_accuracy"] == pytest.approx((1 / 2 + 1 + 1) / 3)
    # a against the rest: 0.7 beats both others, 0.2 beats one. b and c are ranked perfectly.
    assert scores["auroc"] == pytest.approx((3 / 4 + 1 + 1) / 3)
    # a: hits at ranks 1 and 3 of (0.7, 0.3 no, 0.2).
    assert scores["auc_pr"] == pytest.approx(((1 + 2 / 3) / 2 + 1 + 1) / 3)
    # Agreement 3/4; by chance (2*1 + 1*2 + 1*1)/16.
    assert scores["cohen_kappa"] == pytest.approx((3 / 4 - 5 / 16) / (1 - 5 / 16))
    # F1: a 2/3, b 2/3, c 1; weights 2, 1, 1.
    assert scores["f1_weighted"] == pytest.approx((2 * 2 / 3 + 2 / 3 + 1) / 4)


def test_class_that_does_not_occur() -> None:
    """A class without epochs is left out of the averages, also if it is predicted."""
    proba = np.array([[0.5, 0.2, 0.3], [0.2, 0.2, 0.6], [0.1, 0.8, 0.1]])
    scores = score_predictions(["a", "a", "b"], proba, ["a", "b", "c"])
    assert scores["balanced_accuracy"] == pytest.approx((1 / 2 + 1) / 2)
    assert scores["auroc"] == pytest.approx(1.0)


def test_one_class_only() -> None:
    with pytest.warns(RuntimeWarning, match=r"y_true holds only \[1\].*at least two"):
        scores = score_predictions([1, 1, 1], [0.9, 0.8, 0.2], [0, 1])
    assert scores["balanced_accuracy"] == pytest.approx(2 / 3)
    assert np.isnan([scores["auroc"], scores["auc_pr"], scores["cohen_kappa"]]).all()


def test_perfect_and_inverted() -> None:
    y = np.array([0, 1] * 10)
    perfect = score_predictions(y, y.astype(float), [0, 1])
    assert set(perfect.values()) == {1.0}
    inverted = score_predictions(y, 1.0 - y, [0, 1])
    assert (inverted["balanced_accuracy"], inverted["auroc"]) == (0.0, 0.0)
    assert inverted["cohen_kappa"] == -1.0


def test_tie_is_the_first_class() -> None:
    scores = score_predictions([0, 1], [0.5, 0.5], [0, 1])
    assert scores["balanced_accuracy"] == 0.5 and scores["auroc"] == 0.5


@pytest.mark.parametrize(
    ("y", "proba", "classes", "message"),
    [
        ([0, 2], [0.1, 0.9], [0, 1], r"not in classes=\[0, 1\]: \['2'\]"),
        ([0, 1], [[0.1, 0.9]], [0, 1], r"shape \(1, 2\).*2 epochs"),
        ([0, 1], [0.1, 0.9], [0, 1, 2], "3 classes"),
        ([0, 1], [1.7, -3.0], [0, 1], "decision_function"),
        ([0, 1], [[0.1, 0.1], [0.2, 0.8]], [0, 1], "sum to 1"),
        ([0, 1], [np.nan, 0.5], [0, 1], "no NaN"),
        ([], [], [0, 1], "not empty"),
        ([0, 0], [0.1, 0.9], [0], "two or more different"),
        ([0, 0], [0.1, 0.9], [0, 0], "two or more different"),
    ],
)
def test_wrong_input(y: list, proba: list, classes: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        score_predictions(y, proba, classes)
