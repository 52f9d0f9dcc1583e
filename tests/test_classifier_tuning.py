"""What the classifier holds out, when it stops, how sure it is, and what it keeps on disk."""

from __future__ import annotations

import pickle
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn import config_context
from sklearn.base import clone
from sklearn.model_selection import GroupKFold, cross_val_score
from skorch.dataset import ValidSplit

from mne_neurolm import EEGTokens, NeuroLM, NeuroLMClassifier, Task
from mne_neurolm.datasets import simulate_epochs
from mne_neurolm.training import answer_net, net_callbacks
from mne_neurolm.training.calibration import negative_log_likelihood
from mne_neurolm.training.regularization import Mixture

STATES = Task("states", "Is the subject at rest?", {"rest": "Yes", "active": "No"})
QUICK = dict(dtype="float32", device="cpu", max_epochs=4, batch_size=8, lr=5e-3, random_state=0)


@pytest.fixture(scope="module")
def told(tokens: EEGTokens, labels: np.ndarray) -> EEGTokens:
    """Return tokens whose hidden states tell the classes apart, but for some epochs."""
    rng = np.random.default_rng(0)
    hidden = rng.standard_normal(tokens.hidden.shape).astype(np.float32)
    sign = np.where(labels == "rest", 1, -1)
    sign[::5] *= -1
    hidden += 0.5 * sign[:, None, None] * rng.choice([-1, 1], hidden.shape[2])
    return replace(tokens, hidden=hidden.astype(np.float32))


def fitted(model: NeuroLM, told: EEGTokens, y: np.ndarray, groups=None, **kwargs):
    return NeuroLMClassifier(STATES, model, **{**QUICK, **kwargs}).fit(told, y, groups=groups)


# --- what is held out ----------------------------------------------------------------------------


def test_nothing_is_held_out_unless_it_must_be(small_model, told, labels, subjects) -> None:
    plain = fitted(small_model, told, labels)
    with_groups = fitted(small_model, told, labels, subjects, validation_fraction=0.5)
    assert plain.net_.history[:, "train_loss"] == with_groups.net_.history[:, "train_loss"]
    assert "valid_nll" not in plain.net_.history[0] and plain.temperature_ == 1.0


@pytest.mark.parametrize("settings", [{"patience": 9}, {"calibration": "temperature"}])
def test_groups_are_held_out_whole(small_model, told, labels, subjects, monkeypatch, settings):
    sets = []
    fit = net_callbacks.Validation.on_train_begin

    def note(self, net, X=None, y=None, **kwargs):
        sets.append((X["hidden"], self.held_out.inputs["hidden"]))
        fit(self, net, X=X, y=y, **kwargs)

    monkeypatch.setattr(net_callbacks.Validation, "on_train_begin", note)
    classifier = fitted(
        small_model, told, labels, subjects, validation_fraction=0.25, max_epochs=2, **settings
    )
    which = [
        {subjects[np.flatnonzero((told.hidden == row).all(axis=(1, 2)))[0]] for row in part}
        for part in sets[0]
    ]
    assert len(which[1]) == 1 and not which[0] & which[1] and len(which[0] | which[1]) == 4
    for row in classifier.net_.history:
        assert np.isfinite(row["valid_nll"]) and 0 <= row["valid_balanced_accuracy"] <= 1


def test_too_little_to_hold_out(small_model, told, labels) -> None:
    with pytest.raises(ValueError, match="can't be held out"):
        fitted(small_model, told[:4], labels[[0, 1, 12, 13]], patience=1)
    with pytest.raises(ValueError, match="leave train_split out"):
        fitted(small_model, told, labels, patience=1, train_split=ValidSplit(2))


# --- early stop and averages ---------------------------------------------------------------------


@pytest.mark.parametrize("average", [0.0, 0.5])
def test_the_weights_of_the_best_epoch_are_kept(
    small_model, told, labels, monkeypatch, average
) -> None:
    """It improves once, then not for two epochs."""
    losses = iter([0.9, 0.5, 0.7, 0.6, 0.1])
    weights = []
    score = net_callbacks.score_of_sums

    def script(sums):
        weights.append(model_of["net"].module_.model.lm_head.weight.detach().clone())
        return score(sums)._replace(loss=next(losses))

    model_of = {}
    begin = net_callbacks.Validation.on_train_begin

    def note(self, net, **kwargs):
        model_of["net"] = net
        begin(self, net, **kwargs)

    monkeypatch.setattr(net_callbacks, "score_of_sums", script)
    monkeypatch.setattr(net_callbacks.Validation, "on_train_begin", note)
    classifier = fitted(small_model, told, labels, patience=2, max_epochs=5, average=average)
    assert len(classifier.net_.history) == 4
    assert torch.equal(classifier.model_.lm_head.weight, weights[1])
    assert not torch.equal(weights[0], weights[1])


def test_what_must_improve_can_be_chosen(small_model, told, labels) -> None:
    """At a rate of nearly nothing accuracy never improves, but the loss may."""
    still = fitted(
        small_model, told, labels, lr=1e-9, patience=2, monitor="balanced_accuracy", max_epochs=20
    )
    assert len(still.net_.history) == 3


def test_the_average_predicts(small_model, told, labels) -> None:
    last, smooth = (fitted(small_model, told, labels, average=a) for a in (0.0, 0.9))
    assert last.net_.history[:, "train_loss"] == smooth.net_.history[:, "train_loss"]
    assert np.abs(last.predict_proba(told) - smooth.predict_proba(told)).max() > 1e-3


@pytest.mark.parametrize(
    "settings", [{"channel_dropout": 0.5}, {"mixup": 0.5}, {"label_smoothing": 0.3}]
)
def test_regularisation(small_model, told, labels, settings) -> None:
    plain = fitted(small_model, told, labels)
    first, again = (fitted(small_model, told, labels, **settings) for _ in range(2))
    np.testing.assert_array_equal(first.predict_proba(told), again.predict_proba(told))
    assert np.abs(first.predict_proba(told) - plain.predict_proba(told)).max() > 1e-4


def test_windows_are_mixed_with_their_answers(small_model, told, labels, monkeypatch) -> None:
    """Where the partner has the whole share, a batch is trained on in another order."""
    plain = fitted(small_model, told, labels)

    def take_the_next(hidden: torch.Tensor, mixup: float, rng: np.random.Generator) -> Mixture:
        partner = torch.arange(len(hidden)).roll(1)
        return Mixture(hidden[partner], partner, 0.0)

    monkeypatch.setattr(answer_net, "mix_windows", take_the_next)
    reordered = fitted(small_model, told, labels, mixup=1.0)
    losses = [c.net_.history[:, "train_loss"] for c in (plain, reordered)]
    np.testing.assert_allclose(*losses, rtol=1e-3)


# --- temperature ---------------------------------------------------------------------------------


def test_the_temperature_makes_held_out_epochs_likelier(small_model, told, labels) -> None:
    settings = dict(max_epochs=12, validation_fraction=0.5)
    classifier = fitted(small_model, told, labels, calibration="temperature", **settings)
    held_out = dict(classifier.net_.callbacks_)["validation"].held_out
    scores = classifier.net_.predict_proba(held_out.inputs).astype(float)
    losses = [
        negative_log_likelihood(scores / t, held_out.labels)
        for t in (classifier.temperature_, 0.8 * classifier.temperature_, 1.0)
    ]
    assert losses[0] < min(losses[1:])
    sure, predicted = classifier.predict_proba(told), classifier.predict(told)
    np.testing.assert_allclose(sure.sum(axis=1), 1)
    np.testing.assert_array_equal(classifier.classes_[sure.argmax(axis=1)], predicted)
    classifier.temperature_ = 1.0
    np.testing.assert_array_equal(predicted, classifier.predict(told))
    assert np.abs(classifier.predict_proba(told) - sure).max() > 1e-3


def test_a_zero_shot_model_is_calibrated_on_what_it_is_given(small_model, told, labels) -> None:
    classifier = fitted(small_model, told, labels, tune=None, calibration="temperature")
    plain = fitted(small_model, told, labels, tune=None)
    assert classifier.temperature_ != plain.temperature_ == 1.0
    index = (labels == "rest").astype(int)
    losses = [
        -np.log(c.predict_proba(told)[np.arange(24), index]).mean() for c in (classifier, plain)
    ]
    assert losses[0] < losses[1]


def test_the_temperature_is_pickled(small_model, told, labels) -> None:
    classifier = fitted(small_model, told, labels, calibration="temperature", average=0.9)
    restored = pickle.loads(pickle.dumps(classifier))
    assert restored.temperature_ == classifier.temperature_ != 1.0
    np.testing.assert_array_equal(restored.predict_proba(told), classifier.predict_proba(told))
    assert clone(classifier).get_params()["average"] == 0.9


# --- cache and parameters ------------------------------------------------------------------------


def test_a_cache_changes_nothing(small_model, epochs, labels, tmp_path, monkeypatch) -> None:
    plain = fitted(small_model, epochs, labels, max_epochs=1)
    cached = fitted(small_model, epochs, labels, max_epochs=1, cache=tmp_path)
    proba = plain.predict_proba(epochs)
    np.testing.assert_array_equal(cached.predict_proba(epochs), proba)
    monkeypatch.setattr("mne_neurolm.training.hidden_cache.encode_patches", None)
    again = fitted(small_model, epochs, labels, max_epochs=1, cache=tmp_path)
    np.testing.assert_array_equal(again.predict_proba(epochs), proba)


def test_routing_hands_groups_to_fit(small_model, told, labels, subjects) -> None:
    classifier = NeuroLMClassifier(STATES, small_model, **{**QUICK, "max_epochs": 1})
    with config_context(enable_metadata_routing=True):
        scores = cross_val_score(
            classifier.set_params(patience=1),
            told,
            labels,
            cv=GroupKFold(2),
            params={"groups": subjects},
            error_score="raise",
        )
    assert np.isfinite(scores).all()


@pytest.mark.parametrize(
    ("parameters", "match"),
    [
        (dict(calibration="platt"), "calibration must be one of"),
        (dict(monitor="auc"), "monitor must be one of"),
        (dict(patience=0), "patience must be at least 1"),
        (dict(patience=1, validation_fraction=1.0), "validation_fraction must be between 0 and 1"),
        (dict(channel_dropout=-0.1), "channel_dropout must be 0"),
        (dict(mixup=-0.1), "mixup must be 0"),
        (dict(label_smoothing=1.0), "label_smoothing must be 0"),
        (dict(average=1.0), "average is the decay"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_parameters(small_model, told, labels, parameters, match) -> None:
    with pytest.raises(ValueError, match=match):
        fitted(small_model, told, labels, **parameters)


def test_ctrl_c_in_a_callback_is_no_early_stop() -> None:
    """It ends fit, and the handler of before is back; a callback that stops is an early stop."""
    from skorch.callbacks import Callback

    class Stop(Callback):
        def __init__(self, by_key: bool) -> None:
            self.by_key = by_key

        def on_epoch_end(self, net, **kwargs) -> None:
            if self.by_key:
                signal.raise_signal(signal.SIGINT)
            raise KeyboardInterrupt

    epochs = simulate_epochs(n_subjects=1, n_epochs_per_subject=4, random_state=0)
    y = epochs.metadata["state"].map({"rest": "No", "active": "Yes"})
    settings = dict(tune="head", max_epochs=3, random_state=0)
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            NeuroLMClassifier("workload", callbacks=[Stop(by_key=True)], **settings).fit(epochs, y)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, handler)
    classifier = NeuroLMClassifier("workload", callbacks=[Stop(by_key=False)], **settings)
    assert len(classifier.fit(epochs, y).net_.history) == 1


def test_weights_are_cast_once_also_where_they_are_frozen(small_model, tokens, labels) -> None:
    """And what was frozen is so afterwards."""
    classifier = NeuroLMClassifier(
        Task("states", "Is the subject at rest?", {"rest": "Yes", "active": "No"}),
        small_model,
        tune="lora",
        max_epochs=1,
        dtype="bfloat16",
        batch_size=2,
        random_state=0,
        optimizer__foreach=True,
    )
    classifier.fit(tokens, labels)
    before = [p.requires_grad for p in classifier.model_.parameters()]
    frozen = dict(classifier.model_.named_parameters())
    (weight, *others) = [p for n, p in frozen.items() if "c_fc" in n and not p.requires_grad]
    with torch.profiler.profile(record_shapes=True) as profile:
        expected = classifier.predict_proba(tokens)
    casts = [
        event
        for event in profile.events()
        if event.name == "aten::_to_copy" and event.input_shapes[:1] == [list(weight.shape)]
    ]
    # Once for a weight, not in each of the 12 batches.
    assert 0 < len(casts) <= sum(p.shape == weight.shape for p in (weight, *others))
    assert [p.requires_grad for p in classifier.model_.parameters()] == before
    np.testing.assert_allclose(classifier.predict_proba(tokens[::-1])[::-1], expected, atol=0.02)
