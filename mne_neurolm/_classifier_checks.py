"""What the classifier refuses before it fits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import mne
import numpy as np
from mne.utils import warn
from numpy.typing import NDArray

from ._net_parameters import NET_ARGUMENTS, is_net_argument
from .tasks import Task
from .tokens import EEGTokens
from .training.averaging import check_decay
from .training.regularization import check_regularization
from .training.tuned_parts import TUNE

if TYPE_CHECKING:
    from .classifier import NeuroLMClassifier

CALIBRATION = ("auto", "temperature", None)


class Labels(NamedTuple):
    """Labels of a fit.

    Attributes
    ----------
    classes : ndarray, shape (n_classes,)
        As they were given, sorted.
    numbers : ndarray of int64, shape (n,)
        Class of each sample.
    answers : ndarray of int64, shape (n_classes,)
        Position of each class among the task's answers.
    """

    classes: NDArray[Any]
    numbers: NDArray[np.int64]
    answers: NDArray[np.int64]


def check_parameters(classifier: NeuroLMClassifier) -> None:
    """Refuse parameters that are not allowed.

    Parameters
    ----------
    classifier : NeuroLMClassifier
        The classifier.

    Raises
    ------
    ValueError
        If a value is not allowed.
    TypeError
        If a parameter is unknown.
    """
    c = classifier
    for name, allowed in (
        ("tune", TUNE),
        ("calibration", CALIBRATION),
        ("monitor", ("loss", "balanced_accuracy")),
    ):
        if getattr(c, name) not in allowed:
            raise ValueError(f"{name} must be one of {allowed}; got {getattr(c, name)!r}.")
    for name in ("batch_size", "max_epochs"):
        if getattr(c, name) < 1:
            raise ValueError(f"{name} must be at least 1; got {getattr(c, name)}.")
    if c.patience is not None and c.patience < 1:
        raise ValueError(f"patience must be at least 1, or None; got {c.patience}.")
    if not c.lr > 0:
        raise ValueError(f"lr must be above 0; got {c.lr}.")
    if not 0 <= c.warmup < 1:
        raise ValueError(f"warmup is a share of the steps, from 0 to below 1; got {c.warmup}.")
    if not c.grad_clip >= 0:
        raise ValueError(f"grad_clip must be 0 (off) or above; got {c.grad_clip}.")
    check_regularization(c.channel_dropout, c.label_smoothing, c.contrast, c.mixup)
    check_decay(c.average)
    unknown = [name for name in c.skorch_params if not is_net_argument(name)]
    if unknown:
        raise TypeError(
            f"Unknown parameters {unknown}. Parameters of the skorch net have a double "
            f"underscore (optimizer__betas) or are among {NET_ARGUMENTS}."
        )
    if holds_out(c) and c.skorch_params.get("train_split") is not None:
        raise ValueError(
            "patience and calibration hold out validation_fraction of the epochs by themselves; "
            "leave train_split out."
        )


def holds_out(classifier: NeuroLMClassifier) -> bool:
    """Whether ``fit`` keeps some epochs back from training."""
    needs = classifier.patience is not None or classifier.calibration == "temperature"
    return needs and classifier.tune is not None


def read_labels(task: Task, y: Any, *, tune: str | None) -> Labels:
    """Return labels as classes and as answers of the task.

    Parameters
    ----------
    task : Task
        The task.
    y : array-like, shape (n,)
        Labels, see :meth:`~mne_neurolm.Task.label_indices`.
    tune : str | None
        What is tuned: without tuning, what numbers stand for must be guessed.

    Returns
    -------
    labels : Labels
        The labels.

    Raises
    ------
    ValueError
        If a label does not belong to the task, there is only one class, or two classes are the same
        answer.
    """
    y = np.asarray(y)
    positions = task.label_indices(y)
    classes, index = np.unique(y, return_inverse=True)
    if len(classes) < 2:
        raise ValueError(f"y holds a single class, {classes.tolist()}; a classifier needs two.")
    answers = task.label_indices(classes)
    if len(np.unique(positions)) < len(classes):
        raise ValueError(
            f"Some labels in {classes.tolist()} stand for the same answer of {task.name!r}; "
            "name each class one way."
        )
    if tune is None and task.reads_positions(y) and _is_reordered_by_encoding(task):
        warn(
            f"Labels are read as {dict(enumerate(task.labels))}. If they come from "
            "scikit-learn's label encoding, which sorts (cross_val_predict, VotingClassifier "
            "and others do it), this is another order: use a Task whose answers are keyed by "
            "these numbers."
        )
    return Labels(classes, index.astype(np.int64), answers)


def count_epochs(X: Any) -> int | None:
    """Return the number of epochs, as far as it is known before they are read.

    Parameters
    ----------
    X : EEGTokens | mne.BaseEpochs | list of mne.BaseEpochs | ndarray
        What ``fit`` gets.

    Returns
    -------
    n_epochs : int | None
        None if X is something else, or Epochs of which bad ones are yet to be dropped.
    """
    parts = X if isinstance(X, list | tuple) else [X]
    if len(parts) and all(isinstance(part, mne.BaseEpochs) for part in parts):
        try:
            return sum(len(part) for part in parts)
        except RuntimeError:  # of MNE, which has to read the signals to know
            return None
    if isinstance(X, EEGTokens) or (isinstance(X, np.ndarray) and X.ndim == 3):
        return len(X)
    return None


def check_length(n_epochs: int | None, labels: Labels) -> None:
    """Refuse another number of labels than of epochs.

    Parameters
    ----------
    n_epochs : int | None
        Number of epochs; None if it is not known yet.
    labels : Labels
        The labels.

    Raises
    ------
    ValueError
        If they differ.
    """
    if n_epochs is not None and n_epochs != len(labels.numbers):
        raise ValueError(f"X has {n_epochs} epochs, but y has {len(labels.numbers)} labels.")


def _is_reordered_by_encoding(task: Task) -> bool:
    return sorted(map(str, task.labels)) != [str(label) for label in task.labels]
