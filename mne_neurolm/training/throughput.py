"""How fast training is: windows, tokens, and the share of the device's arithmetic in use."""

from __future__ import annotations

import time

from .cost import peak_flops, step_flops
from .data import Source
from .parallel import Parallel
from .stages import Stage


class Throughput:
    """Counts work between two readings.

    Parameters
    ----------
    stage : Stage
        What is trained.
    parallel : Parallel
        Where.
    """

    def __init__(self, stage: Stage, parallel: Parallel) -> None:
        self._stage = stage
        precision = "bfloat16" if stage.precision == "bfloat16" else "float32"
        self._peak = peak_flops(parallel.device, precision) * parallel.world
        self.restart()

    def restart(self) -> None:
        """Start to count again, without what came before."""
        self._windows = self._tokens = self._flops = 0.0
        self._steps = 0
        self._since = time.perf_counter()

    def add(self, source: Source, step: int, text: tuple[int, int]) -> None:
        """Count a step."""
        self._steps += 1
        self._tokens += text[0] * text[1]
        for (channels, n_seconds, task), n_windows in source.shapes(step):
            self._windows += n_windows
            self._tokens += n_windows * len(channels) * n_seconds
            self._flops += step_flops(
                self._stage.model.config,
                self._stage.name,
                n_windows,
                len(channels),
                n_seconds,
                *text,
                **self._stage.question_lengths(task),
            )
            text = (0, 0)  # counted once

    def read(self) -> dict[str, float]:
        """Return the rates since the last reading, per second of all processes together."""
        elapsed = max(time.perf_counter() - self._since, 1e-9)
        rates = {
            "windows_per_s": self._windows / elapsed,
            "tokens_per_s": self._tokens / elapsed,
            "mfu": self._flops / elapsed / self._peak,
            "seconds": elapsed / max(self._steps, 1),
        }
        self.restart()
        return rates
