"""The pipelines that ship, run by ``moabb.benchmark``, offline."""

from __future__ import annotations

import copy
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import matplotlib
import mne
import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from sklearn.base import clone
from sklearn.pipeline import make_pipeline

from mne_neurolm import NeuroLM, NeuroLMClassifier, NeuroLMTokenizer
from mne_neurolm.evaluation import (
    BenchmarkResults,
    moabb_contexts,
    moabb_files,
    moabb_pipelines,
)
from mne_neurolm.models.revision import model_revision

moabb = pytest.importorskip("moabb", reason="MOABB is not installed")

# MOABB 1.7.2 asks MNE 1.13 for montages by their old names, h5py 3.16 for datasets in its old way,
# and Matplotlib 3.11 for colours out of range in its old one.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Montage name 'standard_10:FutureWarning"),
    pytest.mark.filterwarnings("ignore:Creating a dataset without passing data or dtype"),
    pytest.mark.filterwarnings("ignore:The set_(under|over) function:PendingDeprecationWarning"),
]

PARADIGMS = ("LeftRightImagery", "MotorImagery", "P300", "SSVEP")
CHANNELS = ("F3", "C3", "Cz", "C4", "Pz")
Benchmark = Callable[..., pd.DataFrame]


@pytest.fixture(autouse=True)
def separate(monkeypatch, tmp_path) -> Iterator[None]:
    """Let MOABB connect to nothing, write nowhere but in tmp_path, and restyle no other figure."""

    def refuse(*args, **kwargs):
        raise AssertionError("connects")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("_MNE_FAKE_HOME_DIR", str(tmp_path))
    with mne.use_log_level("WARNING"), matplotlib.rc_context():
        yield


@pytest.fixture
def benchmark(tmp_path) -> Benchmark:
    """Return ``moabb.benchmark`` within sessions, with two folds for speed."""

    def run(pipelines: str | Path, paradigm: str, dataset: object, **parameters) -> pd.DataFrame:
        return moabb.benchmark(
            pipelines=str(pipelines),
            evaluations=["WithinSession"],
            paradigms=[paradigm],
            include_datasets=[dataset],
            results=str(tmp_path / "results"),
            output=str(tmp_path / "output"),
            contexts=moabb_contexts(),
            **{"n_jobs": 1, "n_splits": 2, **parameters},
        )

    return run


def make_dataset(*events: str, paradigm: str = "imagery", n_subjects: int = 1):
    from moabb.datasets.fake import FakeDataset

    return FakeDataset(
        events, n_sessions=1, n_runs=1, n_subjects=n_subjects, paradigm=paradigm,
        channels=CHANNELS, seed=0, sfreq=128, duration=60, n_events=16,
    )  # fmt: skip


def make_hands(n_subjects: int = 1):
    return make_dataset("left_hand", "right_hand", n_subjects=n_subjects)


def read_yaml(path: Path) -> dict:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


SHIPPED = {path.stem: read_yaml(path) for path in sorted(Path(moabb_pipelines()).glob("*.yml"))}


@pytest.fixture
def folder(tmp_path, small_model: NeuroLM) -> Path:
    """Return a folder with the linear probe of a small model, which lies beside it."""
    small_model.save_pretrained(tmp_path / "model")
    probe = copy.deepcopy(SHIPPED["neurolm_probe"])
    probe["pipeline"][1]["parameters"]["model"] = str(tmp_path / "model")
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "pipelines" / "probe.yml").write_text(yaml.safe_dump(probe), encoding="utf-8")
    return tmp_path / "pipelines"


@pytest.fixture
def fits(monkeypatch) -> list[int]:
    """Return a list that gets longer with every fit of the linear probe."""
    from mne_neurolm.evaluation.moabb_steps import LinearProbe

    seen: list[int] = []
    fit = LinearProbe.fit

    def counted(self, X, y):
        seen.append(len(X))
        return fit(self, X, y)

    monkeypatch.setattr(LinearProbe, "fit", counted)
    return seen


# --- the files -----------------------------------------------------------------------------------


def test_files() -> None:
    contexts = read_yaml(Path(moabb_contexts()))
    assert set(contexts) == set(PARADIGMS)
    for paradigm in PARADIGMS:
        names = [row["name"] for row in SHIPPED.values() if paradigm in row["paradigms"]]
        assert len(set(names)) == len(names)
        assert {"Chance", "NeuroLM tiny, tuned", "NeuroLM tiny, linear probe"} <= set(names)
        assert len(names) >= 5
        getattr(moabb.paradigms, paradigm)(**contexts[paradigm])  # takes these parameters
    for row in SHIPPED.values():
        assert set(row["paradigms"]) <= set(PARADIGMS)
        assert row["pipeline"][0]["name"] == "EpochsInput"


# --- plain moabb.benchmark -----------------------------------------------------------------------


def test_files_that_cannot_be_locked_are_copied(monkeypatch) -> None:
    """MOABB writes a lock beside every file that it reads."""
    ours = Path(moabb_pipelines()), Path(moabb_contexts())
    monkeypatch.setattr(moabb_files.os, "access", lambda path, mode: False)
    copies = Path(moabb_pipelines()), Path(moabb_contexts())
    assert not any(copy.is_relative_to(ours[0].parent) for copy in copies)
    names = sorted(file.name for file in ours[0].glob("*.yml"))
    assert sorted(file.name for file in copies[0].glob("*.yml")) == names
    assert copies[1].read_text() == ours[1].read_text()


def test_benchmark_of_everything(benchmark, tmp_path) -> None:
    results = benchmark(moabb_pipelines(), "LeftRightImagery", make_hands())
    expected = {n["name"] for n in SHIPPED.values() if "LeftRightImagery" in n["paradigms"]}
    assert set(results["pipeline"]) == expected and len(results) == len(expected) == 8
    assert results["score"].between(0, 1).all() and (results["channels"] == len(CHANNELS)).all()
    assert results.set_index("pipeline")["score"]["Chance"] == 0.5
    html = BenchmarkResults(results).to_html(tmp_path / "page.html").read_text(encoding="utf-8")
    assert f"tiny ({model_revision('tiny')})" in html


@pytest.mark.parametrize(
    ("name", "paradigm", "dataset"),
    [
        ("neurolm_imagery", "MotorImagery", ("left_hand", "right_hand", "feet")),
        ("neurolm_p300", "P300", ("Target", "NonTarget")),
        ("neurolm_ssvep", "SSVEP", ("13.0", "17.0", "21.0")),
    ],
)
def test_tuned_in_other_paradigms(name, paradigm, dataset, benchmark) -> None:
    kind = "imagery" if paradigm == "MotorImagery" else paradigm.lower()
    file = Path(moabb_pipelines()) / f"{name}.yml"
    results = benchmark(file, paradigm, make_dataset(*dataset, paradigm=kind))
    assert results["pipeline"].tolist() == ["NeuroLM tiny, tuned"]
    assert results["score"].between(0, 1).all()
    assert results["n_classes"].tolist() == [len(dataset)]


def test_benchmark_of_real_trials(benchmark, folder, shared_data, monkeypatch) -> None:
    from moabb.datasets import PhysionetMI

    if not (shared_data / "mne_data" / "MNE-eegbci-data").is_dir():
        pytest.skip(f"no EEGBCI recordings in {shared_data / 'mne_data'}")
    monkeypatch.setenv("MNE_DATA", str(shared_data / "mne_data"))
    monkeypatch.setenv("MOABB_DOWNLOAD_PROVIDER", "upstream")
    init = PhysionetMI.__init__

    def one_subject(self, *args, **kwargs):
        init(self, *args, **kwargs)
        self.subject_list = [1]

    # moabb.benchmark makes the datasets by itself, and takes all of their subjects.
    monkeypatch.setattr(PhysionetMI, "__init__", one_subject)
    shutil.copy(Path(moabb_pipelines()) / "tangent_space.yml", folder)
    results = benchmark(folder, "LeftRightImagery", "PhysionetMotorImagery")
    assert results["samples"].tolist() == [45, 45] and results["channels"].tolist() == [64, 64]
    scores = results.set_index("pipeline")["score"]
    assert scores["Tangent space + LR"] > 0.7  # imagined hands are told apart


def test_grid_search(benchmark, folder) -> None:
    path = folder / "probe.yml"
    grid = {"linearprobe__C": [1e-3, 1.0], "neurolmtokenizer__dtype": ["float32"]}
    path.write_text(yaml.safe_dump({**read_yaml(path), "param_grid": grid}), encoding="utf-8")
    results = benchmark(path, "LeftRightImagery", make_hands())
    assert results["score"].between(0, 1).all() and len(results) == 1


# --- the cache -----------------------------------------------------------------------------------


def test_cache_is_keyed_on_the_weights(benchmark, folder, small_model, tmp_path, fits) -> None:
    """The same weights are not evaluated again, others under the same name are."""
    dataset = make_hands()
    first = benchmark(folder, "LeftRightImagery", dataset)
    assert len(fits) == 2
    again = benchmark(folder, "LeftRightImagery", dataset)
    assert len(fits) == 2
    pd.testing.assert_frame_equal(again, first, check_like=True)

    other = copy.deepcopy(small_model)
    with torch.no_grad():
        other.vq.encoder.time_embed.weight.add_(1.0)
    other.save_pretrained(tmp_path / "model")
    changed = benchmark(folder, "LeftRightImagery", dataset)
    assert len(fits) == 4 and len(changed) == 1

    small_model.save_pretrained(tmp_path / "model")
    restored = benchmark(folder, "LeftRightImagery", dataset)
    assert len(fits) == 4
    pd.testing.assert_frame_equal(restored, first, check_like=True)


def test_cache_is_the_same_in_every_process() -> None:
    # What MOABB makes a digest of; importing MOABB in another process takes longer than the rest.
    code = (
        "from mne_neurolm import NeuroLMClassifier, NeuroLMTokenizer\n"
        "from sklearn.pipeline import make_pipeline\n"
        "pipe = make_pipeline(NeuroLMTokenizer(), NeuroLMClassifier('workload'))\n"
        "print(repr(pipe.get_params()))\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONHASHSEED": "1"},
    )
    pipe = make_pipeline(NeuroLMTokenizer(), NeuroLMClassifier("workload"))
    text = moabb.analysis.results.get_string_rep(pipe).decode()
    assert done.stdout.replace("\n", "") == text and "weights " in text


def test_every_neurolm_tells_its_weights() -> None:
    from moabb.pipelines.utils import parse_pipelines_from_directory

    for entry in parse_pipelines_from_directory(moabb_pipelines()):
        text = moabb.analysis.results.get_string_rep(entry["pipeline"]).decode()
        if entry["name"].startswith("NeuroLM"):
            model = "tiny-joint" if "tiny-joint" in entry["name"] else "tiny"
            assert f"model='{model}', " in text and f"[{model_revision(model)}]" in text
        else:
            assert "weights" not in text


# --- the steps -----------------------------------------------------------------------------------


def test_epochs_and_arrays(epochs) -> None:
    from mne_neurolm.evaluation.moabb_steps import EpochsInput

    assert EpochsInput().fit_transform(epochs) is epochs
    parts = [epochs[0], epochs[1]]
    assert EpochsInput().fit_transform(parts) is parts
    array = 1e6 * epochs.get_data(copy=False)
    told = dict(ch_names=epochs.ch_names, sfreq=epochs.info["sfreq"], unit="uV")
    made = EpochsInput(**told).fit_transform(array)
    assert made.ch_names == epochs.ch_names and made.info["sfreq"] == epochs.info["sfreq"]
    np.testing.assert_allclose(made.get_data(copy=False), epochs.get_data(copy=False))
    assert clone(EpochsInput(**told)).get_params() == told


def test_arrays_that_do_not_say_what_they_are(epochs) -> None:
    from mne_neurolm.evaluation.moabb_steps import EpochsInput

    array = epochs.get_data(copy=False)
    with pytest.raises(ValueError, match="neither channels nor rate nor unit.*return_epochs=True"):
        EpochsInput().fit(array)
    told = dict(sfreq=200.0, unit="V")
    with pytest.raises(ValueError, match=f"2 ch_names for the {array.shape[1]} channels"):
        EpochsInput(ch_names=["C3", "C4"], **told).fit(array)
    with pytest.raises(ValueError, match="neither channels nor rate nor unit"):
        EpochsInput(ch_names=epochs.ch_names, sfreq=200.0, unit="pT").fit(array)
    with pytest.raises(ValueError, match=r"got ndarray of shape \(2, 3\)"):
        EpochsInput().fit(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="got list"):
        EpochsInput().fit([])


def test_questions(epochs, labels, small_model) -> None:
    from mne_neurolm.evaluation.moabb_steps import QuestionClassifier

    numbers = (labels == "rest").astype(int)  # as MOABB does: active 0, rest 1
    named = {"rest": "at rest", "active": "at work"}
    for answers, y, expected in (
        (named, numbers, {0: "at work", 1: "at rest"}),
        (named, labels, {"active": "at work", "rest": "at rest"}),
        (None, numbers, {0: "A", 1: "B"}),
        (None, labels, {"active": "active", "rest": "rest"}),
    ):
        asks = QuestionClassifier("What now?", answers, model=small_model, tune=None)
        asks = clone(asks).fit(epochs, y)
        assert asks.task_.answers == expected and asks.task_.question == "What now?"
        assert asks.predict_proba(epochs).shape == (len(epochs), 2)
        assert set(asks.predict(epochs)) <= set(expected)


def test_question_classifier_has_the_parameters_of_the_classifier(small_model) -> None:
    from mne_neurolm.evaluation.moabb_steps import QuestionClassifier

    asks = QuestionClassifier("What?", model="tiny", lr=1e-3, optimizer__betas=(0.5, 0.9))
    own, inherited = asks.get_params(), NeuroLMClassifier("workload").get_params()
    assert set(own) == {*inherited, "question", "answers", "optimizer__betas"} - {"task"}
    assert own["lr"] == 1e-3 and clone(asks).get_params() == own
    assert repr(asks) == (
        "QuestionClassifier(lr=0.001, model='tiny', optimizer__betas=(0.5, 0.9), "
        f"question='What?', revision=None) [{model_revision('tiny')}]"
    )
    with pytest.raises(TypeError, match="question"):
        QuestionClassifier()


def test_questions_without_answers(epochs, labels, small_model) -> None:
    from mne_neurolm.evaluation.moabb_steps import QuestionClassifier

    asks = QuestionClassifier("What?", {"rest": "at rest"}, model=small_model, tune=None)
    with pytest.raises(ValueError, match="given for rest, but the classes are 0, 1"):
        asks.fit(epochs, (labels == "rest").astype(int))
    with pytest.raises(ValueError, match="given for rest, but the classes are active, rest"):
        asks.fit(epochs, labels)
    with pytest.raises(ValueError, match="needs two classes; there is only"):
        asks.fit(epochs, np.zeros(len(epochs), dtype=int))
    many = QuestionClassifier("What?", model=small_model)._make_task(np.arange(30))
    assert many.answers[25] == "Z" and many.answers[26] == "26"
