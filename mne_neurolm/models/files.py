"""What saving and loading a model's folder needs beside transformers."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from torch import nn
from transformers.utils import logging

_MAX_NAMED = 20  # keys of each kind in a message: a foreign file has hundreds
_Module = TypeVar("_Module", bound=nn.Module)


@contextmanager
def silent_progress() -> Iterator[None]:
    """Hide transformers' progress bars: they would flash up for every model, whatever `verbose`."""
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def check_output(directory: str | Path) -> Path:
    """Return a folder that may be written to; refuse one that is a file."""
    path = Path(directory).expanduser()
    if path.exists() and not path.is_dir():
        raise ValueError(f"{path} is a file; a model is written to a folder. Name another one.")
    return path


def check_config(directory: Path) -> None:
    """Refuse a folder whose ``config.json`` is missing, broken or of another kind of model."""
    path = directory / "config.json"
    advice = "Write a model with NeuroLM.save_pretrained or python -m mne_neurolm.convert."
    if not path.is_file():
        raise ValueError(f"{directory} is no model directory: it has no config.json. {advice}")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # no JSON, or no text
        raise ValueError(f"{path} can't be read as JSON ({error}). {advice}") from error
    kind = config.get("model_type") if isinstance(config, dict) else None
    if kind != "neurolm":
        raise ValueError(
            f"{directory} holds a model of type {kind!r} (in config.json); needed is 'neurolm'. "
            f"{advice}"
        )


def check_loaded(name: str | Path, info: dict[str, Any], *, allow_mismatched: bool) -> None:
    """Refuse weights that do not fit the configuration; transformers would make up the rest.

    Parameters
    ----------
    name : str | pathlib.Path
        What was loaded, for the message.
    info : dict
        The loading info of transformers.
    allow_mismatched : bool
        Whether tensors of another shape were asked to be replaced.

    Raises
    ------
    ValueError
        If keys are missing, unexpected or of another shape.
    """
    mismatched = [] if allow_mismatched else info["mismatched_keys"]
    kinds = {
        "missing": info["missing_keys"],
        "unexpected": info["unexpected_keys"],
        "of another shape": [
            f"{key} (file {tuple(got)}, config.json {tuple(wanted)})"
            for key, got, wanted in mismatched
        ],
    }
    problems = [f"{len(keys)} {kind}: {_some(keys)}" for kind, keys in kinds.items() if keys]
    if problems:
        raise ValueError(
            f"The weights of {name} do not fit its config.json. " + "; ".join(problems) + ". The "
            "folder is incomplete or of another model: get it again, or write it again with "
            "NeuroLM.save_pretrained."
        )


def _some(keys: Iterable[str]) -> str:
    names = sorted(keys)
    more = f" and {len(names) - _MAX_NAMED} more" if len(names) > _MAX_NAMED else ""
    return ", ".join(names[:_MAX_NAMED]) + more


def without_adapters(model: _Module) -> _Module:
    """Return the model, or a copy with merged weights if peft's adapters are in it.

    Parameters
    ----------
    model : torch.nn.Module
        The model; it stays as it is.

    Returns
    -------
    plain : torch.nn.Module
        A model of plain layers that computes the same.
    """
    # Told by what they have, as peft is optional.
    if not any(hasattr(module, "get_base_layer") for module in model.modules()):
        return model
    plain = copy.deepcopy(model)
    for name, layer in list(plain.named_modules()):
        if hasattr(layer, "get_base_layer"):
            layer.merge()
            plain.set_submodule(name, layer.get_base_layer())
    return plain
