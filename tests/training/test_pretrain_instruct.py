"""`pretrain instruct` with everything on: mixture, cache, early stop, calibration, resuming."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest
from launching import SMALL, numbers, write_store

from mne_neurolm import NeuroLM
from mne_neurolm.pretrain import main as pretrain
from mne_neurolm.training import hidden_source
from mne_neurolm.training.run_recorder import RunRecorder


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_store(tmp_path_factory.mktemp("store") / "store")


def flags(store: Path, output: Path, **more: Any) -> list[str]:
    fixed = ["instruct", "--store", str(store), "--output", str(output), "--init", "tiny"]
    fixed += ["--tasks", "workload", *SMALL, "--data.num-workers", "0", "--batch-size", "16"]
    for name, value in more.items():
        fixed += [f"--{name.replace('__', '.').replace('_', '-')}", str(value)]
    return fixed


EVERYTHING = dict(
    tuning__sampling="balanced",
    tuning__channel_dropout=0.2,
    tuning__mixup=0.3,
    tuning__label_smoothing=0.1,
    tuning__average=0.9,
    tuning__calibration="temperature",
    tuning__patience=5,
)


@pytest.mark.parametrize("tune", ["full", "lora", "head"])
def test_run(store: Path, tmp_path: Path, tune: str) -> None:
    if tune == "lora":
        pytest.importorskip("peft")
    asked = flags(store, tmp_path / "run", max_epochs=1, tuning__tune=tune, **EVERYTHING)
    assert pretrain([*asked, "--cache", str(tmp_path / "states")]) == 0
    model = NeuroLM.from_pretrained(tmp_path / "run" / "model")
    assert set(model.config.temperatures) == {"workload"}
    tiny = NeuroLM.from_pretrained(hub_tiny())
    assert set(model.state_dict()) == set(tiny.state_dict())
    last = numbers(tmp_path / "run")[-1]
    assert {"val_workload_loss", "val_workload_balanced_accuracy", "val_tasks"} <= set(last)
    assert list((tmp_path / "states").glob("*/*"))


def hub_tiny() -> str:
    from mne_neurolm.models.hub import TINY

    return TINY


def test_the_cache_changes_no_number(store: Path, tmp_path: Path, monkeypatch) -> None:
    few = dict(max_steps=4, **EVERYTHING)
    assert pretrain(flags(store, tmp_path / "a", **few)) == 0
    cached = [*flags(store, tmp_path / "b", **few), "--cache", str(tmp_path / "states")]
    assert pretrain(cached) == 0
    for x, y in zip(numbers(tmp_path / "a"), numbers(tmp_path / "b"), strict=True):
        assert x["loss"] == pytest.approx(y["loss"], rel=1e-4)
    monkeypatch.setattr(hidden_source, "_states", None)
    again = [*flags(store, tmp_path / "c", **few), "--cache", str(tmp_path / "states")]
    assert pretrain(again) == 0
    assert numbers(tmp_path / "c") == numbers(tmp_path / "b")


def test_resuming_changes_no_number(store: Path, tmp_path: Path, monkeypatch) -> None:
    """Averages, wordings, channels and partners of windows go on as if nothing had happened."""
    settings = dict(max_steps=6, **EVERYTHING)
    assert pretrain(flags(store, tmp_path / "whole", **settings)) == 0
    after_step = RunRecorder.after_step

    def ask_to_stop(self, step: int, *args: Any) -> None:
        after_step(self, step, *args)
        if step == 2:
            signal.raise_signal(signal.SIGTERM)

    with monkeypatch.context() as patched:
        patched.setattr(RunRecorder, "after_step", ask_to_stop)
        pretrain(flags(store, tmp_path / "run", **settings))
    assert len(numbers(tmp_path / "run")) == 3  # it is heard in the step that follows
    assert pretrain(["instruct", "--output", str(tmp_path / "run"), "--resume"]) == 0
    assert numbers(tmp_path / "run") == numbers(tmp_path / "whole")


def test_a_run_ends_when_no_task_improves(store: Path, tmp_path: Path) -> None:
    slow = dict(lr=1e-9, min_lr=1e-10, max_epochs=20, tuning__patience=1)
    slow |= dict(tuning__monitor="balanced_accuracy", tuning__tune="head")
    assert pretrain(flags(store, tmp_path / "run", **slow)) == 0
    entries = numbers(tmp_path / "run")
    assert {entry["epoch"] for entry in entries} == {0, 1}
    assert (tmp_path / "run" / "model" / "model.safetensors").exists()


def test_a_cache_cannot_hold_eeg_that_varies(store: Path, tmp_path: Path, capsys) -> None:
    asked = flags(store, tmp_path / "run", max_steps=1)
    for flag in ("--montage-subsets", "--amplitude-jitter"):
        assert pretrain([*asked, flag, "0.3", "--cache", str(tmp_path / "states")]) == 1
        assert f"{flag} 0.3" in (said := capsys.readouterr().err) and "Leave out --cache" in said
        assert not (tmp_path / "run").exists() and not (tmp_path / "states").exists()
        asked += [flag, "0.3"]
    assert pretrain(asked) == 0


def test_other_stages_refuse_it(store: Path, tmp_path: Path, capsys) -> None:
    argv = ["tokenizer", "--store", str(store), "--output", str(tmp_path / "run"), *SMALL]
    assert pretrain([*argv, "--tuning.patience", "3"]) == 1
    assert "--tuning are for the stage 'instruct'" in capsys.readouterr().err
