"""Confidence intervals by drawing other people: the bootstrap over subjects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mne_neurolm.evaluation.metrics import METRICS

N_DRAWS = 2000
_LEVEL = 0.95
# Draws times epochs that are held in memory at a time, as float64.
_CHUNK = 4_000_000


class Unit(NamedTuple):
    """Test epochs whose scores are computed together.

    Attributes
    ----------
    truth : ndarray of int64, shape (n_epochs,)
        Position of the true class.
    probas : sequence of ndarray, each of shape (n_epochs, n_classes)
        Predicted probabilities of each seed.
    subjects : ndarray, shape (n_epochs,)
        Whose epoch it is.

    See Also
    --------
    mne_neurolm.evaluation.subject_bootstrap : What takes it.

    Examples
    --------
    Four epochs of two people, of one seed:

    >>> import numpy as np
    >>> from mne_neurolm.evaluation.intervals import Unit
    >>> proba = np.array([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3], [0.4, 0.6]])
    >>> unit = Unit(np.array([0, 1, 1, 0]), [proba], np.array(["anna", "anna", "ben", "ben"]))
    >>> float((unit.probas[0].argmax(axis=1) == unit.truth).mean())
    0.5
    """

    truth: NDArray[np.int64]
    probas: Sequence[NDArray[np.float64]]
    subjects: NDArray


class Interval(NamedTuple):
    """A percentile interval of a score.

    Attributes
    ----------
    low, high : float
        Its ends; NaN if there is none, because there are fewer than two subjects or the score is
        not defined.

    Examples
    --------
    >>> from mne_neurolm.evaluation.intervals import Interval
    >>> low, high = Interval(0.62, 0.81)
    >>> f"{low:.2f} to {high:.2f}"
    '0.62 to 0.81'
    """

    low: float
    high: float


def subject_bootstrap(
    units: Sequence[Unit],
    *,
    n_draws: int = N_DRAWS,
    level: float = _LEVEL,
    random_state: int = 0,
) -> dict[str, Interval]:
    """Return how far scores would vary with other subjects.

    Subjects are drawn with replacement, as many as there are, with all their test epochs; scores of
    the draw are computed in every unit, averaged over seeds, and averaged over units with the share
    of a unit's subjects that were drawn as weights. For the subjects as they are, that is the mean
    score over folds. The models stay as they were trained: the interval says what other test
    subjects would change, not what other training subjects would.

    Parameters
    ----------
    units : sequence of Unit
        Test epochs by fold, or all together where a fold has not all classes.
    n_draws : int
        Number of draws. Default 2000.
    level : float
        Probability that the interval covers. Default 0.95.
    random_state : int
        Seed of the draws, so that all methods see the same subjects. Default 0.

    Returns
    -------
    intervals : dict of Interval
        By metric, as of :func:`mne_neurolm.evaluation.score_predictions`.

    Raises
    ------
    ValueError
        If there is no unit, or ``n_draws`` or ``level`` is out of range.

    References
    ----------
    Efron and Tibshirani (1993), An introduction to the bootstrap, chapter 13 (percentile interval).

    Examples
    --------
    >>> import numpy as np
    >>> from mne_neurolm.evaluation import subject_bootstrap
    >>> from mne_neurolm.evaluation.intervals import Unit
    >>> truth, subjects = np.array([0, 1, 0, 1]), np.array(["a", "a", "b", "b"])
    >>> proba = np.array([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6], [0.3, 0.7]])
    >>> subject_bootstrap([Unit(truth, [proba], subjects)])["balanced_accuracy"]
    Interval(low=0.5, high=1.0)
    """
    if not units:
        raise ValueError("There is nothing to score: give one unit or more.")
    if n_draws < 1 or not 0 < level < 1:
        raise ValueError(
            f"n_draws must be 1 or more and level between 0 and 1; got {n_draws} and {level}."
        )
    people = np.unique(np.concatenate([unit.subjects for unit in units]))
    if len(people) < 2:
        return {metric: Interval(np.nan, np.nan) for metric in METRICS}
    rng = np.random.default_rng(random_state)
    drawn = rng.multinomial(len(people), np.full(len(people), 1 / len(people)), size=n_draws)
    totals = {metric: np.zeros(n_draws) for metric in METRICS}
    weights = {metric: np.zeros(n_draws) for metric in METRICS}
    for unit in units:
        own = np.searchsorted(people, unit.subjects)
        share = drawn[:, np.unique(own)].mean(axis=1)
        size = max(1, _CHUNK // len(own))
        for start in range(0, n_draws, size):
            rows = slice(start, start + size)
            counts = drawn[rows][:, own].astype(np.float64)
            for proba in unit.probas:
                for metric, values in weighted_scores(unit.truth, proba, counts).items():
                    there = np.isfinite(values)
                    totals[metric][rows] += np.where(there, values, 0.0) * share[rows] * there
                    weights[metric][rows] += share[rows] * there
    intervals = {}
    for metric in METRICS:
        there = weights[metric] > 0
        scores = totals[metric][there] / weights[metric][there]
        ends = (1 - level) / 2, (1 + level) / 2
        low, high = np.quantile(scores, ends) if len(scores) else (np.nan, np.nan)
        intervals[metric] = Interval(float(low), float(high))
    return intervals


def weighted_scores(
    y_true: ArrayLike, proba: ArrayLike, weights: ArrayLike
) -> dict[str, NDArray[np.float64]]:
    """Score the same predictions under many weightings of the epochs at once.

    Parameters
    ----------
    y_true : array-like of int, shape (n_epochs,)
        Position of the true class among the columns of ``proba``.
    proba : array-like, shape (n_epochs, n_classes)
        Predicted probabilities.
    weights : array-like, shape (n_draws, n_epochs)
        How often each epoch counts in each draw.

    Returns
    -------
    scores : dict of ndarray, shape (n_draws,)
        The metrics of :func:`mne_neurolm.evaluation.score_predictions`, which unit weights
        reproduce and whole numbers as well if epochs are repeated so often. NaN where a metric is
        not defined.
    """
    truth, p = np.asarray(y_true), np.asarray(proba, dtype=np.float64)
    w = np.asarray(weights, dtype=np.float64)
    n_classes = p.shape[1]
    onehot = np.eye(n_classes)
    predicted = p.argmax(axis=1)
    # Cell (i, j): weight of epochs of class i that were taken for class j.
    cells = np.eye(n_classes**2)[truth * n_classes + predicted]
    confusion = (w @ cells).reshape(len(w), n_classes, n_classes)
    rows, columns = confusion.sum(axis=2), confusion.sum(axis=1)
    right, total = np.einsum("dkk->dk", confusion), rows.sum(axis=1)
    present = rows > 0
    n_present = present.sum(axis=1)
    several = n_present > 1
    with np.errstate(invalid="ignore", divide="ignore"):
        recall = np.where(present, right / rows, 0.0).sum(axis=1) / n_present
        f1 = np.nan_to_num(2 * right / (rows + columns))
        f1 = (f1 * rows).sum(axis=1) / total
        chance = (rows * columns).sum(axis=1) / total**2
        kappa = (right.sum(axis=1) / total - chance) / (1 - chance)
    ranked = range(n_classes) if n_classes > 2 else [1]
    auroc = np.stack([_auroc(onehot[truth, k], p[:, k], w) for k in ranked])
    auc_pr = np.stack([_average_precision(onehot[truth, k], p[:, k], w) for k in ranked])
    # One-versus-rest means over the classes that are there; of two classes the second one counts.
    there = present.T[list(ranked)]
    return {
        "balanced_accuracy": recall,
        "auroc": np.where(several, _mean_where(auroc, there), np.nan),
        "auc_pr": np.where(several, _mean_where(auc_pr, there), np.nan),
        "cohen_kappa": np.where(several, kappa, np.nan),
        "f1_weighted": f1,
    }


def _mean_where(values: NDArray[np.float64], there: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return means over the first axis of the values that count."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(there, values, 0.0).sum(axis=0) / there.sum(axis=0)


def _by_threshold(
    positive: NDArray[np.float64], score: NDArray[np.float64], weights: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return true and false positives above each distinct threshold, the highest first.

    Both are of shape (n_draws, n_thresholds).
    """
    order = np.argsort(-score, kind="stable")
    last = np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1)
    w = weights[:, order]
    hits = np.cumsum(w * positive[order], axis=1)[:, last]
    return hits, np.cumsum(w, axis=1)[:, last] - hits


def _auroc(
    positive: NDArray[np.float64], score: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return areas under the ROC curve by the trapezoidal rule, so that ties count half."""
    hits, alarms = _by_threshold(positive, score, weights)
    zero = np.zeros((len(weights), 1))
    hits, alarms = np.hstack([zero, hits]), np.hstack([zero, alarms])
    area = (np.diff(alarms, axis=1) * (hits[:, 1:] + hits[:, :-1]) / 2).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return area / (hits[:, -1] * alarms[:, -1])


def _average_precision(
    positive: NDArray[np.float64], score: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return average precisions: the sum of precisions times steps in recall."""
    hits, alarms = _by_threshold(positive, score, weights)
    steps = np.diff(hits, axis=1, prepend=0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = np.nan_to_num(hits / (hits + alarms))
        return (precision * steps).sum(axis=1) / hits[:, -1]
