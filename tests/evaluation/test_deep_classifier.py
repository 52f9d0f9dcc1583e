"""The deep baselines as classifiers."""

from __future__ import annotations

import copy
import dataclasses
import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone, is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GroupKFold, cross_val_score
from torch import nn

from mne_neurolm.evaluation.deep import DEEP, DeepClassifier, DeepModel
from mne_neurolm.evaluation.deep.training import validation_part


def _linear(n_chans: int, n_times: int, n_outputs: int, sfreq: float) -> nn.Module:
    return nn.Sequential(
        nn.Flatten(), nn.Linear(n_chans * n_times, n_outputs), nn.BatchNorm1d(n_outputs)
    )


#: A row of one's own, fast enough for all that does not depend on the network.
LINEAR = DeepModel(
    title="Linear", reference="none", build=_linear, library=None, resamples=True,
    scaling="percentile", shortest=0.5, lr=1e-2, weight_decay=0.0, batch_size=8, max_epochs=1,
    source="this test",
)  # fmt: skip


def _easy(n: int, seed: int, *, sfreq: float = 200.0) -> tuple[np.ndarray, np.ndarray]:
    """Return windows of 1 s, of which class "b" has a strong 10 Hz rhythm on half of 6 channels."""
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(n) % 2)
    times = np.arange(round(sfreq)) / sfreq
    phase = rng.uniform(0, 2 * np.pi, (n, 1))
    data = 1e-5 * rng.standard_normal((n, 6, len(times)))
    data[:, :3] += 3e-5 * (y[:, None] * np.sin(2 * np.pi * 10 * times + phase))[:, None]
    return data, np.array(["a", "b"])[y]


# --- the nine -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "max_epochs"), [("st-transformer", 5), ("eegnet", 10), ("shallow", 5)]
)
def test_learns(model, max_epochs):
    X, y = _easy(80, 0)
    X_test, y_test = _easy(60, 1)
    net = DeepClassifier(
        model, sfreq=200.0, max_epochs=max_epochs, batch_size=8, lr=2e-3, random_state=0
    ).fit(X, y)
    assert net.score(X_test, y_test) > 0.8
    assert net.history_[-1]["train_loss"] < 0.7 * net.history_[0]["train_loss"]


@pytest.mark.parametrize("model", DEEP)
def test_fits_and_pickles(model):
    X, y = _easy(5, 0, sfreq=160.0)
    net = DeepClassifier(model, sfreq=160.0, max_epochs=1, batch_size=4, random_state=0).fit(X, y)
    proba = net.predict_proba(X)
    assert proba.shape == (5, 2)
    np.testing.assert_allclose(proba.sum(axis=1), 1)
    restored = pickle.loads(pickle.dumps(net))
    np.testing.assert_array_equal(restored.predict_proba(X), proba)
    assert restored.predict(X).tolist() == net.predict(X).tolist()


@pytest.mark.parametrize("model", ["ffcl", "biot", "shallow"])
def test_random_state(model):
    """The same seed gives the same network, another seed another; torch's generator is left."""
    X, y = _easy(6, 0)
    before = torch.get_rng_state()
    first, second, third = (
        DeepClassifier(model, sfreq=200.0, max_epochs=1, random_state=seed).fit(X, y)
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first.predict_proba(X), second.predict_proba(X))
    assert not np.allclose(first.predict_proba(X), third.predict_proba(X), atol=1e-6)
    assert torch.equal(torch.get_rng_state(), before)


# --- data -----------------------------------------------------------------------------------------


def test_epochs_lists_and_arrays_are_alike(epochs, labels):
    reference = DeepClassifier(LINEAR, max_epochs=2, random_state=0).fit(epochs, labels)
    proba = reference.predict_proba(epochs)
    assert reference.classes_.tolist() == ["active", "rest"]
    assert reference.ch_names_ == epochs.ch_names and reference.n_times_ == 800
    pieces = [epochs[k : k + 1] for k in range(len(epochs))]
    listed = DeepClassifier(LINEAR, max_epochs=2, random_state=0).fit(pieces, labels)
    np.testing.assert_array_equal(listed.predict_proba(pieces), proba)
    array = epochs.get_data(copy=False)
    arrayed = DeepClassifier(LINEAR, sfreq=200.0, max_epochs=2, random_state=0).fit(array, labels)
    np.testing.assert_array_equal(arrayed.predict_proba(array), proba)


def test_cross_validation_of_epochs(epochs, labels, subjects):
    scores = cross_val_score(
        DeepClassifier(LINEAR, max_epochs=1), epochs, labels, groups=subjects, cv=GroupKFold(2),
        error_score="raise",
    )  # fmt: skip
    assert scores.shape == (2,) and np.isfinite(scores).all()


def test_labels_of_three_kinds():
    X, _ = _easy(12, 0)
    y = np.arange(12) % 3 * 5
    net = DeepClassifier(LINEAR, sfreq=200.0, max_epochs=60, random_state=0).fit(X, y)
    assert net.classes_.tolist() == [0, 5, 10]
    assert net.predict(X).tolist() == y.tolist()  # learned by heart


def test_a_window_left_over_does_not_stop_batch_normalisation():
    X, y = _easy(9, 0)
    net = DeepClassifier(LINEAR, sfreq=200.0, batch_size=8, random_state=0).fit(X, y)
    assert np.isfinite(net.predict_proba(X)).all()


# --- training -------------------------------------------------------------------------------------


def test_class_balance():
    X, _ = _easy(40, 0)  # nothing to learn: labels are of no relation to the windows
    y = np.array(["rare"] * 4 + ["usual"] * 36)
    fitted = [
        DeepClassifier(LINEAR, sfreq=200.0, max_epochs=30, class_balanced=b, random_state=0)
        for b in (False, True)
    ]
    plain, balanced = (net.fit(X, y).history_[0]["train_loss"] for net in fitted)
    assert plain != balanced
    more = np.subtract(*(net.predict_proba(X)[:, 0].mean() for net in fitted[::-1]))
    assert more > 0


def test_early_stopping_keeps_the_best_epoch():
    X, y = _easy(60, 0)
    noise = np.random.default_rng(1).permutation(y)  # what is learned cannot hold elsewhere
    net = DeepClassifier(
        LINEAR, sfreq=200.0, max_epochs=40, validation_fraction=0.25, patience=3, random_state=3
    ).fit(X, noise)
    losses = [record["valid_loss"] for record in net.history_]
    best = int(np.argmin(losses))
    assert len(losses) == best + 1 + 3 < 40
    stopped = copy.deepcopy(net)
    shorter = DeepClassifier(
        LINEAR, sfreq=200.0, max_epochs=40, validation_fraction=0.25, patience=1000, random_state=3
    )
    shorter.fit(X, noise)
    assert [r["valid_loss"] for r in shorter.history_[: len(losses)]] == losses
    assert np.argmin([r["valid_loss"] for r in shorter.history_]) >= best
    if np.argmin([r["valid_loss"] for r in shorter.history_]) == best:
        np.testing.assert_array_equal(stopped.predict_proba(X), shorter.predict_proba(X))


def test_the_validation_part_consists_of_whole_groups():
    groups = np.repeat(np.arange(10), 6)
    y = np.tile([0, 1], 30)
    rows = validation_part(y, groups, 0.2, seed=0)
    assert len(rows) == 12 and len(np.unique(groups[rows])) == 2
    assert sorted(set(y[rows])) == [0, 1]
    assert not np.array_equal(rows, validation_part(y, groups, 0.2, seed=1))


def test_the_validation_part_without_groups_keeps_proportions():
    y = np.repeat([0, 1], [45, 15])
    rows = validation_part(y, None, 0.2, seed=0)
    assert np.bincount(y[rows]).tolist() == [9, 3]


def test_groups_reach_the_validation_part(epochs, labels, subjects, monkeypatch):
    from mne_neurolm.evaluation.deep import classifier

    seen = {}
    train = classifier.train

    def spy(*args, **kwargs):
        seen.update(kwargs)
        return train(*args, **kwargs)

    monkeypatch.setattr(classifier, "train", spy)
    DeepClassifier(LINEAR, validation_fraction=0.25, random_state=0).fit(epochs, labels, subjects)
    rows = seen["validation"]
    assert len(rows) == 6 and len(set(subjects[rows])) == 1


def test_few_windows_are_seen_as_often_as_many():
    assert [DEEP["eegnet"].epochs_for(n) for n in (14500, 1450, 725)] == [
        DEEP["eegnet"].max_epochs * k for k in (1, 1, 2)
    ]
    X, y = _easy(29, 0)
    row = dataclasses.replace(LINEAR, max_epochs=1)
    assert len(DeepClassifier(row, sfreq=200.0).fit(X, y).history_) == 50
    assert len(DeepClassifier(row, sfreq=200.0, max_epochs=2).fit(X, y).history_) == 2


# --- estimator ------------------------------------------------------------------------------------


def test_clone_and_parameters():
    net = DeepClassifier("ffcl", lr=1e-4, max_epochs=2, random_state=3)
    assert clone(net).get_params() == net.get_params()
    assert is_classifier(net)
    assert repr(DeepClassifier()) == "DeepClassifier(model='eegnet')"
    with pytest.raises(NotFittedError):
        net.predict(np.zeros((1, 2, 200)))


def test_fitting_again_forgets(epochs, labels):
    net = DeepClassifier(LINEAR, sfreq=200.0, max_epochs=2, random_state=0)
    X, y = _easy(10, 0)
    fresh = clone(net).fit(X, y).predict_proba(X)
    np.testing.assert_array_equal(net.fit(epochs, labels).fit(X, y).predict_proba(X), fresh)


def test_a_pickle_holds_no_module(epochs, labels):
    net = DeepClassifier(LINEAR, max_epochs=2, random_state=0).fit(epochs, labels)
    state = net.__getstate__()
    assert "module_" not in state and all(
        isinstance(w, np.ndarray) for w in state["_weights"].values()
    )
    assert net.module_ is not None  # the classifier itself keeps it
    unfitted = pickle.loads(pickle.dumps(DeepClassifier("labram")))
    assert unfitted.model == "labram"


# --- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"model": "resnet"}, "model must be one of sparcnet, .*got 'resnet'"),
        ({"max_epochs": 0}, "max_epochs must be at least 1; got 0"),
        ({"batch_size": 1}, "batch_size must be at least 2; got 1"),
        ({"lr": 0}, "lr must be above 0; got 0"),
        ({"weight_decay": -1}, "weight_decay must be 0 or above; got -1"),
        ({"patience": 0}, "patience must be at least 1 epoch; got 0"),
        ({"validation_fraction": 0.6}, "from 0 .* to 0.5; got 0.6"),
    ],
)
def test_parameters_that_are_not_allowed(parameters, message):
    X, y = _easy(4, 0)
    with pytest.raises(ValueError, match=message):
        DeepClassifier(**{"model": LINEAR, "sfreq": 200.0, **parameters}).fit(X, y)


def test_data_that_do_not_fit():
    X, y = _easy(4, 0)
    net = DeepClassifier(LINEAR, sfreq=200.0)
    with pytest.raises(ValueError, match=r"y must hold one value for each of the 4 epochs"):
        net.fit(X, y[:3])
    with pytest.raises(ValueError, match=r"groups must hold one value for each of the 4"):
        net.fit(X, y, [0])
    with pytest.raises(ValueError, match=r"single class, \['a'\]"):
        net.fit(X, ["a"] * 4)
    with pytest.raises(ValueError, match="BIOT needs windows of 1 s or more; got 0.5 s"):
        DeepClassifier("biot", sfreq=200.0).fit(X[..., :100], y)
    with pytest.raises(ValueError, match="needs two groups or more"):
        DeepClassifier(LINEAR, sfreq=200.0, validation_fraction=0.5).fit(X, y, [1, 1, 1, 1])
    net.fit(X, y)
    with pytest.raises(ValueError, match="windows of 200 samples, got 150"):
        net.predict(X[..., :150])
    with pytest.raises(ValueError, match="Fitted on 6 channels"):
        net.predict(X[:, :5])


def test_a_class_that_no_group_shares_cannot_be_validated():
    with pytest.raises(ValueError, match="would have no window of 1 of the classes"):
        validation_part(np.repeat([0, 1], 4), np.repeat([0, 1], 4), 0.5, seed=0)


def _plain(n_chans: int, n_times: int, n_outputs: int, sfreq: float) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(n_chans * n_times, n_outputs))


def test_a_loss_that_is_no_number_is_an_error():
    X, y = _easy(8, 0)
    row = dataclasses.replace(LINEAR, build=_plain, lr=1e38)
    with pytest.raises(FloatingPointError, match=r"lower lr=1e\+38, or look for extreme values"):
        DeepClassifier(row, sfreq=200.0, random_state=0).fit(X, y)
