"""Several tasks at once: mixture, wordings, early stop per task, calibration, parts, cache."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mne_neurolm import EEGTokens, NeuroLM, NeuroLMClassifier, Task, tune_instructions
from mne_neurolm.store import Store
from mne_neurolm.store.writer import StoreWriter
from mne_neurolm.training import (
    TrainingConfig,
    hidden_source,
    instruction_stage,
    task_trainer,
)
from mne_neurolm.training.data import StoreSource, TokensSource
from mne_neurolm.training.hidden_cache import HiddenCache
from mne_neurolm.training.hidden_source import cache_states
from mne_neurolm.training.instruction_stage import InstructionStage
from mne_neurolm.training.parallel import Parallel
from mne_neurolm.training.plan import Bucket, Plan, make_windows
from mne_neurolm.training.regularization import Mixture
from mne_neurolm.training.task_progress import TaskProgress, score_of_sums, sums_of_scores
from mne_neurolm.training.task_trainer import TaskTrainer
from mne_neurolm.training.tuning_config import TuningConfig

ONE = Task("one", "Is it so?", {"no": "No", "yes": "Yes"}, phrasings=("Or is it?", "Really?"))
TWO = Task("two", "Which?", {"a": "the first", "b": "the second"}, options=True)
CONFIG = TrainingConfig(max_epochs=4, batch_size=8, lr=5e-3, min_lr=5e-4, progress=False)


@pytest.fixture(scope="module")
def told(tokens: EEGTokens) -> EEGTokens:
    """Return tokens whose hidden states tell odd from even epochs."""
    rng = np.random.default_rng(0)
    hidden = rng.standard_normal(tokens.hidden.shape).astype(np.float32)
    hidden[::2] += rng.choice([-1, 1], hidden.shape[2])
    return dataclasses.replace(tokens, hidden=hidden)


ANSWERS = np.array(["yes", "no"] * 12)
NOISE = np.array(list("aabbabba" * 3))  # says nothing about odd and even
UNEVEN = np.sort(np.r_[np.flatnonzero(NOISE == "a")[:11], np.flatnonzero(NOISE == "b")[:5]])


def tuned(told: EEGTokens, model: NeuroLM, **settings: Any) -> NeuroLM:
    # Eleven windows of one class of the second task and five of the other.
    data = {ONE: (told[:16], ANSWERS[:16]), TWO: (told[UNEVEN], NOISE[UNEVEN])}
    settings = {"config": CONFIG, "device": "cpu", **settings}
    return tune_instructions(data, model, **settings)


def held_out(told: EEGTokens) -> dict[Task, tuple[EEGTokens, np.ndarray]]:
    return {ONE: (told[16:], ANSWERS[16:]), TWO: (told[16:], NOISE[16:])}


def same(a: NeuroLM, b: NeuroLM) -> bool:
    other = b.state_dict()
    return all(torch.equal(tensor, other[name]) for name, tensor in a.state_dict().items())


# --- validation and early stop -------------------------------------------------------------------


def test_validation_changes_nothing_but_the_history(told, small_model) -> None:
    plain = tuned(told, small_model)
    seen = tuned(told, small_model, validation=held_out(told))
    assert same(plain, seen)
    for row in seen.history:
        assert {"val_one_loss", "val_two_balanced_accuracy", "val_tasks"} <= set(row)
        losses = [row["val_one_loss"], row["val_two_loss"]]
        assert row["val_tasks"] == pytest.approx(np.mean(losses))
    assert seen.history[-1]["val_one_balanced_accuracy"] == 1


def test_validation_scores_are_those_of_the_classifier(told, small_model) -> None:
    model = tuned(told, small_model, validation=held_out(told))
    classifier = NeuroLMClassifier(ONE, model, tune=None, device="cpu", dtype="float32")
    proba = classifier.fit(told[16:], ANSWERS[16:]).predict_proba(told[16:])
    right = proba[np.arange(8), (ANSWERS[16:] == "yes").astype(int)]
    expected = -np.log(right).mean() / np.log(2)
    assert model.history[-1]["val_one_loss"] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("mix_tasks", [True, False])
def test_a_task_that_does_not_improve_is_left_out(
    told, small_model, monkeypatch, mix_tasks: bool
) -> None:
    """The other goes on; at the end of all, the weights of the best epoch come back."""
    steps: list[tuple[int, int]] = []
    sizes: list[tuple[int, int]] = []
    scripted = iter([(0.9, 0.9), (0.5, 1.0), (0.4, 1.1), (0.6, 0.1), (0.7, 0.1), (0.7, 0.1)])
    weights = []
    step = task_trainer.Trainer._step

    def note(self, number, batches):
        epoch = number // self.steps_per_epoch
        steps.extend((epoch, batch.task) for batch in batches)
        sizes.append((epoch, sum(len(batch.labels) for batch in batches)))
        assert sum(batch.share for batch in batches) == pytest.approx(1)
        assert sum(batch.window_share for batch in batches) == pytest.approx(1)
        return step(self, number, batches)

    def script(self):
        weights.append(copy.deepcopy(self.stage.model.state_dict()))
        return [task_trainer.TaskScore(loss, 0.5) for loss in next(scripted)]

    monkeypatch.setattr(task_trainer.Trainer, "_step", note)
    monkeypatch.setattr(TaskTrainer, "task_scores", script)
    model = tuned(
        told,
        small_model,
        validation=held_out(told),
        patience=2,
        mix_tasks=mix_tasks,
        config=dataclasses.replace(CONFIG, max_epochs=6),
    )
    by_epoch = [{task for e, task in steps if e == epoch} for epoch in range(6)]
    # Task 1 has its best in epoch 0 and waits in epochs 1 and 2; task 0's best is epoch 2.
    assert by_epoch[:3] == [{0, 1}] * 3
    assert by_epoch[3:5] == [{0}] * 2
    assert by_epoch[5] == set(), "nobody is left"
    # Steps of eight windows all along: of both tasks, then what is left of two steps as one.
    counts = [[n for e, n in sizes if e == epoch] for epoch in range(5)]
    assert counts == [[8] * 4] * 3 + [[8] * 2] * 2
    # The mean is 0.9, 0.75, 0.75, 0.35 (kept), 0.4.
    best = weights[3]
    assert all(torch.equal(best[name], t) for name, t in model.state_dict().items())


def test_progress_of_tasks() -> None:
    progress = TaskProgress(3, patience=2)
    for scores in ([1.0, 5.0, np.nan], [0.9, 5.0, np.nan], [0.8, 6.0, np.nan]):
        progress.update(scores)
    assert [progress.stopped(task) for task in range(3)] == [False, True, False]
    progress.update([0.7, 0.0, np.nan])
    assert progress.stopped(1) and not progress.all_stopped, "out is out"
    again = TaskProgress(3, patience=2)
    again.load_state_dict(progress.state_dict())
    assert again.stopped(1) and float(again.best[0]) == pytest.approx(0.7)


def test_scores_add_up() -> None:
    rng = np.random.default_rng(0)
    scores, labels = rng.standard_normal((30, 3)), rng.integers(0, 3, 30)
    parts = [sums_of_scores(scores[i::4], labels[i::4]) for i in range(4)]
    whole, added = score_of_sums(sums_of_scores(scores, labels)), score_of_sums(sum(parts))
    assert added == pytest.approx(whole)
    chance = score_of_sums(sums_of_scores(np.zeros((6, 3)), np.array([0, 1, 2, 0, 1, 2])))
    assert chance.loss == pytest.approx(1) and chance.balanced_accuracy == pytest.approx(1 / 3)
    assert np.isnan(score_of_sums(np.zeros(7)).loss)
    assert chance.judged("balanced_accuracy") == pytest.approx(-1 / 3)


# --- questions -----------------------------------------------------------------------------------


def test_wordings_are_drawn_in_training_only(small_model) -> None:
    stage = InstructionStage(copy.deepcopy(small_model), [ONE, TWO], shuffle_options=True)
    asked = [tuple(stage.question(0, step).prompt) for step in range(60)]
    assert len(set(asked)) == 3
    assert asked == [tuple(stage.question(0, step).prompt) for step in range(60)]
    options = {tuple(stage.question(1, step).answers[0]) for step in range(20)}
    assert len(options) == 2
    fixed = InstructionStage(
        copy.deepcopy(small_model), [ONE], tuning=TuningConfig(phrasings=False)
    )
    assert {tuple(fixed.question(0, step).prompt) for step in range(20)} == {
        tuple(stage.encoded[0].prompt)
    }


def test_any_wording_can_be_asked(told, small_model) -> None:
    """What is tuned in three wordings answers in each, and in one that it has never read."""
    model = tune_instructions(
        {ONE: (told[:16], ANSWERS[:16])},
        small_model,
        config=dataclasses.replace(CONFIG, max_epochs=20),
        device="cpu",
    )
    unseen = dataclasses.replace(ONE, question="Is it or not?")
    for task in (*map(ONE.phrased, range(3)), unseen):
        classifier = NeuroLMClassifier(task, model, tune=None, device="cpu")
        assert classifier.fit(told[16:], ANSWERS[16:]).score(told[16:], ANSWERS[16:]) >= 0.75


# --- mixture and regularisation ------------------------------------------------------------------


def test_sampling_decides_what_is_trained_on(told, small_model, monkeypatch) -> None:
    seen: list[int] = []
    load = TokensSource.load

    def note(self, bucket, rows, epoch):
        batch = load(self, bucket, rows, epoch)
        seen.extend([batch.task] * len(rows))
        return batch

    monkeypatch.setattr(TokensSource, "load", note)
    data = {ONE: (told, ANSWERS), TWO: (told[:8], NOISE[:8])}
    for sampling, expected in (("size", 8), ("balanced", 16)):
        seen.clear()
        config = dataclasses.replace(CONFIG, max_epochs=1)
        tune_instructions(data, small_model, sampling=sampling, config=config, device="cpu")
        assert len(seen) == 32 and sum(seen) == expected


@pytest.mark.parametrize(
    "settings",
    [
        {"channel_dropout": 0.5},
        {"mixup": 0.5},
        {"label_smoothing": 0.2},
        {"average": 0.5},
        {"class_balanced": True},
        {"mix_tasks": False},
        {"task_weights": {"two": 0.5}},
        {"tune": "head"},
    ],
    ids=lambda s: next(iter(s)),
)
def test_settings_have_an_effect_and_repeat_themselves(told, small_model, settings) -> None:
    config = dataclasses.replace(CONFIG, max_epochs=2)
    first, again = (tuned(told, small_model, config=config, **settings) for _ in range(2))
    assert first.history == again.history and same(first, again)
    assert not same(first, tuned(told, small_model, config=config))
    assert not first.training


def test_windows_are_mixed_with_their_answers(told, small_model, monkeypatch) -> None:
    """Where the partner has the whole share, a batch is trained on in another order."""
    plain = tuned(told, small_model)
    assert tuned(told, small_model, mixup=1.0).history != plain.history
    monkeypatch.setattr(instruction_stage, "mix_windows", take_the_next)
    reordered = tuned(told, small_model, mixup=1.0)
    for ours, theirs in zip(reordered.history, plain.history, strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-3)


def take_the_next(hidden: torch.Tensor, mixup: float, rng: np.random.Generator) -> Mixture:
    partner = torch.arange(len(hidden)).roll(1)
    return Mixture(hidden[partner], partner, 0.0)


def test_the_average_is_what_is_returned(told, small_model) -> None:
    """Steps as without it, as validation shows them; the weights are another mixture."""
    last = tuned(told, small_model)
    smooth = tuned(told, small_model, average=0.9)
    assert [row["loss"] for row in last.history] == [row["loss"] for row in smooth.history]
    assert not same(last, smooth)
    start, mean, end = (m.lm_head.weight for m in (small_model, smooth, last))
    assert (mean - end).norm() < (start - end).norm()


def test_adapters_are_merged(told, small_model, tmp_path: Path) -> None:
    pytest.importorskip("peft")
    model = tuned(told, small_model, tune="lora", config=dataclasses.replace(CONFIG, lr=2e-2))
    assert set(model.state_dict()) == set(small_model.state_dict())
    changed = {
        name.split(".")[0]
        for name, t in model.state_dict().items()
        if not torch.equal(t, small_model.state_dict()[name])
    }
    assert changed == {"backbone"}
    assert model.history[-1]["loss"] < model.history[0]["loss"]
    model.save_pretrained(tmp_path)
    assert same(model, NeuroLM.from_pretrained(tmp_path))


def test_the_head_is_the_end_of_the_model(told, small_model) -> None:
    model = tuned(told, small_model, tune="head", config=dataclasses.replace(CONFIG, max_epochs=8))
    moved = {
        name
        for name, t in model.state_dict().items()
        if not torch.equal(t, small_model.state_dict()[name])
    }
    ends = ("backbone.h.0.", "backbone.ln_f.", "lm_head.")
    assert all(name.startswith(ends) for name in moved) and "lm_head.weight" in moved
    assert model.history[-1]["loss"] < 0.7 * model.history[0]["loss"]


# --- calibration ---------------------------------------------------------------------------------


def test_temperatures_stay_with_the_model(told, small_model, tmp_path: Path) -> None:
    labels = ANSWERS[16:].copy()
    labels[:2] = labels[1::-1]  # two wrong ones, so that the likelihood has a maximum
    validation = {ONE: (told[16:], labels), TWO: (told[16:], NOISE[16:])}
    model = tuned(told, small_model, validation=validation, calibration="temperature")
    assert set(model.config.temperatures) == {"one", "two"}
    assert small_model.config.temperatures == {}
    model.save_pretrained(tmp_path)
    loaded = NeuroLM.from_pretrained(tmp_path)
    assert loaded.config.temperatures == model.config.temperatures
    fitted = {
        how: NeuroLMClassifier(ONE, loaded, tune=None, calibration=how, device="cpu").fit(
            told[16:], labels
        )
        for how in ("auto", "temperature", None)
    }
    assert fitted["auto"].temperature_ == model.config.temperatures["one"]
    assert fitted["temperature"].temperature_ == pytest.approx(
        fitted["auto"].temperature_, rel=0.01
    )
    assert fitted[None].temperature_ == 1.0
    proba = {how: c.predict_proba(told) for how, c in fitted.items()}
    np.testing.assert_allclose(proba["auto"].sum(axis=1), 1)
    np.testing.assert_array_equal(proba["auto"].argmax(1), proba[None].argmax(1))
    assert np.abs(proba["auto"] - proba[None]).max() > 1e-3
    right = (labels == "yes").astype(int)
    nll = {how: -np.log(p[16:][np.arange(8), right]).mean() for how, p in proba.items()}
    assert nll["auto"] < nll[None]


# --- cache ---------------------------------------------------------------------------------------


def test_a_cache_changes_nothing(epochs, labels, small_model, tmp_path, monkeypatch) -> None:
    task = Task("state", "Is it active?", {"rest": "No", "active": "Yes"})
    settings: dict[str, Any] = {"config": dataclasses.replace(CONFIG, max_epochs=1)}
    settings |= {"device": "cpu", "cache": tmp_path / "states"}
    plain = tune_instructions(
        {task: (epochs, labels)}, small_model, config=settings["config"], device="cpu"
    )
    cached = tune_instructions({task: (epochs, labels)}, small_model, **settings)
    assert same(plain, cached)
    monkeypatch.setattr("mne_neurolm.training.hidden_cache.encode_patches", None)
    assert same(plain, tune_instructions({task: (epochs, labels)}, small_model, **settings))


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Store:
    path = tmp_path_factory.mktemp("stores") / "store"
    rng = np.random.default_rng(0)
    with StoreWriter(path) as writer:
        for subject in range(3):
            writer.add(
                name=f"d/s{subject}.edf",
                dataset="d",
                subject=str(subject),
                split="",
                data_volts=rng.standard_normal((200 * 8, 3)) * 1e-5,
                ch_names=["C4", "Fp1", "Cz"],
                annotations=[],
                line_freq=50.0,
            )
    return Store(path)


def store_source(store: Store, batch_size: int = 4) -> StoreSource:
    channels = tuple(sorted(store.recordings[0].channels))
    rows = [
        (Bucket(channels, 2, 0), r, 400 * k, 0, (r + k) % 2) for r in range(3) for k in range(4)
    ]
    windows = make_windows(rows)
    return StoreSource(store, windows, Plan(windows.bucket, batch_size, 0), micro_batch_size=3)


def test_states_of_a_store(store, small_model, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(hidden_source, "_CHUNK", 5)
    source, parallel = store_source(store), Parallel(torch.device("cpu"))
    cached = cache_states(source, HiddenCache(tmp_path), small_model, parallel)
    for step in range(6):  # over two epochs, in pieces
        for raw, states in zip(source[step], cached[step], strict=True):
            assert (raw.share, raw.task) == (states.share, states.task)
            assert torch.equal(raw.labels, states.labels)
            raw = raw.to(torch.device("cpu"))
            expected = small_model.encode(raw.patches, raw.channels, raw.times)
            torch.testing.assert_close(states.hidden, expected, atol=1e-5, rtol=1e-4)
            assert torch.equal(raw.channels, states.channels)
    assert len(list(tmp_path.glob("*/*"))) == 3
    monkeypatch.setattr(hidden_source, "_states", None)
    again = cache_states(source, HiddenCache(tmp_path), small_model, parallel)
    torch.testing.assert_close(again[0][0].hidden, cached[0][0].hidden, rtol=0, atol=0)


def test_moving_windows_are_not_cached(store, small_model, tmp_path) -> None:
    source = store_source(store)
    source.windows.slack[:] = 3
    with pytest.raises(ValueError, match="Only windows with labels can be cached"):
        cache_states(source, HiddenCache(tmp_path), small_model, Parallel(torch.device("cpu")))


# --- refused -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tune": "all"}, "tune must be 'full', 'lora' or 'head'"),
        ({"sampling": "even"}, "sampling must be one of"),
        ({"sampling": "temperature", "sampling_temperature": 0.0}, "must be 1 or more"),
        ({"task_weights": {"three": 1.0}}, "task_weights has .'three'.; tasks are"),
        ({"task_weights": {"two": -1.0}}, "Weights of tasks must be above 0"),
        ({"channel_dropout": 1.0}, "channel_dropout must be 0"),
        ({"mixup": -0.5}, "mixup must be 0"),
        ({"average": 1.0}, "average is the decay"),
        ({"patience": 0}, "patience must be at least 1"),
        ({"monitor": "auroc"}, "monitor must be"),
        ({"calibration": "isotonic"}, "calibration must be"),
        ({"patience": 2}, "need validation="),
        ({"calibration": "temperature"}, "need validation="),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_impossible_settings(told, small_model, settings, message) -> None:
    with pytest.raises(ValueError, match=message):
        tuned(told, small_model, **settings)


def test_impossible_data(told, small_model) -> None:
    with pytest.raises(ValueError, match="validation data for task 'workload', but no data"):
        tuned(told, small_model, validation={"workload": (told, ["No", "Yes"] * 12)})
    twice = {ONE: (told, ANSWERS), ONE.phrased(1): (told, ANSWERS)}
    with pytest.raises(ValueError, match="Tasks must have different names"):
        tune_instructions(twice, small_model, config=CONFIG, device="cpu")
