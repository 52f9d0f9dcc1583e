"""The log of a run: one JSON object per logged step."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mne.utils import warn

from ..utils.history import load_metrics
from ..utils.replacing import replace_text

#: Fields that tell how fast a step was. They differ between two runs of the same numbers.
TIMING = ("windows_per_s", "tokens_per_s", "mfu", "seconds")
_PERPLEXITIES = ("eeg", "text", "val_eeg", "val_text")  # cross-entropies in nats
_LARGEST_EXPONENT = 700.0


class MetricsLog:
    """Appends to ``metrics.jsonl``.

    Parameters
    ----------
    path : Path
        The file.
    after_step : int
        Lines of later steps are removed: they were written after the checkpoint that a run resumes
        from. Default 0, which empties the file.
    """

    def __init__(self, path: Path, after_step: int = 0) -> None:
        # Before the first checkpoint nothing is kept, and there may be nothing to read.
        before = []
        if after_step and path.exists():
            before = load_metrics(path)
        elif after_step:
            warn(f"{path} is gone; the log starts again after step {after_step}.")
        kept = [entry for entry in before if entry["step"] <= after_step]
        replace_text(path, "".join(_line(entry) for entry in kept))
        self._file = path.open("a")

    def write(self, entry: dict[str, Any]) -> None:
        """Append a line that is there even if the process is killed next."""
        self._file.write(_line(entry))
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def with_perplexities(losses: dict[str, float]) -> dict[str, float]:
    """Add ``<name>_perplexity`` = exp(cross-entropy) to losses of next-token prediction."""
    result = dict(losses)
    for name in _PERPLEXITIES:
        if name in losses:
            result[f"{name}_perplexity"] = math.exp(min(losses[name], _LARGEST_EXPONENT))
    return result


def epoch_means(entries: Iterable[dict[str, float]]) -> dict[str, float]:
    """Return the mean of each loss over the steps that have it as a finite number."""
    values: dict[str, list[float]] = {}
    for entry in entries:
        for name, value in entry.items():
            values.setdefault(name, []).extend([value] if math.isfinite(value) else [])
    return {name: sum(v) / len(v) if v else math.nan for name, v in values.items()}


def _line(entry: dict[str, Any]) -> str:
    # Numbers that are not finite are no JSON.
    clean = {
        k: v if not isinstance(v, float) or math.isfinite(v) else None for k, v in entry.items()
    }
    return json.dumps(clean) + "\n"
