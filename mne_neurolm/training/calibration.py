"""Probabilities that mean what they say: temperature scaling."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

CALIBRATION = ("temperature", None)
# Where the temperature is looked for. Held-out samples that are all answered right have their
# likelihood without a maximum: the surer, the likelier.
RANGE = (0.05, 20.0)


def fit_temperature(log_probs: Any, labels: Any) -> float:
    """Return the temperature that makes the probabilities of held-out samples the likeliest.

    Parameters
    ----------
    log_probs : array-like, shape (n, n_classes)
        Log-probability of each answer, up to a constant per sample.
    labels : array-like of int, shape (n,)
        Right answers.

    Returns
    -------
    temperature : float
        T in ``softmax(log_probs / T)`` that minimises the negative log-likelihood, between 0.05 and
        20. Above 1 the model was too sure of itself, below 1 not sure enough.

    Raises
    ------
    ValueError
        If there is no sample, shapes do not match, a label is out of range, or a log-probability is
        not finite.

    Notes
    -----
    Guo, Pleiss, Sun and Weinberger, On calibration of modern neural networks (2017), section 4.2.
    One positive number for all classes does not change which is the likeliest. The likelihood is
    concave in 1 / T, so the only maximum is found.

    Examples
    --------
    >>> import numpy as np
    >>> from mne_neurolm.training.calibration import fit_temperature
    >>> sure = np.log([[0.99, 0.01]] * 4)
    >>> round(fit_temperature(sure, [0, 0, 0, 1]), 1)  # right in three cases of four only
    4.2
    """
    scores, labels = np.asarray(log_probs, dtype=np.float64), np.asarray(labels)
    if scores.ndim != 2 or labels.shape != scores.shape[:1]:
        raise ValueError(
            "log_probs must be (n, n_classes) and labels (n,); got "
            f"{scores.shape} and {labels.shape}."
        )
    if not len(scores):
        raise ValueError("A temperature needs held-out samples to be fitted on; got none.")
    if not np.isfinite(scores).all():
        raise ValueError("Log-probabilities must be finite to fit a temperature.")
    if labels.min() < 0 or labels.max() >= scores.shape[1]:
        raise ValueError(
            f"Labels must be 0 to {scores.shape[1] - 1}; got {labels.min()} to {labels.max()}."
        )

    def loss(log_temperature: float) -> float:
        return negative_log_likelihood(scores / np.exp(log_temperature), labels)

    found = minimize_scalar(loss, bounds=np.log(RANGE), method="bounded")
    return float(np.exp(found.x))


def negative_log_likelihood(scores: NDArray[np.float64], labels: NDArray[Any]) -> float:
    """Return the mean of -log p of the right answers, in nats.

    Parameters
    ----------
    scores : ndarray, shape (n, n_classes)
        Log-probabilities up to a constant per sample.
    labels : ndarray of int, shape (n,)
        Right answers.

    Returns
    -------
    loss : float
        Mean over the samples.
    """
    return float(-log_softmax(scores, axis=1)[np.arange(len(labels)), labels].mean())


def calibrated(log_probs: NDArray[Any], temperature: float = 1.0) -> NDArray[np.float64]:
    """Return probabilities, ``softmax(log_probs / temperature)``.

    Parameters
    ----------
    log_probs : ndarray, shape (n, n_classes)
        Log-probabilities up to a constant per sample.
    temperature : float
        Default 1.

    Returns
    -------
    probabilities : ndarray, shape (n, n_classes)
        Rows add up to 1.
    """
    return softmax(np.asarray(log_probs, dtype=np.float64) / temperature, axis=1)
