"""The model that a run starts from: new, of the stage before, or of the run that is resumed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import torch
from mne.utils import warn

from ..models.config import NeuroLMConfig
from ..models.hub import load_model
from ..models.neurolm import NeuroLM
from ..models.text import find_text_tokenizer
from ..store import TextCorpus
from .checkpoint import complete_steps
from .language_model import build_model, with_tokenizer_of
from .rundir import RunDirectory

if TYPE_CHECKING:
    from .arguments import Arguments

_BEFORE = {"masked": "tokenizer", "autoregressive": "tokenizer", "instruct": "autoregressive"}
# After these the language model is still what it is to start from.
_BEFORE_LANGUAGE = ("tokenizer", "masked")


def starting_model(arguments: Arguments, run: RunDirectory, corpus: TextCorpus | None) -> NeuroLM:
    """Return the model of a run before its first step, with a text tokenizer.

    Parameters
    ----------
    arguments : Arguments
        Stage, preset, and what to start from.
    run : RunDirectory
        The run. If it is resumed from a checkpoint, only the shape of the model matters here, and
        what it started from may be gone.
    corpus : TextCorpus | None
        The text; its tokenizer becomes the model's.

    Returns
    -------
    model : NeuroLM
        The model.

    Raises
    ------
    ValueError
        If what it would start from does not fit stage, preset or text.
    """
    if arguments.resume and run.architecture.is_dir() and complete_steps(run.checkpoints):
        with torch.random.fork_rng(devices=[]):
            model = NeuroLM(NeuroLMConfig.from_pretrained(str(run.architecture)))
        model.text_tokenizer = find_text_tokenizer(run.architecture)
    else:
        model = _new_model(arguments)
    if corpus is not None:
        model.text_tokenizer = corpus.load_tokenizer()
        _check_text(arguments, model)
    return model


def save_architecture(model: NeuroLM, run: RunDirectory) -> None:
    """Write what :func:`starting_model` needs to make the model of a run again."""
    model.config.save_pretrained(str(run.architecture))
    if model.text_tokenizer is not None:
        model.text_tokenizer.save_pretrained(str(run.architecture))


def _new_model(arguments: Arguments) -> NeuroLM:
    overrides = arguments.model.overrides()
    config = NeuroLMConfig.preset(arguments.preset, **overrides)
    language_model, seed = arguments.model.language_model, arguments.training.seed
    if arguments.stage in _BEFORE_LANGUAGE and config.n_embd != config.text_config.n_embd:
        raise ValueError(
            f"Preset {arguments.preset!r} reads EEG through the neural tokenizer of preset 'b', as "
            "in the paper. Train it with --preset b, then autoregressive with "
            f"--preset {arguments.preset} --init that run."
        )
    if arguments.init is None:
        if arguments.stage != "tokenizer":
            raise ValueError(
                f"The stage {arguments.stage!r} goes on from another: give --init with the run of "
                f"the stage {_BEFORE[arguments.stage]!r}, a model folder, or the name of a model."
            )
        if language_model is None:
            warn(
                "The language model starts from random weights; the paper starts from GPT-2 (for "
                "example --model.language-model gpt2)."
            )
        return build_model(config, language_model, seed)

    source, its_stage = _model_of(arguments.init)
    untrained = its_stage == "tokenizer" and not arguments.model.allow_untrained
    if arguments.stage == "instruct" and untrained:
        raise ValueError(
            f"{arguments.init} is a run of the stage 'tokenizer': its language model has seen no "
            "EEG. Give --init with a run of the stage 'autoregressive', or go on all the same with "
            "--model.allow-untrained."
        )
    model = load_model(source)
    for name, value in overrides.items():
        if getattr(model.config, name) != value:
            raise ValueError(
                f"{arguments.init} has {name}={getattr(model.config, name)}, and {value} is asked "
                f"for, which a model that is trained already can't take; set --model.{name} to its "
                "own, or leave --init out."
            )
    fits = model.has_language_model and _sizes(model.config) == _sizes(config)
    if arguments.stage == "autoregressive":
        new = its_stage in _BEFORE_LANGUAGE and language_model is not None
        if fits and not new:
            return model
        made = with_tokenizer_of(model, config, language_model, seed)
        if model.config.separate_encoder:
            made.encoder.load_state_dict(model.encoder.state_dict())
        return made
    if fits:
        return model
    raise ValueError(
        f"{arguments.init} is not of preset {arguments.preset!r} (language model of "
        f"{_sizes(model.config)} rows, layers, width; the preset has {_sizes(config)}). Give its "
        "own preset."
    )


def _sizes(config: NeuroLMConfig) -> tuple[int, ...]:
    text = config.text_config
    if text is None:
        return ()
    return (text.vocab_size, text.num_hidden_layers, text.hidden_size)


def _model_of(init: str) -> tuple[str, str | None]:
    """Return the model that a run, a model folder or a name stands for, and its stage if known."""
    run = RunDirectory(init)
    if run.config.exists() and not (run.path / "config.json").exists():
        if not (run.model / "config.json").exists():
            raise ValueError(
                f"The run {run.path} has no final model yet ({run.describe()}). Finish it with "
                "--resume first."
            )
        return str(run.model), run.read_config().get("stage")
    try:  # what a run publishes says where it is from
        return init, json.loads((run.path / "training.json").read_text()).get("stage")
    except (OSError, ValueError):
        return init, None


def _check_text(arguments: Arguments, model: NeuroLM) -> None:
    """Refuse text of another vocabulary, and rows longer than the language model reads."""
    if not model.has_language_model:
        return
    tokenizer = model.text_tokenizer
    size, rows = len(tokenizer), model.text_vocab_size  # type: ignore[arg-type]
    sep = tokenizer.convert_tokens_to_ids("[SEP]")  # type: ignore[union-attr]
    if size > rows or sep != model.config.sep_token_id:
        raise ValueError(
            f"The text {arguments.text} was encoded with another vocabulary ({size} ids, [SEP] is "
            f"{sep}) than the model's ({rows} rows, [SEP] is {model.config.sep_token_id}). Prepare "
            "it again with the --tokenizer that belongs to the preset: 'tiny', or GPT-2's folder "
            "for b, l and xl."
        )
    longest = model.config.text_config.max_position_embeddings + 1  # the last is only predicted
    if arguments.training.text_length > longest:
        raise ValueError(
            f"--text-length {arguments.training.text_length} is more than the {longest} tokens "
            "that the language model has positions for."
        )
