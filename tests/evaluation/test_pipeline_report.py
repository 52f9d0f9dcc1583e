"""The report of a fitted pipeline on test epochs."""

from __future__ import annotations

import html
import re
from collections import defaultdict
from importlib.metadata import version
from types import SimpleNamespace

import matplotlib
import matplotlib.pyplot as plt
import mne
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import LabelEncoder

from mne_neurolm import NeuroLMClassifier, NeuroLMTokenizer, Task, viz
from mne_neurolm.datasets import simulate_epochs
from mne_neurolm.evaluation import (
    METRICS,
    band_power_classifier,
    expected_calibration_error,
    pipe_report,
    score_predictions,
    subject_bootstrap,
)
from mne_neurolm.evaluation.intervals import Unit
from mne_neurolm.explain import answer_attribution

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


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[tuple[tuple, dict]]]:
    """Return what each figure was given."""
    calls: dict[str, list[tuple[tuple, dict]]] = defaultdict(list)

    def noting(name: str, plot):
        def note(*arguments, **others):
            calls[name].append((arguments, others))
            return plot(*arguments, **others)

        return note

    for name in viz.__all__:
        monkeypatch.setattr(viz, name, noting(name, getattr(viz, name)))
    return calls


def test_everything_is_there(pipe, epochs, y, tmp_path, drawn) -> None:
    """With channels in another order, and what is shown is what was predicted."""
    turned = epochs.copy().reorder_channels(["O1", "Pz", "Fz", "Cz"])
    people = epochs.metadata["subject"].to_numpy()
    report = pipe_report(pipe, turned, y, groups=people, n_explained=2, title="Mine")
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
    proba = pipe.predict_proba(epochs)
    truth = (y == "rest").astype(int)  # positions in classes_
    scores = score_predictions(y, proba, pipe.classes_)
    intervals = subject_bootstrap([Unit(truth, [proba], people)])
    for metric in METRICS:
        ends = intervals[metric]
        row = f"{metric.replace('_', ' ')} {scores[metric]:.3f} {ends.low:.3f} to {ends.high:.3f}"
        assert row in text
    assert f"expected calibration error {expected_calibration_error(truth, proba):.3f}" in text
    assert "12 test epochs of 3 subjects: 6 active, 6 rest. Chance is 0.500" in text
    assert "Rest <or> not?" in text and "active = Yes, rest = No" in text
    assert "4 channels x 4 s" in text and f"torch {version('torch')}" in text
    report.save(tmp_path / "report.html", open_browser=False, verbose="error")

    ((own, predicted, numbers), named) = drawn["plot_confusion"][0]
    assert own.tolist() == truth.tolist() and predicted.tolist() == proba.argmax(1).tolist()
    assert numbers == [0, 1] and named["names"] == ["active", "rest"]
    np.testing.assert_allclose(drawn["plot_calibration"][0][0][1], proba, atol=1e-5)
    table = drawn["plot_subject_scores"][0][0][0].set_index("subject")["balanced_accuracy"]
    for subject in np.unique(people):
        of_them = people == subject
        known = score_predictions(y[of_them], proba[of_them], pipe.classes_)
        assert table[str(subject)] == pytest.approx(known["balanced_accuracy"])
    shown = [y[arguments[1]] for arguments, _ in drawn["plot_codes"]]
    assert shown == ["active", "rest"]
    (of_codes, of_patches, size), others = drawn["plot_codebook"][0]
    assert size == 1024 and of_patches.ch_names == of_codes.ch_names and others["info"]
    (original, decoded, names), _ = drawn["plot_reconstruction"][0]
    expected = epochs[0].get_data(picks=names)[0]
    assert np.corrcoef(original.ravel(), expected.ravel())[0, 1] > 0.999
    tokens = pipe[0].transform(epochs)
    np.testing.assert_allclose(decoded, pipe[0].inverse_transform(tokens[0])[0], atol=1e-3)
    groups = drawn["plot_embedding"][0][0][0]
    np.testing.assert_allclose(groups["rest"], tokens.hidden[y == "rest"].mean(1), atol=1e-3)
    assert drawn["plot_attention"][0][0][1] and drawn["plot_attribution"][0][0][1]
    attribution = drawn["plot_attribution"][0][0][0]
    rows = np.sort(np.random.default_rng(0).choice(12, 2, replace=False))
    again = answer_attribution(pipe[1], tokens[rows], reference=tokens)
    np.testing.assert_allclose(attribution.values, again.values, atol=1e-3)


@pytest.mark.filterwarnings("ignore:1 of 4 epochs have flat channels:RuntimeWarning")
def test_a_flat_epoch_and_one_subject(pipe, epochs, y) -> None:
    """What can't be shown of an epoch is shown of another one."""
    flat = epochs.copy()[:4]
    flat._data[0] = 0
    report = pipe_report(pipe, flat, y[:4], groups=["s"] * 4, n_explained=0)
    assert "Reconstruction" in [element.name for element in report._content]
    text = text_of(report)
    assert "4 test epochs of 1 subject:" in text and "Intervals are" not in text


def test_temperature_and_all_settings_are_told(epochs, y) -> None:
    settings = {"dtype": "float32", "device": "cpu"}
    classifier = NeuroLMClassifier(
        TASK, "tiny-joint", tune=None, calibration="temperature", **settings
    )
    calibrated = make_pipeline(NeuroLMTokenizer(**settings), classifier).fit(epochs, y)
    assert classifier.temperature_ != 1
    text = text_of(pipe_report(calibrated, epochs, y, n_explained=0))
    assert f"temperature {classifier.temperature_:.3g} " in text
    assert all(f"{name}=" in text for name in classifier.get_params(deep=False))


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
    with pytest.raises(ValueError, match=r"one subject for each of 12 epochs; got shape \(3,\)"):
        pipe_report(pipe, epochs, y, groups=[1, 2, 3])
    with pytest.raises(ValueError, match=r"got shape \(12,\) with missing entries"):
        pipe_report(pipe, epochs, y, groups=[1.0, np.nan] * 6)
    with pytest.raises(ValueError, match=r"one subject for each of 12 epochs; got shape \(\)"):
        pipe_report(pipe, epochs, y, groups=1)
    with pytest.raises(ValueError, match=r"for each of 12 epochs; got shape \(\)"):
        pipe_report(pipe, epochs, 1)
    with pytest.raises(ValueError, match="n_explained must be 0 .none. or more; got -1"):
        pipe_report(pipe, epochs, y, n_explained=-1)
    codes = make_pipeline(NeuroLMTokenizer(output="codes"), pipe[-1])
    with pytest.raises(TypeError, match="output='tokens', and set_output.*got ndarray"):
        pipe_report(Pipeline([("t", codes[0].fit(epochs)), ("c", pipe[-1])]), epochs, y)


def test_baselines_stand_beside(pipe, epochs, y, drawn) -> None:
    people = epochs.metadata["subject"].to_numpy()
    simple = band_power_classifier().fit(epochs, y)
    numbers = LabelEncoder().fit(y)
    given = {"groups": people, "n_explained": 0}
    report = pipe_report(pipe, epochs, y, baselines={"power": simple}, **given)
    probas = pipe.predict_proba(epochs), simple.predict_proba(epochs)
    own, other = (score_predictions(y, proba, pipe.classes_) for proba in probas)
    text = text_of(report)
    assert "metric score 95% interval power" in text and "Nothing stands beside" not in text
    found = re.search(r"balanced accuracy (\S+) \S+ to \S+ (\S+)", text)
    assert found[1] == f"{own['balanced_accuracy']:.3f}"
    assert found[2] == f"{other['balanced_accuracy']:.3f}"
    table = drawn["plot_subject_scores"][0][0][0]
    assert table["title"].unique().tolist() == ["pipeline", "power"] and len(table) == 6
    beside = table[table["title"] == "power"].set_index("subject")["balanced_accuracy"]
    for person in np.unique(people):
        of_them = people == person
        known = score_predictions(y[of_them], probas[1][of_them], pipe.classes_)
        assert beside[str(person)] == pytest.approx(known["balanced_accuracy"])
    truth = (y == "rest").astype(int)
    ends = subject_bootstrap([Unit(truth, [probas[0]], people)])["balanced_accuracy"]
    errors = [expected_calibration_error(truth, proba) for proba in probas]
    assert f"{own['balanced_accuracy']:.3f} {ends.low:.3f} to {ends.high:.3f}" in text
    assert f"expected calibration error {errors[0]:.3f} – {errors[1]:.3f}" in text

    turned = SimpleNamespace(
        classes_=simple.classes_[::-1], predict_proba=lambda X: simple.predict_proba(X)[:, ::-1]
    )
    again = text_of(pipe_report(pipe, epochs, y, baselines={"power": turned}, **given))
    assert f"expected calibration error {errors[0]:.3f} – {errors[1]:.3f}" in again
    assert re.search(r"balanced accuracy \S+ \S+ to \S+ (\S+)", again)[1] == found[2]
    few = SimpleNamespace(classes_=simple.classes_, predict_proba=lambda X: probas[1][:2])
    three = SimpleNamespace(classes_=["active", "rest", "x"], predict_proba=None)
    for name, wrong, why in (
        ("pipeline", simple, "is what the pipeline is called"),
        ("unfitted", band_power_classifier(), "'unfitted' must be a fitted classifier"),
        ("few", few, r"'few' gives probabilities of shape \(2, 2\)"),
        ("three", three, "'three' was fitted on the classes"),
    ):
        with pytest.raises(ValueError, match=why):
            pipe_report(pipe, epochs, y, baselines={name: wrong}, **given)
    with pytest.raises(ValueError, match=r"'power' was fitted on the classes \[0, 1\]"):
        wrong = band_power_classifier().fit(epochs, numbers.transform(y))
        pipe_report(pipe, epochs, y, baselines={"power": wrong}, n_explained=0)
    assert "Nothing stands beside these scores" in text_of(
        pipe_report(pipe, epochs, y, n_explained=0)
    )


def test_many_channels_without_places(drawn) -> None:
    """Not all of them have a row, and the captions say so, and why there are no maps."""
    names = mne.channels.make_standard_montage("biosemi64").ch_names[:30]
    made = simulate_epochs(1, 4, duration=1.0, ch_names=names, random_state=0)
    made.set_montage(None)
    y = made.metadata["state"].to_numpy(dtype=str)
    classifier = NeuroLMClassifier(TASK, "tiny-joint", tune=None)
    pipe = make_pipeline(NeuroLMTokenizer(), classifier).fit(made, y)
    text = text_of(pipe_report(pipe, made, y, groups=["ann"] * 4, n_explained=2))
    assert text.count("Shown are 24 of 30 channels.") == 3
    assert text.count("Bars for want of electrode positions") == 2
    assert "no map for want of electrode positions" in text
    (_, row), given = drawn["plot_codes"][0]
    assert len(given["picks"]) == 24 and given["picks"][-1] == names[-1]
    assert given["title"].startswith(f"Epoch {row}, active, subject ann\n")
    shown = drawn["plot_attribution"][0][1]["labels"]
    assert shown == [label for label in pipe.classes_ if label in shown]
