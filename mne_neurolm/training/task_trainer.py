"""Training on several tasks: each is validated, stopped and calibrated by itself."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .calibration import fit_temperature
from .data import EEGBatch
from .instruction_stage import InstructionStage
from .recorder import Recorder
from .stages import Stage
from .task_progress import TaskScore, score_of_sums, sums_of_scores
from .trainer import Trainer
from .tuned_parts import merge_adapters

_Rates = tuple[dict[str, float], float, float]


class TaskTrainer(Trainer):
    """Trains the third stage.

    After every epoch ``val_<task>_loss`` and ``val_<task>_balanced_accuracy`` tell how each task is
    answered, see :class:`~mne_neurolm.training.task_progress.TaskScore`, and ``val_tasks`` is the
    mean over the tasks of what ``monitor`` names, the smaller the better.

    With ``patience``, windows of a task that has not improved for so many epochs are left out, and
    training ends when no task is left. What is left of several steps is taken as one, so there are
    fewer, of the same size.

    Parameters
    ----------
    stage : InstructionStage
        The stage.
    *args, **kwargs
        As for :class:`~mne_neurolm.training.trainer.Trainer`.

    Raises
    ------
    ValueError
        If early stopping or calibration is asked for and there is no validation.
    """

    stage: InstructionStage

    def __init__(self, stage: InstructionStage, *args: Any, **kwargs: Any) -> None:
        super().__init__(stage, *args, **kwargs)
        self._gathered = lru_cache(maxsize=2)(self._gather)
        if self.validation is None and stage.tuning.needs_validation:
            raise ValueError(
                "patience and calibration need validation: hold out subjects (the fraction of the "
                "validation, or validation={task: (X, y)}), or leave them out."
            )
        sharded = self.parallel.strategy == "fsdp" and self.parallel.world > 1
        if sharded and (stage.tuning.average or stage.tuning.tune == "lora"):
            raise ValueError(
                "Sharded weights can't be averaged, nor adapters be merged into them. Use "
                "--runtime.strategy ddp; or neither average nor tune='lora'."
            )

    def task_scores(self) -> list[TaskScore]:
        """Return how well each task is answered on the validation windows, of all processes."""
        stage = self.stage
        sums = [np.zeros(1 + 2 * len(task.answers)) for task in stage.tasks]
        for task, scores, labels in self._answers():
            sums[task] += sums_of_scores(scores, labels)
        flat = self._add_up(list(torch.from_numpy(np.concatenate(sums))))
        ends = np.cumsum([len(s) for s in sums])[:-1]
        return [score_of_sums(part) for part in np.split(np.array(flat), ends)]

    def conclude(self) -> None:
        """Complete the model after the last step: calibrate it, and merge adapters into it."""
        model = self.stage.model
        # Temperatures that came with the model were of other weights.
        wanted = self.stage.tuning.calibration is not None
        model.config.temperatures = self.fit_temperatures() if wanted else {}
        if self.stage.tuning.tune == "lora":
            merge_adapters(model)

    def fit_temperatures(self) -> dict[str, float]:
        """Return the temperature of each task that has validation windows.

        Every process goes through all windows: a temperature is no sum over windows.
        """
        kept: dict[int, list[tuple[NDArray[np.float64], NDArray[np.int64]]]] = {}
        for task, scores, labels in self._answers(all_windows=True):
            kept.setdefault(task, []).append((scores, labels))
        return {
            self.stage.tasks[task].name: fit_temperature(
                *(np.concatenate(column) for column in zip(*parts, strict=True))
            )
            for task, parts in sorted(kept.items())
        }

    def _answers(self, all_windows: bool = False) -> Any:
        """Yield (task, scores, labels) over the validation windows of this process, or all."""
        source = self.validation
        if source is None:
            return
        for step in range(source.plan.steps_per_epoch):
            for batch in self._everything(step) if all_windows else source[step]:
                scores: Tensor = self.stage.scores(batch.to(self.parallel.device))
                # What has no share is computed all the same, as other processes wait for it.
                n = len(scores) if batch.share > 0 else 0
                assert batch.labels is not None
                values = scores[:n].cpu().numpy().astype(np.float64)
                yield batch.task, values, batch.labels[:n].numpy()

    def _everything(self, step: int) -> list[EEGBatch]:
        """Return all validation windows of a step, whatever this process's part is."""
        source = self.validation
        assert source is not None
        return [
            source.load(bucket, piece, epoch)
            for epoch, bucket, rows in source.plan.parts(step)
            for piece in np.array_split(
                rows, -(-len(rows) // (source.micro_batch_size or len(rows)))
            )
        ]

    def _validate(self) -> dict[str, float]:
        """Return losses over all validation windows, and the score of every task."""
        seen = super()._validate()
        if not seen:
            return seen
        self.stage.eval()
        found = self.task_scores()
        self.stage.train()
        judged = [score.judged(self.stage.tuning.monitor) for score in found]
        for task, score in zip(self.stage.tasks, found, strict=True):
            if np.isfinite(score.loss):
                seen[f"val_{task.name}_loss"] = score.loss
                seen[f"val_{task.name}_balanced_accuracy"] = score.balanced_accuracy
        known = [value for value in judged if np.isfinite(value)]
        if known:
            seen["val_tasks"] = float(np.mean(known))
        if self.stage.task_progress is not None:
            self.stage.task_progress.update(judged)
            self.complete = self.stage.task_progress.all_stopped
        return seen

    def _step(self, step: int, batches: list[EEGBatch]) -> _Rates:
        """Take a step, without the windows of tasks that are left out."""
        progress = self.stage.task_progress
        stopped = frozenset(progress.stopped_tasks()) if progress is not None else frozenset()
        if not stopped:
            return super()._step(step, batches)
        epoch = step // self.steps_per_epoch
        gathered = self._gathered(epoch, stopped).get(step)
        if gathered is None:
            return self._sum_over_processes({}), 0.0, 0.0
        amounts = [self.source.amount(number, stopped) for number in gathered]
        weight, n_windows = map(sum, zip(*amounts, strict=True))
        kept = []
        for number in gathered:
            its_weight, its_windows = self.source.amount(number)
            kept += [
                replace(
                    batch,
                    share=batch.share * its_weight / weight,
                    window_share=batch.window_share * its_windows / n_windows,
                )
                for batch in (batches if number == step else self.source[number])
                if batch.task not in stopped
            ]
        return super()._step(step, kept)

    def _gather(self, epoch: int, stopped: frozenset[int]) -> dict[int, list[int]]:
        """Return, for each step that is taken, the steps whose remaining windows it has.

        What is left of one step may be a window or two. It waits until there are as many as a step
        has; which step takes it is a function of the epoch and of who is left, so a run that was
        interrupted takes the same.
        """
        first = epoch * self.steps_per_epoch
        last = min(first + self.steps_per_epoch, self.n_steps) - 1
        enough = self.source.plan.batch_size if self.source.plan.mix_tasks else 1
        gathered: dict[int, list[int]] = {}
        waiting: list[int] = []
        n_waiting = 0
        for step in range(first, last + 1):
            _, n_windows = self.source.amount(step, stopped)
            waiting += [step] if n_windows else []
            n_waiting += n_windows
            if waiting and (n_waiting >= enough or step == last):
                gathered[step] = waiting
                waiting, n_waiting = [], 0
        return gathered


class BestWeights(Recorder):
    """Keeps in memory the weights of the epoch that validation likes best."""

    def __init__(self) -> None:
        self._best = float("inf")
        self._kept: dict[str, Tensor] = {}

    def start(self, stage: Stage, optimizer: torch.optim.Optimizer) -> None:
        """Remember whose weights they are."""
        self._stage = stage

    def after_step(self, step: int, skipped: int, val_loss: float | None) -> None:
        """Copy the weights if they are better than before."""
        if val_loss is not None and val_loss < self._best:
            self._best = val_loss
            self._kept = {name: tensor.clone() for name, tensor in self._state().items()}

    def finish(self, step: int) -> None:
        """Bring the best weights back."""
        state = self._state()
        for name, tensor in self._kept.items():
            state[name].copy_(tensor)

    def _state(self) -> dict[str, Tensor]:
        """Return what training changes: trained parameters, and the average's buffers."""
        state = {n: p.detach() for n, p in self._stage.named_parameters() if p.requires_grad}
        average = getattr(self._stage, "average", None)
        if average is not None:
            state |= {f"average.{name}": t for name, t in average.named_buffers()}
        return state
