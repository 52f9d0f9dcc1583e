"""Reading what a run has logged, in whatever state it is."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from mne_neurolm.utils.history import (
    Value,
    load_metrics,
    name_stage,
    summarize_speed,
    summarize_values,
)


def write(path: Path, *entries: dict, end: str = "") -> Path:
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries) + end)
    return path


@pytest.mark.parametrize("end", ["", '{"step": 3, "lo', '{"step": 3, "loss": \xff', "\n"])
def test_a_torn_last_line_is_left_out(tmp_path: Path, end: str) -> None:
    entries = [{"step": 1, "loss": 2.0}, {"step": 2, "loss": None}]
    file = write(tmp_path / "metrics.jsonl", *entries, end=end)
    assert load_metrics(tmp_path) == load_metrics(str(file)) == load_metrics(entries) == entries


def test_a_step_logged_twice_counts_as_logged_last(tmp_path: Path) -> None:
    steps = [(1, 5.0), (2, 4.0), (3, 3.0), (2, 4.5)]
    write(tmp_path / "metrics.jsonl", *({"step": k, "loss": v} for k, v in steps))
    assert [(e["step"], e["loss"]) for e in load_metrics(tmp_path)] == [
        (1, 5.0),
        (2, 4.5),
        (3, 3.0),
    ]


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    file = tmp_path / "metrics.jsonl"
    file.write_text('{"step": 1}\n{"step": \n{"step": 3}\n')
    with pytest.raises(ValueError, match="Line 2 of .*metrics.jsonl is damaged"):
        load_metrics(tmp_path)
    for line in ("[1]", '{"loss": 1.0}', '{"step": "1"}'):
        file.write_text('{"step": 1}\n' + line)
        with pytest.raises(ValueError, match="Entry 2 of .*metrics.jsonl is not a logged step"):
            load_metrics(file)


def test_nothing_is_logged_yet(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").touch()
    for run in (tmp_path, []):
        with pytest.raises(ValueError, match="holds no logged step yet"):
            load_metrics(run)


def test_what_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"is no run: it has no metrics.jsonl.*--output"):
        load_metrics(tmp_path)
    for name in ("missing", "missing/metrics.jsonl"):
        with pytest.raises(FileNotFoundError, match="missing does not exist"):
            load_metrics(tmp_path / name)


def test_stages_are_told_by_their_terms() -> None:
    assert name_stage([{"step": 1}, {"step": 2, "frequency": 1.0}]) == "tokenizer"
    assert name_stage([{"eeg": 1.0, "text": 1.0}]) == "autoregressive"
    assert name_stage([{"answer": 1.0, "text": 1.0}]) == "instruct"
    assert name_stage([{"loss": 1.0}]) is None


def test_last_and_best_values() -> None:
    history = [
        {"step": 1, "lr": 1.0, "loss": 3.0, "domain_eeg": 0.6, "codebook_used": 0.5},
        {"step": 2, "loss": 1.0, "domain_eeg": 0.7, "codebook_used": 0.9, "val_loss": 2.0},
        {"step": 3, "loss": 2.0, "val_eeg_accuracy": 0.3, "text": None},
        {"step": 4, "loss": None, "codebook_used": 0.8, "val_eeg_accuracy": 0.2},
    ]
    values = {value.term: value for value in summarize_values(history)}
    domain = values.pop("domain_eeg")
    assert domain.last == 0.7 and math.isnan(domain.best) and domain.step is None
    assert list(values.values()) == [
        Value("loss", 2.0, 1.0, 2),
        Value("codebook_used", 0.8, 0.9, 2),
        Value("val_loss", 2.0, 2.0, 2),
        Value("val_eeg_accuracy", 0.2, 0.3, 3),
    ]


def test_speed() -> None:
    history = [
        {"step": 1, "epoch": 0, "seconds": 9.0, "windows_per_s": 1.0, "skipped": 0},
        {"step": 11, "epoch": 0, "seconds": 0.5, "windows_per_s": 20.0, "skipped": 1},
        {"step": 21, "epoch": 1, "seconds": 0.4, "windows_per_s": 25.0, "skipped": 1},
    ]
    speed = summarize_speed(history)
    # Seconds are per step: 9 + 10 * 0.5 + 10 * 0.4.
    assert speed["seconds"] == pytest.approx(18.0)
    assert (speed["steps"], speed["epochs"], speed["skipped"]) == (21, 2, 1)
    assert speed["windows_per_s"] == 20.0 and math.isnan(speed["mfu"])
