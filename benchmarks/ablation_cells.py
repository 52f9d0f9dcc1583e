"""What ``ablations.py`` trains and scores: one stage, one probe, one tuned model."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from ablation_data import Recordings, tool
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mne_neurolm import (
    EEGTokens,
    NeuroLM,
    NeuroLMClassifier,
    NeuroLMConfig,
    Task,
    tune_instructions,
)
from mne_neurolm.evaluation import score_predictions
from mne_neurolm.models.hub import load_model
from mne_neurolm.models.inference import encode_patches
from mne_neurolm.models.text import encode_text
from mne_neurolm.training import (
    TrainingConfig,
    train_autoregressive,
    train_masked,
    train_text,
    train_tokenizer,
)
from mne_neurolm.training.ablations import ABLATIONS, apply_ablation
from mne_neurolm.training.config import RunConfig, recipe

METRICS = ("balanced_accuracy", "auroc")
_TEXT_STEPS = 500  # of a whole recipe
_FEWEST_STEPS = 20
# Of the language model; everything else belongs to the neural tokenizer or its encoder.
_LANGUAGE = ("backbone.", "channel_embed.", "projection.", "lm_head.")


# --- settings ------------------------------------------------------------------------------------


def stage_settings(ablation: str | None, stage: str, seed: int) -> dict[str, Any]:
    """Return the settings of a stage, as plain values that a file can hold.

    Parameters
    ----------
    ablation : str | None
        A key of ``ABLATIONS``. None: the recipe as it is.
    stage : str
        The stage.
    seed : int
        Seed.

    Returns
    -------
    settings : dict
        ``training`` (fields of TrainingConfig), ``model`` (arguments of NeuroLMConfig), ``epochs``
        (a factor on their number),
        ``fraction`` of the labels, and ``tuning`` (arguments of ``tune_instructions``).
    """
    tiny = tool("train_tiny")
    training = {
        "tokenizer": tiny.TOKENIZER_STAGE,
        "masked": recipe("masked", "tiny").training,
        "autoregressive": tiny.AUTOREGRESSIVE_STAGE,
        "instruct": tiny.INSTRUCTION_STAGE,
    }[stage]
    config = RunConfig(training=dataclasses.replace(training, seed=seed, progress=False))
    options: dict[str, Any] = {}
    if ablation is not None:
        config, options = apply_ablation(ablation, stage, config, strict=False)
    # Of few epochs a share is no whole number of them, but one of steps.
    epochs = 1.0 if ablation is None else ABLATIONS[ablation].epochs.get(stage, 1.0)
    config = dataclasses.replace(
        config, training=dataclasses.replace(config.training, max_epochs=training.max_epochs)
    )
    # Only the tokenizer's stage makes a new network; the others go on with it.
    model = {**tiny.RECIPE, **config.model.overrides()} if stage == "tokenizer" else {}
    return {
        "training": dataclasses.asdict(config.training),
        "model": model,
        "epochs": epochs,
        "fraction": config.data.train_fraction,
        # Tuning is cut short here, and learning from mixed windows is slower.
        "tuning": {**tiny.TUNING, "mixup": 0.0, "shuffle_options": False, **options}
        if stage == "instruct"
        else {},
    }


def stages_of(ablation: str | None) -> tuple[str, ...]:
    """Return the stages before instruction tuning."""
    stages = ("tokenizer", "autoregressive") if ablation is None else ABLATIONS[ablation].stages
    return tuple(stage for stage in stages if stage != "instruct")


def shortened(settings: dict[str, Any], lengths: Sequence[int], share: float) -> TrainingConfig:
    """Return a stage's training, cut to a share of its steps.

    Parameters
    ----------
    settings : dict
        As :func:`stage_settings` returns them.
    lengths : sequence of int
        Number of windows of each group of which a step has only one.
    share : float
        Share of the steps, 0 to 1; the learning rate's schedule is squeezed with them.

    Returns
    -------
    config : TrainingConfig
        With ``max_steps``.
    """
    training = TrainingConfig(**settings["training"])
    per_epoch = sum(-(-n // training.batch_size) for n in lengths)
    n_epochs = settings["epochs"] * training.max_epochs
    n_steps = max(_FEWEST_STEPS, round(share * n_epochs * per_epoch))
    return dataclasses.replace(training, max_steps=n_steps)


# --- training ------------------------------------------------------------------------------------


def new_language_model(recordings: Recordings, seed: int, share: float) -> NeuroLM:
    """Return a model whose language model has seen text, and no EEG: not even that of "tiny"."""
    tiny = tool("train_tiny")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = NeuroLM(NeuroLMConfig.preset("tiny", **tiny.RECIPE))
    model.text_tokenizer = load_model("tiny").text_tokenizer
    config = dataclasses.replace(tiny.TEXT_STAGE, seed=seed, progress=False)
    n_steps = max(_FEWEST_STEPS, round(share * _TEXT_STEPS))
    train_text(model, _corpus(model, recordings), n_steps=n_steps, config=config)
    return model.eval()


def train_stage(
    model: NeuroLM, stage: str, settings: dict[str, Any], recordings: Recordings, share: float
) -> NeuroLM:
    """Return a model after a stage of pretraining.

    Parameters
    ----------
    model : NeuroLM
        The model after the stage before; changed, but by the first stage.
    stage : "tokenizer" | "masked" | "autoregressive"
        The stage.
    settings : dict
        As :func:`stage_settings` returns them.
    recordings : Recordings
        Data.
    share : float
        See :func:`shortened`.

    Returns
    -------
    model : NeuroLM
        The model.
    """
    sets = recordings.unlabelled
    if stage == "autoregressive":  # there must be a next second
        sets = [part for part in sets if part.n_seconds > 1]
    config = shortened(settings, [len(part) for part in sets], share)
    text = _corpus(model, recordings)
    if stage == "tokenizer":
        model = _with_network(model, settings["model"], config.seed)
        # Without alignment the classifier of domains would learn for nobody.
        train_tokenizer(model, sets, text=text if config.alignment else None, config=config)
    elif stage == "masked":
        train_masked(model, sets, config=config)
    else:
        train_autoregressive(model, sets, text=text, config=config)
    return model.eval()


def _corpus(model: NeuroLM, recordings: Recordings) -> np.ndarray:
    return np.asarray(encode_text(model.text_tokenizer, recordings.text))


def _with_network(source: NeuroLM, settings: dict[str, Any], seed: int) -> NeuroLM:
    """Return a model with a new neural tokenizer and the language model of another."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = NeuroLM(NeuroLMConfig.preset("tiny", **settings))
    language = {k: v for k, v in source.state_dict().items() if k.startswith(_LANGUAGE)}
    model.load_state_dict(language, strict=False)
    model.text_tokenizer = source.text_tokenizer
    return model


# --- scoring -------------------------------------------------------------------------------------


def score_probe(workload: EEGTokens, stimulus: EEGTokens, recordings: Recordings) -> dict[str, Any]:
    """Return scores of logistic regression on hidden states, and the number of codes in use.

    Features are the mean and the standard deviation over time of every channel's hidden states.
    """
    learn, test = recordings.parts()
    labels = recordings.workload_labels
    scores = [_probe(workload, labels, learn, test)]
    of_stimulus = [
        _probe(stimulus, recordings.stimulus_labels, *fold) for fold in recordings.folds()
    ]
    codes = np.concatenate([workload.codes[test].ravel(), stimulus.codes.ravel()])
    return {
        **_named("probe", "workload", scores),
        **_named("probe", "stimulus", of_stimulus),
        "codes": len(np.unique(codes)),
    }


def _probe(
    tokens: EEGTokens, labels: np.ndarray, learn: np.ndarray, test: np.ndarray
) -> dict[str, float]:
    features = np.asarray(tokens)
    # All components: a rotation, which changes no score and makes wide matrices narrow.
    probe = make_pipeline(StandardScaler(), PCA(), LogisticRegression(C=0.01, max_iter=1000))
    probe.fit(features[learn], labels[learn])
    return score_predictions(
        labels[test], probe.predict_proba(features[test]), probe[-1].classes_.tolist()
    )


def score_tuned(
    model: NeuroLM,
    workload: EEGTokens,
    stimulus: EEGTokens,
    settings: dict[str, Any],
    recordings: Recordings,
    share: float,
) -> dict[str, float]:
    """Return scores of the model after joint tuning, once for every fold.

    Parameters
    ----------
    model : NeuroLM
        Pretrained model.
    workload, stimulus : EEGTokens
        Its hidden states of the labelled windows.
    settings : dict
        Those of instruction tuning, as :func:`stage_settings` returns them.
    recordings : Recordings
        Data.
    share : float
        See :func:`shortened`.

    Returns
    -------
    scores : dict of float
        ``tuned_<task>_<metric>``.
    """
    data = tool("tiny_data")
    tasks: dict[str, Task] = {"workload": data.WORKLOAD, "stimulus": data.STIMULUS_LISTED}
    tokens = {"workload": workload, "stimulus": stimulus}
    labels = {"workload": recordings.workload_labels, "stimulus": recordings.stimulus_labels}
    scores: dict[str, list[dict[str, float]]] = {name: [] for name in tasks}
    for fold in recordings.folds():
        parts = {"workload": recordings.parts(), "stimulus": fold}
        rng = np.random.default_rng(settings["training"]["seed"])
        kept = {
            name: np.sort(rng.permutation(learn)[: round(settings["fraction"] * len(learn))])
            for name, (learn, _) in parts.items()
        }
        # A share of the data is a share of the steps too, as in the paper: epochs stay the same.
        # A step has windows of all tasks.
        config = shortened(settings, [sum(map(len, kept.values()))], share)
        tuned = tune_instructions(
            {tasks[name]: (tokens[name][rows], labels[name][rows]) for name, rows in kept.items()},
            model,
            **settings["tuning"],
            config=config,
            device="cpu",
        )
        for name, (_, test) in parts.items():
            answers = NeuroLMClassifier(tasks[name], tuned, tune=None, device="cpu")
            answers.fit(tokens[name][kept[name]], labels[name][kept[name]])
            proba = answers.predict_proba(tokens[name][test])
            truth = labels[name][test]
            scores[name].append(score_predictions(truth, proba, answers.classes_.tolist()))
    return {k: v for name, folds in scores.items() for k, v in _named("tuned", name, folds).items()}


def _named(kind: str, task: str, folds: Sequence[dict[str, float]]) -> dict[str, float]:
    return {f"{kind}_{task}_{m}": float(np.mean([fold[m] for fold in folds])) for m in METRICS}


def encode(model: NeuroLM, recordings: Recordings) -> tuple[EEGTokens, EEGTokens]:
    """Return the hidden states of the labelled windows of both tasks."""
    return encode_patches(model, recordings.workload), encode_patches(model, recordings.stimulus)
