"""The three stages on small data: they learn, repeat themselves and touch only their part."""

from __future__ import annotations

import copy
import dataclasses

import numpy as np
import pytest
import torch

from mne_neurolm import NeuroLM, NeuroLMClassifier, Task, tune_instructions
from mne_neurolm.models import hub
from mne_neurolm.models.text import encode_text, load_text_tokenizer
from mne_neurolm.patches import Patches, make_patches
from mne_neurolm.training import (
    TrainingConfig,
    stages,
    train_autoregressive,
    train_text,
    train_tokenizer,
    trainer,
)

TEXT = "The quick brown fox jumps over the lazy dog. " * 40
FAST = TrainingConfig(
    max_epochs=4,
    batch_size=8,
    lr=3e-3,
    min_lr=3e-4,
    text_batch_size=2,
    text_length=17,
    progress=False,
)


@pytest.fixture
def model(small_model: NeuroLM) -> NeuroLM:
    return copy.deepcopy(small_model)


@pytest.fixture(scope="module")
def data(epochs) -> list[Patches]:
    """Two sets that differ in montage and length."""
    few = epochs.copy().pick(epochs.ch_names[:5]).crop(tmax=1.995)
    return [make_patches(epochs), make_patches(few)]


def corpus(model: NeuroLM) -> np.ndarray:
    return np.asarray(encode_text(model.text_tokenizer, TEXT))


def changed(before: NeuroLM, after: NeuroLM) -> set[str]:
    """Return the parts of the model whose weights differ."""
    old = before.state_dict()
    return {
        name.split(".")[0] if not name.startswith("vq") else ".".join(name.split(".")[:2])
        for name, tensor in after.state_dict().items()
        if not torch.equal(tensor, old[name])
    }


def test_tokenizer_stage(model: NeuroLM, small_model: NeuroLM, data) -> None:
    model.vq.codebook.initialized.fill_(0.0)
    history = train_tokenizer(model, data, text=corpus(model), config=FAST)
    assert len(history) == 4
    assert history[-1]["frequency"] < history[0]["frequency"]
    assert history[-1]["loss"] < history[0]["loss"]
    assert bool(model.vq.codebook.initialized)
    assert not model.training and not model.vq.training
    parts = {f"vq.{part}" for part, _ in small_model.vq.named_children()}
    assert changed(small_model, model) == parts


def test_tokenizer_stage_repeats_itself(model: NeuroLM, data) -> None:
    runs = [copy.deepcopy(model) for _ in range(2)]
    state = torch.random.get_rng_state()
    histories = [train_tokenizer(run, data, config=FAST) for run in runs]
    assert histories[0] == histories[1]
    assert changed(*runs) == set()
    assert torch.equal(torch.random.get_rng_state(), state)


def test_alignment_needs_equal_widths(data) -> None:
    from mne_neurolm import NeuroLMConfig

    config = NeuroLMConfig.preset("tiny", n_embd=64, n_layer=1, decoder_n_layer=1)
    with pytest.raises(ValueError, match="width 192 with hidden states of width 64"):
        train_tokenizer(NeuroLM(config), data, text=np.arange(100), config=FAST)


def test_autoregressive_stage(model: NeuroLM, small_model: NeuroLM, data) -> None:
    history = train_autoregressive(model, data, text=corpus(model), config=FAST)
    assert history[-1]["eeg"] < history[0]["eeg"]
    assert history[-1]["text"] < history[0]["text"]
    assert changed(small_model, model) == {"backbone", "channel_embed", "lm_head"}


def test_text_stage(model: NeuroLM, small_model: NeuroLM) -> None:
    history = train_text(model, corpus(model), n_steps=10, config=FAST)
    assert history[-1]["loss"] < history[0]["loss"] - 2  # the text repeats itself
    assert changed(small_model, model) == {"backbone", "lm_head"}


def test_not_a_number_stops_training(model: NeuroLM, data) -> None:
    broken = Patches(
        np.full_like(data[0].data, np.nan), data[0].channels, data[0].times, data[0].ch_names
    )
    with pytest.raises(FloatingPointError, match="(?s)at step 1.*Lower lr=0.003"):
        train_tokenizer(model, [broken], config=FAST)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_epochs": 0}, "at least 1"),
        ({"batch_size": 0}, "at least 1"),
        ({"lr": 1e-6}, "0 < min_lr <= lr"),
    ],
)
def test_impossible_settings(changes: dict, message: str) -> None:
    settings = {"max_epochs": 1, "lr": 1e-3, "min_lr": 1e-4} | changes
    with pytest.raises(ValueError, match=message):
        TrainingConfig(**settings)


# --- instruction tuning over several tasks -------------------------------------------------------

STATE = Task("state", "Is the subject active?", {"rest": "No", "active": "Yes"})
PART = Task(
    "part",
    "Which part is it?",
    {"first": "the first part", "second": "the second part"},
    options=True,
)


@pytest.fixture(scope="module")
def tuned(small_model: NeuroLM, epochs, labels) -> NeuroLM:
    """One model, two tasks of different montage and length."""
    short = epochs.copy().pick(epochs.ch_names[:6]).crop(tmax=1.995)
    parts = np.where(np.arange(len(short)) < len(short) // 2, "first", "second")
    config = TrainingConfig(
        max_epochs=16,
        batch_size=6,
        lr=3e-3,
        min_lr=3e-4,
        text_batch_size=2,
        text_length=17,
        progress=False,
    )
    return tune_instructions(
        {STATE: (epochs, labels), PART: (short, parts)},
        small_model,
        text=TEXT,
        shuffle_options=True,
        config=config,
        device="cpu",
    )


def test_joint_tuning_learns(tuned: NeuroLM, small_model: NeuroLM) -> None:
    assert tuned.history[-1]["loss"] < 0.5 * tuned.history[0]["loss"]
    assert {"text", "text_accuracy", "answer", "answer_accuracy"} <= set(tuned.history[0])
    parts = changed(small_model, tuned)
    assert parts == {"backbone", "channel_embed", "lm_head"}, "the tokenizer is frozen"


def test_tuned_model_answers_every_task(tuned: NeuroLM, epochs, labels) -> None:
    for task, X, y in (
        (STATE, epochs, labels),
        (PART, epochs[:4], ["first", "second", "first", "second"]),
    ):
        classifier = NeuroLMClassifier(task, tuned, tune=None).fit(X, y)
        proba = classifier.predict_proba(X)
        np.testing.assert_allclose(proba.sum(axis=1), 1.0)
    # It now answers in the words of the task.
    answers = NeuroLMClassifier(STATE, tuned, tune=None).fit(epochs, labels).answer(epochs[:6])
    assert set(answers) <= {"Yes", "No"}


def test_tuning_refuses_what_does_not_fit(small_model: NeuroLM, epochs, labels) -> None:
    with pytest.raises(ValueError, match="at least one task"):
        tune_instructions({}, small_model)
    with pytest.raises(ValueError, match="24 epochs, but 3 labels"):
        tune_instructions({STATE: (epochs, labels[:3])}, small_model)
    with pytest.raises(ValueError, match="do not belong to task 'state'"):
        tune_instructions({STATE: (epochs, ["asleep"] * len(epochs))}, small_model)


def test_tuning_refuses_foreign_tokens_and_empty_sets(small_model: NeuroLM, tokens) -> None:
    foreign = dataclasses.replace(tokens, encoder_id="another")
    with pytest.raises(ValueError, match=r"another encoder \(another\)"):
        tune_instructions({STATE: (foreign, ["rest"] * len(foreign))}, small_model)
    with pytest.raises(ValueError, match="'state' has no epochs"):
        tune_instructions({STATE: (tokens[:0], [])}, small_model)


def test_tuning_needs_no_gradients_set(model: NeuroLM, tokens, labels) -> None:
    """Frozen before or not, the language model learns; torch's generator is left alone."""
    config = dataclasses.replace(FAST, max_epochs=1)
    state = torch.random.get_rng_state()
    free = tune_instructions({STATE: (tokens, labels)}, model, config=config, device="cpu")
    frozen = tune_instructions(
        {STATE: (tokens, labels)}, model.requires_grad_(False), config=config, device="cpu"
    )
    assert changed(free, frozen) == set()
    assert changed(model, frozen) == {"backbone", "channel_embed", "lm_head"}
    assert not any(p.requires_grad for p in frozen.vq.parameters())
    assert all(p.requires_grad for p in frozen.lm_head.parameters())
    assert torch.equal(torch.random.get_rng_state(), state)


def test_dropout_is_seeded(small_config, tokens, labels) -> None:
    config = copy.deepcopy(small_config)
    config.text_config.resid_pdrop = 0.5
    torch.manual_seed(0)
    start = NeuroLM(config)
    start.text_tokenizer = load_text_tokenizer(hub.TINY)
    start.vq.codebook.initialized.fill_(1.0)
    tokens = dataclasses.replace(tokens, encoder_id=start.encoder_id())
    one_epoch = dataclasses.replace(FAST, max_epochs=1)
    histories = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed + 10)  # the caller's, which must not matter
        settings = dataclasses.replace(one_epoch, seed=seed)
        data = {STATE: (tokens, labels)}
        histories.append(tune_instructions(data, start, config=settings, device="cpu").history)
    assert histories[0] == histories[1] != histories[2]


@pytest.mark.parametrize("stage", [train_tokenizer, train_autoregressive])
def test_stages_refuse_nothing(stage, model: NeuroLM, data) -> None:
    for nothing in ([], [dataclasses.replace(data[0], data=data[0].data[:0])]):
        with pytest.raises(ValueError, match="No samples: got"):
            stage(model, nothing, config=FAST)
    with pytest.raises(ValueError, match="text: there are no samples"):
        train_text(model, np.arange(100), n_steps=0, config=FAST)
    assert not model.training


def test_interrupted_training_leaves_evaluation_mode(model: NeuroLM, data, monkeypatch) -> None:
    closed = []
    close = trainer.tqdm.close

    def note(bar: object) -> None:
        closed.append(True)
        close(bar)

    def interrupt(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(trainer.tqdm, "close", note)
    monkeypatch.setattr(stages, "vq_objective", interrupt)
    state = torch.random.get_rng_state()
    with pytest.raises(KeyboardInterrupt):
        train_tokenizer(model, data, config=FAST)
    assert closed
    assert not model.vq.training
    assert torch.equal(torch.random.get_rng_state(), state)
