"""One process, two that replicate the model, two that shard it: the same run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from launching import (
    SMALL,
    kill_when,
    largest_difference,
    n_logged,
    numbers,
    run_group,
    write_store,
    write_task,
)
from launching import start as start_run

from mne_neurolm import NeuroLM
from mne_neurolm.prepare_text import main as prepare_text
from mne_neurolm.pretrain import main as pretrain

STAGES = ("tokenizer", "autoregressive", "instruct")
# Runs on two processes: replicated, sharded, and sharded in micro-batches.
RUNS = [(stage, kind) for stage in STAGES for kind in ("2", "fsdp", "pieces")]
RUNS += [("masked", "2"), ("masked", "fsdp")]
STEPS = 20
TOLERANCE = 1e-4
# A fixture's fifteen runs count as part of the first test.
pytestmark = pytest.mark.timeout(1500)


def flags(folder: Path, stage: str, output: Path, *more: str) -> list[str]:
    listed = ["--store", folder / "store", "--text", folder / "text", "--output", output, *SMALL]
    # Five windows on two processes: shares are uneven, and the last batches of a bucket leave
    # one process without any.
    listed += ["--max-steps", STEPS, "--batch-size", 5, "--data.num-workers", 0]
    listed += ["--data.max-val-windows", 6]
    before = {"masked": "tokenizer", "autoregressive": "tokenizer", "instruct": "autoregressive"}
    if stage == "tokenizer":
        # Fewer codes than patches in a batch: with more, rounding decides which of two close codes
        # a patch belongs to.
        listed += ["--model.codebook-size", 64]
    if stage in before:
        listed += ["--init", folder / f"{before[stage]}-1"]
    if stage == "instruct":
        # Steps of two tasks, of which the second has fewer windows in a step than processes.
        listed += ["--tasks", "workload", write_task(folder / "eyes.yaml")]
    return [*map(str, listed), *more]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with runs <stage>-1, -2, -fsdp, and -pieces: sharded, in micro-batches."""
    folder = tmp_path_factory.mktemp("ranks")
    (folder / "text.txt").write_text("The quick brown fox jumps over the lazy dog. " * 200)
    assert prepare_text([str(folder / "text.txt"), "--output", str(folder / "text")]) == 0
    write_store(folder / "store")
    for stage in (*STAGES, "masked"):
        assert pretrain([stage, *flags(folder, stage, folder / f"{stage}-1")]) == 0
    options: dict[str, list[str]] = {"2": [], "fsdp": ["--runtime.strategy", "fsdp"]}
    options["pieces"] = [*options["fsdp"], "--micro-batch-size", "2"]
    commands = [
        [stage, *flags(folder, stage, folder / f"{stage}-{kind}", *options[kind])]
        for stage, kind in RUNS
    ]
    run_group(Path(__file__).with_name("several.py"), commands)
    return folder


@pytest.mark.parametrize(("stage", "kind"), RUNS)
def test_losses_are_the_same(runs: Path, stage: str, kind: str) -> None:
    one, two = numbers(runs / f"{stage}-1"), numbers(runs / f"{stage}-{kind}")
    assert len(one) == STEPS
    assert largest_difference(one, two, ["loss", "grad_norm"]) < TOLERANCE
    assert [entry["lr"] for entry in one] == [entry["lr"] for entry in two]
    assert abs(one[-1]["val_loss"] / two[-1]["val_loss"] - 1) < TOLERANCE


@pytest.mark.parametrize("kind", ["2", "fsdp"])
def test_processes_hide_the_same_patches(runs: Path, kind: str) -> None:
    one, two = numbers(runs / "masked-1"), numbers(runs / f"masked-{kind}")
    ours, theirs = ([entry["masked_accuracy"] for entry in log] for log in (one, two))
    # Rounding decides about a patch now and then; other masks would change every step.
    assert np.median(np.abs(np.subtract(ours, theirs))) < 1e-6


@pytest.mark.parametrize("stage", [*STAGES, "masked"])
def test_sharding_matches_replication(runs: Path, stage: str) -> None:
    replicated, sharded = (
        NeuroLM.from_pretrained(runs / f"{stage}-{kind}" / "model").state_dict()
        for kind in ("2", "fsdp")
    )
    for name, tensor in replicated.items():
        if name.startswith("vq.codebook.") and tensor.ndim:
            # A patch halfway between two codes falls to one of them by rounding, which differs
            # between machines; two such patches move four codes.
            off = (sharded[name] - tensor).abs().reshape(len(tensor), -1).amax(dim=1) > 2e-4
            assert off.float().mean() < 0.1, name
            assert float((sharded[name].sum() - tensor.sum()).abs()) < 1e-2 * len(tensor), name
        else:
            np.testing.assert_allclose(sharded[name], tensor, atol=2e-4, err_msg=name)
    for rank in (0, 1):
        kinds = [
            json.loads((runs / f"{stage}-{kind}" / f"parameters-{rank}.json").read_text())
            for kind in ("2", "fsdp")
        ]
        assert kinds == [["Parameter"], ["DTensor"]]


@pytest.mark.parametrize("kind", ["2", "fsdp"])
def test_codebooks_are_identical(runs: Path, kind: str) -> None:
    first, second = (np.load(runs / f"tokenizer-{kind}" / f"codebook-{r}.npy") for r in (0, 1))
    np.testing.assert_array_equal(first, second)
    alone = NeuroLM.from_pretrained(runs / "tokenizer-1" / "model").vq.codebook.weight
    np.testing.assert_allclose(first, alone, atol=1e-3)


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_two_processes_resume_as_one(runs: Path, tmp_path: Path, strategy: str) -> None:
    """A run of two processes that is killed goes on with one, over the same data."""
    run = tmp_path / "run"
    settings = flags(runs, "tokenizer", run, "--checkpoint.every-steps", "3")
    settings += ["--runtime.strategy", strategy]
    process = start_run("tokenizer", settings, processes=2)
    assert kill_when(process, lambda: n_logged(run) >= 8)
    assert pretrain(["tokenizer", *settings, "--resume"]) == 0
    one = numbers(runs / "tokenizer-1")
    assert largest_difference(one, numbers(run), ["loss"]) < TOLERANCE


def test_accumulation_changes_nothing(runs: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    settings = flags(runs, "tokenizer", run, "--micro-batch-size", "2")
    assert pretrain(["tokenizer", *settings]) == 0
    assert largest_difference(numbers(runs / "tokenizer-1"), numbers(run), ["loss"]) < TOLERANCE


def test_activation_checkpointing_changes_nothing(runs: Path, tmp_path: Path) -> None:
    for stage in STAGES[:2]:
        run = tmp_path / stage
        settings = flags(runs, stage, run, "--runtime.activation-checkpointing")
        assert pretrain([stage, *settings]) == 0
        one = numbers(runs / f"{stage}-1")
        assert largest_difference(one, numbers(run), ["loss"]) < TOLERANCE
