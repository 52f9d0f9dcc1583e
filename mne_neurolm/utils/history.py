"""What a training run has logged: reading its ``metrics.jsonl``, and figures that sum it up."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

METRICS = "metrics.jsonl"

# What tells a stage, and its losses beside the total.
STAGE_LOSSES: dict[str, tuple[str, ...]] = {
    "tokenizer": (
        "frequency",
        "phase",
        "raw",
        "commitment",
        "hidden_frequency",
        "hidden_phase",
        "hidden_raw",
        "hidden_scalp",
        "domain_eeg",
        "domain_text",
    ),
    "masked": ("masked",),
    "autoregressive": ("eeg", "text"),
    "instruct": ("answer", "text"),
}
# Losses of the two players of a game: neither small nor large is better.
NEITHER_IS_BETTER = ("domain_eeg", "domain_text")
_LARGER_IS_BETTER = ("accuracy", "codebook_used", "codebook_perplexity")
# What is logged about a step beside its losses and their like.
_BOOKKEEPING = (
    "step",
    "epoch",
    "lr",
    "grad_norm",
    "skipped",
    "windows_per_s",
    "tokens_per_s",
    "mfu",
    "seconds",
)


class Value(NamedTuple):
    """One term of a run: its last and its best value.

    Attributes
    ----------
    term : str
        Name in ``metrics.jsonl``; with the prefix ``val_`` it is over the validation windows.
    last : float
        The last value that is a number.
    best : float
        The smallest, or the largest of accuracies and of codebook use. NaN for the domain losses,
        for which neither is better.
    step : int | None
        Step of the best value.
    """

    term: str
    last: float
    best: float
    step: int | None


def load_metrics(run: str | Path | Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Read what a run has logged so far.

    Parameters
    ----------
    run : str | pathlib.Path | sequence of dict
        A run's folder, its ``metrics.jsonl``, or the lines of it.

    Returns
    -------
    history : list of dict
        One entry per logged step, steps ascending. A step that was logged twice, before and after
        a run was resumed, counts as logged last; a last line that a kill tore is left out.

    Raises
    ------
    FileNotFoundError
        If there is no such file or folder, or the folder is no run.
    ValueError
        If nothing is logged yet, or a line other than the last is damaged.
    """
    if not isinstance(run, str | Path):
        return _in_order([dict(entry) for entry in run], "the list")
    path = Path(run).expanduser()
    if path.is_dir():
        path = path / METRICS
    if not path.is_file():
        named = path.parent if path.name == METRICS else path
        state = f"is no run: it has no {METRICS}" if named.is_dir() else "does not exist"
        raise FileNotFoundError(
            f"{named} {state}. A run is the folder that python -m mne_neurolm.pretrain was given "
            "as --output."
        )
    lines = [line for line in path.read_bytes().split(b"\n") if line.strip()]
    history = []
    for number, line in enumerate(lines, start=1):
        try:
            entry = json.loads(line)
        except ValueError as error:  # no JSON, or no text
            if number == len(lines):
                break
            raise ValueError(
                f"Line {number} of {path} is damaged ({error}). Remove it, or restore the file."
            ) from error
        history.append(entry)
    return _in_order(history, str(path))


def _in_order(history: Sequence[Any], name: str) -> list[dict[str, Any]]:
    by_step: dict[int, dict[str, Any]] = {}
    for number, entry in enumerate(history, start=1):
        if not isinstance(entry, dict) or not isinstance(entry.get("step"), int):
            raise ValueError(
                f"Entry {number} of {name} is not a logged step: it has no whole number 'step'."
            )
        by_step[entry["step"]] = entry
    if not by_step:
        raise ValueError(f"{name} holds no logged step yet. Wait for the run's first steps.")
    return [by_step[step] for step in sorted(by_step)]


def name_stage(history: Sequence[Mapping[str, Any]]) -> str | None:
    """Return the stage that the terms of a run belong to, None if to none."""
    terms = {term for entry in history for term in entry}
    # Which targets a tokenizer has is a choice; text is read in two stages.
    own = {stage: terms.intersection(names) - {"text"} for stage, names in STAGE_LOSSES.items()}
    return next((stage for stage, found in own.items() if found), None)


def summarize_values(history: Sequence[Mapping[str, Any]]) -> list[Value]:
    """Return the last and the best value of every term.

    Parameters
    ----------
    history : sequence of dict
        As :func:`load_metrics` returns it.

    Returns
    -------
    values : list of Value
        In the order in which terms were first logged. Terms without any finite number are left out.
    """
    values = []
    for term in dict.fromkeys(term for entry in history for term in entry):
        series = [(entry["step"], entry[term]) for entry in history if is_number(entry.get(term))]
        if term in _BOOKKEEPING or not series:
            continue
        name = term.removeprefix("val_")
        best, step = math.nan, None
        if name not in NEITHER_IS_BETTER:
            sign = -1 if name.endswith(_LARGER_IS_BETTER) else 1
            step, best = min(series, key=lambda item: sign * item[1])
        values.append(Value(term, series[-1][1], best, step))
    return values


def summarize_speed(history: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return how fast a run was.

    Parameters
    ----------
    history : sequence of dict
        As :func:`load_metrics` returns it.

    Returns
    -------
    speed : dict of float
        ``steps`` done, ``epochs`` begun, ``skipped`` steps, ``seconds`` of training in all, and
        medians over logged steps of ``windows_per_s``, ``tokens_per_s`` and ``mfu`` (share of the
        device's peak arithmetic); NaN where it was not logged.
    """
    speed: dict[str, float] = {"steps": history[-1]["step"]}
    epochs = [entry["epoch"] for entry in history if is_number(entry.get("epoch"))]
    skipped = [entry["skipped"] for entry in history if is_number(entry.get("skipped"))]
    speed["epochs"] = max(epochs) + 1 if epochs else math.nan
    speed["skipped"] = max(skipped) if skipped else math.nan  # counted from the start of the run
    # "seconds" is the mean duration of the steps since the line before.
    before, seconds = 0, 0.0
    for entry in history:
        if is_number(entry.get("seconds")):
            seconds += entry["seconds"] * (entry["step"] - before)
        before = entry["step"]
    speed["seconds"] = seconds
    for name in ("windows_per_s", "tokens_per_s", "mfu"):
        values = [entry[name] for entry in history if is_number(entry.get(name))]
        speed[name] = statistics.median(values) if values else math.nan
    return speed


def is_number(value: Any) -> bool:
    """Whether a value of a log is a finite number; what was not finite is logged as null."""
    return isinstance(value, int | float) and math.isfinite(value)
