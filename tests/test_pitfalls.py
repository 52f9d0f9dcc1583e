"""Mistakes that could go unnoticed: swapped classes, shifted columns, exchanged weights."""

from __future__ import annotations

import copy
import pickle

import mne
import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline

from mne_neurolm import NeuroLMClassifier, NeuroLMTokenizer, Task, get_task

STATES = Task("states", "Is the subject at rest?", {"rest": "Yes", "active": "No"})
QUICK = dict(dtype="float32", max_epochs=2, batch_size=8, lr=5e-3, random_state=0)


# --- swapped classes -----------------------------------------------------------------------------


def test_encoded_labels_are_warned_about(small_model, tokens, labels) -> None:
    """scikit-learn sorts before it numbers, and then 0 is not the first answer."""
    classifier = NeuroLMClassifier(STATES, small_model, tune=None)
    with pytest.warns(RuntimeWarning, match=r"read as \{0: 'rest', 1: 'active'\}"):
        cross_val_predict(classifier, tokens, labels, cv=2, method="predict_proba")


@pytest.mark.parametrize("name", ["tuab", "workload", "tusl"])
def test_encoding_keeps_the_order_of_most_tasks(name: str) -> None:
    names = list(get_task(name).labels)
    assert names == sorted(names)


def test_encoded_labels_of_a_sorted_task_are_right(small_model, tokens, labels) -> None:
    task = Task("states", "Is the subject at rest?", {"active": "No", "rest": "Yes"})
    classifier = NeuroLMClassifier(task, small_model, tune=None)
    predicted = cross_val_predict(classifier, tokens, labels, cv=2, method="predict_proba")
    direct = classifier.fit(tokens, labels).predict_proba(tokens)
    np.testing.assert_allclose(predicted, direct, atol=1e-6)


@pytest.mark.parametrize("kind", [int, np.int64, float, np.float64])
def test_numbers_as_labels_are_never_positions(kind: type) -> None:
    task = Task("t", "Which?", {kind(1): "left", kind(2): "right", kind(3): "foot"})
    np.testing.assert_array_equal(task.label_indices([1, 2, 3]), [0, 1, 2])
    with pytest.raises(ValueError, match=r"\[0\] do not belong"):
        task.label_indices([0, 1, 2])


# --- shifted columns -----------------------------------------------------------------------------


def test_channels_in_another_order(small_model, epochs, labels) -> None:
    probe = make_pipeline(
        NeuroLMTokenizer(small_model, dtype="float32"), LogisticRegression(max_iter=1000)
    ).fit(epochs, labels)
    turned = epochs.copy().reorder_channels(epochs.ch_names[::-1])
    np.testing.assert_allclose(probe.predict_proba(turned), probe.predict_proba(epochs), atol=1e-4)
    codes = NeuroLMTokenizer(small_model, output="codes", dtype="float32").fit(epochs)
    assert (codes.transform(turned) == codes.transform(epochs)).mean() > 0.999


def test_features_of_other_channels_are_refused(small_model, epochs, labels) -> None:
    first, last = epochs.copy(), epochs.copy()
    first.info["bads"], last.info["bads"] = [epochs.ch_names[0]], [epochs.ch_names[-1]]
    probe = make_pipeline(NeuroLMTokenizer(small_model), LogisticRegression()).fit(first, labels)
    with pytest.raises(ValueError, match="wrong columns"):
        probe.predict(last)
    with pytest.raises(ValueError, match="Fit on this montage"):
        NeuroLMTokenizer(small_model, output="codes").fit(first).transform(last)
    # The language model knows which channel a token is from, so it may read them.
    tuned = make_pipeline(
        NeuroLMTokenizer(small_model), NeuroLMClassifier(STATES, small_model, tune=None)
    ).fit(first, labels)
    assert tuned.predict(last).shape == labels.shape


# --- other weights -------------------------------------------------------------------------------


@pytest.mark.parametrize("tune", ["head", None])
def test_a_pickle_refuses_another_base_model(small_model, tokens, labels, tmp_path, tune) -> None:
    small_model.save_pretrained(tmp_path)
    classifier = NeuroLMClassifier(STATES, tmp_path, tune=tune, **QUICK).fit(tokens, labels)
    stored = pickle.dumps(classifier)
    np.testing.assert_allclose(
        pickle.loads(stored).predict_proba(tokens), classifier.predict_proba(tokens), atol=1e-6
    )
    other = copy.deepcopy(small_model)
    torch.nn.init.normal_(other.backbone.wte.weight)
    other.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="tuned from another model"):
        pickle.loads(stored)


def test_a_tokenizer_refuses_another_tiny(epochs) -> None:
    """A later release may bring another model of the same name."""
    state = NeuroLMTokenizer().fit(epochs).__getstate__()
    NeuroLMTokenizer().__setstate__(dict(state))
    with pytest.raises(ValueError, match="fitted with another model"):
        NeuroLMTokenizer().__setstate__({**state, "_encoder_id": "0" * 16})


def test_a_pickle_is_as_of_fit(small_model, tokens, labels) -> None:
    classifier = NeuroLMClassifier(STATES, small_model, tune="full", **QUICK).fit(tokens, labels)
    expected = classifier.predict_proba(tokens)
    classifier.set_params(tune=None)
    loaded = pickle.loads(pickle.dumps(classifier))
    np.testing.assert_allclose(loaded.predict_proba(tokens), expected, atol=1e-6)
    assert loaded.tune is None


# --- fits that fail ------------------------------------------------------------------------------


def test_a_failed_fit_leaves_nothing_behind(small_model, tokens, epochs, labels) -> None:
    classifier = NeuroLMClassifier(STATES, small_model, **QUICK)
    broken = epochs.copy()
    broken._data[:, 0] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        classifier.fit(broken, labels)
    assert not hasattr(classifier, "net_") and not hasattr(classifier, "classes_")
    before = classifier.fit(tokens, labels).predict_proba(tokens)
    with pytest.raises(ValueError, match="NaN"):
        classifier.fit(broken, labels)
    np.testing.assert_array_equal(classifier.predict_proba(tokens), before)


def test_training_that_diverges_says_so(small_model, tokens, labels) -> None:
    classifier = NeuroLMClassifier(STATES, small_model, **{**QUICK, "lr": 1e30, "max_epochs": 5})
    with pytest.raises(FloatingPointError, match=r"lower lr=1e\+30"):
        classifier.fit(tokens, labels)


def test_an_interrupt_is_not_the_end_of_training(small_model, tokens, labels) -> None:
    class Interrupted(torch.optim.SGD):
        def step(self, closure=None):
            raise KeyboardInterrupt

    classifier = NeuroLMClassifier(STATES, small_model, optimizer=Interrupted, **QUICK)
    with pytest.raises(KeyboardInterrupt):
        classifier.fit(tokens, labels)


@pytest.mark.parametrize(
    ("parameter", "value"), [("warmup", 1.0), ("warmup", -0.1), ("grad_clip", -1.0)]
)
def test_parameters_out_of_range(small_model, tokens, labels, parameter, value) -> None:
    classifier = NeuroLMClassifier(STATES, small_model, **{**QUICK, parameter: value})
    with pytest.raises(ValueError, match=parameter):
        classifier.fit(tokens, labels)


# --- state ---------------------------------------------------------------------------------------


def test_a_fitted_model_is_in_evaluation_mode(small_model, tokens, labels, epochs) -> None:
    """In training mode the codebook would move with everything that is tokenized."""
    classifier = NeuroLMClassifier(STATES, small_model, **QUICK).fit(tokens, labels)
    assert not any(module.training for module in classifier.model_.modules())
    before = classifier.model_.encoder_id()
    classifier.predict(epochs)
    assert classifier.model_.encoder_id() == before


def test_predicting_draws_no_random_numbers(small_model, tokens, labels) -> None:
    classifier = NeuroLMClassifier(STATES, small_model, **QUICK).fit(tokens, labels)
    state = torch.random.get_rng_state()
    classifier.predict(tokens)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_no_epochs_no_predictions(small_model, tokens, labels) -> None:
    classifier = NeuroLMClassifier(STATES, small_model, tune=None).fit(tokens, labels)
    nothing = tokens[np.zeros(0, dtype=int)]
    assert classifier.predict(nothing).shape == (0,)
    assert classifier.predict_proba(nothing).shape == (0, 2)


def test_read_only_tokens(small_model, tokens, labels) -> None:
    """joblib hands out memory maps."""
    locked = copy.deepcopy(tokens)
    locked.hidden.flags.writeable = False
    classifier = NeuroLMClassifier(STATES, small_model, **QUICK).fit(locked, labels)
    assert classifier.predict(locked).shape == labels.shape


# --- loud channels -------------------------------------------------------------------------------


def test_one_loud_channel_is_warned_about(small_model, epochs) -> None:
    loud = epochs.copy()
    loud._data[:, 3] *= 1000
    assert isinstance(loud, mne.BaseEpochs)
    with pytest.warns(RuntimeWarning, match=rf"changes the codes of all.*{epochs.ch_names[3]}"):
        NeuroLMTokenizer(small_model).fit(loud)
