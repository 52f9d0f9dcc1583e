"""What the loop tells about its steps, and is told; here to nobody."""

from __future__ import annotations

from typing import Any

import torch

from .stages import Stage

# They ask a run to save and stop. Schedulers can send the last some minutes before the first.
SIGNALS = ("SIGTERM", "SIGINT", "SIGUSR1")


class Recorder:
    """Records nothing: training in memory."""

    measures = False
    skipped = 0
    stop_requested = False

    def completed_steps(self) -> int:
        """Return the number of steps that a checkpoint holds."""
        return 0

    def start(self, stage: Stage, optimizer: torch.optim.Optimizer) -> None:
        """Begin, from a checkpoint if there is one."""

    def wants_metrics(self, step: int) -> bool:
        """Tell whether a step is logged."""
        return False

    def log(self, entry: dict[str, Any]) -> None:
        """Take a line of metrics."""

    def flags(self) -> list[float]:
        """Return numbers that are summed over processes in every step."""
        return [0.0]

    def hear(self, flags: list[bool], n_written: float) -> None:
        """Take which of the flags any process has raised, and the sum of the last."""

    def after_step(self, step: int, skipped: int, val_loss: float | None) -> None:
        """Save what must be saved."""

    def interrupt(self, step: int) -> None:
        """Save, since the run stops here."""

    def finish(self, step: int) -> None:
        """Save, since the run is complete."""

    def close(self) -> None:
        """Give back what is held."""
