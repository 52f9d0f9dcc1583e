"""Preset, then file, then flags; and what a resumed run may change."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from mne_neurolm.training.arguments import parse
from mne_neurolm.training.config import (
    AUTOREGRESSIVE_DEFAULTS,
    STAGES,
    CheckpointConfig,
    DataConfig,
    RuntimeConfig,
    recipe,
)
from mne_neurolm.training.rundir import RunDirectory

PATHS = ["--store", "s", "--output", "o"]


@pytest.mark.parametrize("preset", ["tiny", "b", "l", "xl"])
@pytest.mark.parametrize("stage", STAGES)
def test_defaults_are_the_recipe(stage: str, preset: str) -> None:
    arguments = parse(stage, [*PATHS, "--preset", preset])
    assert arguments.run == recipe(stage, preset)
    assert (arguments.stage, arguments.preset) == (stage, preset)
    assert arguments.text is None and arguments.init is None and not arguments.resume


def test_published_batches_are_those_of_eight_gpus() -> None:
    assert AUTOREGRESSIVE_DEFAULTS.batch_size == 8 * 60
    assert AUTOREGRESSIVE_DEFAULTS.text_batch_size == 8 * 4


@pytest.mark.parametrize("suffix", [".yaml", ".toml"])
def test_flags_go_before_the_file_and_the_file_before_the_preset(
    tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / f"settings{suffix}"
    path.write_text(
        "preset: b\ntraining: {lr: 3.0e-4, betas: [0.8, 0.9], progress: false}\n"
        "data: {max_tokens: 512}\nruntime: {trackers: []}\n"
        if suffix == ".yaml"
        else 'preset = "b"\n[training]\nlr = 3.0e-4\nbetas = [0.8, 0.9]\nprogress = false\n'
        "[data]\nmax_tokens = 512\n[runtime]\ntrackers = []\n"
    )
    arguments = parse("tokenizer", [*PATHS, "--config", str(path), "--data.max-tokens", "100"])
    assert arguments.preset == "b" and arguments.training.batch_size == 512
    assert arguments.training.lr == 3e-4 and arguments.training.betas == (0.8, 0.9)
    assert arguments.training.progress is False
    assert arguments.data.max_tokens == 100 and arguments.runtime.trackers == ()
    flagged = parse("tokenizer", [*PATHS, "--config", str(path), "--lr", "0.01"])
    assert flagged.training.lr == 0.01 and flagged.data.max_tokens == 512


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("training: {learning_rate: 1}", "learning-rate"),
        ("training: {batch_size: many}", "many"),
        ("runtime: {strategy: ddpp}", "ddpp"),
    ],
)
def test_a_file_is_checked_as_flags_are(tmp_path: Path, text: str, message: str, capsys) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text(text)
    with pytest.raises(SystemExit):
        parse("tokenizer", [*PATHS, "--config", str(path)])
    assert message in capsys.readouterr().err


def test_a_file_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="can't be read"):
        parse("tokenizer", [*PATHS, "--config", str(tmp_path / "absent.yaml")])
    path = tmp_path / "list.yaml"
    path.write_text("[1, 2]")
    with pytest.raises(ValueError, match="must hold settings by name"):
        parse("tokenizer", [*PATHS, "--config", str(path)])


def test_everything_comes_back_from_a_run(tmp_path: Path, capsys) -> None:
    flags = ["--store", "s", "--output", str(tmp_path / "run"), "--preset", "b", "--lr", "1e-3"]
    flags += ["--tasks", "workload", "more.yaml", "--max-steps", "7", "--runtime.trackers"]
    flags += ["--checkpoint.every-minutes", "None", "--shuffle-options", "--init", "before"]
    flags += ["--tuning.task-weights", "workload=0.5", "mine=2"]
    arguments = parse("instruct", flags)
    run = RunDirectory(arguments.output)
    run.create(arguments.as_values(), {})
    values = yaml.safe_load(run.config.read_text())
    assert "resume" not in values and values["training"]["lr"] == 1e-3
    again = parse("instruct", ["--output", str(tmp_path / "run"), "--resume"])
    assert again.run == arguments.run and again.tasks == arguments.tasks
    assert again.shuffle_options and again.init == "before" and again.resume
    assert again.tuning.weight_by_task == {"workload": 0.5, "mine": 2.0}
    assert parse("instruct", [*flags, "--resume"]).tuning == arguments.tuning
    with pytest.raises(SystemExit):
        parse("instruct", [*flags, "--resume", "--tuning.task-weights", "mine"])
    assert "task_weights must be like group=0.3; got 'mine'" in capsys.readouterr().err
    moved = parse(
        "instruct",
        ["--output", str(tmp_path / "run"), "--resume", "--store", "elsewhere"]
        + ["--data.num-workers", "7", "--checkpoint.keep-last", "9"],
    )
    assert moved.data.num_workers == 7 and moved.checkpoint.keep_last == 9
    with pytest.raises(ValueError, match="training.batch_size was 512, now 3"):
        parse("instruct", ["--output", str(tmp_path / "run"), "--resume", "--batch-size", "3"])
    with pytest.warns(RuntimeWarning, match="training.max_steps was 7 and is now 9"):
        parse("instruct", ["--output", str(tmp_path / "run"), "--resume", "--max-steps", "9"])


def test_a_file_counts_when_a_run_resumes(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "run")
    run.create(parse("tokenizer", ["--store", "s", "--output", str(run.path)]).as_values(), {})
    path = tmp_path / "settings.yaml"
    path.write_text(f"output: {run.path}\nresume: true\nruntime: {{log_every: 7}}\n")
    arguments = parse("tokenizer", ["--config", str(path)])
    assert arguments.resume and arguments.runtime.log_every == 7
    path.write_text("training: {lr: 0.5}")
    with pytest.raises(ValueError, match="training.lr was 0.001, now 0.5"):
        parse("tokenizer", ["--output", str(run.path), "--resume", "--config", str(path)])
    path.write_text(f"output: {tmp_path / 'absent'}\nresume: true\n")
    with pytest.raises(FileNotFoundError, match="There is no run to resume"):
        parse("tokenizer", ["--config", str(path)])


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        (DataConfig, {"val_fraction": 1.0}),
        (DataConfig, {"min_seconds": 0}),
        (DataConfig, {"max_tokens": 0}),
        (CheckpointConfig, {"keep_last": 0}),
        (CheckpointConfig, {"every_minutes": -1.0}),
        (RuntimeConfig, {"log_every": 0}),
    ],
)
def test_impossible_settings(kind: type, settings: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        kind(**settings)


def test_unknown_recipes() -> None:
    with pytest.raises(ValueError, match="Unknown stage 'dream'"):
        recipe("dream", "b")
    with pytest.raises(ValueError, match="Unknown preset 'xxl'"):
        recipe("tokenizer", "xxl")
