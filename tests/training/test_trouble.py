"""Windows that are no numbers, full disks, missing shards: each is told, and nothing is lost."""

from __future__ import annotations

import json
import resource
import shutil
from collections import namedtuple
from pathlib import Path

import pytest
import torch
from launching import SMALL, numbers, write_store

from mne_neurolm.pretrain import main as pretrain
from mne_neurolm.store import Store
from mne_neurolm.training import checkpoint, data

STEPS = 12
BAD = "eegmat/Subject01_1.edf"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_store(tmp_path_factory.mktemp("trouble") / "store")


def flags(store: Path, output: Path, *more: str) -> list[str]:
    listed = ["--store", store, "--output", output, "--max-steps", STEPS, "--batch-size", 4, *SMALL]
    listed += ["--data.num-workers", 0, "--checkpoint.every-steps", 4, "--data.val-fraction", 0]
    return ["tokenizer", *map(str, listed), *more]


@pytest.fixture
def one_recording_is_broken(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make all windows of one recording NaN."""
    scale = next(r.scale for r in Store(store).recordings if r.name == BAD)
    convert = data.counts_to_patches

    def spoil(counts: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
        patches = convert(counts, scales)
        patches[scales == torch.tensor(scale, dtype=torch.float32)] = torch.nan
        return patches

    monkeypatch.setattr(data, "counts_to_patches", spoil)


@pytest.mark.usefixtures("one_recording_is_broken")
def test_steps_that_are_no_numbers_are_skipped(store: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    with pytest.warns(RuntimeWarning, match=rf"nan.* is skipped\. .*{BAD}"):
        assert pretrain(flags(store, run)) == 0
    log = numbers(run)
    lost = [entry["loss"] is None for entry in log]
    assert 0 < sum(lost) < STEPS
    assert [entry["skipped"] for entry in log] == [sum(lost[: i + 1]) for i in range(STEPS)]
    assert (
        log[-1]["skipped"]
        == json.loads((run / "checkpoints" / "step-00000012" / "state.json").read_text())["skipped"]
    )
    # What followed a skipped step was not spoilt by it.
    after = [entry for i, entry in enumerate(log) if i and lost[i - 1] and not lost[i]]
    start = next(entry["loss"] for entry in log if entry["loss"] is not None)
    assert after and all(0 < entry["loss"] < 1.2 * start for entry in after)
    assert all(entry["codebook_perplexity"] >= 1 for entry in log if entry["loss"] is not None)


@pytest.mark.usefixtures("one_recording_is_broken")
def test_too_many_steps_that_are_no_numbers(store: Path, tmp_path: Path, capsys) -> None:
    settings = flags(store, tmp_path / "run", "--runtime.max-skipped", "1")
    assert pretrain(settings) == 1
    said = capsys.readouterr().err
    assert BAD in said and "Lower lr=0.001" in said


def test_no_room_for_a_checkpoint(store: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    run = tmp_path / "run"
    usage = namedtuple("usage", "total used free")
    calls = []

    def fill(path: Path) -> usage:
        calls.append(path)
        return usage(2**40, 2**40, 2**40 if len(calls) == 1 else 1000)

    monkeypatch.setattr(checkpoint.shutil, "disk_usage", fill)
    assert pretrain(flags(store, run)) == 1
    said = capsys.readouterr().err
    assert "No room for a checkpoint" in said and "0.00 GiB are free" in said
    assert "The last complete checkpoint is of step 4. Make room" in said
    monkeypatch.undo()
    assert pretrain([*flags(store, run), "--resume"]) == 0
    assert [entry["step"] for entry in numbers(run)] == list(range(1, STEPS + 1))


def test_a_write_that_fails(store: Path, tmp_path: Path, capsys) -> None:
    """The system refuses to let a file grow, as it does when a disk or quota is full."""
    run = tmp_path / "run"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, hard))
    try:
        assert pretrain(flags(store, run)) == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    said = capsys.readouterr().err
    assert "Checkpoint step-00000004 could not be written" in said and "Make room" in said
    assert not list(run.glob("checkpoints/step-*"))
    assert pretrain([*flags(store, run), "--resume"]) == 0


def test_a_shard_is_missing(store: Path, tmp_path: Path, capsys) -> None:
    broken = tmp_path / "store"
    shutil.copytree(store, broken)
    (shard,) = broken.glob("shards/*.bin")
    shard.unlink()
    assert pretrain(flags(broken, tmp_path / "run")) == 1
    said = capsys.readouterr().err
    assert shard.name in said and "eegmat/Subject00_1.edf" in said
