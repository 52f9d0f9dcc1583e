"""The skorch net inside the classifier."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from skorch import NeuralNet
from skorch.callbacks import Callback, GradientNormClipping
from torch import Tensor, nn
from tqdm.auto import tqdm

from ..models.neurolm import NeuroLM
from ..models.scoring import answer_log_probs
from ..tokens import EEGTokens
from ..utils.device import autocast
from ..utils.optional import import_optional
from .objectives import answer_loss
from .optim import cosine_factor, parameter_groups
from .stages import language_model_parts

TUNE = ("full", "lora", "head", None)
_MIN_LR = 0.1  # share of the peak at the end (Table 9: 5e-4 to 5e-5)
_LORA = {"r": 8, "lora_alpha": 16, "lora_dropout": 0.0}


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
    """

    def __init__(
        self, model: NeuroLM, prompt: list[int], answers: list[list[int]], dtype: str
    ) -> None:
        super().__init__()
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
        with autocast(self.dtype, hidden.device):
            return answer_log_probs(
                self.model,
                hidden,
                channels[0],
                times[0],
                self.prompt,
                self.answers,
                text_only=not self.training,
            )


class _AnswerLoss(nn.Module):
    """Negative log-probability per token of the right answer (paper, Eq. 10)."""

    lengths: Tensor

    def __init__(self, lengths: list[int]) -> None:
        super().__init__()
        self.register_buffer("lengths", torch.tensor(lengths))

    def forward(self, log_probs: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of a batch."""
        return answer_loss(log_probs, labels, self.lengths)


class _CosineSchedule(Callback):
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


def prepare_tuning(model: NeuroLM, tune: str | None) -> None:
    """Choose what is trained, and add adapters for ``"lora"``.

    Parameters
    ----------
    model : NeuroLM
        The model, changed in place.
    tune : "full" | "lora" | "head" | None
        See :class:`~mne_neurolm.NeuroLMClassifier`.
    """
    if tune is None:
        return
    model.requires_grad_(False)
    if tune == "full":
        for part in language_model_parts(model):
            part.requires_grad_(True)
    elif tune == "head":
        model.lm_head.requires_grad_(True)
    elif tune == "lora":
        peft = import_optional("peft", extra="train", purpose="tune='lora'")
        config = peft.LoraConfig(
            target_modules="all-linear",
            # GPT-2 keeps its linear weights transposed.
            fan_in_fan_out=model.config.text_config.model_type == "gpt2",
            **_LORA,
        )
        peft.inject_adapter_in_model(config, model.backbone)


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
    **skorch_params: Any,
) -> NeuralNet:
    """Return the net, not yet initialised; parameters as for the classifier."""
    callbacks = [("schedule", _CosineSchedule(warmup, progress))]
    if grad_clip > 0:
        callbacks.append(("grad_clip", GradientNormClipping(grad_clip)))
    callbacks += skorch_params.pop("callbacks", None) or []
    if "optimizer" not in skorch_params:  # another one may have no such averages
        skorch_params = {
            "optimizer": torch.optim.AdamW,
            "optimizer__betas": (0.9, 0.95),
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
        criterion=_AnswerLoss,
        criterion__lengths=[len(answer) for answer in module.answers],
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
    """A net whose optimiser gets the parameter groups of the other stages."""

    def __init__(
        self, module: AnswerModule, *, tune: str | None, weight_decay: float, **kwargs: Any
    ) -> None:
        self.tune = tune
        self.weight_decay = weight_decay
        super().__init__(module, **kwargs)

    def partial_fit(
        self, X: Any, y: Any = None, classes: Any = None, **fit_params: Any
    ) -> _AnswerNet:
        """Train; only a callback may end it early.

        skorch's callbacks stop training with a KeyboardInterrupt, and its own ``partial_fit`` takes
        one from the keyboard for the same: a cross-validation could not be interrupted.
        """
        if not self.initialized_:
            self.initialize()
        self.stopped_by_callback_ = False
        self.notify("on_train_begin", X=X, y=y)
        try:
            self.fit_loop(X, y, **fit_params)
        except KeyboardInterrupt:
            if not self.stopped_by_callback_:
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
