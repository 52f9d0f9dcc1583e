"""The skorch net inside the classifier."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from skorch import NeuralNet
from skorch.callbacks import GradientNormClipping
from skorch.dataset import unpack_data
from skorch.utils import to_tensor
from torch import Tensor, nn

from ..models.neurolm import NeuroLM
from ..models.scoring import answer_log_probs
from ..tokens import EEGTokens
from ..utils.device import autocast
from ..utils.interrupts import noting_ctrl_c
from ..utils.products import fast_products
from .net_callbacks import CosineSchedule, HeldOut, Validation
from .optim import parameter_groups
from .regularization import drop_channels, kept_channels, mix_windows, tuning_loss

_OTHER_WAYS = {"optimizer__foreach", "optimizer__differentiable"}  # than torch's fused AdamW


class AnswerModule(nn.Module):
    """Log-probabilities of a task's answers, as a module that skorch can train.

    Parameters
    ----------
    model : NeuroLM
        The model.
    prompt : list of int
        Ids of the question.
    answers : list of list of int
        Ids of each class's answer.
    dtype : str
        Precision, see :func:`~mne_neurolm.utils.device.autocast`.
    channel_dropout : float
        Probability that a channel is left out of a batch in training. Default 0.
    """

    def __init__(
        self,
        model: NeuroLM,
        prompt: list[int],
        answers: list[list[int]],
        dtype: str,
        channel_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.channel_dropout = channel_dropout
        self.model = model
        self.prompt = prompt
        self.answers = answers
        self.dtype = dtype

    def forward(self, hidden: Tensor, channels: Tensor, times: Tensor) -> Tensor:
        """Map hidden states (B, N, n_embd), channels and times (B, N) to (B, n_classes).

        In training mode probabilities are over the whole merged vocabulary, as in the loss of the
        paper; in evaluation mode over the text that may be written.
        """
        # One montage and one length in every batch: the first row speaks for all.
        hidden, its_channels, its_times = hidden.float(), channels[0], times[0]
        if self.training and self.channel_dropout:
            # torch's generator, which fit has seeded
            rng = np.random.default_rng(int(torch.randint(2**31, (1,))))
            n_channels = int((its_times == its_times[0]).sum())
            kept = kept_channels(n_channels, self.channel_dropout, rng)
            hidden, its_channels, its_times = drop_channels(hidden, its_channels, its_times, kept)
        with autocast(self.dtype, hidden.device):
            return answer_log_probs(
                self.model,
                hidden,
                its_channels,
                its_times,
                self.prompt,
                self.answers,
                text_only=not self.training,
            )


class _AnswerLoss(nn.Module):
    """Negative log-probability per token of the right answer (paper, Eq. 10)."""

    lengths: Tensor

    def __init__(
        self, lengths: list[int], label_smoothing: float = 0.0, contrast: float = 0.0
    ) -> None:
        super().__init__()
        self.contrast = contrast
        self.label_smoothing = label_smoothing
        self.register_buffer("lengths", torch.tensor(lengths))

    def forward(self, log_probs: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of a batch."""
        smoothing = self.label_smoothing if self.training else 0.0
        return tuning_loss(log_probs, labels, self.lengths, smoothing, self.contrast)


def make_net(
    module: AnswerModule,
    *,
    tune: str | None,
    lr: float,
    max_epochs: int,
    batch_size: int,
    weight_decay: float,
    warmup: float,
    grad_clip: float,
    progress: bool,
    seed: int,
    mixup: float = 0.0,
    label_smoothing: float = 0.0,
    contrast: float = 0.0,
    average: float = 0.0,
    patience: int | None = None,
    monitor: str = "loss",
    held_out: HeldOut | None = None,
    **skorch_params: Any,
) -> NeuralNet:
    """Return the net, not yet initialised; parameters as for the classifier."""
    callbacks: list[tuple[str, Any]] = [("schedule", CosineSchedule(warmup, progress))]
    if average or held_out is not None:
        callbacks.append(("validation", Validation(held_out, patience, monitor, average)))
    if grad_clip > 0:
        callbacks.append(("grad_clip", GradientNormClipping(grad_clip)))
    callbacks += skorch_params.pop("callbacks", None) or []
    if "optimizer" not in skorch_params:  # another one may have no such averages
        skorch_params = {
            "optimizer": torch.optim.AdamW,
            "optimizer__betas": (0.9, 0.95),
            "optimizer__fused": _OTHER_WAYS.isdisjoint(skorch_params),
            **skorch_params,
        }
    settings: dict[str, Any] = {
        "iterator_train__shuffle": True,
        # Generators of its own: the order of batches depends on nothing else that draws numbers,
        # in other threads too, and predicting draws none from torch's global one.
        "iterator_train__generator": torch.Generator().manual_seed(seed),
        "iterator_valid__generator": torch.Generator(),
        "train_split": None,
        **skorch_params,
    }
    if tune is None:  # nothing to optimise, and skorch refuses settings that nothing reads
        settings = {k: v for k, v in settings.items() if not k.startswith("optimizer__")}
    return _AnswerNet(
        module,
        tune=tune,
        mixup=mixup,
        criterion=_AnswerLoss,
        criterion__lengths=[len(answer) for answer in module.answers],
        criterion__label_smoothing=label_smoothing,
        criterion__contrast=contrast,
        weight_decay=weight_decay,
        lr=lr,
        max_epochs=max_epochs,
        batch_size=batch_size,
        device=module.model.device,
        callbacks=callbacks,
        verbose=0,
        predict_nonlinearity=None,
        **settings,
    )


class _AnswerNet(NeuralNet):
    """A net that mixes windows and whose optimiser gets the parameter groups of other stages."""

    def __init__(
        self,
        module: AnswerModule,
        *,
        tune: str | None,
        weight_decay: float,
        mixup: float,
        **kwargs: Any,
    ) -> None:
        self.tune = tune
        self.mixup = mixup
        self.weight_decay = weight_decay
        super().__init__(module, **kwargs)

    def partial_fit(
        self, X: Any, y: Any = None, classes: Any = None, **fit_params: Any
    ) -> _AnswerNet:
        """Train; only a callback may end it early.

        skorch's callbacks stop training with a KeyboardInterrupt, and its own ``partial_fit`` takes
        one from the keyboard for the same: a cross-validation could not be interrupted. Ctrl-C may
        also come while a callback works.
        """
        if not self.initialized_:
            self.initialize()
        self.stopped_by_callback_ = False
        self.notify("on_train_begin", X=X, y=y)
        with noting_ctrl_c() as pressed:
            try:
                self.fit_loop(X, y, **fit_params)
            except KeyboardInterrupt:
                if pressed or not self.stopped_by_callback_:
                    raise
            finally:
                self.notify("on_train_end", X=X, y=y)
        return self

    def notify(self, method_name: str, **cb_kwargs: Any) -> None:
        """Call the callbacks, and note if one of them ends the training."""
        try:
            super().notify(method_name, **cb_kwargs)
        except KeyboardInterrupt:
            self.stopped_by_callback_ = True
            raise

    def train_step_single(self, batch: Any, **fit_params: Any) -> dict[str, Any]:
        """Compute the loss of a batch and its gradients, of mixed windows if that is asked for."""
        with fast_products(torch.device(self.device), compiled=self.compile):
            if not self.mixup:
                return super().train_step_single(batch, **fit_params)
            return self._train_on_mixture(batch, **fit_params)

    def _train_on_mixture(self, batch: Any, **fit_params: Any) -> dict[str, Any]:
        self._set_training(True)
        inputs, labels = unpack_data(batch)
        labels = to_tensor(labels, device=self.device)
        hidden = to_tensor(inputs["hidden"], device=self.device)
        # torch's generator, which fit has seeded
        rng = np.random.default_rng(int(torch.randint(2**31, (1,))))
        mixture = mix_windows(hidden.float(), self.mixup, rng)
        log_probs = self.infer({**inputs, "hidden": mixture.hidden}, **fit_params)

        def loss_of(answers: Tensor) -> Tensor:
            return self.get_loss(log_probs, answers, X=inputs, training=True)

        loss = mixture.loss(loss_of, labels)
        loss.backward()
        return {"loss": loss, "y_pred": log_probs}

    def initialize_module(self) -> _AnswerNet:
        """Use the module as it is: it is built and loaded already."""
        self.module_ = self.module
        return self

    def initialize_optimizer(self, triggered_directly: bool | None = None) -> _AnswerNet:
        """Make the optimiser over what ``tune`` left trainable."""
        if self.tune is not None:
            _, kwargs = self.get_params_for_optimizer("optimizer", [])
            groups = parameter_groups([self.module_], self.weight_decay)
            self.optimizer_ = self.optimizer(groups, **kwargs)
        return self


def net_inputs(tokens: EEGTokens) -> dict[str, NDArray[Any]]:
    """Return tokens as the net takes them: arrays with one row per epoch."""
    return {
        # torch wants arrays that may be written to; memory maps of joblib may not
        "hidden": np.require(tokens.hidden, requirements="W"),
        "channels": np.tile(tokens.channels, (len(tokens), 1)),
        "times": np.tile(tokens.times, (len(tokens), 1)),
    }
