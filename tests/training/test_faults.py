"""Nothing is lost: kills, signals, damaged checkpoints, numbers that are not finite."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import time
from functools import partial
from pathlib import Path

import pytest
import torch
import yaml
from launching import SMALL, finish, kill_when, n_logged, numbers, start, write_store

from mne_neurolm import NeuroLM, NeuroLMClassifier, NeuroLMTokenizer
from mne_neurolm.prepare_text import main as prepare_text
from mne_neurolm.pretrain import main as pretrain
from mne_neurolm.training import checkpoint
from mne_neurolm.training.parallel import Parallel

STEPS = 12
# A fixture's runs count as part of the first test.
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return a store and a text corpus."""
    folder = tmp_path_factory.mktemp("inputs")
    (folder / "text.txt").write_text("The quick brown fox jumps over the lazy dog. " * 200)
    status = prepare_text([str(folder / "text.txt"), "--output", str(folder / "text")])
    assert status == 0
    return {"store": write_store(folder / "store"), "text": folder / "text"}


@pytest.fixture(scope="module")
def whole(inputs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return uninterrupted runs of the three stages, each going on from the one before."""
    folder = tmp_path_factory.mktemp("whole")
    runs: dict[str, Path] = {}
    for stage in ("tokenizer", "autoregressive", "instruct"):
        runs[stage] = folder / stage
        assert pretrain([stage, *flags(stage, inputs, runs[stage], runs)]) == 0
    return runs


def flags(stage: str, inputs: dict[str, Path], output: Path, runs: dict[str, Path]) -> list[str]:
    before = {"autoregressive": "tokenizer", "instruct": "autoregressive"}
    listed = ["--store", inputs["store"], "--text", inputs["text"], "--output", output]
    listed += ["--max-steps", STEPS, "--batch-size", 5, "--preset", "tiny", *SMALL]
    # A seed other than the default, and codes that are revived: both must survive a restart.
    listed += ["--checkpoint.every-steps", 3, "--data.num-workers", 0, "--seed", 3]
    if stage == "tokenizer":
        listed += ["--model.dead-code-threshold", 5]
    if stage in before:
        listed += ["--init", runs[before[stage]]]
    if stage == "instruct":
        listed += ["--tasks", "workload"]
    return list(map(str, listed))


def test_the_stages_make_a_model(whole: dict[str, Path], epochs, labels) -> None:
    for stage, run in whole.items():
        log = numbers(run)
        assert [entry["step"] for entry in log] == list(range(1, STEPS + 1))
        assert all(entry["loss"] > 0 for entry in log)
        config = yaml.safe_load((run / "config.yaml").read_text())
        assert config["stage"] == stage and config["training"]["max_steps"] == STEPS
        card = (run / "model" / "README.md").read_text()
        assert f"stage: {stage}" in card and "store_fingerprint" in card
        model = NeuroLM.from_pretrained(run / "model")
        assert model.text_tokenizer is not None
    tokens = NeuroLMTokenizer(str(run / "model")).fit_transform(epochs)
    proba = (
        NeuroLMClassifier("workload", str(run / "model"), tune=None)
        .fit(tokens, (labels == "active").astype(int))
        .predict_proba(tokens)
    )
    assert proba.shape == (len(epochs), 2)


@pytest.mark.parametrize("stage", ["tokenizer", "autoregressive", "instruct"])
def test_killed_and_resumed(
    stage: str, inputs: dict[str, Path], whole: dict[str, Path], tmp_path: Path
) -> None:
    """A run killed at a random step continues as if nothing had been."""
    run = tmp_path / "run"
    at = random.Random(os.getpid()).randint(1, STEPS - 1)
    process = start(stage, flags(stage, inputs, run, whole))
    assert kill_when(process, lambda: n_logged(run) >= at)
    assert pretrain([stage, *flags(stage, inputs, run, whole), "--resume"]) == 0
    assert numbers(run) == numbers(whole[stage]), f"killed at step {at}"
    ours, theirs = (NeuroLM.from_pretrained(r / "model") for r in (run, whole[stage]))
    for name, tensor in theirs.state_dict().items():
        assert torch.equal(tensor, ours.state_dict()[name]), name


def test_killed_while_saving(
    inputs: dict[str, Path], whole: dict[str, Path], tmp_path: Path
) -> None:
    def is_saving(run: Path) -> bool:
        return n_logged(run) > 3 and bool(list(run.glob("checkpoints/*.unfinished")))

    for attempt in range(8):  # a kill on busy cores may come after the checkpoint is complete
        run = tmp_path / f"run{attempt}"
        process = start("tokenizer", flags("tokenizer", inputs, run, whole))
        if kill_when(process, partial(is_saving, run)) and is_saving(run):
            break
    else:
        pytest.fail("no run could be killed while it saved")
    assert pretrain(["tokenizer", *flags("tokenizer", inputs, run, whole), "--resume"]) == 0
    assert numbers(run) == numbers(whole["tokenizer"])
    assert not list(run.glob("checkpoints/*.unfinished"))


def test_killed_before_a_checkpoint_is_renamed(
    inputs: dict[str, Path], whole: dict[str, Path], tmp_path: Path
) -> None:
    """All its files are there, but nothing says that they are: it does not count."""
    run = tmp_path / "run"
    shutil.copytree(whole["tokenizer"], run)
    _rewind(run)
    newest = sorted(run.glob("checkpoints/step-*"))[-1]
    newest.rename(newest.with_name(f"{newest.name}.unfinished"))
    assert pretrain(["tokenizer", *flags("tokenizer", inputs, run, whole), "--resume"]) == 0
    assert numbers(run) == numbers(whole["tokenizer"])
    assert not list(run.glob("checkpoints/*.unfinished"))


def test_asked_to_stop(inputs: dict[str, Path], whole: dict[str, Path], tmp_path: Path) -> None:
    """SIGTERM saves and ends well."""
    run = tmp_path / "run"
    settings = flags("tokenizer", inputs, run, whole)
    settings[settings.index("--checkpoint.every-steps") + 1] = "1000"
    process = start("tokenizer", settings)
    while n_logged(run) < 2:
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    assert "Go on with --resume" in finish(process)
    status = json.loads((run / "run.json").read_text())
    assert status["status"] == "interrupted"
    assert 2 <= status["step"] == n_logged(run) < STEPS
    assert pretrain(["tokenizer", *settings, "--resume"]) == 0
    assert numbers(run) == numbers(whole["tokenizer"])


def test_a_damaged_checkpoint_is_passed_over(
    inputs: dict[str, Path], whole: dict[str, Path], tmp_path: Path, capsys
) -> None:
    run = tmp_path / "run"
    shutil.copytree(whole["tokenizer"], run)
    settings = flags("tokenizer", inputs, run, whole)
    _rewind(run)
    newest = sorted(run.glob("checkpoints/step-*"))[-1]
    assert newest.name == "step-00000012"
    weights = next(newest.glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-1000])
    with pytest.warns(RuntimeWarning, match="step 12 is damaged and passed over: .* bytes"):
        assert pretrain(["tokenizer", *settings, "--resume"]) == 0
    assert numbers(run) == numbers(whole["tokenizer"])
    # None that is damaged is kept in place of a good one.
    assert checkpoint.Checkpoints(
        run / "checkpoints", Parallel(torch.device("cpu"))
    ).readable() == (
        [9, 12],
        {},
    )


def test_no_checkpoint_is_left(
    inputs: dict[str, Path], whole: dict[str, Path], tmp_path: Path, capsys
) -> None:
    run = tmp_path / "run"
    shutil.copytree(whole["tokenizer"], run)
    settings = flags("tokenizer", inputs, run, whole)
    _rewind(run)
    for state in run.glob("checkpoints/*/state.json"):
        state.write_text("{}")
    with pytest.warns(RuntimeWarning, match="damaged"):
        assert pretrain(["tokenizer", *settings, "--resume"]) == 1
    assert "Start again with another --output" in capsys.readouterr().err


def test_what_a_run_began_with_may_be_gone(
    inputs: dict[str, Path], whole: dict[str, Path], tmp_path: Path, monkeypatch
) -> None:
    """A run resumes from any folder, elsewhere, without the run before it and without its log."""
    run = tmp_path / "moved"
    shutil.copytree(whole["autoregressive"], run)
    _rewind(run)
    shutil.rmtree(run / "checkpoints" / "step-00000012")
    (run / "metrics.jsonl").unlink()
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["init"] = str(tmp_path / "absent")
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    monkeypatch.chdir(tmp_path)
    with pytest.warns(RuntimeWarning, match="metrics.jsonl is gone; the log starts again"):
        assert pretrain(["autoregressive", "--output", "moved", "--resume"]) == 0
    assert numbers(run) == numbers(whole["autoregressive"])[9:]
    shutil.rmtree(run / "checkpoints")
    shutil.rmtree(run / "model")
    assert pretrain(["autoregressive", "--output", "moved", "--resume"]) == 1


def _rewind(run: Path) -> None:
    """Make a finished run one that was killed before it could write its model."""
    shutil.rmtree(run / "model")
    status = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**status, "status": "running"}))


def test_a_longer_run_stays_longer(
    inputs: dict[str, Path], whole: dict[str, Path], tmp_path: Path, capsys
) -> None:
    """What a run was resumed with counts when it is resumed again, as schedulers do."""
    run = tmp_path / "run"
    shutil.copytree(whole["tokenizer"], run)
    settings = ["--output", str(run), "--resume", "--data.num-workers", "0"]
    with pytest.warns(RuntimeWarning, match="max_steps was 12 and is now 5"):
        assert pretrain(["tokenizer", *settings, "--max-steps", "5"]) == 1
    assert "12 steps are done already, more than the 5 asked for" in capsys.readouterr().err
    with pytest.warns(RuntimeWarning, match="max_steps was 12 and is now 15"):
        assert pretrain(["tokenizer", *settings, "--max-steps", "15"]) == 0
    assert len(numbers(run)) == 15
    _rewind(run)
    shutil.rmtree(run / "checkpoints" / "step-00000015")
    assert pretrain(["tokenizer", *settings]) == 0
    assert [entry["step"] for entry in numbers(run)] == list(range(1, 16))


def test_states_of_a_run(
    inputs: dict[str, Path], whole: dict[str, Path], tmp_path: Path, capsys, caplog
) -> None:
    """Finished, absent, another stage, other settings, other data, unreadable: each is told."""
    finished = whole["tokenizer"]
    settings = flags("tokenizer", inputs, finished, whole)
    before = (finished / "metrics.jsonl").read_bytes()

    def refuses(*arguments: str) -> str:
        assert pretrain(list(arguments)) == 1
        return capsys.readouterr().err

    assert pretrain(["tokenizer", *settings, "--resume"]) == 0
    assert "is finished; its model is in" in capsys.readouterr().out + caplog.text
    assert "holds a run already (finished at step 12)" in refuses("tokenizer", *settings)
    assert "is a run of the stage 'tokenizer'" in refuses("instruct", *settings, "--resume")
    assert "training.lr was 0.001, now 0.5" in refuses(
        "tokenizer", *settings, "--resume", "--lr", "0.5"
    )
    assert (finished / "metrics.jsonl").read_bytes() == before

    nowhere = flags("tokenizer", inputs, tmp_path / "nowhere", whole)
    assert "There is no run to resume" in refuses("tokenizer", *nowhere, "--resume")
    (tmp_path / "nowhere").mkdir()
    (tmp_path / "nowhere" / "thesis.txt").write_text("mine")
    assert "is not empty and holds no run" in refuses("tokenizer", *nowhere)

    broken = tmp_path / "broken"
    shutil.copytree(finished, broken)
    _rewind(broken)
    settings = flags("tokenizer", inputs, broken, whole)
    other = write_store(tmp_path / "other", subjects=(0, 1))
    settings[settings.index("--store") + 1] = str(other)
    assert "is not the one that" in refuses("tokenizer", *settings, "--resume")
    (broken / "run.json").write_text('{"sta')
    assert "run.json is missing or damaged" in refuses("tokenizer", *settings, "--resume")
    (broken / "config.yaml").write_text("training: [")
    assert "config.yaml can't be read" in refuses("tokenizer", *settings, "--resume")


def test_stages_say_what_they_need(
    inputs: dict[str, Path], whole: dict[str, Path], tmp_path: Path, capsys
) -> None:
    def refuses(stage: str, *arguments: str) -> str:
        run = tmp_path / "run"
        common = ["--store", str(inputs["store"]), "--output", str(run), *SMALL]
        assert pretrain([stage, *common, *arguments]) == 1
        assert not run.exists()
        return capsys.readouterr().err

    assert "give --init with the run of the stage 'tokenizer'" in refuses("autoregressive")
    assert "Which tasks?" in refuses("instruct", "--init", str(whole["autoregressive"]))
    assert "Unknown task 'moods'" in refuses("instruct", "--tasks", "moods")
    assert "no window to train on" in refuses("tokenizer", "--data.min-seconds", "64")
    unfinished = tmp_path / "unfinished"
    shutil.copytree(whole["tokenizer"], unfinished)
    _rewind(unfinished)
    assert "has no final model yet (running at step 12)" in refuses(
        "autoregressive", "--init", str(unfinished)
    )
    assert "its language model has seen no EEG" in refuses(
        "instruct", "--init", str(whole["tokenizer"]), "--tasks", "workload"
    )
    assert "has codebook_size=1024, and 64 is asked for" in refuses(
        "autoregressive", "--init", str(whole["tokenizer"]), "--model.codebook-size", "64"
    )
    assert "is more than the 513 tokens" in refuses(
        "tokenizer", "--text", str(inputs["text"]), "--text-length", "2000"
    )
    assert "windows must last 2 s or more" in refuses(
        "autoregressive", "--init", str(whole["tokenizer"]), "--data.min-seconds", "1"
    )
    assert "Train it with --preset b" in refuses("tokenizer", "--preset", "l")
    assert "is not a store of EEG" in refuses("tokenizer", "--store", str(tmp_path / "nothing"))
    with pytest.raises(SystemExit) as stop:
        pretrain(["tokenizer", "--store", "x", "--output", "y", "--max-step", "3"])
    assert stop.value.code == 2
    assert "--max-steps" in capsys.readouterr().err
