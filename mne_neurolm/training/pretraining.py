"""From arguments to a finished run: data, model, stage, trainer, and what is left behind."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from mne.utils import logger, warn
from torch import distributed

from ..models.neurolm import NeuroLM
from ..store import Store, TextCorpus
from ..utils.history import load_metrics
from ..utils.optional import import_optional
from .config import DataConfig, RuntimeConfig
from .data import Source, StoreSource
from .instruct_run import check_stage, checkpoint_settings, instruction_source
from .instruction_stage import InstructionStage
from .labels import LabelRule, label_windows, read_rules
from .masked import MaskedStage
from .parallel import Parallel
from .plan import Plan, Windows, cut_windows, split_recordings
from .publish import publish_model, write_report
from .run_recorder import RunRecorder
from .rundir import RunDirectory
from .stages import AutoregressiveStage, Stage, TokenizerStage
from .starting import save_architecture, starting_model
from .task_trainer import TaskTrainer
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
        model = starting_model(arguments, run, data.corpus)
        stage = _make_stage(arguments, data, model, _precision(arguments.runtime, parallel))
        if parallel.is_main:
            if not arguments.resume:
                run.create(arguments.as_values(), {"stage": arguments.stage, "data": data.facts})
            run.lock()
            save_architecture(model, run)
        parallel.barrier()
        trainer = _make_trainer(arguments, data, stage, parallel, run)
        if parallel.is_main:  # what may change counts from now on, also when resumed again
            run.write_config(arguments.as_values())
        began = time.monotonic()
        try:
            trainer.fit()
        except (ValueError, OSError, FloatingPointError):
            _note_failure(run, parallel)
            raise
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


def _note_failure(run: RunDirectory, parallel: Parallel) -> None:
    with suppress(OSError):  # perhaps the disk is full
        if parallel.is_main:
            run.set_status("failed", run.read_status().get("step", 0))


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
    check_stage(arguments)
    if arguments.stage == "autoregressive" and settings.min_seconds < 2:
        raise ValueError(
            "Autoregression predicts the next second, so windows must last 2 s or more; got "
            f"--data.min-seconds {settings.min_seconds}."
        )
    rules = read_rules(arguments.tasks) if arguments.stage == "instruct" else []
    if rules:
        train, val = label_windows(store.recordings, rules, settings.val_fraction)
    else:
        train, val = (
            cut_windows(
                store.recordings,
                part,
                max_tokens=settings.max_tokens,
                min_seconds=settings.min_seconds,
            )
            for part in split_recordings(store.recordings, settings.val_fraction)
        )
    if not len(train):
        raise ValueError(
            f"The store {arguments.store} has no window to train on: {len(store.recordings)} "
            f"recordings, {store.hours:.2f} h, windows of {settings.min_seconds} s or more and "
            f"{settings.max_tokens} patches or fewer. Prepare more recordings, or change "
            "--data.min-seconds or --data.max-tokens."
        )
    if not rules:
        _warn_of_unused(store, {*train.recording, *val.recording}, settings)
    train = _take_share(train, settings.train_fraction, arguments.training.seed)
    val = _thin(val, settings.max_val_windows, arguments.training.seed)
    if not len(val) and settings.val_fraction:
        warn("No subject could be held out, so there is no validation.")
    if arguments.stage == "masked" and arguments.text is not None:
        logger.info("The stage 'masked' reads no text: --text only names the text tokenizer.")
    elif arguments.text is None:
        logger.info("There is no --text: nothing is aligned with words, and none are kept in mind.")
    corpus = None if arguments.text is None else TextCorpus(arguments.text)
    return _Data(store, train, val, rules, corpus, _facts(arguments, store, train, val, corpus))


def _warn_of_unused(store: Store, used: set[int], settings: DataConfig) -> None:
    """Name recordings that have no window, but for those of a test set."""
    unused = [
        r
        for i, r in enumerate(store.recordings)
        if i not in used and r.split in ("", "train", "val")
    ]
    if unused:
        montages = sorted({len(r.channels) for r in unused})
        warn(
            f"{len(unused)} recordings, {sum(r.seconds for r in unused) / 3600:.2f} h, have no "
            f"window: they are shorter than --data.min-seconds {settings.min_seconds}, or "
            f"{settings.max_tokens} patches (--data.max-tokens) of their {montages} channels are. "
            f"{', '.join(r.name for r in unused[:5])}{', ...' if len(unused) > 5 else ''}"
        )


def _take_share(windows: Windows, fraction: float, seed: int) -> Windows:
    """Return a share of the windows of each task, drawn at random."""
    if fraction == 1.0:
        return windows
    tasks = np.array([bucket.task for bucket in windows.buckets], dtype=int)[windows.bucket]
    rng = np.random.default_rng([seed, 9])
    kept = []
    for task in np.unique(tasks):
        rows = rng.permutation(np.flatnonzero(tasks == task))
        kept.append(rows[: max(1, round(fraction * len(rows)))])
    return windows.take(np.sort(np.concatenate([np.zeros(0, dtype=int), *kept])))


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
        "recordings_used": len({*train.recording, *val.recording}),
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
    if "store_fingerprint" not in before:
        raise ValueError(
            f"{run.status} is missing or damaged, so nothing says which data {run.path} began "
            "with. Restore it, or start a new run with --init."
        )
    for name, what in (("store_fingerprint", "store"), ("text_fingerprint", "text")):
        if before.get(name) is not None and facts.get(name) != before[name]:
            raise ValueError(
                f"The {what} {facts.get(what)} is not the one that {run.path} began with (its "
                f"fingerprint was {before[name][:12]} and is {str(facts.get(name))[:12]}), so the "
                "order of the data can't be restored. Give the old one, or start a new run with "
                "--init."
            )


# --- stage ---------------------------------------------------------------------------------------


def _make_stage(arguments: Arguments, data: _Data, model: NeuroLM, precision: str) -> Stage:
    with_text = data.corpus is not None
    if arguments.stage == "tokenizer":
        return TokenizerStage(
            model,
            alignment=arguments.training.alignment,
            with_text=with_text,
            seed=arguments.training.seed,
            precision=precision,
        )
    if arguments.stage == "masked":
        return MaskedStage(
            model,
            mask_ratio=arguments.training.mask_ratio,
            seed=arguments.training.seed,
            precision=precision,
        )
    if arguments.stage == "autoregressive":
        return AutoregressiveStage(model, reads_text=with_text, precision=precision)
    return InstructionStage(
        model,
        [rule.task for rule in data.rules],
        shuffle_options=arguments.shuffle_options,
        tuning=arguments.tuning,
        seed=arguments.training.seed,
        precision=precision,
    )


def _public(arguments: Arguments, facts: dict[str, Any]) -> dict[str, Any]:
    """Return settings and data manifest without what a published card should not tell."""

    def short(values: dict[str, Any]) -> dict[str, Any]:
        paths = ("store", "text", "output", "init")
        return {k: Path(v).name if k in paths and v else v for k, v in values.items()}

    data = {k: v for k, v in facts.items() if k != "validation_subjects"}
    return {"config": short(arguments.as_values()), "data": short(data)}


# --- trainer -------------------------------------------------------------------------------------


def _make_trainer(
    arguments: Arguments, data: _Data, stage: Stage, parallel: Parallel, run: RunDirectory
) -> Trainer:
    training, settings = arguments.training, arguments.data

    def source(windows: Windows, seed: int | None) -> Source:
        if isinstance(stage, InstructionStage):
            return instruction_source(arguments, data.store, windows, seed, stage, parallel)
        return StoreSource(
            data.store,
            windows,
            Plan(windows.bucket, training.batch_size, seed),
            rank=parallel.rank,
            world=parallel.world,
            micro_batch_size=training.micro_batch_size,
            of_all=seed is None,
        )

    def publish(trained: Stage) -> None:
        if isinstance(trainer, TaskTrainer):
            trainer.conclude()
        status = run.read_status()
        metrics: dict[str, Any] = {}
        if parallel.is_main:
            for entry in load_metrics(run.path):
                metrics |= entry if entry["step"] <= status["published_step"] else {}
        card = {
            "stage": arguments.stage,
            "preset": arguments.preset,
            **_public(arguments, data.facts),
            "metrics": metrics,
            "step": status.get("published_step", 0),
        }
        publish_model(trained, parallel, run.model, card)

    recorder = RunRecorder(
        run, parallel, checkpoint_settings(arguments), arguments.runtime, publish
    )
    tokens: np.ndarray | None = None
    if data.corpus is not None and arguments.stage != "masked":
        tokens = data.corpus.tokens
    held_out: np.ndarray | None = None
    if tokens is not None:
        kept = len(tokens) - int(settings.text_val_fraction * len(tokens))
        if len(tokens) - kept >= training.text_length:
            tokens, held_out = tokens[:kept], tokens[kept:]
        elif settings.text_val_fraction and parallel.is_main:
            logger.info("The text is too short to hold any of it out for validation.")
    kind = TaskTrainer if isinstance(stage, InstructionStage) else Trainer
    trainer = kind(
        stage,  # type: ignore[arg-type]
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
    return trainer
