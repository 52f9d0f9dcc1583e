"""The command: python -m mne_neurolm.evaluate."""

from __future__ import annotations

import inspect
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mne_neurolm import NeuroLMClassifier
from mne_neurolm.datasets import simulate_epochs
from mne_neurolm.evaluate import _parser, _roots, main


@pytest.fixture
def described(tmp_path: Path) -> Path:
    epochs = simulate_epochs(4, 6, duration=1.0, ch_names=["Cz", "Pz", "Oz"], random_state=0)
    epochs.save(tmp_path / "all-epo.fif", verbose="error")
    file = tmp_path / "state.yaml"
    file.write_text(
        'name: state\nquestion: Active?\nanswers: {rest: "No", active: "Yes"}\n'
        "epochs: '*-epo.fif'\nlabel: state\nsubject: subject\ncv: group-2-fold\n"
    )
    return file


def test_writes_everything_and_resumes(described: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "out"
    argv = ["tiny", "--tasks", str(described), "--methods", "chance", "evoked", "--n-jobs", "1"]
    argv += ["--out", str(out), "--seeds", "1"]
    assert main(argv) == 0
    said = capsys.readouterr()
    assert "state: " not in said.err and "50 ms averages + LR" in said.out
    assert (
        "4 cells (2 methods x 2 folds): 0 are there already, 4 are to be computed"
        in said.out + said.err
    )
    for name in ("report.html", "methods.csv", "cells.csv", "subjects.csv"):
        assert (out / name).exists()
    assert len(list((out / "cells").rglob("*.json"))) == 4
    assert main(argv) == 0
    said = capsys.readouterr()
    assert "4 are there already, 0 are to be computed" in said.out + said.err


def test_cells_that_fail(described: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    from sklearn.dummy import DummyClassifier

    def fail(*args, **kwargs):
        raise RuntimeError("out of order")

    monkeypatch.setattr(DummyClassifier, "fit", fail)
    argv = ["tiny", "--tasks", str(described), "--methods", "chance", "evoked", "--n-jobs", "1"]
    assert main([*argv, "--out", str(tmp_path / "out")]) == 3
    said = capsys.readouterr()
    assert "2 cells failed" in said.err and "2 cells failed" in said.out
    assert "out of order" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="there are no groups of processes")
def test_ctrl_c(described: Path, tmp_path: Path) -> None:
    """It reaches all processes of a terminal: they end, and one line says how to go on."""
    out = tmp_path / "out"
    argv = [sys.executable, "-m", "mne_neurolm.evaluate", "tiny", "--tasks", str(described)]
    argv += ["--methods", "neurolm", "--seeds", "50", "--n-jobs", "2", "--device", "cpu"]
    with subprocess.Popen(
        [*argv, "--out", str(out)],
        start_new_session=True,  # a group of processes of its own, as a terminal gives it
        # What a shell starts in the background ignores Ctrl-C, and so does what that starts.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as run:
        end = time.monotonic() + 120
        while not list(out.rglob("*.json")) and run.poll() is None and time.monotonic() < end:
            time.sleep(0.1)
        os.killpg(run.pid, signal.SIGINT)
        said, _ = run.communicate(timeout=60)
    assert run.returncode == 130, said
    assert "Traceback" not in said and "Warning" not in said
    n_kept = len(list(out.rglob("*.json")))
    assert n_kept
    line = f"stopped: {n_kept} of 100 cells are kept in {out / 'cells'}; run the same command again"
    assert said.rstrip().splitlines()[-1] == f"{line} to go on"


def test_ctrl_c_before_there_is_anything(described: Path, capsys, monkeypatch) -> None:
    def load(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("mne_neurolm.evaluation.load_problems", load)
    assert main(["tiny", "--tasks", str(described)]) == 130
    assert capsys.readouterr().err == "\nstopped: run the same command again to go on\n"


def test_what_cannot_be(tmp_path: Path, capsys) -> None:
    assert main(["tiny", "--tasks", "workload", "--out", str(tmp_path)]) == 1
    assert "Give its folder as root" in capsys.readouterr().err
    assert main(["tiny", "--tasks", str(tmp_path / "no.yaml")]) == 1
    assert "There is no file" in capsys.readouterr().err


def test_roots() -> None:
    assert _roots(None) is None
    assert _roots(["data"]) == Path("data")
    assert _roots(["tuab=a", "hmc=b=c"]) == {"tuab": Path("a"), "hmc": Path("b=c")}
    with pytest.raises(ValueError, match="NAME=DIR for each"):
        _roots(["a", "hmc=b"])


def test_help_tells_every_default() -> None:
    """Those of the command, and those of the classifier where the command has none."""
    theirs = inspect.signature(NeuroLMClassifier).parameters
    for action in _parser()._actions:
        if action.required or action.dest == "help":
            continue
        assert action.help.count("(default: ") == 1, action.dest
        said = action.help.split("(default: ")[1].split(")")[0]
        if action.dest in ("tune", "max_epochs", "lr"):
            default = theirs[action.dest].default
            assert type(default)(said) == default
        elif action.default not in (None, False, -1):
            assert said == str(action.default)


def test_tasks_are_required(capsys) -> None:
    with pytest.raises(SystemExit):
        _parser().parse_args(["tiny"])
    assert "--tasks" in capsys.readouterr().err
