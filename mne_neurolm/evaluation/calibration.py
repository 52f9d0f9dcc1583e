"""Whether probabilities mean what they say."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

#: Number of equally wide bins of confidence (Guo et al. 2017, section 4).
N_BINS = 15


class Reliability(NamedTuple):
    """How often predictions of a confidence are right.

    Attributes
    ----------
    edges : ndarray of float64, shape (n_bins + 1,)
        Edges of the bins of confidence, 0 to 1.
    confidence : ndarray of float64, shape (n_bins,)
        Mean confidence of the predictions in each bin; NaN where there are none.
    accuracy : ndarray of float64, shape (n_bins,)
        Share of them that is right; NaN where there are none.
    counts : ndarray of int64, shape (n_bins,)
        Number of predictions in each bin.
    """

    edges: NDArray[np.float64]
    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    counts: NDArray[np.int64]


def reliability_curve(y_true: ArrayLike, proba: ArrayLike, *, n_bins: int = N_BINS) -> Reliability:
    """Compare the confidence of predictions with how often they are right.

    The confidence is the probability of the most probable class, and bins are equally wide, as in
    Guo et al. (2017), On calibration of modern neural networks, ICML, section 2.

    Parameters
    ----------
    y_true : array-like of int, shape (n_epochs,)
        Position of the true class among the columns of ``proba``.
    proba : array-like, shape (n_epochs, n_classes)
        Predicted probabilities.
    n_bins : int
        Number of bins from 0 to 1; a bin includes its upper edge. Default 15.

    Returns
    -------
    curve : Reliability
        Confidence, accuracy and number of predictions by bin.

    Raises
    ------
    ValueError
        If shapes do not match, or there is no epoch or bin.

    Examples
    --------
    >>> from mne_neurolm.evaluation import reliability_curve
    >>> curve = reliability_curve([0, 1, 1], [[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]], n_bins=2)
    >>> curve.counts.tolist(), curve.accuracy.round(2).tolist()
    ([0, 3], [nan, 0.67])
    """
    truth, p = np.asarray(y_true), np.asarray(proba, dtype=np.float64)
    if p.ndim != 2 or truth.shape != (len(p),) or truth.dtype.kind not in "iu" or not len(p):
        raise ValueError(
            "y_true must be positions of classes, shape (n_epochs,), and proba their probabilities "
            f"(n_epochs, n_classes); got {truth.dtype} of shape {truth.shape} and {p.shape}."
        )
    if n_bins < 1:
        raise ValueError(f"n_bins must be 1 or more; got {n_bins}.")
    confidence = p.max(axis=1)
    right = p.argmax(axis=1) == truth
    edges = np.linspace(0.0, 1.0, n_bins + 1)
    # Rounding may bring a probability a hair above 1.
    index = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, n_bins - 1)
    counts = np.bincount(index, minlength=n_bins)
    with np.errstate(invalid="ignore"):
        means = np.bincount(index, confidence, n_bins) / counts
        shares = np.bincount(index, right, n_bins) / counts
    return Reliability(edges, means, shares, counts.astype(np.int64))


def expected_calibration_error(
    y_true: ArrayLike, proba: ArrayLike, *, n_bins: int = N_BINS
) -> float:
    """Return the mean distance between confidence and accuracy.

    Parameters
    ----------
    y_true : array-like of int, shape (n_epochs,)
        Position of the true class among the columns of ``proba``.
    proba : array-like, shape (n_epochs, n_classes)
        Predicted probabilities.
    n_bins : int
        Number of equally wide bins of confidence. Default 15.

    Returns
    -------
    error : float
        Absolute difference between accuracy and mean confidence in each bin, averaged over bins
        with their numbers of epochs as weights (Guo et al. 2017, Eq. 3). 0 is perfect.

    Raises
    ------
    ValueError
        As of :func:`reliability_curve`.

    Examples
    --------
    >>> from mne_neurolm.evaluation import expected_calibration_error
    >>> expected_calibration_error([0, 1], [[0.75, 0.25], [0.75, 0.25]])
    0.25
    """
    curve = reliability_curve(y_true, proba, n_bins=n_bins)
    filled = curve.counts > 0
    gaps = np.abs(curve.accuracy[filled] - curve.confidence[filled])
    return float(np.average(gaps, weights=curve.counts[filled]))


def undo_temperature(proba: ArrayLike, temperature: float) -> NDArray[np.float64]:
    """Return the probabilities as they were before their logits were divided by a temperature.

    Parameters
    ----------
    proba : array-like, shape (n_epochs, n_classes)
        Softmax of logits divided by the temperature.
    temperature : float
        The temperature, above 0.

    Returns
    -------
    proba : ndarray of float64, shape (n_epochs, n_classes)
        Softmax of the logits: each probability to the power of the temperature, normalised.
    """
    if not temperature > 0:
        raise ValueError(f"temperature must be above 0; got {temperature}.")
    with np.errstate(divide="ignore"):
        logits: Any = temperature * np.log(np.asarray(proba, dtype=np.float64))
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
