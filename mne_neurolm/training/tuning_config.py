"""How instruction tuning goes about its tasks: settings that training and its flags share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .averaging import check_decay
from .regularization import check_regularization
from .sampling import Sampling, check_weights, task_shares

Monitor = Literal["loss", "balanced_accuracy"]


@dataclass(kw_only=True, slots=True, frozen=True)
class TuningConfig:
    """Which parts are tuned, on which mixture of tasks, and when it is enough.

    Attributes
    ----------
    tune : "full" | "lora" | "head"
        What is trained: the whole language model (default), low-rank adapters beside its matrices
        (needs ``peft``; they are merged into what is saved), or its last part, see
        :func:`~mne_neurolm.training.tuned_parts.prepare_tuning`.
    sampling : "size" | "balanced" | "temperature"
        Share of a task's windows in an epoch, see
        :func:`~mne_neurolm.training.sampling.task_shares`. Default ``"size"``: every window once.
    sampling_temperature : float
        For ``"temperature"``. Default 2.
    task_weights : tuple of str
        Factors on the shares of tasks, as ``"group=0.3"``. Default none.
    class_balanced : bool
        Let the classes of a task have the same share. Default False.
    mix_tasks : bool
        Deal the windows of all tasks evenly over the steps; False gives each step to one task.
        Default True.
    phrasings : bool
        Ask in one of the task's wordings, drawn for every batch; False asks in the question's own
        only. Default True.
    channel_dropout : float
        Probability that a channel's tokens are left out of a batch. Default 0.
    mixup : float
        Mix each window with another of its task, montage and length, in a share drawn for each
        batch from Beta(mixup, mixup), see
        ``training.regularization.mix_windows``. Partners are found among the
        windows that a process computes at a time, so other numbers of processes and other
        ``micro_batch_size`` mix others. Default 0: no mixing.
    label_smoothing : float
        Weight that is spread over all answers, see
        :func:`~mne_neurolm.training.regularization.tuning_loss`. Default 0.
    contrast : float
        Weight of the right answer's log-probability among the task's answers, see the same.
        Default 0, as in the paper.
    average : float
        Decay of a moving average of the weights, which is what is validated and kept: 0.99 is the
        mean over some hundred steps. Default 0: no average.
    patience : int | None
        A task whose validation has not improved for this many epochs in a row is left out of
        those that follow; when all are, training ends. The weights of the epoch with the best mean
        over the tasks are kept. Default None: all epochs, and the weights of the last.
    monitor : "loss" | "balanced_accuracy"
        What improves: the negative log-likelihood among the task's answers as a share of chance's,
        log(number of answers), or balanced accuracy. Default ``"loss"``.
    calibration : "temperature" | None
        Fit a temperature per task on the validation windows, and keep it with the model. Default
        None.

    Raises
    ------
    ValueError
        If a value is not allowed.

    Examples
    --------
    >>> from mne_neurolm.training.tuning_config import TuningConfig
    >>> config = TuningConfig(tune="lora", task_weights=("group=0.3",), patience=2)
    >>> config.weight_by_task, config.needs_validation
    ({'group': 0.3}, True)
    >>> TuningConfig(patience=0)
    Traceback (most recent call last):
        ...
    ValueError: patience must be at least 1, or None; got 0.
    """

    tune: Literal["full", "lora", "head"] = "full"
    sampling: Sampling = "size"
    sampling_temperature: float = 2.0
    task_weights: tuple[str, ...] = ()
    class_balanced: bool = False
    mix_tasks: bool = True
    phrasings: bool = True
    channel_dropout: float = 0.0
    mixup: float = 0.0
    label_smoothing: float = 0.0
    contrast: float = 0.0
    average: float = 0.0
    patience: int | None = None
    monitor: Monitor = "loss"
    calibration: Literal["temperature"] | None = None

    def __post_init__(self) -> None:
        if self.tune not in ("full", "lora", "head"):
            raise ValueError(f"tune must be 'full', 'lora' or 'head'; got {self.tune!r}.")
        task_shares([1], self.sampling, self.sampling_temperature)  # refuses what it can't do
        check_weights(list(self.weight_by_task.values()))
        check_regularization(self.channel_dropout, self.label_smoothing, self.contrast, self.mixup)
        check_decay(self.average)
        if self.patience is not None and self.patience < 1:
            raise ValueError(f"patience must be at least 1, or None; got {self.patience}.")
        if self.monitor not in ("loss", "balanced_accuracy"):
            raise ValueError(
                f"monitor must be 'loss' or 'balanced_accuracy'; got {self.monitor!r}."
            )
        if self.calibration not in ("temperature", None):
            raise ValueError(
                f"calibration must be 'temperature' or None; got {self.calibration!r}."
            )

    @property
    def weight_by_task(self) -> dict[str, float]:
        """``task_weights`` as a dict."""
        weights = {}
        for text in self.task_weights:
            name, _, weight = text.rpartition("=")
            try:
                weights[name] = float(weight)
            except ValueError:
                name = ""
            if not name:
                raise ValueError(f"task_weights must be like group=0.3; got {text!r}.")
        return weights

    @property
    def needs_validation(self) -> bool:
        """Whether anything asked for can't be done without validation windows."""
        return self.patience is not None or self.calibration is not None
