"""Ablations as presets: what they change, and that nothing else does."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from launching import SMALL, write_store

from mne_neurolm import NeuroLM
from mne_neurolm.prepare_text import main as prepare_text
from mne_neurolm.pretrain import main as pretrain
from mne_neurolm.training.ablations import ABLATIONS, apply_ablation, get_ablation
from mne_neurolm.training.arguments import parse
from mne_neurolm.training.config import ALL_STAGES, DataConfig, recipe
from mne_neurolm.training.plan import Bucket, make_windows
from mne_neurolm.training.pretraining import _take_share

PATHS = ["--store", "s", "--output", "o"]
TOUCHED = [(name, stage) for name, a in ABLATIONS.items() for stage in a.touched]


def flat(arguments: object) -> dict[str, object]:
    """Return the settings of a run by dotted name."""
    return {
        (f"{group}.{name}" if isinstance(value, dict) else group): item
        for group, value in dataclasses.asdict(arguments).items()
        for name, item in (value.items() if isinstance(value, dict) else [("", value)])
    }


@pytest.mark.parametrize("preset", ["tiny", "b"])
@pytest.mark.parametrize(("name", "stage"), TOUCHED)
def test_an_ablation_changes_what_its_row_says(name: str, stage: str, preset: str) -> None:
    plain = flat(parse(stage, [*PATHS, "--preset", preset]))
    ablated = flat(parse(stage, [*PATHS, "--preset", preset, "--ablation", name]))
    changed = {key: value for key, value in ablated.items() if value != plain[key]}
    assert changed.pop("ablation") == name
    row = ABLATIONS[name]
    expected = dict(row.changes.get(stage, {}))
    if stage in row.epochs:
        epochs = recipe(stage, preset).training.max_epochs
        expected["training.max_epochs"] = max(1, round(row.epochs[stage] * epochs))
    # A setting that the recipe has already is no change.
    assert changed == {key: value for key, value in expected.items() if value != plain[key]}
    assert changed or stage not in row.changes


@pytest.mark.parametrize("stage", ALL_STAGES)
@pytest.mark.parametrize("name", ABLATIONS)
def test_an_ablation_is_refused_where_it_is_none(name: str, stage: str) -> None:
    row = ABLATIONS[name]
    if stage in row.touched:
        assert apply_ablation(name, stage, recipe(stage, "b"))
        return
    message = "changes nothing in the stage" if stage in row.stages else "has no stage"
    with pytest.raises(ValueError, match=message):
        parse(stage, [*PATHS, "--ablation", name])
    if stage in row.stages:
        config = recipe(stage, "b")
        assert apply_ablation(name, stage, config, strict=False) == (config, {})


def test_the_table_is_whole() -> None:
    for name, row in ABLATIONS.items():
        assert row.touched and set(row.stages) <= set(ALL_STAGES), name
        assert row.description and row.source
        assert set(row.changes) | set(row.epochs) <= set(row.stages), name
    with pytest.raises(ValueError, match="Unknown ablation 'lesion'; choose one of temporal-only"):
        get_ablation("lesion")


def test_the_page_lists_all() -> None:
    page = (Path(__file__).parents[2] / "doc" / "ablations.rst").read_text()
    for name, row in ABLATIONS.items():
        assert f"``{name}``" in page and (row.source in page or name == "labram"), name


def test_flags_and_files_go_before_the_ablation(tmp_path: Path) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text("ablation: no-alignment\ntraining: {lr: 2.0e-3}\n")
    settings = parse("tokenizer", [*PATHS, "--config", str(path)])
    assert settings.training.alignment == 0.0 and settings.training.lr == 2e-3
    settings = parse("tokenizer", [*PATHS, "--config", str(path), "--alignment", "0.5"])
    assert settings.training.alignment == 0.5 and settings.ablation == "no-alignment"


def test_a_share_of_every_task() -> None:
    rows = [(Bucket((0, 1), 2, i % 2), i, i, 0, i % 3) for i in range(60)]
    rows += [(Bucket((0, 1), 4, 1), i, i, 0, 0) for i in range(40)]
    windows = make_windows(rows)
    tasks = np.array([bucket.task for bucket in windows.buckets])
    kept = _take_share(windows, 0.25, seed=0)
    assert np.bincount(tasks[kept.bucket]).tolist() == [8, 18]
    assert len(_take_share(windows, 1.0, seed=0)) == 100
    other = _take_share(windows, 0.25, seed=1)
    assert kept.recording.tolist() != other.recording.tolist()
    assert kept.recording.tolist() == _take_share(windows, 0.25, seed=0).recording.tolist()
    with pytest.raises(ValueError, match="train_fraction must be above 0"):
        DataConfig(train_fraction=0.0)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("store")
    (folder / "text.txt").write_text("The quick brown fox jumps over the lazy dog. " * 200)
    assert prepare_text([str(folder / "text.txt"), "--output", str(folder / "text")]) == 0
    write_store(folder / "store")
    return folder


def test_runs_without_autoregression(store: Path, tmp_path: Path, capsys) -> None:
    """Stage 3 after stage 1, which is a mistake unless the ablation is asked for."""
    common = ["--store", str(store / "store"), "--text", str(store / "text"), *SMALL]
    common += ["--max-steps", "3", "--batch-size", "4"]
    common += ["--data.num-workers", "0"]
    first = [*common, "--output", str(tmp_path / "1"), "--ablation", "temporal-only"]
    assert pretrain(["tokenizer", *first]) == 0
    vq = NeuroLM.from_pretrained(tmp_path / "1" / "model").vq
    assert vq.target_names == ("raw",) and vq.decoder_freq is None
    second = [*common, "--init", str(tmp_path / "1"), "--tasks", "workload"]
    second += ["--output", str(tmp_path / "2")]
    assert pretrain(["instruct", *second]) == 1
    assert "--model.allow-untrained" in capsys.readouterr().err
    assert pretrain(["instruct", *second, "--ablation", "no-autoregression"]) == 0
    assert (
        "is finished" in (tmp_path / "2" / "run.json").read_text()
        or (tmp_path / "2" / "model" / "model.safetensors").exists()
    )
    assert pretrain(["tokenizer", *first, "--resume"]) == 0
    assert pretrain(["autoregressive", *first, "--ablation", "no-autoregression"]) == 1
    assert "has no stage 'autoregressive'" in capsys.readouterr().err
