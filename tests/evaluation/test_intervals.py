"""Intervals by drawing subjects."""

from __future__ import annotations

import numpy as np
import pytest

from mne_neurolm.evaluation import METRICS, score_predictions, subject_bootstrap
from mne_neurolm.evaluation.intervals import Unit, weighted_scores


def draw(n_classes: int, n: int = 60, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return true classes and probabilities with many ties."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, n_classes, n)
    scores = rng.integers(1, 6, (n, n_classes)) + 2.0 * np.eye(n_classes)[truth]
    return truth, scores / scores.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_unit_weights_are_the_plain_scores(n_classes: int) -> None:
    truth, proba = draw(n_classes)
    scores = weighted_scores(truth, proba, np.ones((1, len(truth))))
    expected = score_predictions(truth, proba, range(n_classes))
    assert {m: v[0] for m, v in scores.items()} == pytest.approx(expected)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_whole_weights_repeat_epochs(n_classes: int) -> None:
    truth, proba = draw(n_classes)
    weights = np.random.default_rng(1).integers(0, 4, (5, len(truth)))
    scores = weighted_scores(truth, proba, weights)
    for k, counts in enumerate(weights):
        rows = np.repeat(np.arange(len(truth)), counts)
        expected = score_predictions(truth[rows], proba[rows], range(n_classes))
        assert {m: v[k] for m, v in scores.items()} == pytest.approx(expected)


def test_class_without_weight() -> None:
    truth, proba = draw(3)
    present = truth < 2
    scores = weighted_scores(truth, proba, present[None].astype(float))
    expected = score_predictions(truth[present], proba[present], range(3))
    assert {m: v[0] for m, v in scores.items()} == pytest.approx(expected)
    alone = weighted_scores(truth, proba, (truth == 0)[None].astype(float))
    assert np.isnan([alone[m][0] for m in ("auroc", "auc_pr", "cohen_kappa")]).all()


def test_covers_and_narrows_with_subjects() -> None:
    widths = []
    for n_subjects in (5, 200):
        truth, proba = draw(2, 20 * n_subjects)
        unit = Unit(truth, [proba], np.repeat(np.arange(n_subjects), 20))
        intervals = subject_bootstrap([unit], n_draws=500)
        scores = score_predictions(truth, proba, [0, 1])
        for metric in METRICS:
            assert intervals[metric].low < scores[metric] < intervals[metric].high
        widths.append(intervals["auroc"].high - intervals["auroc"].low)
    assert widths[1] < 0.5 * widths[0]


def test_subjects_are_drawn_and_not_epochs() -> None:
    """Two subjects, all right and all wrong: a draw has 0, 1/2 or 1, at 1/4, 1/2 and 1/4."""
    truth = np.tile([0, 1], 20)
    right = np.eye(2)[truth]
    proba = np.concatenate([right[:20], 1 - right[20:]])
    unit = Unit(truth, [proba], np.repeat(["a", "b"], 20))
    interval = subject_bootstrap([unit])["balanced_accuracy"]
    assert interval == (0.0, 1.0)
    middle = subject_bootstrap([unit], level=0.4)["balanced_accuracy"]
    assert middle == (0.5, 0.5)


def test_folds_of_one_subject_are_means_over_subjects() -> None:
    """Leave one subject out: the bootstrap is that of the mean of the subjects' scores."""
    rng = np.random.default_rng(0)
    units, scores = [], []
    for subject in range(8):
        truth, proba = draw(2, 30, seed=subject)
        units.append(Unit(truth, [proba], np.full(30, subject)))
        scores.append(score_predictions(truth, proba, [0, 1])["auroc"])
    interval = subject_bootstrap(units, n_draws=4000)["auroc"]
    means = np.mean(rng.choice(scores, (4000, 8)), axis=1)
    assert np.allclose(interval, np.quantile(means, [0.025, 0.975]), atol=0.01)


def test_seeds_are_averaged() -> None:
    truth = np.tile([0, 1], 20)
    right, subjects = np.eye(2)[truth], np.repeat(np.arange(4), 10)
    interval = subject_bootstrap([Unit(truth, [right, 1 - right], subjects)], n_draws=50)
    assert interval["balanced_accuracy"] == (0.5, 0.5)


def test_same_draws_every_time_and_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    truth, proba = draw(2)
    unit = Unit(truth, [proba], np.arange(60) % 6)
    once = subject_bootstrap([unit], n_draws=100)
    monkeypatch.setattr("mne_neurolm.evaluation.intervals._CHUNK", 60 * 7)
    assert subject_bootstrap([unit], n_draws=100) == once


def test_one_subject_has_no_interval() -> None:
    truth, proba = draw(2)
    intervals = subject_bootstrap([Unit(truth, [proba], np.zeros(60))])
    assert np.isnan(intervals["auroc"]).all()


def test_wrong_input() -> None:
    with pytest.raises(ValueError, match="one unit or more"):
        subject_bootstrap([])
    truth, proba = draw(2)
    with pytest.raises(ValueError, match="level between 0 and 1; got 2000 and 95"):
        subject_bootstrap([Unit(truth, [proba], truth)], level=95)
