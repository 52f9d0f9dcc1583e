"""The log survives kills, and a resumed run continues it."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from mne_neurolm.training.metrics import (
    MetricsLog,
    epoch_means,
    with_perplexities,
)
from mne_neurolm.utils.history import load_metrics


def test_a_resumed_log_continues(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    log = MetricsLog(path)
    for step in range(1, 6):
        log.write({"step": step, "loss": 1 / step})
    log.close()
    with path.open("a") as file:
        file.write('{"step": 6, "lo')  # a kill in the middle of a line
    assert [e["step"] for e in load_metrics(path)] == [1, 2, 3, 4, 5]
    log = MetricsLog(path, after_step=3)
    log.write({"step": 4, "loss": 0.25})
    log.close()
    assert load_metrics(path) == [{"step": s, "loss": 1 / s} for s in range(1, 5)]


def test_a_new_log_is_empty(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n')
    MetricsLog(path).close()
    assert path.read_text() == ""


def test_numbers_that_are_not_finite_are_null(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    log = MetricsLog(path)
    log.write({"step": 1, "loss": math.nan, "grad_norm": math.inf, "lr": 0.1})
    log.close()

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    entry = json.loads(path.read_text(), parse_constant=refuse)
    assert entry == {"step": 1, "loss": None, "grad_norm": None, "lr": 0.1}


def test_perplexity() -> None:
    assert with_perplexities({"eeg": math.log(8), "loss": 1.0})["eeg_perplexity"] == pytest.approx(
        8
    )
    assert with_perplexities({"val_text": 0.0})["val_text_perplexity"] == 1.0
    assert "loss_perplexity" not in with_perplexities({"loss": 1.0})
    assert math.isnan(with_perplexities({"eeg": math.nan})["eeg_perplexity"])
    assert math.isfinite(with_perplexities({"eeg": 1e6})["eeg_perplexity"])


def test_epoch_means_pass_over_what_is_not_finite() -> None:
    means = epoch_means([{"a": 1.0}, {"a": math.nan, "b": 2.0}, {"a": 3.0}])
    assert means == {"a": 2.0, "b": 2.0}
    assert math.isnan(epoch_means([{"a": math.inf}])["a"])
