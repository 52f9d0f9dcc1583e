"""The arguments of ``pretrain``: preset, then file, then flags, each over the one before."""

from __future__ import annotations

import argparse
import dataclasses
import os
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
import yaml
from mne.utils import warn

from .ablations import apply_ablation
from .config import (
    CheckpointConfig,
    DataConfig,
    ModelConfig,
    RunConfig,
    RuntimeConfig,
    TrainingConfig,
    recipe,
)
from .rundir import RunDirectory
from .tuning_config import TuningConfig

_GROUPS = ("training", "data", "model", "checkpoint", "runtime")
# What may differ when a run resumes: none of it changes which windows a step has. Another length
# changes the learning rates that follow, and warns.
_MAY_CHANGE = {
    "resume",
    "config",
    "output",
    "store",
    "text",
    "init",
    "cache",
    "data.num_workers",
    "training.progress",
    "training.micro_batch_size",
    "training.max_steps",
    "training.max_epochs",
}
_LENGTH = ("training.max_steps", "training.max_epochs")


@dataclass(kw_only=True, frozen=True)
class Arguments:
    """Train a stage of NeuroLM.

    Attributes
    ----------
    store : str
        Store of recordings that mne_neurolm.prepare wrote: a folder, or the URL of one.
    output : Path
        Folder of the run.
    text : Path | None
        Corpus that mne_neurolm.prepare_text wrote. None: no text.
    preset : "tiny" | "b" | "l" | "xl"
        Size of the model.
    init : str | None
        Run or model of the stage before.
    ablation : str | None
        An ablation of the paper, which changes the recipe: "temporal-only", "labram" and others.
    tasks : tuple of str
        Stage instruct: names of tasks, or YAML files that describe some.
    shuffle_options : bool
        Stage instruct: list the options of multiple-choice tasks in random order.
    cache : Path | None
        Stage instruct: folder for the frozen encoder's hidden states, which are then computed once
        and not in every epoch; all processes must see it. None: no cache.
    resume : bool
        Go on with the run in the output folder.
    config : Path | None
        YAML or TOML file of settings; flags go before it.
    training : TrainingConfig
        Optimiser, schedule and batches.
    tuning : TuningConfig
        Stage instruct: what is tuned, the mixture of tasks, and when it is enough.
    data : DataConfig
        Windows.
    model : ModelConfig
        Changes to the preset's network.
    checkpoint : CheckpointConfig
        When state is saved.
    runtime : RuntimeConfig
        Device, precision, processes, logging.
    """

    store: str
    output: Path
    text: Path | None = None
    preset: Literal["tiny", "b", "l", "xl"] = "tiny"
    init: str | None = None
    ablation: str | None = None
    tasks: tuple[str, ...] = ()
    shuffle_options: bool = False
    cache: Path | None = None
    resume: bool = False
    config: Path | None = None
    training: Annotated[TrainingConfig, tyro.conf.arg(name="")]
    tuning: TuningConfig = field(default_factory=TuningConfig)
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)
    stage: Annotated[str, tyro.conf.Suppress] = ""

    @property
    def run(self) -> RunConfig:
        """The settings without the paths."""
        return RunConfig(**{name: getattr(self, name) for name in _GROUPS})

    def as_values(self) -> dict[str, Any]:
        """Return everything as plain values, paths absolute, for a YAML file."""
        values = _plain(dataclasses.asdict(self))
        for name in ("store", "output", "text", "init", "cache"):
            values[name] = _absolute(values[name], always=name != "init")
        values["tasks"] = [_absolute(task) for task in values["tasks"]]
        values = {"stage": values.pop("stage"), **values}
        for name in ("resume", "config"):
            del values[name]
        return values


def parse(stage: str, argv: Sequence[str]) -> Arguments:
    """Return the arguments of a stage.

    Parameters
    ----------
    stage : "tokenizer" | "masked" | "autoregressive" | "instruct"
        The stage.
    argv : sequence of str
        Flags.

    Returns
    -------
    arguments : Arguments
        Flags over the file of ``--config`` over the ablation over the recipe of the preset; with
        ``--resume`` over the run's own settings.

    Raises
    ------
    SystemExit
        If a flag is unknown or has a value that is not allowed; the reason is on standard error.
    ValueError
        If a file cannot be read, a run is resumed with other settings than it began with, or there
        is no such ablation or it does not touch the stage.
    FileNotFoundError
        If there is no run to resume.
    """
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument("--preset")
    first.add_argument("--ablation")
    first.add_argument("--config", type=Path)
    first.add_argument("--output", type=Path)
    first.add_argument("--resume", action="store_true")
    early, _ = first.parse_known_args(list(argv))
    program = f"python -m mne_neurolm.pretrain {stage}"
    from_file = _read_file(early.config) if early.config is not None else {}
    from_file.pop("stage", None)
    output = early.output or from_file.get("output")
    if output is not None and "--help" not in argv and "-h" not in argv:
        run = RunDirectory(output)
        resume = early.resume or from_file.get("resume") is True
        if resume or (_was_restarted() and run.config.exists()):
            return _resume(stage, argv, from_file, run, program)
    preset = early.preset or from_file.get("preset") or "tiny"
    ablation = early.ablation or from_file.get("ablation")
    default: Any = _from_recipe(stage, preset, ablation)
    if from_file:
        default = _over(default, from_file, f"{early.config} for {program}")
    return _parse_flags(argv, default, program)


def _was_restarted() -> bool:
    """Tell whether torchrun has started this process in place of one that failed."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0


def _from_recipe(stage: str, preset: str, ablation: str | None = None) -> Arguments:
    settings = recipe(stage, preset if preset in ("tiny", "b", "l", "xl") else "tiny")
    options: dict[str, Any] = {}
    if ablation is not None:
        settings, options = apply_ablation(ablation, stage, settings)
    groups = {name: getattr(settings, name) for name in _GROUPS}
    missing: Any = tyro.MISSING
    return Arguments(store=missing, output=missing, stage=stage, **groups, **options)


def _over(default: Arguments, from_file: dict[str, Any], program: str) -> Arguments:
    """Return the settings of a file over others; the paths may still come from flags."""
    required = [name for name in ("store", "output") if name not in from_file]
    stand_ins: dict[str, Any] = {"store": "store", "output": Path("output")}
    missing: dict[str, Any] = dict.fromkeys(required, tyro.MISSING)
    default = dataclasses.replace(default, **{name: stand_ins[name] for name in required})
    settings = _parse_flags(_as_flags(from_file), default, program)
    return dataclasses.replace(settings, **missing)


def _parse_flags(argv: Sequence[str], default: Arguments, program: str) -> Arguments:
    return tyro.cli(Arguments, args=list(argv), default=default, prog=program)


def _resume(
    stage: str, argv: Sequence[str], from_file: dict[str, Any], run: RunDirectory, program: str
) -> Arguments:
    saved = run.read_config()
    its_stage = saved.pop("stage", None)
    if its_stage != stage:
        raise ValueError(
            f"{run.path} is a run of the stage {its_stage!r}, not {stage!r}; resume it with "
            f"python -m mne_neurolm.pretrain {its_stage}."
        )
    before = _parse_flags(
        _as_flags(saved), _from_recipe(stage, saved.get("preset", "tiny")), f"{run.config}"
    )
    after = _parse_flags(_as_flags(from_file), before, program) if from_file else before
    after = dataclasses.replace(_parse_flags(argv, after, program), resume=True)
    old, new = _flatten(before.as_values()), _flatten(after.as_values())
    changed = {name for name in new if new[name] != old.get(name)}
    refused = sorted(
        name
        for name in changed - _MAY_CHANGE
        if name.partition(".")[0] not in ("checkpoint", "runtime")
    )
    if refused:
        listed = ", ".join(f"{name} was {old.get(name)}, now {new[name]}" for name in refused)
        raise ValueError(
            f"{run.path} can't be resumed with other settings: {listed}. Leave them out, or start "
            "a new run with --init."
        )
    for name in changed.intersection(_LENGTH):
        warn(
            f"{name} was {old.get(name)} and is now {new[name]}: the learning rates from here on "
            "are those of a run of the new length."
        )
    return after


def _read_file(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text()
        content = tomllib.loads(text) if path.suffix == ".toml" else yaml.safe_load(text)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, tomllib.TOMLDecodeError) as error:
        raise ValueError(f"The settings in {path} can't be read: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(
            f"{path} must hold settings by name, such as training: {{lr: 1.0e-3}}; got "
            f"{type(content).__name__}."
        )
    return content


def _flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            flat |= _flatten(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def _as_flags(values: dict[str, Any]) -> list[str]:
    """Return settings as flags, so that files are checked as the command line is."""
    flags: list[str] = []
    for name, value in _flatten(values).items():
        flag = name.removeprefix("training.").replace("_", "-")
        if value is True:
            flags.append(f"--{flag}")
        elif value is False:
            group, dot, last = flag.rpartition(".")
            flags.append(f"--{group}{dot}no-{last}")
        elif isinstance(value, (list, tuple)):
            flags += [f"--{flag}", *map(str, value)]
        else:
            flags += [f"--{flag}", str(value)]
    return flags


def _absolute(path: str | None, *, always: bool = False) -> str | None:
    """Return a path that means the same from any folder; URLs, and names of models, stay."""
    if path is None or "://" in path or not (always or Path(path).expanduser().exists()):
        return path
    return str(Path(path).expanduser().resolve())


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value
