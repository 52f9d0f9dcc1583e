"""The classifier: labels, tuning, scikit-learn, and what it learns."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace

import mne
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from skorch.callbacks import Callback, EarlyStopping
from skorch.dataset import ValidSplit

from mne_neurolm import NeuroLMClassifier, NeuroLMTokenizer, Task
from mne_neurolm.datasets import simulate_epochs
from mne_neurolm.training.answer_net import net_inputs

STATES = Task("states", "Is the subject at rest?", {"rest": "Yes", "active": "No"})
CODEBOOK_AND_ENCODER = ("vq.", "encoder.")
LANGUAGE_MODEL = ("backbone.", "channel_embed.", "projection.", "lm_head.")
QUICK = dict(dtype="float32", max_epochs=2, batch_size=8, lr=5e-3, random_state=0)


def _classifier(model, task=STATES, **kwargs) -> NeuroLMClassifier:
    return NeuroLMClassifier(task, model, **{**QUICK, **kwargs})


def _state(model) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


# --- labels --------------------------------------------------------------------------------------


def _integers(labels):
    return (labels == "active").astype(int)


@pytest.mark.parametrize(
    "name_classes",
    [
        lambda y: y,
        lambda y: y.astype(object),
        lambda y: np.where(y == "rest", "Yes", "No"),
        _integers,
        lambda y: _integers(y).astype(np.int8),
        lambda y: _integers(y).astype(float),
        lambda y: _integers(y).astype(bool),
        lambda y: y.tolist(),
        lambda y: pd.Series(y),
        lambda y: pd.Series(y, dtype="category"),
    ],
    ids="str object answers int int8 float bool list series category".split(),
)
def test_kinds_of_labels(small_model, tokens, labels, name_classes):
    y = name_classes(labels)
    classifier = _classifier(small_model, max_epochs=1).fit(tokens, y)
    np.testing.assert_array_equal(classifier.classes_, np.unique(np.asarray(y)))
    predicted = classifier.predict(tokens)
    assert predicted.shape == (len(tokens),)
    assert predicted.dtype == classifier.classes_.dtype
    assert set(predicted) <= set(classifier.classes_)
    assert classifier.score(tokens, y) == np.mean(predicted == np.asarray(y))


def test_names_of_labels_do_not_matter(small_model, tokens, labels):
    """Strings sort otherwise than the task's answers; each keeps its own answer."""
    by_name = _classifier(small_model).fit(tokens, labels)
    by_number = _classifier(small_model).fit(tokens, _integers(labels))
    assert by_name.classes_.tolist() == ["active", "rest"]
    np.testing.assert_allclose(
        by_name.predict_proba(tokens)[:, ::-1], by_number.predict_proba(tokens), atol=1e-5
    )


def test_labels_outside_the_task(small_model, tokens, labels):
    with pytest.raises(ValueError, match=r"\['asleep'\] do not belong to task 'states'.*'rest'"):
        _classifier(small_model).fit(tokens, np.where(labels == "rest", "rest", "asleep"))
    with pytest.raises(ValueError, match=r"\[2\] do not belong"):
        _classifier(small_model).fit(tokens, _integers(labels) + 1)


def test_two_names_for_one_answer(small_model, tokens):
    y = np.array(["rest", "yes", "active"] * 8)
    with pytest.raises(ValueError, match="same answer.*name each class one way"):
        _classifier(small_model).fit(tokens, y)


def test_single_class(small_model, tokens):
    with pytest.raises(ValueError, match=r"single class, \['rest'\]; a classifier needs two"):
        _classifier(small_model).fit(tokens, ["rest"] * len(tokens))


def test_lengths_differ(small_model, tokens, labels):
    for tune in ("full", None):
        with pytest.raises(ValueError, match="X has 24 epochs, but y has 23 labels"):
            _classifier(small_model, tune=tune).fit(tokens, labels[1:])


@pytest.mark.parametrize("kind", ["epochs", "list", "array"])
def test_labels_are_checked_before_anything_is_computed(
    small_model, epochs, labels, monkeypatch, kind
):
    """Tokens take time, so whoever has given other labels, or groups, hears of it first."""

    def compute(*args, **kwargs):
        raise AssertionError("tokens were computed")

    monkeypatch.setattr(NeuroLMClassifier, "_as_tokens", compute)
    X = {"epochs": epochs, "list": [epochs[:10], epochs[10:]], "array": epochs.get_data()}[kind]
    with pytest.raises(ValueError, match="do not belong to task"):
        _classifier(small_model).fit(X, np.where(labels == "rest", "asleep", labels))
    with pytest.raises(ValueError, match="X has 24 epochs, but y has 23 labels"):
        _classifier(small_model).fit(X, labels[1:])
    held_out = _classifier(small_model, patience=1)
    with pytest.raises(ValueError, match=r"24 labels, but groups of \(3,\)"):
        held_out.fit(X, labels, groups=[0, 1, 2])


def test_epochs_that_were_not_counted(small_model, epochs, labels, tmp_path):
    """MNE counts epochs of a file when it reads their signals."""
    events = np.c_[np.arange(24) * 800, np.zeros(24, int), np.ones(24, int)]
    raw = mne.io.RawArray(np.hstack(epochs.get_data()), epochs.info, verbose="error")
    lazy = mne.Epochs(raw, events, tmin=0, tmax=4 - 1 / 200, baseline=None, verbose="error")
    with pytest.raises(ValueError, match="X has 24 epochs, but y has 23 labels"):
        _classifier(small_model).fit(lazy, labels[1:])


@pytest.mark.parametrize("tune", ["full", None])
def test_some_classes_of_a_task(small_model, tokens, tune):
    """Three of six options: the others are offered in the prompt, but never predicted."""
    y = np.array(["bckg", "artf", "spsw"] * 8)
    classifier = _classifier(small_model, task="tuev", tune=tune).fit(tokens, y)
    assert classifier.classes_.tolist() == ["artf", "bckg", "spsw"]
    proba = classifier.predict_proba(tokens)
    assert proba.shape == (24, 3)
    np.testing.assert_allclose(proba.sum(axis=1), 1)
    assert classifier.decision_function(tokens).shape == (24, 3)
    text = classifier.model_.text_tokenizer
    prompt = text.decode(classifier.net_.module_.prompt[1:])
    assert prompt == classifier.task_.prompt() and "eye movement" in prompt
    answers = [text.decode(ids[:-1]) for ids in classifier.net_.module_.answers]
    assert answers == ["E) ", "F) ", "A) "]


# --- predictions ---------------------------------------------------------------------------------


def test_predictions_agree(small_model, tokens, labels):
    classifier = _classifier(small_model).fit(tokens, labels)
    proba = classifier.predict_proba(tokens)
    assert proba.shape == (24, 2) and proba.dtype == np.float64
    assert proba.min() > 0
    np.testing.assert_allclose(proba.sum(axis=1), 1)
    scores = classifier.decision_function(tokens)
    np.testing.assert_allclose(scores, np.log(proba[:, 1] / proba[:, 0]), atol=1e-6)
    predicted = classifier.predict(tokens)
    np.testing.assert_array_equal(predicted, classifier.classes_[proba.argmax(axis=1)])
    np.testing.assert_array_equal(predicted, classifier.classes_[(scores > 0).astype(int)])


def test_predictions_do_not_depend_on_their_company(small_model, tokens, labels):
    classifier = _classifier(small_model).fit(tokens, labels)
    alone = np.concatenate([classifier.predict_proba(tokens[i]) for i in range(5)])
    np.testing.assert_allclose(alone, classifier.predict_proba(tokens)[:5], atol=1e-5)


def test_zero_shot_leaves_the_model_alone(small_model, tokens, labels):
    before, grads = _state(small_model), [p.requires_grad for p in small_model.parameters()]
    classifier = _classifier(small_model, tune=None).fit(tokens, labels)
    assert classifier.model_ is small_model
    proba = classifier.predict_proba(tokens)
    assert classifier.net_.history == []
    assert all(torch.equal(before[name], t) for name, t in small_model.state_dict().items())
    assert [p.requires_grad for p in small_model.parameters()] == grads
    # nothing is learnt: the labels have no say, and neither do the other epochs
    other = _classifier(small_model, tune=None).fit(tokens[:6], np.roll(labels, 1)[:6])
    np.testing.assert_allclose(other.predict_proba(tokens), proba)


def test_answer(small_model, tokens, labels):
    classifier = _classifier(small_model, batch_size=5).fit(tokens, labels)
    answers = classifier.answer(tokens[:7], max_new_tokens=3)
    assert len(answers) == 7 and all(isinstance(answer, str) for answer in answers)
    count = len(classifier.model_.text_tokenizer.encode(answers[0], add_special_tokens=False))
    assert count <= 3
    assert classifier.answer(tokens[:1], max_new_tokens=3) == answers[:1]


def test_answer_says_what_was_learnt(small_model, tokens, labels):
    """Tuned on one answer nearly always right, the model writes that answer."""
    y = np.array(["rest"] * 23 + ["active"])
    classifier = _classifier(small_model, max_epochs=15).fit(tokens, y)
    assert classifier.answer(tokens[:4]) == ["Yes"] * 4


def test_unfitted(small_model, tokens):
    for method in ("predict", "predict_proba", "decision_function", "answer"):
        with pytest.raises(NotFittedError, match="not fitted yet"):
            getattr(_classifier(small_model), method)(tokens)


# --- what is tuned -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tune", "changes"),
    [
        ("full", LANGUAGE_MODEL),
        ("head", ("backbone.h.0.", "backbone.ln_f.", "lm_head.")),
        ("lora", ()),
    ],
)
def test_what_changes(small_model, tokens, labels, tune, changes):
    original = _state(small_model)
    classifier = _classifier(small_model, tune=tune).fit(tokens, labels)
    assert all(torch.equal(original[name], t) for name, t in small_model.state_dict().items())
    # peft wraps a layer: x.weight becomes x.base_layer.weight beside x.lora_A.default.weight
    after = {n.replace(".base_layer", ""): t for n, t in classifier.model_.state_dict().items()}
    moved = {name for name in original if not torch.equal(original[name], after[name])}
    assert all(name.startswith(changes) for name in moved)
    assert not any(name.startswith(CODEBOOK_AND_ENCODER) for name in moved)
    # The widths are equal, so nothing projects.
    parts = [part for part in changes if part != "projection."]
    assert all(any(name.startswith(part) for name in moved) for part in parts)
    added = set(after) - set(original)
    assert bool(added) == (tune == "lora")
    if tune == "lora":
        assert all("lora_" in name for name in added)
        assert any(after[name].abs().max() > 0 for name in added if "lora_B" in name)
    assert classifier.model_.encoder_id() == small_model.encoder_id()


@pytest.mark.parametrize("tune", ["full", "lora", "head"])
def test_tuning_lowers_the_loss(small_model, tokens, labels, tune):
    classifier = _classifier(small_model, tune=tune, max_epochs=6).fit(tokens, labels)
    losses = [row["train_loss"] for row in classifier.net_.history]
    assert len(losses) == 6 and losses[-1] < losses[0] - 0.1


@pytest.mark.parametrize("tune", ["all", "LoRA", 3])
def test_tune_must_be_known(small_model, tokens, labels, tune):
    with pytest.raises(ValueError, match=r"tune must be one of \('full', 'lora', 'head', None\)"):
        _classifier(small_model, tune=tune).fit(tokens, labels)


def test_a_configuration_starts_from_random_weights(small_config, tokens, labels):
    classifier = _classifier(small_config).fit(tokens, labels)
    again = _classifier(small_config).fit(tokens, labels)
    other = _classifier(small_config, random_state=1).fit(tokens, labels)
    proba = classifier.predict_proba(tokens)
    np.testing.assert_array_equal(again.predict_proba(tokens), proba)
    assert np.abs(other.predict_proba(tokens) - proba).max() > 1e-4
    restored = pickle.loads(pickle.dumps(classifier))
    np.testing.assert_allclose(restored.predict_proba(tokens), proba, atol=1e-6)


def test_a_configuration_has_no_tokenizer_of_its_own(small_config, epochs, labels):
    with pytest.raises(ValueError, match="put a NeuroLMTokenizer before the classifier"):
        _classifier(small_config).fit(epochs, labels)
    pipe = make_pipeline(
        NeuroLMTokenizer(small_config, max_epochs=1, random_state=0), _classifier(small_config)
    )
    assert pipe.fit(epochs, labels).predict_proba(epochs).shape == (24, 2)


# --- reproducibility -----------------------------------------------------------------------------


@pytest.mark.parametrize("tune", ["full", "lora"])
def test_random_state(small_model, tokens, labels, tune):
    torch.manual_seed(1)
    state, legacy = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    first = _classifier(small_model, tune=tune).fit(tokens, labels)
    assert torch.equal(torch.get_rng_state(), state)
    np.testing.assert_array_equal(np.random.get_state()[1], legacy)  # noqa: NPY002
    torch.manual_seed(2)
    again = _classifier(small_model, tune=tune).fit(tokens, labels)
    assert again.net_.history[:, "train_loss"] == first.net_.history[:, "train_loss"]
    np.testing.assert_array_equal(again.predict_proba(tokens), first.predict_proba(tokens))
    other = _classifier(small_model, tune=tune, random_state=1).fit(tokens, labels)
    assert other.net_.history[:, "train_loss"] != first.net_.history[:, "train_loss"]


def test_without_random_state_fits_differ(small_model, tokens, labels):
    first, second = (
        _classifier(small_model, random_state=None).fit(tokens, labels) for _ in range(2)
    )
    assert first.net_.history[:, "train_loss"] != second.net_.history[:, "train_loss"]


def test_fitting_again_starts_again(small_model, tokens, labels):
    classifier = _classifier(small_model).fit(tokens, labels)
    proba = classifier.predict_proba(tokens)
    np.testing.assert_array_equal(classifier.fit(tokens, labels).predict_proba(tokens), proba)


# --- input ---------------------------------------------------------------------------------------


def test_kinds_of_input(small_model, tokens, epochs, labels):
    """Tokens, Epochs, a list of Epochs and an array: one and the same result."""
    expected = _classifier(small_model).fit(tokens, labels).predict_proba(tokens)
    singles = [epochs[i] for i in range(len(epochs))]
    microvolts = epochs.get_data() * 1e6
    array = dict(ch_names=epochs.ch_names, sfreq=200.0, unit="uV")
    for X, parameters in ((epochs, {}), (singles, {}), (microvolts, array)):
        classifier = _classifier(small_model, **parameters).fit(X, labels)
        np.testing.assert_allclose(classifier.predict_proba(X), expected, atol=1e-4)
        assert len(classifier.answer(X[:2], max_new_tokens=1)) == 2


def test_an_array_says_what_it_is(small_model, epochs, labels):
    with pytest.raises(ValueError, match="ch_names, sfreq, unit must be given as well"):
        _classifier(small_model).fit(epochs.get_data(), labels)


def test_bad_epochs(small_model, epochs, labels):
    data = epochs.get_data()
    data[0, 0, 0] = np.nan
    parameters = dict(ch_names=epochs.ch_names, sfreq=200.0, unit="V")
    classifier = _classifier(small_model, tune=None, **parameters)
    with pytest.raises(ValueError, match="NaN.*Fp1"):
        classifier.fit(data, labels)
    with pytest.raises(ValueError, match="NaN.*Fp1"):
        classifier.fit(epochs, labels).predict(data)


def test_other_length_than_in_fit(small_model, epochs, labels):
    classifier = _classifier(small_model).fit(epochs, labels)
    shorter = epochs.copy().pick(["Cz", "Pz"]).crop(0, 2 - 1 / 200)
    assert classifier.predict_proba(shorter).shape == (24, 2)


def test_features_are_no_tokens(small_model, tokens, epochs, labels):
    tokenizer = NeuroLMTokenizer(small_model).set_output(transform="pandas")
    with pytest.raises(TypeError, match="pandas object.*set_output"):
        _classifier(small_model).fit(tokenizer.fit_transform(epochs), labels)
    with pytest.raises(ValueError, match=r"shape \(24, 1216\).*no step in between"):
        _classifier(small_model).fit(np.asarray(tokens), labels)


def test_tokens_of_another_encoder(small_model, tokens, labels):
    other = copy.deepcopy(small_model)
    with torch.no_grad():
        other.vq.codebook.weight.mul_(-1)
    with pytest.raises(ValueError, match="another encoder.*same model"):
        _classifier(other).fit(tokens, labels)
    fitted = _classifier(small_model).fit(tokens, labels)
    foreign = NeuroLMTokenizer(other).fit_transform
    with pytest.raises(ValueError, match="another encoder.*same model"):
        fitted.predict(foreign(simulate_epochs(1, 2, random_state=0)))
    with pytest.raises(ValueError, match="32-dimensional, but the model reads 192"):
        _classifier("tiny").fit(tokens, labels)


@pytest.mark.parametrize(
    ("parameters", "match"),
    [
        (dict(task="sleep"), "Unknown task 'sleep'; choose one of.*'workload'"),
        (dict(model="large"), "Unknown model 'large'"),
        (dict(device="gpu"), "Unknown device 'gpu'"),
        (dict(dtype="float16"), "dtype must be"),
        (dict(batch_size=0), "batch_size must be at least 1; got 0"),
        (dict(max_epochs=0), "max_epochs must be at least 1; got 0"),
        (dict(lr=0.0), "lr must be above 0; got 0.0"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_parameters(small_model, tokens, labels, parameters, match):
    with pytest.raises(ValueError, match=match):
        NeuroLMClassifier(**{"task": STATES, "model": small_model, **parameters}).fit(
            tokens, labels
        )


# --- parameters of the net -----------------------------------------------------------------------


class _Count(Callback):
    """Counts batches."""

    def on_train_begin(self, net, X=None, y=None, **kwargs):
        self.batches_ = 0
        self.rates_ = []

    def on_batch_end(self, net, batch=None, training=None, **kwargs):
        self.batches_ += bool(training)
        if training:
            self.rates_.append(net.optimizer_.param_groups[0]["lr"])


def test_parameters_of_the_net(small_model, tokens, labels):
    classifier = _classifier(small_model, optimizer__betas=(0.5, 0.9))
    assert classifier.get_params()["optimizer__betas"] == (0.5, 0.9)
    assert clone(classifier).get_params()["optimizer__betas"] == (0.5, 0.9)
    assert "optimizer__betas=(0.5, 0.9)" in repr(classifier)
    assert classifier.set_params(optimizer__betas=(0.6, 0.9), lr=1e-3) is classifier
    assert classifier.get_params()["optimizer__betas"] == (0.6, 0.9) and classifier.lr == 1e-3
    classifier.fit(tokens, labels)
    assert all(g["betas"] == (0.6, 0.9) for g in classifier.net_.optimizer_.param_groups)


def test_parameters_of_one_do_not_reach_another(small_model):
    first = _classifier(small_model, optimizer__betas=(0.5, 0.9))
    second = clone(first).set_params(optimizer__betas=(0.6, 0.9))
    assert first.get_params()["optimizer__betas"] == (0.5, 0.9)
    assert second.get_params()["optimizer__betas"] == (0.6, 0.9)


def test_optimizer(small_model, tokens, labels):
    classifier = _classifier(small_model, optimizer=torch.optim.SGD, optimizer__momentum=0.9)
    classifier.fit(tokens, labels)
    assert isinstance(classifier.net_.optimizer_, torch.optim.SGD)
    assert classifier.net_.optimizer_.param_groups[0]["momentum"] == 0.9


def test_default_optimizer(small_model, tokens, labels):
    """AdamW with the betas of Table 9."""
    optimizer = _classifier(small_model).fit(tokens, labels).net_.optimizer_
    assert isinstance(optimizer, torch.optim.AdamW)
    assert all(group["betas"] == (0.9, 0.95) for group in optimizer.param_groups)


def test_weight_decay(small_model, tokens, labels):
    """Matrices decay, vectors do not; and every trained parameter is in a group, once."""
    classifier = _classifier(small_model, weight_decay=0.3).fit(tokens, labels)
    groups = classifier.net_.optimizer_.param_groups
    decay = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    trained = [p for p in classifier.model_.parameters() if p.requires_grad]
    assert len(decay) == sum(len(group["params"]) for group in groups) == len(trained)
    assert all(decay[id(p)] == (0.3 if p.dim() >= 2 else 0.0) for p in trained)


def test_schedule_and_callbacks(small_model, tokens, labels):
    count = _Count()
    classifier = _classifier(small_model, max_epochs=5, warmup=0.2, callbacks=[count])
    classifier.fit(tokens, labels)
    assert count.batches_ == 5 * 3  # 24 epochs by 8
    rates = np.array(count.rates_)
    assert rates[0] == 0 and rates.argmax() in (2, 3) and rates.max() == classifier.lr
    assert (np.diff(rates[3:]) < 0).all()
    np.testing.assert_allclose(rates[-1], classifier.lr / 10, rtol=0.3)


def test_callbacks_by_name(small_model, tokens, labels):
    count = _Count()
    _classifier(small_model, callbacks=[("count", count)]).fit(tokens, labels)
    assert count.batches_ == 6
    cloned = clone(_classifier(small_model, callbacks=[("count", count)]))
    assert cloned.fit(tokens, labels).get_params()["callbacks"][0][1] is not count


def test_train_split(small_model, tokens, labels):
    """Validation epochs are held out, and the schedule counts the others alone."""
    count = _Count()
    classifier = _classifier(
        small_model, max_epochs=6, callbacks=[count], train_split=ValidSplit(2, stratified=True)
    ).fit(tokens, labels)
    assert count.batches_ == 6 * 2  # 12 of the 24 epochs, by 8
    assert all(np.isfinite(row["valid_loss"]) for row in classifier.net_.history)
    np.testing.assert_allclose(count.rates_[-1], classifier.lr / 10, rtol=0.3)


def test_early_stopping(small_model, tokens, labels):
    classifier = _classifier(
        small_model,
        lr=1e-9,
        max_epochs=30,
        callbacks=[EarlyStopping(patience=2, threshold=0.1, sink=lambda text: None)],
        train_split=ValidSplit(4, stratified=True),
    )
    assert len(classifier.fit(tokens, labels).net_.history) < 5


def test_unknown_parameter(small_model, tokens, labels):
    with pytest.raises(TypeError, match=r"\['learning_rate'\].*optimizer__betas.*callbacks"):
        _classifier(small_model, learning_rate=1e-3).fit(tokens, labels)
    with pytest.raises(ValueError, match="Invalid parameter 'learning_rate'"):
        _classifier(small_model).set_params(learning_rate=1e-3)


def test_verbosity(small_model, tokens, labels, capsys):
    _classifier(small_model, verbose=False).fit(tokens, labels)
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""
    _classifier(small_model, verbose=True).fit(tokens, labels)
    captured = capsys.readouterr()
    assert captured.out == "" and "tune" in captured.err


# --- parts ---------------------------------------------------------------------------------------


def test_net_inputs(tokens):
    inputs = net_inputs(tokens[:3])
    assert {name: array.shape for name, array in inputs.items()} == {
        "hidden": (3, 76, 32),
        "channels": (3, 76),
        "times": (3, 76),
    }


# --- learning ------------------------------------------------------------------------------------


@pytest.mark.parametrize("tune", ["full", "lora"])
def test_it_learns_what_the_hidden_states_hold(small_model, tokens, labels, tune):
    """States that differ in one direction of the hidden states, told apart in unseen epochs."""
    rng = np.random.default_rng(0)
    hidden = rng.standard_normal(tokens.hidden.shape).astype(np.float32)
    hidden[labels == "rest"] += rng.choice([-1, 1], hidden.shape[2])
    told = replace(tokens, hidden=hidden)
    classifier = _classifier(small_model, tune=tune, max_epochs=20).fit(told[:16], labels[:16])
    assert classifier.score(told[16:], labels[16:]) == 1
