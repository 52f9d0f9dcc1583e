"""The classifier in scikit-learn's company: pickles, clones, searches, other processes."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from sklearn import config_context
from sklearn.base import clone, is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from mne_neurolm import NeuroLMClassifier, NeuroLMTokenizer, Task

STATES = Task("states", "Is the subject at rest?", {"rest": "Yes", "active": "No"})
QUICK = dict(dtype="float32", max_epochs=2, batch_size=8, lr=5e-3, random_state=0)


def _classifier(model, task=STATES, **kwargs) -> NeuroLMClassifier:
    return NeuroLMClassifier(task, model, **{**QUICK, **kwargs})


def _pipe(model, **kwargs) -> Pipeline:
    return make_pipeline(NeuroLMTokenizer(model, dtype="float32"), _classifier(model, **kwargs))


# --- pickle and clone ----------------------------------------------------------------------------


@pytest.mark.parametrize("tune", ["full", "lora", "head", None])
def test_pickle(small_model, tokens, labels, tune):
    classifier = _classifier(small_model, tune=tune, optimizer__betas=(0.5, 0.9))
    classifier.fit(tokens, labels)
    restored = pickle.loads(pickle.dumps(classifier))
    np.testing.assert_array_equal(restored.predict_proba(tokens), classifier.predict_proba(tokens))
    assert restored.classes_.tolist() == classifier.classes_.tolist()
    assert restored.get_params()["optimizer__betas"] == (0.5, 0.9)
    assert restored.net_.history == classifier.net_.history
    assert restored.answer(tokens[:2]) == classifier.answer(tokens[:2])
    twice = pickle.loads(pickle.dumps(restored))
    np.testing.assert_array_equal(twice.predict_proba(tokens), classifier.predict_proba(tokens))


def test_pickle_of_a_random_generator(small_model, tokens, labels):
    """Loading must not draw from the generator, and must not move the global one."""
    classifier = _classifier(small_model, random_state=np.random.RandomState(0))
    classifier.fit(tokens, labels)
    data, state = pickle.dumps(classifier), torch.get_rng_state()
    restored = pickle.loads(data)
    assert torch.equal(torch.get_rng_state(), state)
    assert restored.random_state.randint(1000) == classifier.random_state.randint(1000)


@pytest.mark.parametrize(("tune", "limit"), [(None, 0.02), ("lora", 0.5), ("head", 4.0)])
def test_pickle_of_a_named_model_holds_what_was_tuned(epochs, labels, tune, limit):
    classifier = _classifier("tiny", tune=tune, max_epochs=1).fit(epochs, labels)
    data = pickle.dumps(classifier)
    assert len(data) < limit * 1e6
    restored = pickle.loads(data)
    np.testing.assert_array_equal(restored.predict_proba(epochs), classifier.predict_proba(epochs))


def test_pickle_of_an_unfitted_classifier(small_model, tokens, labels):
    restored = pickle.loads(pickle.dumps(_classifier(small_model)))
    with pytest.raises(NotFittedError):
        restored.predict(tokens)
    expected = _classifier(small_model).fit(tokens, labels).predict_proba(tokens)
    np.testing.assert_array_equal(restored.fit(tokens, labels).predict_proba(tokens), expected)


def test_clone(small_model, tokens, labels):
    classifier = _classifier(small_model).fit(tokens, labels)
    copied = clone(classifier)
    with pytest.raises(NotFittedError):
        copied.predict(tokens)
    np.testing.assert_array_equal(
        copied.fit(tokens, labels).predict_proba(tokens), classifier.predict_proba(tokens)
    )
    assert is_classifier(classifier)


def test_the_representation_names_model_and_revision():
    assert repr(NeuroLMClassifier("workload")).startswith(
        "NeuroLMClassifier(model='tiny', revision=None, task='workload') [weights "
    )
    pipe = make_pipeline(NeuroLMTokenizer(), NeuroLMClassifier("workload", revision="v2"))
    text = " ".join(repr(pipe).split())
    assert "NeuroLMTokenizer(model='tiny', revision=None)" in text
    assert "NeuroLMClassifier(model='tiny', revision='v2', task='workload')" in text


# --- in scikit-learn -----------------------------------------------------------------------------


def test_cross_validation_by_subject(small_model, epochs, labels, subjects):
    scores = cross_val_score(
        _pipe(small_model, max_epochs=1), epochs, labels, groups=subjects, cv=GroupKFold(2),
        error_score="raise",
    )  # fmt: skip
    assert scores.shape == (2,) and np.isfinite(scores).all()


def test_cross_validation_of_tokens(small_model, tokens, epochs, labels, subjects):
    """Tokenized once or in every fold: the tokenizer is frozen, so the scores are the same."""
    cv = list(GroupKFold(2).split(labels, groups=subjects))
    scoring = "neg_log_loss"
    once = cross_val_score(_classifier(small_model), tokens, labels, cv=cv, scoring=scoring)
    each = cross_val_score(_pipe(small_model), epochs, labels, cv=cv, scoring=scoring)
    np.testing.assert_allclose(once, each, atol=1e-4)


def test_grid_search(small_model, epochs, labels, subjects):
    grid = {"neurolmclassifier__lr": [1e-9, 5e-3], "neurolmtokenizer__batch_size": [8]}
    search = GridSearchCV(
        _pipe(small_model, max_epochs=8, average=0.0),
        grid,
        cv=GroupKFold(2),
        scoring="neg_log_loss",
        error_score="raise",
    )
    search.fit(epochs, labels, groups=subjects)
    unlike = np.ptp(search.cv_results_["mean_test_score"])
    assert unlike > 1e-3  # the rate reached the net
    assert search.best_params_["neurolmclassifier__lr"] in grid["neurolmclassifier__lr"]
    assert search.best_estimator_.predict(epochs).shape == (24,)


def test_metadata_routing(small_model, epochs, labels, subjects):
    with config_context(enable_metadata_routing=True):
        scores = cross_val_score(
            _pipe(small_model, max_epochs=1), epochs, labels, cv=GroupKFold(2),
            params={"groups": subjects}, error_score="raise",
        )  # fmt: skip
        search = GridSearchCV(
            _pipe(small_model, max_epochs=1),
            {"neurolmclassifier__tune": ["head", None]},
            cv=GroupKFold(2),
            error_score="raise",
        ).fit(epochs, labels, groups=subjects)
    assert np.isfinite(scores).all()
    assert search.predict_proba(epochs).shape == (24, 2)


def test_linear_probe(small_model, epochs, labels, subjects):
    probe = make_pipeline(
        NeuroLMTokenizer(small_model), StandardScaler(), LogisticRegression(max_iter=1000)
    )
    scores = cross_val_score(
        probe, epochs, labels, groups=subjects, cv=GroupKFold(2), error_score="raise"
    )
    assert np.isfinite(scores).all()
    names = probe.fit(epochs, labels)[:-1].get_feature_names_out()
    assert names[0] == "Fp1_mean_000" and len(names) == probe[-1].coef_.shape[1]


def test_in_other_processes(small_model, tokens, labels, subjects):
    """With n_jobs, estimators and tokens travel by pickle."""
    cv = list(GroupKFold(2).split(labels, groups=subjects))
    classifier = _classifier(small_model, max_epochs=1)
    scoring = dict(cv=cv, scoring="neg_log_loss", error_score="raise")
    here = cross_val_score(classifier, tokens, labels, **scoring)
    there = cross_val_score(classifier, tokens, labels, n_jobs=2, **scoring)
    np.testing.assert_allclose(there, here, atol=1e-5)


def test_processes_share_the_cores():
    """With n_jobs each process has its part of the cores, so none waits for another."""
    script = (
        "import joblib, torch\n"
        "found = joblib.Parallel(n_jobs=2)(joblib.delayed(torch.get_num_threads)() for _ in '12')\n"
        "print(sum(found), joblib.cpu_count())"
    )
    free = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    done = subprocess.run(
        [sys.executable, "-c", script], env=free, check=True, capture_output=True, text=True
    )
    n_threads, n_cores = map(int, done.stdout.split())
    assert n_threads <= max(n_cores, 2)
