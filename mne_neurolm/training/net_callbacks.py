"""What happens around the steps of the classifier's net: schedule, averages, validation."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from skorch import NeuralNet
from skorch.callbacks import Callback
from torch import Tensor
from tqdm.auto import tqdm

from .averaging import WeightAverage
from .optim import cosine_factor
from .task_progress import TaskProgress, score_of_sums, sums_of_scores

_MIN_LR = 0.1  # share of the peak at the end (Table 9: 5e-4 to 5e-5)


class CosineSchedule(Callback):
    """Linear warm-up and half a cosine over all steps of a fit, with a progress bar."""

    def __init__(self, warmup: float, progress: bool) -> None:
        self.warmup = warmup
        self.progress = progress

    def on_train_begin(self, net: NeuralNet, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Start from the first step."""
        self.step_ = 0

    def on_epoch_begin(
        self,
        net: NeuralNet,
        dataset_train: Any = None,
        dataset_valid: Any = None,
        **kwargs: Any,
    ) -> None:
        """Count the steps of the fit, once it is known what ``train_split`` leaves for training."""
        if self.step_:
            return
        per_epoch = max(1, -(-len(dataset_train) // net.batch_size))
        self.n_steps_ = per_epoch * net.max_epochs
        self.bar_ = tqdm(total=self.n_steps_, desc="tune", disable=not self.progress, leave=False)

    def on_batch_begin(
        self, net: NeuralNet, batch: Any = None, training: bool | None = None, **kwargs: Any
    ) -> None:
        """Set the learning rate."""
        if not training:
            return
        factor = cosine_factor(
            self.step_, self.n_steps_, warmup=int(self.warmup * self.n_steps_), floor=_MIN_LR
        )
        for group in net.optimizer_.param_groups:
            group["lr"] = net.lr * factor
        self.step_ += 1
        self.bar_.update()

    def on_batch_end(
        self,
        net: NeuralNet,
        batch: Any = None,
        training: bool | None = None,
        loss: Tensor | None = None,
        **kwargs: Any,
    ) -> None:
        """Stop when the loss is no number any more."""
        if training and loss is not None and not torch.isfinite(loss):
            raise FloatingPointError(
                f"The loss is {float(loss.detach())} at step {self.step_} of {self.n_steps_}; "
                f"lower lr={net.lr}, or look for extreme values in the data."
            )

    def on_train_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Close the progress bar."""
        if hasattr(self, "bar_"):
            self.bar_.close()


class HeldOut(NamedTuple):
    """Epochs that are not trained on.

    Attributes
    ----------
    inputs : dict of ndarray
        As the net takes them.
    labels : ndarray of int64, shape (n,)
        Right answers.
    """

    inputs: dict[str, NDArray[Any]]
    labels: NDArray[np.int64]


class Validation(Callback):
    """Averages weights, looks at held-out epochs, and keeps the best weights.

    After every epoch the history gets ``valid_nll``, the negative log-likelihood among the answers
    as a share of chance's, and ``valid_balanced_accuracy``.

    Parameters
    ----------
    held_out : HeldOut | None
        What to look at. None: nothing.
    patience : int | None
        Stop after this many epochs in a row without improvement, and take the weights of the best.
        None: neither.
    monitor : "loss" | "balanced_accuracy"
        What must improve.
    average : float
        Decay of the weights' moving average; 0: none.
    """

    def __init__(
        self, held_out: HeldOut | None, patience: int | None, monitor: str, average: float
    ) -> None:
        self.held_out = held_out
        self.patience = patience
        self.monitor = monitor
        self.average = average

    def on_train_begin(self, net: NeuralNet, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Start with no average and no best epoch."""
        self.average_ = WeightAverage(net.module_, self.average) if self.average else None
        self.progress_ = TaskProgress(1, self.patience or 1)
        self.best_: dict[str, Tensor] = {}

    def on_batch_end(self, net: NeuralNet, training: bool | None = None, **kwargs: Any) -> None:
        """Take the new weights into the average."""
        if training and self.average_ is not None:
            self.average_.update()

    def on_epoch_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Validate; end the training when it is enough."""
        if self.held_out is None:
            return
        with nullcontext() if self.average_ is None else self.average_.shown():
            scores = net.predict_proba(self.held_out.inputs).astype(np.float64)
            score = score_of_sums(sums_of_scores(scores, self.held_out.labels))
            net.history.record("valid_nll", score.loss)
            net.history.record("valid_balanced_accuracy", score.balanced_accuracy)
            if self.patience is None:
                return
            self.progress_.update([score.judged(self.monitor)])
            if not float(self.progress_.waited[0]):
                self.best_ = {n: p.detach().clone() for n, p in _trained(net)}
        if self.progress_.all_stopped:
            raise KeyboardInterrupt  # skorch's way to end a training

    @torch.no_grad()
    def on_train_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Leave the weights that count in the model."""
        for name, parameter in _trained(net) if self.best_ else []:
            parameter.copy_(self.best_[name])
        if not self.best_ and self.average_ is not None:
            self.average_.show(True)
        self.average_, self.best_ = None, {}


def _trained(net: NeuralNet) -> list[tuple[str, Tensor]]:
    return [(name, p) for name, p in net.module_.named_parameters() if p.requires_grad]
