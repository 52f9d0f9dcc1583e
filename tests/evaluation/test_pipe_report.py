"""The report of a fitted pipeline on test epochs."""

from __future__ import annotations

import html
import re
from importlib.metadata import version

import matplotlib
import matplotlib.pyplot as plt
import mne
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline

from mne_neurolm import NeuroLMClassifier, NeuroLMTokenizer, Task
from mne_neurolm.datasets import simulate_epochs
from mne_neurolm.evaluation import METRICS, pipe_report, score_predictions

TASK = Task("state", "Rest <or> not?", {"rest": "No", "active": "Yes"})


@pytest.fixture(autouse=True)
def no_screen() -> None:
    matplotlib.use("Agg", force=True)


@pytest.fixture(scope="module")
def epochs() -> mne.BaseEpochs:
    """Three subjects with four epochs each."""
    made = simulate_epochs(n_subjects=3, n_epochs_per_subject=4, random_state=0)
    return made.pick(["Fz", "Cz", "Pz", "O1"])


@pytest.fixture(scope="module")
def y(epochs) -> np.ndarray:
    return epochs.metadata["state"].to_numpy(dtype=str)


@pytest.fixture(scope="module")
def pipe(epochs, y) -> Pipeline:
    settings = {"dtype": "float32", "device": "cpu"}
    classifier = NeuroLMClassifier(TASK, "tiny-joint", tune=None, **settings)
    return make_pipeline(NeuroLMTokenizer(**settings), classifier).fit(epochs, y)


def text_of(report: mne.Report) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", " ".join(report.html))).split())


def test_everything_is_there(pipe, epochs, y, tmp_path) -> None:
    people = epochs.metadata["subject"].to_numpy()
    report = pipe_report(pipe, epochs, y, groups=people, n_explained=2, title="Mine")
    titles = [element.name for element in report._content]
    assert titles == [
        "Scores",
        "Settings and versions",
        "Confusion matrix",
        "Reliability",
        "Subjects",
        "Codes of an epoch: active",
        "Codes of an epoch: rest",
        "Codebook",
        "Reconstruction",
        "Hidden states",
        "Attention",
        "Attribution",
    ]
    assert report.title == "Mine" and not plt.get_fignums(), "figures are closed"
    text = text_of(report)
    scores = score_predictions(y, pipe.predict_proba(epochs), pipe.classes_)
    for metric in METRICS:
        name = metric.replace("_", " ")
        assert re.search(rf"{name} {scores[metric]:z.3f} [-0-9.]+ to [-0-9.]+", text), metric
    assert "12 test epochs of 3 subjects: 6 active, 6 rest. Chance is 0.500" in text
    assert "Rest <or> not?" in text and "answers No, Yes" in text and "4 channels x 4 s" in text
    assert f"torch {version('torch')}" in text
    report.save(tmp_path / "report.html", open_browser=False, verbose="error")
    assert (tmp_path / "report.html").stat().st_size > 1e5


def test_without_groups_and_explanations(pipe, epochs, y) -> None:
    report = pipe_report(pipe, epochs[:5], y[:5], n_explained=0)
    titles = [element.name for element in report._content]
    assert "Subjects" not in titles and "Attention" not in titles and "Codebook" in titles
    assert "Intervals are" not in text_of(report)


def test_wrong_input(pipe, epochs, y) -> None:
    with pytest.raises(TypeError, match=r"make_pipeline\(NeuroLMTokenizer.*got LogisticRegression"):
        pipe_report(LogisticRegression(), epochs, y)
    other = make_pipeline(NeuroLMTokenizer(), LogisticRegression())
    with pytest.raises(TypeError, match=r"of \['NeuroLMTokenizer', 'LogisticRegression'\]"):
        pipe_report(other, epochs, y)
    with pytest.raises(TypeError, match="epochs must be mne.Epochs"):
        pipe_report(pipe, epochs.get_data(), y)
    with pytest.raises(ValueError, match=r"the unknown labels \['asleep'\]"):
        pipe_report(pipe, epochs, ["asleep", *y[1:]])
    with pytest.raises(ValueError, match="one entry each; got shape .12,., 3 groups"):
        pipe_report(pipe, epochs, y, groups=[1, 2, 3])
    codes = make_pipeline(NeuroLMTokenizer(output="codes"), pipe[-1])
    with pytest.raises(TypeError, match="must have output='tokens'; got 'codes'"):
        pipe_report(Pipeline([("t", codes[0].fit(epochs)), ("c", pipe[-1])]), epochs, y)
