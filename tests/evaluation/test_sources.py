"""Problems from data sets and from files that describe them."""

from __future__ import annotations

import os
from pathlib import Path

import mne
import numpy as np
import pytest

from mne_neurolm.datasets import simulate_epochs
from mne_neurolm.evaluation import load_problems, read_problem
from mne_neurolm.evaluation.sources import _parse

TEXT = """
name: eyes
question: Are the eyes open?
answers: {rest: "No", active: "Yes"}
epochs: epochs/*-epo.fif
label: state
subject: subject
cv: leave-one-subject-out
"""


@pytest.fixture
def described(tmp_path: Path) -> Path:
    """Return a YAML file beside epochs of 2 people, a file each, one with an EOG channel."""
    (tmp_path / "epochs").mkdir()
    for k, name in enumerate(("anna", "ben")):
        epochs = simulate_epochs(
            1, 6, duration=1.0, ch_names=["Cz", "Pz", "Oz", "Fz"], random_state=k
        )
        epochs.metadata["subject"] = name
        if name == "ben":
            epochs.set_channel_types({"Fz": "eog"}, verbose="error")
        else:
            epochs.info["bads"] = ["Fz"]
        epochs.save(tmp_path / "epochs" / f"{name}-epo.fif", verbose="error")
    file = tmp_path / "eyes.yaml"
    file.write_text(TEXT, encoding="utf-8")
    return file


def test_described_problem(described: Path) -> None:
    (problem,) = load_problems([described])
    assert (problem.name, len(problem.epochs), problem.epochs.ch_names) == (
        "eyes",
        12,
        ["Cz", "Pz", "Oz"],
    )
    assert problem.task.question == "Are the eyes open?"
    assert [fold.name for fold in problem.folds] == ["subject anna", "subject ben"]
    one = mne.read_epochs(described.parent / "epochs" / "ben-epo.fif", verbose="error")
    assert np.allclose(problem.epochs[6:].get_data(), one.get_data(picks=["Cz", "Pz", "Oz"]))
    assert problem.y[6:].tolist() == one.metadata["state"].tolist()
    assert "12 epochs of 1 s, 3 channels at 200 Hz, 2 subjects" in problem.description
    assert problem.epochs.event_id == {"No": 0, "Yes": 1}


def test_other_folds_and_phrasings(described: Path) -> None:
    described.write_text(TEXT + "phrasings: ['Open?', 'Do they look?']\noptions: true\n")
    problem = read_problem(described, cv="repeated-3-fold")
    assert len(problem.folds) == 30
    assert problem.task.options and tuple(problem.task.phrasings) == ("Open?", "Do they look?")
    (again,) = load_problems([f"{described}:repeated-3-fold"])
    assert len(again.folds) == 30


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("cv: leave-one-subject-out", "cv: 5-fold", "choose one of paper"),
        ("label: state", "colour: state", r"missing are \['label'\], unknown are \['colour'\]"),
        ("label: state", "label: mood", r"no column \['mood'\]; there are"),
        ('rest: "No"', 'calm: "No"', "do not belong to task 'eyes'"),
        ('rest: "No"', "rest: No", "put quotes around them"),
        ("name: eyes", "name: [", "no valid YAML"),
        (
            '{rest: "No"',
            '{rest,: "No"',
            r"(?s)eyes\.yaml is no valid YAML.*line 4.*quotes around",
        ),
        (TEXT, "nothing", "must hold keys and values"),
    ],
)
def test_descriptions_that_are_wrong(described: Path, old: str, new: str, message: str) -> None:
    described.write_text(TEXT.replace(old, new), encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        read_problem(described)


def test_files_that_are_not_there(described: Path) -> None:
    with pytest.raises(FileNotFoundError, match="There is no file"):
        read_problem(described.with_name("other.yaml"))
    described.write_text(TEXT.replace("epochs/*", "epochs/x*"), encoding="utf-8")
    with pytest.raises(FileNotFoundError, match=r"no file like epochs/x\*-epo.fif"):
        read_problem(described)


def test_files_that_differ(described: Path) -> None:
    path = described.parent / "epochs" / "ben-epo.fif"
    epochs = mne.read_epochs(path, verbose="error")
    epochs.resample(100.0, verbose="error").save(path, overwrite=True, verbose="error")
    with pytest.raises(ValueError, match="epochs differ between files"):
        read_problem(described)


def test_names_and_schemes() -> None:
    assert _parse("workload") == ("workload", None)
    assert _parse("workload:group-5-fold") == ("workload", "group-5-fold")
    assert _parse(r"C:\data\eyes.yaml") == (r"C:\data\eyes.yaml", None)
    assert _parse("C:/data/eyes.yaml:group-2-fold") == ("C:/data/eyes.yaml", "group-2-fold")


def test_tasks_that_are_wrong(described: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="two problems|Two problems"):
        load_problems([described, described])
    with pytest.raises(ValueError, match="There is no task"):
        load_problems([])
    with pytest.raises(ValueError, match="Did you mean 'workload'"):
        load_problems(["worklaod"], tmp_path)
    with pytest.raises(ValueError, match="pretraining corpus without labels"):
        load_problems(["tueg"], tmp_path)
    with pytest.raises(ValueError, match="Give its folder as root"):
        load_problems(["workload"])
    with pytest.raises(ValueError, match="only for tuab.*Add workload=DIR"):
        load_problems(["workload"], {"tuab": tmp_path})


def test_workload_of_the_paper(shared_data: Path, tmp_path: Path) -> None:
    """Without test subjects, the validation subjects are tested, and it is said."""
    for name in ("Subject04", "Subject05", "Subject26"):
        for run in (1, 2):
            os.symlink(shared_data / "eegmat" / f"{name}_{run}.edf", tmp_path / f"{name}_{run}.edf")
    paper, folds = load_problems(
        ["workload", "eegmat:leave-one-subject-out"], {"EEGMAT": tmp_path, "workload": tmp_path}
    )
    assert (paper.name, paper.dataset) == ("workload", "workload")
    (fold,) = paper.folds
    assert fold.name == "validation set (no test subjects)" and fold.name in paper.description
    assert (len(fold.train), len(fold.test)) == (116, 58)
    assert folds.name == "workload leave-one-subject-out" and len(folds.folds) == 3
    assert folds.epochs is paper.epochs
