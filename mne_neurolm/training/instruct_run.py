"""What ``pretrain instruct`` has beyond the other stages: a mixture of tasks, cached states."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from ..store import Store
from .config import CheckpointConfig
from .data import Source, StoreSource
from .hidden_cache import HiddenCache
from .hidden_source import cache_states
from .instruction_stage import InstructionStage
from .parallel import Parallel
from .plan import Plan, Windows
from .sampling import make_plan, weights_of
from .tuning_config import TuningConfig

if TYPE_CHECKING:
    from .arguments import Arguments


def check_stage(arguments: Arguments) -> None:
    """Refuse settings of instruction tuning for another stage, and a cache of EEG that varies.

    Parameters
    ----------
    arguments : Arguments
        What was asked for.

    Raises
    ------
    ValueError
        If settings are of another stage, or augmentation would have no effect.
    """
    training = arguments.training
    if arguments.stage == "instruct":
        if arguments.cache is not None and (training.montage_subsets or training.amplitude_jitter):
            raise ValueError(
                "--cache keeps hidden states of the EEG as it was recorded, so --montage-subsets "
                f"{training.montage_subsets} and --amplitude-jitter {training.amplitude_jitter} "
                "would change nothing. Leave out --cache, or set both to 0; "
                "--tuning.channel-dropout leaves out channels of cached states."
            )
        return
    asked = (arguments.tasks, arguments.shuffle_options, arguments.cache is not None)
    if any(asked) or arguments.tuning != TuningConfig():
        raise ValueError(
            "--tasks, --shuffle-options, --cache and --tuning are for the stage 'instruct', not "
            f"{arguments.stage!r}."
        )


def instruction_source(
    arguments: Arguments,
    store: Store,
    windows: Windows,
    seed: int | None,
    stage: InstructionStage,
    parallel: Parallel,
) -> Source:
    """Return windows with labels in the order and the mixture that was asked for.

    Parameters
    ----------
    arguments : Arguments
        What was asked for.
    store : Store
        Where the windows are from.
    windows : Windows
        The windows.
    seed : int | None
        What the order depends on. None: in their own order, all once, for validation.
    stage : InstructionStage
        The stage.
    parallel : Parallel
        The processes, all of which must call this.

    Returns
    -------
    source : Source
        Samples, or with ``--cache`` their hidden states.
    """
    training, tuning = arguments.training, arguments.tuning
    if seed is None:
        plan = Plan(windows.bucket, training.batch_size, None)
    else:
        plan = make_plan(
            windows,
            training.batch_size,
            seed,
            sampling=tuning.sampling,
            temperature=tuning.sampling_temperature,
            class_balanced=tuning.class_balanced,
            mix_tasks=tuning.mix_tasks,
            weights=weights_of([task.name for task in stage.tasks], tuning.weight_by_task),
        )
    source = StoreSource(
        store,
        windows,
        plan,
        rank=parallel.rank,
        world=parallel.world,
        micro_batch_size=training.micro_batch_size,
        weights=stage.weights,
        of_all=seed is None,
    )
    if arguments.cache is None:
        return source
    return cache_states(
        source,
        HiddenCache(arguments.cache),
        stage.model,
        parallel,
        precision=stage.precision,
        progress=training.progress and parallel.is_main,
    )


def checkpoint_settings(arguments: Arguments) -> CheckpointConfig:
    """Return when state is saved: early stopping publishes the best weights."""
    if arguments.tuning.patience is None:
        return arguments.checkpoint
    return dataclasses.replace(arguments.checkpoint, publish="best")
