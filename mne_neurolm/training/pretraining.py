"""From arguments to a finished run: data, model, stage, trainer, and what is left behind."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from mne.utils import logger, warn
from torch import distributed

from ..models.config import NeuroLMConfig
from ..models.hub import load_model
from ..models.neurolm import NeuroLM
from ..store import Store, TextCorpus
from ..utils.history import load_metrics
from ..utils.optional import import_optional
from .config import RuntimeConfig
from .data import StoreSource
from .labels import LabelRule, label_windows, read_rules
from .language_model import build_model, with_tokenizer_of
from .parallel import Parallel
from .plan import Plan, Windows, cut_windows, split_recordings
from .publish import publish_model, write_report
from .run_recorder import RunRecorder
from .rundir import RunDirectory
from .stages import AutoregressiveStage, InstructionStage, Stage, TokenizerStage
from .trainer import Trainer

if TYPE_CHECKING:
    from .arguments import Arguments

_MAX_LISTED = 50


class _Data(NamedTuple):
    """What a run learns from."""

    store: Store
    train: Windows
    val: Windows
    rules: list[LabelRule]
    corpus: TextCorpus | None
    facts: dict[str, Any]


def pretrain(arguments: Arguments) -> int:
    """Train a stage.

    Parameters
    ----------
    arguments : Arguments
        What to train, from what, where to.

    Returns
    -------
    code : int
        0 if the run is finished, or was asked to stop and is saved.

    Raises
    ------
    ValueError, OSError, FloatingPointError
        If the run can't start, or can't go on; messages say what to do.
    """
    run = RunDirectory(arguments.output)
    if arguments.resume and _is_finished(run, arguments):
        logger.info(f"{run.path} is finished; its model is in {run.model}.")
        return 0
    parallel = Parallel.from_environment(
        arguments.runtime, **_trackers(arguments.runtime, run.path)
    )
    try:
        data = _load_data(arguments)
        if arguments.resume:
            _check_same_data(run, data.facts)
        stage = _make_stage(arguments, data, _precision(arguments.runtime, parallel))
        if parallel.is_main:
            if not arguments.resume:
                run.create(arguments.as_values(), {"stage": arguments.stage, "data": data.facts})
            run.lock()
        parallel.barrier()
        trainer = _make_trainer(arguments, data, stage, parallel, run)
        if parallel.is_main:  # what may change counts from now on, also when resumed again
            run.write_config(arguments.as_values())
        began = time.monotonic()
        trainer.fit()
        if parallel.is_main and run.read_status().get("status") == "finished":
            logger.info(
                f"{run.path} is finished after {(time.monotonic() - began) / 60:.1f} min; its "
                f"model is in {run.model}, its report: {write_report(run.path)}"
            )
    finally:
        run.unlock()
        if distributed.is_initialized():
            distributed.destroy_process_group()
    return 0


def _is_finished(run: RunDirectory, arguments: Arguments) -> bool:
    """Tell whether a run has nothing left to do, and its model is there."""
    status = run.read_status()
    return (
        status.get("status") == "finished"
        and (run.model / "config.json").exists()
        and (arguments.training.max_steps, arguments.training.max_epochs)
        == tuple(run.read_config()["training"].get(k) for k in ("max_steps", "max_epochs"))
    )


def _precision(runtime: RuntimeConfig, parallel: Parallel) -> str:
    if runtime.precision != "auto":
        return runtime.precision
    on_gpu = parallel.device.type == "cuda" and torch.cuda.is_bf16_supported(
        including_emulation=False
    )
    return "bfloat16" if on_gpu else "float32"


def _trackers(runtime: RuntimeConfig, path: Path) -> dict[str, Any]:
    """Return what the accelerator must know of trackers, without those that are not installed."""
    there = []
    for name in runtime.trackers:
        try:
            import_optional(
                name, extra="wandb" if name == "wandb" else "train", purpose=f"Tracker {name}"
            )
            there.append(name)
        except ImportError as error:
            if name == "wandb":  # asked for by name
                raise
            logger.info(f"{error} Metrics go to metrics.jsonl only.")
    return {"log_with": there, "project_dir": str(path / "trackers")} if there else {}


# --- data ----------------------------------------------------------------------------------------


def _load_data(arguments: Arguments) -> _Data:
    store = Store(arguments.store)
    settings = arguments.data
    rules = read_rules(arguments.tasks) if arguments.stage == "instruct" else []
    if rules:
        train, val = label_windows(store.recordings, rules, settings.val_fraction)
    else:
        parts = split_recordings(store.recordings, settings.val_fraction)
        train, val = (
            cut_windows(
                store.recordings,
                part,
                max_tokens=settings.max_tokens,
                min_seconds=settings.min_seconds,
            )
            for part in parts
        )
    if not len(train):
        raise ValueError(
            f"The store {arguments.store} has no window to train on: {len(store.recordings)} "
            f"recordings, {store.hours:.2f} h, windows of {settings.min_seconds} s or more and "
            f"{settings.max_tokens} patches or fewer. Prepare more recordings, or change "
            "--data.min-seconds or --data.max-tokens."
        )
    val = _thin(val, settings.max_val_windows, arguments.training.seed)
    if not len(val) and settings.val_fraction:
        warn("No subject could be held out, so there is no validation.")
    corpus = None if arguments.text is None else TextCorpus(arguments.text)
    return _Data(store, train, val, rules, corpus, _facts(arguments, store, train, val, corpus))


def _thin(windows: Windows, at_most: int, seed: int) -> Windows:
    rows = np.random.default_rng([seed, 5]).permutation(len(windows))[:at_most]
    return windows.take(np.sort(rows))


def _facts(
    arguments: Arguments, store: Store, train: Windows, val: Windows, corpus: TextCorpus | None
) -> dict[str, Any]:
    """Return the data manifest of a run."""

    def hours(windows: Windows) -> float:
        seconds = np.array([bucket.n_seconds for bucket in windows.buckets] or [0])
        return round(float(seconds[windows.bucket].sum()) / 3600 if len(windows) else 0.0, 3)

    held_out = sorted(
        {f"{r.dataset}/{r.subject}" for r in (store.recordings[i] for i in set(val.recording))}
    )
    facts = {
        "store": str(arguments.store),
        "store_fingerprint": store.fingerprint,
        "store_hours": round(store.hours, 3),
        "recordings": len(store.recordings),
        "datasets": sorted({r.dataset for r in store.recordings}),
        "training": f"{len(train)} windows, {hours(train)} h",
        "validation": f"{len(val)} windows, {hours(val)} h of {len(held_out)} other subjects",
        "validation_subjects": held_out[:_MAX_LISTED],
    }
    if corpus is not None:
        facts["text"] = str(arguments.text)
        facts["text_fingerprint"] = corpus.fingerprint
        facts["text_tokens"] = len(corpus)
    return facts


def _check_same_data(run: RunDirectory, facts: dict[str, Any]) -> None:
    before = run.read_status().get("data", {})
    for name, what in (("store_fingerprint", "store"), ("text_fingerprint", "text")):
        if before.get(name) is not None and facts.get(name) != before[name]:
            raise ValueError(
                f"The {what} {facts.get(what)} is not the one that {run.path} began with (its "
                f"fingerprint was {before[name][:12]} and is {str(facts.get(name))[:12]}), so the "
                "order of the data can't be restored. Give the old one, or start a new run with "
                "--init."
            )


# --- model ---------------------------------------------------------------------------------------


def _make_stage(arguments: Arguments, data: _Data, precision: str) -> Stage:
    model = _make_model(arguments)
    with_text = data.corpus is not None
    if data.corpus is not None:
        model.text_tokenizer = data.corpus.load_tokenizer()
        _check_vocabulary(arguments, data.corpus, model)
    if arguments.stage == "tokenizer":
        return TokenizerStage(
            model,
            alignment=arguments.training.alignment,
            with_text=with_text,
            seed=arguments.training.seed,
            precision=precision,
        )
    if arguments.stage == "autoregressive":
        return AutoregressiveStage(model, reads_text=with_text, precision=precision)
    return InstructionStage(
        model,
        [rule.task for rule in data.rules],
        shuffle_options=arguments.shuffle_options,
        seed=arguments.training.seed,
        precision=precision,
    )


def _make_model(arguments: Arguments) -> NeuroLM:
    config = NeuroLMConfig.preset(arguments.preset, **arguments.model.overrides())
    language_model, seed = arguments.model.language_model, arguments.training.seed
    if arguments.stage == "tokenizer" and config.n_embd != config.text_config.n_embd:
        raise ValueError(
            f"Preset {arguments.preset!r} reads EEG through the neural tokenizer of preset 'b', as "
            "in the paper. Train it with --preset b, then autoregressive with "
            f"--preset {arguments.preset} --init that run."
        )
    if arguments.init is None:
        if arguments.stage != "tokenizer":
            before = "tokenizer" if arguments.stage == "autoregressive" else "autoregressive"
            raise ValueError(
                f"The stage {arguments.stage!r} goes on from another: give --init with the run of "
                f"the stage {before!r}, a model folder, or the name of a model."
            )
        if language_model is None:
            warn(
                "The language model starts from random weights; the paper starts from GPT-2 (for "
                "example --model.language-model gpt2)."
            )
        return build_model(config, language_model, seed)
    model = load_model(_model_of(arguments.init))
    fits = model.has_language_model and _sizes(model.config) == _sizes(config)
    if fits or arguments.stage == "tokenizer":
        return model
    if arguments.stage == "autoregressive":
        return with_tokenizer_of(model, config, language_model, seed)
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


def _model_of(init: str) -> str:
    """Return the model that a run, a model folder or a name stands for."""
    run = RunDirectory(init)
    if not run.config.exists() or (run.path / "config.json").exists():
        return init
    if not (run.model / "config.json").exists():
        raise ValueError(
            f"The run {run.path} has no final model yet ({run.describe()}). Finish it with "
            "--resume first."
        )
    return str(run.model)


def _check_vocabulary(arguments: Arguments, corpus: TextCorpus, model: NeuroLM) -> None:
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


# --- trainer -------------------------------------------------------------------------------------


def _make_trainer(
    arguments: Arguments, data: _Data, stage: Stage, parallel: Parallel, run: RunDirectory
) -> Trainer:
    training, settings = arguments.training, arguments.data
    weights = stage.weights if isinstance(stage, InstructionStage) else None

    def source(windows: Windows, seed: int | None) -> StoreSource:
        return StoreSource(
            data.store,
            windows,
            Plan(windows.bucket, training.batch_size, seed),
            rank=parallel.rank,
            world=parallel.world,
            micro_batch_size=training.micro_batch_size,
            weights=weights,
        )

    def publish(trained: Stage) -> None:
        status = run.read_status()
        metrics: dict[str, Any] = {}
        if parallel.is_main:
            for entry in load_metrics(run.path):
                metrics |= entry if entry["step"] <= status["published_step"] else {}
        card = {
            "stage": arguments.stage,
            "preset": arguments.preset,
            "config": arguments.as_values(),
            "data": data.facts,
            "metrics": metrics,
            "step": status.get("published_step", 0),
        }
        publish_model(trained, parallel, run.model, card)

    recorder = RunRecorder(run, parallel, arguments.checkpoint, arguments.runtime, publish)
    tokens: np.ndarray | None = None if data.corpus is None else data.corpus.tokens
    held_out: np.ndarray | None = None
    if tokens is not None:
        kept = len(tokens) - int(settings.text_val_fraction * len(tokens))
        if len(tokens) - kept >= training.text_length:
            tokens, held_out = tokens[:kept], tokens[kept:]
    return Trainer(
        stage,
        source(data.train, training.seed),
        training,
        validation=source(data.val, None) if len(data.val) else None,
        text=tokens,
        text_validation=held_out,
        parallel=parallel,
        runtime=arguments.runtime,
        recorder=recorder,
        num_workers=settings.num_workers,
    )
