"""The third stage: answers to questions about EEG."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..models.neurolm import NeuroLM
from ..models.scoring import answer_log_probs
from ..tasks import EncodedTask, Task
from .averaging import WeightAverage
from .data import EEGBatch
from .regularization import drop_channels, kept_channels, mix_windows, tuning_loss
from .stages import LanguageModelStage, given
from .task_progress import TaskProgress
from .tuned_parts import prepare_tuning, trained_parts
from .tuning_config import TuningConfig

# Streams of random numbers, beside those of plan.py and augmentation.py.
_OPTIONS, _WORDING, _CHANNELS, _MIXUP = 2, 8, 9, 11


class InstructionStage(LanguageModelStage):
    """Stage 3: instruction tuning (paper, section 2.4).

    Parameters
    ----------
    model : NeuroLM
        Its language model is trained; it must have a text tokenizer. ``tune="lora"`` puts adapters
        into it.
    tasks : sequence of Task
        The tasks that batches refer to.
    shuffle_options : bool
        List the options of multiple-choice tasks in random order (paper, Figure 5). Default False.
    tuning : TuningConfig | None
        What is trained, and what varies. None: its defaults.
    seed : int
        What random options, wordings and channels depend on, beside the step and the task.
    precision : str
        See :class:`~mne_neurolm.training.stages.Stage`.

    Attributes
    ----------
    learns : bool
        Whether the stage is in training mode, in which questions and channels vary.
    average : WeightAverage | None
        Moving average of the weights, which the model has in evaluation mode.
    task_progress : TaskProgress | None
        With ``patience``: how each task has come on.

    Raises
    ------
    ValueError
        If there is no text tokenizer, or two tasks have the same name.
    """

    name = "instruct"
    description = "instruction tuning"

    def __init__(
        self,
        model: NeuroLM,
        tasks: Sequence[Task],
        *,
        shuffle_options: bool = False,
        tuning: TuningConfig | None = None,
        seed: int = 0,
        precision: str = "float32",
    ) -> None:
        self.shuffle_options = shuffle_options
        self.tuning = tuning or TuningConfig()
        self.learns = self._is_asked = False
        model._require_language_model()
        if model.text_tokenizer is None:
            raise ValueError("The model has no text tokenizer; load one into model.text_tokenizer.")
        names = [task.name for task in tasks]
        if len(set(names)) < len(names):
            raise ValueError(f"Tasks must have different names; got {names}.")
        prepare_tuning(model, self.tuning.tune)
        super().__init__(model, precision=precision)
        self.tasks = list(tasks)
        self.seed = seed
        self.encoded = [self._encode(task) for task in self.tasks]
        self.average: WeightAverage | None = None
        if self.tuning.average:
            self.average = WeightAverage(model, self.tuning.average)
        self.task_progress: TaskProgress | None = None
        if self.tuning.patience is not None:
            self.task_progress = TaskProgress(len(self.tasks), self.tuning.patience)
            self.judged_by = ("tasks",)

    def trained(self) -> list[nn.Module]:
        """Return the modules that ``tune`` stands for."""
        return trained_parts(self.model, self.tuning.tune)

    def train(self, mode: bool = True) -> InstructionStage:
        """Set the mode; in evaluation mode the model has the averaged weights, if there are any."""
        super().train(mode)
        self.learns = mode
        average = getattr(self, "average", None)
        if average is not None:
            average.show(not mode)
        return self

    def after_step(self, step: int) -> dict[str, float]:
        """Take the new weights into the average."""
        if self.average is not None:
            self.average.update()
        return {}

    @property
    def weights(self) -> list[np.ndarray]:
        """Number of tokens of each answer of each task."""
        return [np.array([len(a) for a in encoded.answers]) for encoded in self.encoded]

    def question_lengths(self, task: int) -> dict[str, Any]:
        """Return the number of tokens of a task's question and of its answers."""
        encoded = self.encoded[task]
        return {
            "prompt_length": len(encoded.prompt),
            "answer_lengths": [len(answer) for answer in encoded.answers],
        }

    def eeg_losses(self, batch: EEGBatch, step: int) -> dict[str, Tensor]:
        """Return the loss over the answers' tokens and the accuracy of the likeliest answer."""
        encoded = self.question(batch.task, step) if self.learns else self.encoded[batch.task]
        hidden, channels, times = self._hidden(batch), batch.channels, batch.times
        if self.learns and self.tuning.channel_dropout:
            rng = np.random.default_rng([self.seed, _CHANNELS, step, batch.task])
            n_channels = int((times == times[0]).sum())
            kept = kept_channels(n_channels, self.tuning.channel_dropout, rng)
            hidden, channels, times = drop_channels(hidden, channels, times, kept)
        mixture = None
        if self.learns and self.tuning.mixup:
            rng = np.random.default_rng([self.seed, _MIXUP, step, batch.task])
            mixture = mix_windows(hidden, self.tuning.mixup, rng)
            hidden = mixture.hidden
        log_probs = answer_log_probs(
            self.model, hidden, channels, times, encoded.prompt, encoded.answers, text_only=False
        )
        labels = given(batch.labels)

        def loss_of(answers: Tensor) -> Tensor:
            return tuning_loss(
                log_probs,
                answers,
                [len(answer) for answer in encoded.answers],
                self.tuning.label_smoothing if self.learns else 0.0,
                self.tuning.contrast if self.learns else 0.0,
            )

        loss = loss_of(labels) if mixture is None else mixture.loss(loss_of, labels)
        accuracy = (log_probs.detach().argmax(dim=1) == labels).float().mean()
        return {"loss": loss, "answer": loss, "answer_accuracy": accuracy}

    def losses(
        self, batch: EEGBatch, text: Tensor | None, text_share: float, step: int, n_steps: int
    ) -> dict[str, Tensor]:
        """Return the losses over EEG and text, or what :meth:`scores` asks for."""
        if self._is_asked:
            return {"scores": self._scores(batch)}
        return super().losses(batch, text, text_share, step, n_steps)

    @torch.no_grad()
    def scores(self, batch: EEGBatch) -> Tensor:
        """Return the log-probabilities (B, K) of the answers, as predictions are made."""
        self._is_asked = True
        try:  # by way of forward, which is what brings sharded weights together
            return self(batch, None, 0.0, 0, 1)["scores"]
        finally:
            self._is_asked = False

    def _scores(self, batch: EEGBatch) -> Tensor:
        encoded = self.encoded[batch.task]
        return answer_log_probs(
            self.model,
            self._hidden(batch),
            batch.channels,
            batch.times,
            encoded.prompt,
            encoded.answers,
        ).float()

    def question(self, task: int, step: int) -> EncodedTask:
        """Return a task as it is asked in a step: in one of its wordings, options shuffled."""
        asked = self.tasks[task]
        if self.tuning.phrasings and asked.phrasings:
            rng = np.random.default_rng([self.seed, _WORDING, step, task])
            asked = asked.phrased(int(rng.integers(len(asked.wordings))))
        if self.shuffle_options and asked.options:
            rng = np.random.default_rng([self.seed, _OPTIONS, step, task])
            return self._encode(asked, rng.permutation(len(asked.answers)).tolist())
        return self.encoded[task] if asked is self.tasks[task] else self._encode(asked)

    def _encode(self, task: Task, order: list[int] | None = None) -> EncodedTask:
        assert self.model.text_tokenizer is not None
        return task.encode(self.model.text_tokenizer, self.model.config.sep_token_id, order)

    def _hidden(self, batch: EEGBatch) -> Tensor:
        if batch.hidden is not None:
            return batch.hidden.float()
        return self.model.encode(given(batch.patches), batch.channels, batch.times)
