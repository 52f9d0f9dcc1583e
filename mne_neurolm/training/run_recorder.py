"""What a run leaves behind: metrics, checkpoints, the final model; and how it is told to stop."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from typing import Any

import torch
from mne.utils import logger, warn

from .checkpoint import Checkpoints, gather_state, warn_damaged
from .config import CheckpointConfig, RuntimeConfig
from .metrics import MetricsLog
from .parallel import Parallel
from .recorder import SIGNALS, Recorder
from .rundir import RunDirectory
from .stages import Stage


class RunRecorder(Recorder):
    """Records into a run directory.

    Parameters
    ----------
    directory : RunDirectory
        Where.
    parallel : Parallel
        The processes.
    checkpoint : CheckpointConfig
        When state is saved.
    runtime : RuntimeConfig
        How often metrics are logged, and which trackers get them.
    publish : callable
        ``publish(stage) -> None`` writes the final model from a stage whose weights are
        those to publish, in all processes.
    """

    measures = True

    def __init__(
        self,
        directory: RunDirectory,
        parallel: Parallel,
        checkpoint: CheckpointConfig,
        runtime: RuntimeConfig,
        publish: Callable[[Stage], None],
    ) -> None:
        self.directory = directory
        self.parallel = parallel
        self.checkpoint = checkpoint
        self.runtime = runtime
        self.publish = publish
        self.checkpoints = Checkpoints(
            directory.checkpoints,
            parallel,
            keep_last=checkpoint.keep_last,
            asynchronous=checkpoint.asynchronous,
        )
        self.skipped = 0
        self.stop_requested = False
        self._best: tuple[float, int | None] = (float("inf"), None)
        self._resume_from = self._find_checkpoint()
        self._signalled = False
        self._handlers: dict[int, Any] = {}
        self._save_due = False
        self._log: MetricsLog | None = None
        self._last_saved = -1
        self._clock = time.monotonic()

    def _find_checkpoint(self) -> int:
        """Return the step of the newest checkpoint that can be read; the main process decides."""
        found = 0
        if self.parallel.is_main:
            good, damaged = self.checkpoints.readable()
            warn_damaged(damaged)
            if not good and (damaged or self.directory.read_status().get("step", 0)):
                found = -1
            elif good:
                found = good[-1]
        step = torch.tensor([float(found)], device=self.parallel.device)
        return int(self.parallel.sum(step))

    def completed_steps(self) -> int:
        """Return the number of steps that the checkpoint to resume from holds."""
        if self._resume_from < 0:
            raise ValueError(
                f"{self.directory.path} is {self.directory.describe()}, but no checkpoint in "
                f"{self.checkpoints.folder} can be read, so it can't be resumed. Start again with "
                "another --output; --init takes the stage before."
            )
        return self._resume_from

    def start(self, stage: Stage, optimizer: torch.optim.Optimizer) -> None:
        """Load the checkpoint, cut the metrics to it, and listen to signals."""
        self._stage, self._optimizer = stage, optimizer
        step = self.completed_steps()
        if step:
            state = self.checkpoints.load(step, gather_state(stage, optimizer))
            self.skipped = state["skipped"]
            if state["best_step"] is not None:
                self._best = (state["best_val_loss"], state["best_step"])
            logger.info(f"Resuming {self.directory.path} from step {step}.")
        self._last_saved = step
        if self.parallel.is_main:
            self.checkpoints.remove_unfinished()
            # They are damaged, and would be kept in place of those to come.
            self.checkpoints.remove_after(step)
            self._log = MetricsLog(self.directory.metrics, after_step=step)
            self.directory.set_status("running", step)
            self._start_trackers()
        for name in SIGNALS:
            number = getattr(signal, name, None)  # Windows lacks some
            if number is not None:
                self._handlers[number] = signal.signal(number, self._on_signal)
        self._clock = time.monotonic()

    def _on_signal(self, number: int, frame: Any) -> None:
        if self._signalled and number == signal.SIGINT:
            raise KeyboardInterrupt  # asked twice, it will not wait
        self._signalled = True

    def _start_trackers(self) -> None:
        accelerator = self.parallel.accelerator
        if accelerator is not None and self.runtime.trackers:
            accelerator.init_trackers(self.directory.path.name)

    def wants_metrics(self, step: int) -> bool:
        """Tell whether a step is logged."""
        return step % self.runtime.log_every == 0

    def log(self, entry: dict[str, Any]) -> None:
        """Append a line to ``metrics.jsonl`` and tell the trackers."""
        if self._log is None:
            return
        try:
            self._log.write(entry)
        except OSError as error:
            raise OSError(
                f"{self.directory.metrics} can't be written ({error}). Make room and go on with "
                "--resume."
            ) from error
        accelerator = self.parallel.accelerator
        if accelerator is not None and self.runtime.trackers:
            values = {k: v for k, v in entry.items() if k != "step"}
            accelerator.log(values, step=entry["step"])

    def flags(self) -> list[float]:
        """Return: asked to stop, a checkpoint is due by time, a pending one is written."""
        minutes = self.checkpoint.every_minutes
        due = (
            self.parallel.is_main
            and minutes is not None
            and time.monotonic() - self._clock > 60 * minutes
        )
        return [float(self._signalled), float(due), float(self.checkpoints.written)]

    def hear(self, flags: list[bool], n_written: float) -> None:
        """Take what any process has raised: all act on it after the same step."""
        self.stop_requested, self._save_due, _ = flags
        if n_written == self.parallel.world:
            self.checkpoints.wait()

    def after_step(self, step: int, skipped: int, val_loss: float | None) -> None:
        """Save when time or steps say so, and when validation is better than before."""
        self.skipped = skipped
        every = self.checkpoint.every_steps
        due = self._save_due or (every is not None and step % every == 0)
        if val_loss is not None and val_loss < self._best[0]:
            self._best, due = (val_loss, step), True
        if due:
            self._save(step)

    def _save(self, step: int) -> None:
        if step == self._last_saved:
            return
        state = {
            "step": step,
            "skipped": self.skipped,
            "best_val_loss": self._best[0] if self._best[1] is not None else None,
            "best_step": self._best[1],
        }
        self.checkpoints.save(step, gather_state(self._stage, self._optimizer), state)
        self._last_saved = step
        self._clock = time.monotonic()

    def interrupt(self, step: int) -> None:
        """Save and note that the run waits to be resumed."""
        self._save(step)
        self.checkpoints.wait()
        if self.parallel.is_main:
            self.directory.set_status("interrupted", step)
            logger.info(f"Stopped after step {step}, which is saved. Go on with --resume.")

    def finish(self, step: int) -> None:
        """Save, write the final model, and note that the run is complete."""
        self._save(step)
        self.checkpoints.wait()
        best_step = self._best[1]
        if self.checkpoint.publish == "best" and best_step not in (None, step):
            try:
                self.checkpoints.load(best_step, gather_state(self._stage, self._optimizer))
            except ValueError as error:
                raise ValueError(
                    f"{error} It is the best, whose weights were to be published. Go on with "
                    "--resume --checkpoint.publish last to publish the last."
                ) from error
        else:
            best_step = step
        if self.parallel.is_main:
            self.directory.set_status("running", step, published_step=best_step)
        self._stage.eval()
        self.publish(self._stage)
        if self.parallel.is_main:
            self.directory.set_status("finished", step, published_step=best_step)

    def close(self) -> None:
        """Wait for a pending checkpoint, close files, and give signals back."""
        try:
            self.checkpoints.wait()
        except OSError as error:
            warn(str(error))
        if self._log is not None:
            self._log.close()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers = {}
        accelerator = self.parallel.accelerator
        if accelerator is not None and self.runtime.trackers and self.parallel.is_main:
            accelerator.end_training()
