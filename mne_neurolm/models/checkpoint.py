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
        If it is truncated, is no checkpoint of the released layout, or carries code.
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
    except (RuntimeError, EOFError, OSError, ValueError) as error:
        raise ValueError(
            f"{path} ({path.stat().st_size:,} bytes) can't be read: truncated download, or no "
            f"PyTorch file. Download it again. (torch says: {_first_line(error)})"
        ) from error
    wanted = ["model", *required]
    if not isinstance(checkpoint, dict) or any(key not in checkpoint for key in wanted):
        got = sorted(map(str, checkpoint)) if isinstance(checkpoint, dict) else type(checkpoint)
        raise ValueError(
            f"{path} is no checkpoint of the released NeuroLM code: expected entries {wanted}, got "
            f"{got}. The tokenizer (VQ.pt) and the language model (NeuroLM-B.pt) are two files."
        )
    checkpoint.pop("optimizer", None)
    state = checkpoint["model"]
    foreign = [key for key, value in state.items() if not isinstance(value, torch.Tensor)]
    if foreign:
        raise ValueError(f"{path}: entries of 'model' must be tensors; these are not: {foreign}.")
    checkpoint["model"] = {key.removeprefix(_COMPILED_PREFIX): state[key] for key in state}
    return checkpoint


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
