"""What a pickle of a fitted classifier holds: what training changed, and how to tell the rest."""

from __future__ import annotations

from collections.abc import Container
from typing import Any

import torch
from numpy.typing import NDArray

from .models.neurolm import NeuroLM
from .utils.fingerprint import fingerprint


def pack(model: NeuroLM, tune: str | None, *, everything: bool) -> dict[str, Any]:
    """Return the weights that a pickle must hold.

    Parameters
    ----------
    model : NeuroLM
        The tuned model.
    tune : str | None
        What was tuned.
    everything : bool
        Keep all weights: nothing else brings back those that were not tuned.

    Returns
    -------
    packed : dict
        For :func:`unpack`.
    """
    state = model.state_dict()
    if not everything:
        trained = {name for name, p in model.named_parameters() if p.requires_grad}
        state = {k: v for k, v in state.items() if tune is not None and k in trained}
    weights = {name: tensor.detach().cpu().numpy() for name, tensor in state.items()}
    return {"weights": weights, "rest_id": _rest_id(model, state)}


def unpack(model: NeuroLM, packed: dict[str, Any], origin: object) -> None:
    """Put the weights of a pickle into a model.

    Parameters
    ----------
    model : NeuroLM
        A model made as before, changed in place.
    packed : dict
        What :func:`pack` returned.
    origin : object
        What the model was made from, for the message.

    Raises
    ------
    ValueError
        If the other weights are not those of the model that was tuned.
    """
    weights: dict[str, NDArray[Any]] = packed["weights"]
    if _rest_id(model, weights) != packed["rest_id"]:
        raise ValueError(
            "This classifier was tuned from another model than the one that "
            f"model={origin!r} now stands for, so its weights do not fit. Install the "
            "version of mne-neurolm, or restore the files, that it was fitted with; or fit "
            "again."
        )
    tensors = {name: torch.from_numpy(array) for name, array in weights.items()}
    model.load_state_dict(tensors, strict=False)


def _rest_id(model: NeuroLM, kept: Container[str]) -> str:
    """Return a fingerprint of all weights that are not kept."""
    return fingerprint((k, v) for k, v in model.state_dict().items() if k not in kept)
