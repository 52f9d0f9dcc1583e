"""The metrics of the paper from predicted probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from mne.utils import warn
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import (
    average_precision_score,
    cohen_kappa_score,
    f1_score,
    roc_auc_score,
)

#: Keys of the dictionary that :func:`score_predictions` returns (paper, section 3.3).
METRICS: tuple[str, ...] = ("balanced_accuracy", "auroc", "auc_pr", "cohen_kappa", "f1_weighted")


def score_predictions(
    y_true: ArrayLike, proba: ArrayLike, classes: Sequence[Any] | NDArray
) -> dict[str, float]:
    """Score predicted probabilities with the metrics of the paper.

    The paper (section 3.3) reports balanced accuracy, AUC-PR and AUROC for binary tasks and
    balanced accuracy, Cohen's kappa and weighted F1 for the others. All five are given for both;
    with more than two classes AUROC and AUC-PR are one-versus-rest averages in which every class
    has the same weight.

    Parameters
    ----------
    y_true : array-like, shape (n_epochs,)
        True labels, as they appear in ``classes``.
    proba : array-like, shape (n_epochs, n_classes) or (n_epochs,)
        Probabilities of the classes, columns in the order of ``classes``, as ``predict_proba``
        gives them. With two classes also one number per epoch, the probability of ``classes[1]``.
    classes : sequence, length n_classes
        The labels, as in ``classes_``. With two classes the second one is the positive class.

    Returns
    -------
    scores : dict of float
        ``balanced_accuracy``: mean recall over the classes present; ``auroc``: area under the ROC
        curve; ``auc_pr``: average precision; ``cohen_kappa``; ``f1_weighted``: F1 averaged with
        class frequencies as weights. The prediction is the most probable class, the first
        one in a tie. AUROC, AUC-PR and kappa are NaN, with a warning, if ``y_true`` holds one
        class only.

    Raises
    ------
    ValueError
        If shapes do not match, a label is not in ``classes``, or ``proba`` holds no probabilities.

    Examples
    --------
    >>> from mne_neurolm.evaluation import score_predictions
    >>> scores = score_predictions(["no", "yes", "yes"], [0.2, 0.4, 0.9], ["no", "yes"])
    >>> scores["balanced_accuracy"], scores["auroc"]
    (0.75, 1.0)
    """
    labels = np.asarray(classes)
    if len(labels) < 2 or len(set(labels.tolist())) < len(labels):
        raise ValueError(f"classes must hold two or more different labels; got {labels.tolist()}.")
    truth = _label_indices(np.asarray(y_true), labels)
    probability = _check_proba(np.asarray(proba, dtype=np.float64), len(truth), len(labels))
    predicted = probability.argmax(axis=1)

    present = np.unique(truth)
    # The mean recall; sklearn's balanced_accuracy_score warns about classes only predicted.
    recall = [np.mean(predicted[truth == k] == k) for k in present]
    auroc = auc_pr = kappa = float("nan")
    if len(present) < 2:
        warn(
            f"y_true holds only {labels[present].tolist()}: AUROC, AUC-PR and Cohen's kappa are "
            "not defined and returned as NaN. Score epochs of at least two classes together.",
            RuntimeWarning,
        )
    else:
        scored = present if len(labels) > 2 else [1]
        auroc = float(np.mean([roc_auc_score(truth == k, probability[:, k]) for k in scored]))
        auc_pr = float(
            np.mean([average_precision_score(truth == k, probability[:, k]) for k in scored])
        )
        kappa = float(cohen_kappa_score(truth, predicted))
    return {
        "balanced_accuracy": float(np.mean(recall)),
        "auroc": auroc,
        "auc_pr": auc_pr,
        "cohen_kappa": kappa,
        "f1_weighted": float(f1_score(truth, predicted, average="weighted", zero_division=0.0)),
    }


def _label_indices(y_true: NDArray, labels: NDArray) -> NDArray[np.int64]:
    """Return the position of every true label in ``labels``."""
    if y_true.ndim != 1 or len(y_true) == 0:
        raise ValueError(
            f"y_true must be one label per epoch, shape (n_epochs,), not empty; got {y_true.shape}."
        )
    position = {label: k for k, label in enumerate(labels.tolist())}
    unknown = sorted({str(label) for label in y_true.tolist() if label not in position})
    if unknown:
        raise ValueError(
            f"y_true holds labels that are not in classes={labels.tolist()}: {unknown}. Pass "
            "classifier.classes_, or score only the epochs of these classes."
        )
    return np.array([position[label] for label in y_true.tolist()], dtype=np.int64)


def _check_proba(proba: NDArray[np.float64], n_epochs: int, n_classes: int) -> NDArray[np.float64]:
    """Return probabilities (n_epochs, n_classes)."""
    if proba.ndim == 1 and n_classes == 2:
        proba = np.column_stack([1.0 - proba, proba])
    if proba.shape != (n_epochs, n_classes):
        raise ValueError(
            f"proba has shape {proba.shape}, but y_true and classes ask for one row for each of "
            f"{n_epochs} epochs and one column for each of {n_classes} classes."
        )
    total = proba.sum(axis=1)
    if not (np.all(proba >= 0) and np.allclose(total, 1.0, atol=1e-3)):
        raise ValueError(
            "proba must hold probabilities: no NaN, none negative, and rows that sum to 1 (got "
            f"values from {proba.min():.3g} to {proba.max():.3g} and sums from {total.min():.3g} "
            f"to {total.max():.3g}). Pass predict_proba's output, not decision_function's."
        )
    return proba
