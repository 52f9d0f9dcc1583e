"""How each of several tasks comes on, and when one has had enough."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from .calibration import negative_log_likelihood


class TaskProgress(nn.Module):
    """Best validation score of each task and the epochs since, as buffers: checkpoints hold them.

    Parameters
    ----------
    n_tasks : int
        Number of tasks.
    patience : int
        Epochs without improvement after which a task is left out.
    """

    best: Tensor
    waited: Tensor

    def __init__(self, n_tasks: int, patience: int) -> None:
        super().__init__()
        self.patience = patience
        self.register_buffer("best", torch.full((n_tasks,), torch.inf))
        self.register_buffer("waited", torch.zeros(n_tasks))

    def update(self, scores: Sequence[float]) -> None:
        """Take the scores of all tasks after an epoch; lower is better, NaN is unknown."""
        for task, score in enumerate(scores):
            if self.stopped(task) or np.isnan(score):
                continue
            score = float(np.float32(score))  # as it is kept, or a tie may look better
            if score < float(self.best[task]):
                self.best[task], self.waited[task] = score, 0
            else:
                self.waited[task] += 1

    def stopped(self, task: int) -> bool:
        """Whether a task is left out from now on."""
        return float(self.waited[task]) >= self.patience

    def stopped_tasks(self) -> set[int]:
        """Return the tasks that are left out from now on."""
        return {task for task in range(len(self.waited)) if self.stopped(task)}

    @property
    def all_stopped(self) -> bool:
        """Whether no task is left."""
        return len(self.stopped_tasks()) == len(self.waited)


class TaskScore(NamedTuple):
    """How well a task is answered.

    Attributes
    ----------
    loss : float
        Negative log-likelihood of the right answers among the task's, in nats, as a share of
        chance's, log(number of answers). 1 is chance; NaN without windows.
    balanced_accuracy : float
        Mean over the classes that occur of the share answered right.
    """

    loss: float
    balanced_accuracy: float

    def judged(self, monitor: str) -> float:
        """Return what is to become small."""
        return self.loss if monitor == "loss" else -self.balanced_accuracy


def sums_of_scores(scores: NDArray[np.float64], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return what :func:`score_of_sums` needs, additive over windows.

    Parameters
    ----------
    scores : ndarray, shape (n, K)
        Log-probabilities of the answers.
    labels : ndarray of int, shape (n,)
        Right answers.

    Returns
    -------
    sums : ndarray, shape (1 + 2 K,)
        Sum of the negative log-likelihoods, windows of each class, and those answered right.
    """
    n_classes = scores.shape[1]
    total = negative_log_likelihood(scores, labels) * len(labels) if len(labels) else 0.0
    right = scores.argmax(axis=1) == labels
    count = np.bincount(labels, minlength=n_classes)
    hit = np.bincount(labels[right], minlength=n_classes)
    return np.concatenate([[total], count, hit]).astype(np.float64)


def score_of_sums(sums: NDArray[np.float64]) -> TaskScore:
    """Return the score of a task from what :func:`sums_of_scores` returned, added up."""
    n_classes = (len(sums) - 1) // 2
    count, hit = sums[1 : 1 + n_classes], sums[1 + n_classes :]
    there = count > 0
    if not there.any():
        return TaskScore(np.nan, np.nan)
    loss = float(sums[0] / count.sum() / np.log(n_classes))
    return TaskScore(loss, float((hit[there] / count[there]).mean()))
