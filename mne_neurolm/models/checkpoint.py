"""Open a released ``.pt`` file without running anything that is in it."""

from __future__ import annotations

import _codecs
import pickle
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
# torch.compile leaves this prefix on every key.
_COMPILED_PREFIX = "_orig_mod."


def _harmless_globals() -> list[Any]:
    """Return what an optimizer state may need: its learning rates are numpy scalars.

    The released code sets them from a numpy schedule, under numpy's old and new module names.
    """
    scalar = np._core.multiarray.scalar  # type: ignore[attr-defined]
    return [
        (scalar, "numpy.core.multiarray.scalar"),
        (scalar, "numpy._core.multiarray.scalar"),
        np.dtype,
        type(np.dtype(np.float64)),
        type(np.dtype(np.float32)),
        type(np.dtype(np.int64)),
        (_codecs.encode, "_codecs.encode"),
    ]


def load_released(path: str | Path, required: Sequence[str]) -> dict[str, Any]:
    """Load a checkpoint of the released code.

    Parameters
    ----------
    path : str | pathlib.Path
        The ``.pt`` file: a dictionary with ``model`` (the state) and the sizes.
    required : sequence of str
        Entries it must have besides ``model``.

    Returns
    -------
    checkpoint : dict
        The entries; ``model`` has its keys without the prefix that compilation leaves. Optimizer
        state is dropped.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is truncated or damaged, is no checkpoint of the released layout, carries code, or
        holds anything but finite floating-point tensors in ``model``.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    try:
        with torch.serialization.safe_globals(_harmless_globals()):
            checkpoint = torch.load(
                path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path)
            )
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"{path} was not loaded: it is no PyTorch file, or it holds more than tensors and "
            "numbers, which could run code on this machine. Get the file from its authors again; "
            f"do not open it another way unless you trust it. (torch says: {_first_line(error)})"
        ) from error
    except Exception as error:  # a damaged byte can surface in torch as any exception at all
        raise ValueError(
            f"{path} ({path.stat().st_size:,} bytes) can't be read: truncated or damaged "
            f"download, or no PyTorch file. Download it again. (torch says: {_first_line(error)})"
        ) from error
    wanted = ["model", *required]
    if not isinstance(checkpoint, dict) or any(key not in checkpoint for key in wanted):
        got = sorted(map(str, checkpoint)) if isinstance(checkpoint, dict) else type(checkpoint)
        raise ValueError(
            f"{path} is no checkpoint of the released NeuroLM code: expected entries {wanted}, got "
            f"{got}. The tokenizer (VQ.pt) and the language model (NeuroLM-B.pt) are two files."
        )
    checkpoint.pop("optimizer", None)
    checkpoint["model"] = _checked_state(checkpoint["model"], path)
    return checkpoint


def _checked_state(state: Any, path: Path) -> dict[str, Tensor]:
    """Return tensors by name, without prefix; refuse all else."""
    if not isinstance(state, dict) or not all(isinstance(key, str) for key in state):
        raise ValueError(
            f"{path}: 'model' must be a dictionary of named tensors; got {type(state).__name__}. "
            "Is this a checkpoint of the released code?"
        )
    foreign = [key for key, value in state.items() if not _is_plain(value)]
    if foreign:
        raise ValueError(
            f"{path}: entries of 'model' must be floating-point tensors; these are not: {foreign}."
        )
    broken = [key for key, tensor in state.items() if not torch.isfinite(tensor).all()]
    if broken:
        raise ValueError(
            f"{path}: these tensors hold values that are not finite: {broken}. The file is "
            "damaged, or its training diverged; get another one."
        )
    return {key.removeprefix(_COMPILED_PREFIX): tensor for key, tensor in state.items()}


def _is_plain(value: Any) -> bool:
    return (
        isinstance(value, Tensor)
        and value.dtype in _FLOATS
        and value.layout is torch.strided
        and value.device.type == "cpu"  # a tensor without data stays on "meta"
    )


def read_sizes(
    checkpoint: dict[str, Any], entry: str, names: Sequence[str], path: str | Path
) -> dict[str, int]:
    """Read the sizes that a checkpoint states.

    Parameters
    ----------
    checkpoint : dict
        As :func:`load_released` returns it.
    entry : str
        Where they are, such as ``"encoder_args"``.
    names : sequence of str
        Which are needed.
    path : str | pathlib.Path
        The file, for messages.

    Returns
    -------
    sizes : dict of int
        The sizes.

    Raises
    ------
    ValueError
        If one is missing or no positive integer, or there are more layers than tensors.
    """
    args = checkpoint[entry]
    if not isinstance(args, dict):
        raise ValueError(f"{path}: {entry!r} must be a dictionary; got {type(args).__name__}.")
    sizes: dict[str, Any] = {name: args.get(name) for name in names}
    wrong = {
        name: size
        for name, size in sizes.items()
        if isinstance(size, bool) or not isinstance(size, (int, np.integer)) or size < 1
    }
    n_tensors = len(checkpoint["model"])
    if not wrong and sizes.get("n_layer", 0) > n_tensors:  # would take forever to build
        wrong = {"n_layer": sizes["n_layer"]}
    if wrong:
        raise ValueError(
            f"{path}: {entry!r} must give {list(names)} as positive integers, with no more layers "
            f"than the file's {n_tensors} tensors; got {wrong}. The file is damaged or of another "
            "model."
        )
    return {name: int(size) for name, size in sizes.items()}


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
