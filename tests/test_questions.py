"""Several tasks asked about the same epochs."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from mne_neurolm import NeuroLMClassifier, NeuroLMTokenizer, Task, ask, get_task
from mne_neurolm.models.neurolm import NeuroLM

TASKS = ["tuab", "tuev", "seed", "hmc", "workload", "tusl"]
PLACES = Task("places", "Where?", {(0, 1): "left", (1, 0): "right"}, options="words")


def alone(model, X, task: str | Task, **kwargs) -> pd.DataFrame:
    """Return the probabilities of a zero-shot classifier that knows all labels of its task."""
    task = get_task(task)
    y = np.resize(np.arange(len(task.labels)), len(X))
    classifier = NeuroLMClassifier(
        Task(task.name, task.question, dict(enumerate(task.answers.values())), task.options),
        model,
        tune=None,
        dtype="float32",
        **kwargs,
    ).fit(X, y)
    labels = pd.Index([task.labels[i] for i in classifier.classes_], tupleize_cols=False)
    return pd.DataFrame(classifier.predict_proba(X), columns=labels)


@pytest.mark.parametrize("name", ["tiny", "tiny-joint"])
def test_the_same_as_a_classifier_per_task(name: str, epochs) -> None:
    tokens = NeuroLMTokenizer(name, dtype="float32").fit_transform(epochs)
    proba = ask(name, tokens, [*TASKS, PLACES], dtype="float32", batch_size=7)
    assert list(proba) == [*TASKS, "places"]
    for task in [*TASKS, PLACES]:
        task = get_task(task)
        table = proba[task.name]
        assert tuple(table.columns) == task.labels
        np.testing.assert_allclose(table.sum(axis=1), 1.0)
        pd.testing.assert_frame_equal(table, alone(name, tokens, task), rtol=0, atol=1e-5)


def test_columns_are_labels(small_model, tokens, labels) -> None:
    """Columns are in the task's order, those of a classifier sorted."""
    states = Task("states", "Is the subject at rest?", {"rest": "Yes", "active": "No"})
    proba = ask(small_model, tokens, states, dtype="float32")["states"]
    classifier = NeuroLMClassifier(states, small_model, tune=None, dtype="float32")
    classifier.fit(tokens, labels)
    assert proba.columns.tolist() == ["rest", "active"]
    np.testing.assert_allclose(
        proba[classifier.classes_], classifier.predict_proba(tokens), atol=1e-5
    )
    assert proba.idxmax(axis=1).tolist() == classifier.predict(tokens).tolist()


def test_kinds_of_eeg(small_model, epochs, tokens) -> None:
    expected = ask(small_model, tokens, ["hmc", "tuab"], dtype="float32")
    array = dict(ch_names=epochs.ch_names, sfreq=epochs.info["sfreq"], unit="V")
    for X, given in ((epochs, {}), ([epochs[:5], epochs[5:]], {}), (epochs.get_data(), array)):
        proba = ask(small_model, X, ["hmc", "tuab"], dtype="float32", **given)
        for name, table in proba.items():
            pd.testing.assert_frame_equal(table, expected[name], rtol=0, atol=1e-5)


def test_temperatures_that_the_model_has_kept(small_model, tokens) -> None:
    model = copy.deepcopy(small_model)
    model.config.temperatures = {"hmc": 3.0}
    proba = ask(model, tokens, ["hmc", "tuab"], dtype="float32")
    raw = ask(model, tokens, ["hmc", "tuab"], dtype="float32", calibration=None)
    pd.testing.assert_frame_equal(proba["tuab"], raw["tuab"])
    softer = raw["hmc"] ** (1 / 3)
    pd.testing.assert_frame_equal(proba["hmc"], softer.div(softer.sum(axis=1), axis=0))
    pd.testing.assert_frame_equal(proba["hmc"], alone(model, tokens, "hmc")[list(proba["hmc"])])


def test_no_epochs(small_model, tokens) -> None:
    proba = ask(small_model, tokens[:0], ["tuab", "hmc"])
    assert [table.shape for table in proba.values()] == [(0, 2), (0, 5)]


def test_asking_is_evaluation(small_model, tokens) -> None:
    model: NeuroLM = copy.deepcopy(small_model).train()
    ask(model, tokens, "tuab")
    assert not model.training


def test_what_is_refused(small_model, tokens) -> None:
    for tasks in ([], ["tuab", get_task("tuab").phrased(1)]):
        with pytest.raises(ValueError, match="one or more, of different names; got "):
            ask(small_model, tokens, tasks)
    with pytest.raises(ValueError, match="Unknown task 'sleep'"):
        ask(small_model, tokens, ["tuab", "sleep"])
    with pytest.raises(ValueError, match="calibration must be one of"):
        ask(small_model, tokens, "tuab", calibration="temperature")
    with pytest.raises(ValueError, match="batch_size must be at least 1; got 0"):
        ask(small_model, tokens, "tuab", batch_size=0)
    with pytest.raises(ValueError, match="come from another encoder"):
        ask("tiny", replace(tokens, hidden=np.zeros((24, 76, 192), np.float32)), "tuab")
    long = Task("long", "Why? " * 500, {0: "so", 1: "thus"})
    with pytest.raises(ValueError, match=r"^Task 'long': .* positions"):
        ask(small_model, tokens, ["tuab", long])


def test_wordings_of_a_task(small_model, tokens) -> None:
    task = get_task("workload")
    asked = [replace(task.phrased(i), name=f"wording {i}") for i in range(4)]
    proba = ask(small_model, tokens, asked, dtype="float32")
    assert list(proba) == [f"wording {i}" for i in range(4)]
    expected = ask(small_model, tokens, task, dtype="float32")["workload"]
    pd.testing.assert_frame_equal(proba["wording 0"], expected, rtol=0, atol=1e-5)
