"""Checkpoints that a kill cannot tear: written aside, renamed when complete.

A checkpoint is a folder of safetensors files, one per process, in the layout of
``torch.distributed.checkpoint``, and ``state.json``. It holds whole tensors by name, so that it
loads on any number of processes, sharded or not. Nothing in it is executed on loading.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import warnings
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import torch
from mne.utils import logger, warn
from safetensors import SafetensorError, safe_open
from torch import Tensor, distributed, nn
from torch.distributed.checkpoint.api import CheckpointException  # not an Exception

from .parallel import Parallel

STATE = "state.json"
_NAME = re.compile(r"step-(?P<step>\d+)")
_UNFINISHED = ".unfinished"
_SPARE = 64 * 2**20  # bytes that must stay free beside a checkpoint
_MOMENTS = ("step", "exp_avg", "exp_avg_sq")  # AdamW's


class Checkpoints:
    """The checkpoints of a run.

    Parameters
    ----------
    folder : Path
        Where they lie, as ``step-00000100/``.
    parallel : Parallel
        The processes that write them together.
    keep_last : int
        How many to keep, beside the best.
    asynchronous : bool
        Write in the background.
    """

    def __init__(
        self, folder: Path, parallel: Parallel, *, keep_last: int = 2, asynchronous: bool = True
    ) -> None:
        self.folder = folder
        self.parallel = parallel
        self.keep_last = keep_last
        self.asynchronous = asynchronous
        # torch warns that a single process is a single process, and does so from the thread that
        # writes, where no context of this one reaches.
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")
        self._pending: tuple[Future, Path, Path, dict[str, Any]] | None = None
        # The training thread and the writing thread must not share a group: their collectives
        # would mix.
        self._group: Any = distributed.new_group(backend="gloo") if parallel.world > 1 else None

    def steps(self) -> list[int]:
        """Return the steps of complete checkpoints, oldest first."""
        return complete_steps(self.folder)

    def path(self, step: int) -> Path:
        """Return the folder of a checkpoint."""
        return self.folder / f"step-{step:08d}"

    def save(self, step: int, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
        """Start to write a checkpoint; the tensors may change as soon as this returns.

        Parameters
        ----------
        step : int
            Steps done.
        tensors : dict of Tensor
            What to save, the same names in all processes.
        state : dict
            What goes into ``state.json``. ``state["best_step"]`` is kept when others are removed.

        Raises
        ------
        OSError
            If an earlier checkpoint could not be written, or there is no room for this one.
        """
        from torch.distributed.checkpoint import async_save
        from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageWriter

        self.wait()
        final = self.path(step)
        aside = final.with_name(final.name + _UNFINISHED)
        problem = ""
        if self.parallel.is_main:
            try:
                shutil.rmtree(aside, ignore_errors=True)
                aside.mkdir(parents=True)
                self._check_room(tensors)
            except OSError as error:
                problem = str(error)
        problem = self._tell_all(problem)
        if problem:
            raise OSError(problem)
        future: Any = async_save(
            _flat(tensors),
            storage_writer=HuggingFaceStorageWriter(str(aside), save_distributed=True),
            process_group=self._group,
        )
        self._pending = (future, aside, final, state)
        if not self.asynchronous:
            self.wait()

    @property
    def written(self) -> bool:
        """Whether this process has written its part of a pending checkpoint.

        When all have, all must call :meth:`wait`, which then does not wait long.
        """
        return self._pending is not None and self._pending[0].done()

    def wait(self) -> None:
        """Complete the pending checkpoint.

        Raises
        ------
        OSError
            If it could not be written, with what to do.
        """
        if self._pending is None:
            return
        future, aside, final, state = self._pending
        self._pending = None
        problem = ""
        try:
            future.result()
            if self.parallel.is_main:
                _write_state(aside / STATE, state)
                shutil.rmtree(final, ignore_errors=True)
                aside.rename(final)
                _sync_folder(self.folder)
                self._remove_old(state.get("best_step"))
        except (Exception, CheckpointException) as error:
            # whatever storage raises, every process must hear of it
            problem = (
                f"Checkpoint {final.name} could not be written to {self.folder} ({_cause(error)}). "
                f"{self._last_word()}"
            )
            if self.parallel.is_main:
                shutil.rmtree(aside, ignore_errors=True)
        problem = self._tell_all(problem)
        if problem:
            raise OSError(problem)

    def load(self, step: int, tensors: dict[str, Tensor]) -> dict[str, Any]:
        """Read a checkpoint into tensors, in place.

        Parameters
        ----------
        step : int
            Which.
        tensors : dict of Tensor
            Where to put the values; sharded tensors get their part.

        Returns
        -------
        state : dict
            The contents of ``state.json``.

        Raises
        ------
        ValueError
            If it does not hold these tensors.
        """
        from torch.distributed.checkpoint import load
        from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader

        folder = self.path(step)
        try:
            load(
                _flat(tensors),
                storage_reader=HuggingFaceStorageReader(str(folder)),
                process_group=self._group,
            )
        except (Exception, CheckpointException) as error:  # whatever the reader raises
            raise ValueError(f"Checkpoint {folder} does not fit this run ({_cause(error)}).") from (
                error
            )
        return json.loads((folder / STATE).read_text())

    def readable(self) -> tuple[list[int], dict[int, str]]:
        """Tell the checkpoints that can be loaded from the damaged.

        Returns
        -------
        good : list of int
            Steps of those whose files are whole, oldest first.
        damaged : dict of str
            Step to what is wrong.
        """
        good, damaged = [], {}
        for step in self.steps():
            trouble = _trouble(self.path(step))
            if trouble:
                damaged[step] = trouble
            else:
                good.append(step)
        return good, damaged

    def remove_unfinished(self) -> None:
        """Remove what a kill left half written."""
        for folder in self.folder.glob(f"step-*{_UNFINISHED}"):
            shutil.rmtree(folder, ignore_errors=True)

    def remove_after(self, step: int) -> None:
        """Remove checkpoints of later steps."""
        for later in self.steps():
            if later > step:
                shutil.rmtree(self.path(later), ignore_errors=True)

    def _remove_old(self, best_step: int | None) -> None:
        for step in self.steps()[: -self.keep_last]:
            if step != best_step:
                shutil.rmtree(self.path(step), ignore_errors=True)

    def _check_room(self, tensors: dict[str, Tensor]) -> None:
        needed = sum(t.numel() * t.element_size() for t in tensors.values()) + _SPARE
        free = shutil.disk_usage(self.folder).free
        if free < needed:
            raise OSError(
                f"No room for a checkpoint in {self.folder}: it needs {needed / 2**30:.2f} GiB, "
                f"{free / 2**30:.2f} GiB are free. {self._last_word()}"
            )

    def _last_word(self) -> str:
        steps = self.steps()
        last = "There is no complete checkpoint"
        if steps:
            last = f"The last complete checkpoint is of step {steps[-1]}"
        return f"{last}. Make room and go on with --resume."

    def _tell_all(self, problem: str) -> str:
        """Return the first process's problem, or any other's, in all processes."""
        if self._group is None:
            return problem
        problems: list[str] = [""] * self.parallel.world
        distributed.all_gather_object(problems, problem, group=self._group)
        return next((p for p in problems if p), "")


def complete_steps(folder: Path) -> list[int]:
    """Return the steps of the complete checkpoints in a folder, oldest first."""
    # One that was not renamed yet does not count, even if all its files are there.
    named = [(path, _NAME.fullmatch(path.name)) for path in folder.glob("step-*")]
    return sorted(int(m["step"]) for path, m in named if m and (path / STATE).is_file())


def _cause(error: BaseException) -> str:
    """Return what went wrong in the first process in which something did."""
    if isinstance(error, CheckpointException) and error.failures:
        error = next(iter(error.failures.values()))[0]
    return f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"


def gather_state(stage: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return weights, buffers and the optimiser's moments by name, as they are, not copies.

    Parameters
    ----------
    stage : torch.nn.Module
        The stage, perhaps sharded.
    optimizer : torch.optim.AdamW
        Its optimiser. Moments that do not exist yet are made, at zero, to be loaded into.

    Returns
    -------
    tensors : dict of Tensor
        ``weights.<name>`` and ``moments.<name>.<kind>``.
    """
    tensors = {f"weights.{name}": t.detach() for name, t in stage.state_dict().items()}
    own = {id(p) for group in optimizer.param_groups for p in group["params"]}
    for name, parameter in stage.named_parameters():
        if id(parameter) not in own:
            continue
        moments = optimizer.state[parameter]
        if not moments:
            moments["step"] = torch.zeros((), dtype=torch.float32, device=parameter.device)
            moments["exp_avg"] = torch.zeros_like(parameter.detach())
            moments["exp_avg_sq"] = torch.zeros_like(parameter.detach())
        for kind in _MOMENTS:
            tensors[f"moments.{name}.{kind}"] = moments[kind]
    return tensors


def _flat(tensors: dict[str, Tensor]) -> dict[str, Any]:
    # Single numbers have no shape to take a slice of, which is how files are read.
    return {name: t.reshape(1) if t.dim() == 0 else t for name, t in tensors.items()}


def _write_state(path: Path, state: dict[str, Any]) -> None:
    files = {p.name: p.stat().st_size for p in path.parent.glob("*.safetensors")}
    with path.open("w") as file:
        json.dump({**state, "files": files}, file, indent=1)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Make a rename survive a loss of power, where the system can."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        logger.debug(f"{folder} can't be synchronised: {error}")
    finally:
        os.close(descriptor)


def _trouble(folder: Path) -> str:
    """Return what is wrong with a checkpoint, or nothing."""
    try:
        files = json.loads((folder / STATE).read_text())["files"]
    except (OSError, ValueError, KeyError) as error:
        return f"{STATE} can't be read ({type(error).__name__}: {error})"
    for name, size in files.items():
        path = folder / name
        if not path.is_file():
            return f"{name} is missing"
        if path.stat().st_size != size:
            return f"{name} has {path.stat().st_size} bytes in place of {size}"
        try:
            with safe_open(path, framework="pt") as file:
                file.keys()
        except (SafetensorError, OSError) as error:
            return f"{name} can't be read ({error})"
    return "" if files else "it has no files"


def warn_damaged(damaged: dict[int, str]) -> None:
    """Warn of checkpoints that cannot be loaded."""
    for step, trouble in damaged.items():
        warn(f"The checkpoint of step {step} is damaged and passed over: {trouble}.")
