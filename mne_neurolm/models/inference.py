"""Run data through a model: EEG to tokens, tokens to text.

Without gradients, but not in torch's inference mode, in which autocast would make the bfloat16
copies of all weights anew for every batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..patches import Patches, make_patches
from ..tasks import EncodedTask
from ..tokens import EEGTokens
from ..utils.batches import compute_in_batches, readable, rows_at_a_time
from ..utils.device import autocast
from ..utils.packed import packed_weights
from .neurolm import NeuroLM
from .scoring import generate_text, question_log_probs


@contextmanager
def inference(model: NeuroLM, dtype: str) -> Iterator[None]:
    """Prepare weights once for all that is computed inside.

    Parameters
    ----------
    model : NeuroLM
        The model, on the device to compute on.
    dtype : "auto" | "float32" | "bfloat16"
        Precision of the forward pass.

    Raises
    ------
    ValueError
        If ``dtype`` is none of the three.
    """
    with packed_weights(model), autocast(dtype, model.device), _cast_once(model):
        yield


@contextmanager
def _cast_once(model: NeuroLM) -> Iterator[None]:
    """Let autocast keep the bfloat16 copies of frozen weights too, which it does of others."""
    frozen = [p for p in model.parameters() if not p.requires_grad and p.is_floating_point()]
    try:
        for parameter in frozen:
            parameter.requires_grad_(True)
        yield
    finally:
        for parameter in frozen:
            parameter.requires_grad_(False)


@torch.no_grad()
def encode_patches(
    model: NeuroLM,
    patches: Patches,
    *,
    batch_size: int = 64,
    dtype: str = "auto",
    progress: bool = False,
) -> EEGTokens:
    """Tokenize patches in batches.

    Parameters
    ----------
    model : NeuroLM
        The model, on the device to compute on.
    patches : Patches
        The data.
    batch_size : int
        Epochs at a time at most, on CPUs fewer where they are long. Default 64.
    dtype : "auto" | "float32" | "bfloat16"
        Precision of the forward pass. Hidden states come as float32.
    progress : bool
        Show a progress bar with the time left.

    Returns
    -------
    tokens : EEGTokens
        Codes and hidden states; empty for no epochs.

    Raises
    ------
    ValueError
        If the codebook was never trained, or epochs are longer than the model's time embedding.
    """
    if not bool(model.vq.codebook.initialized):
        raise ValueError(
            "This model's codebook was never trained, so it has no codes. Fit a NeuroLMTokenizer "
            "on EEG first, or load a trained model such as 'tiny'."
        )
    device = model.device
    channels = torch.from_numpy(patches.channels).to(device)
    times = torch.from_numpy(patches.times).to(device)
    n_epochs, n_tokens = patches.data.shape[:2]
    codes = np.empty((n_epochs, n_tokens), dtype=np.int64)
    hidden = np.empty((n_epochs, n_tokens, model.config.n_embd), dtype=np.float32)
    model.eval()
    with inference(model, dtype):
        compute_in_batches(
            lambda batch: model.tokenize(batch, channels, times),
            patches.data,
            (hidden, codes),
            device,
            batch_size=rows_at_a_time(batch_size, n_tokens, device),
            description="tokenize",
            progress=progress,
        )
    return EEGTokens(
        codes, hidden, patches.channels, patches.times, patches.ch_names, model.encoder_id()
    )


def as_tokens(
    X: Any,
    model: NeuroLM,
    encoder_id: str | None,
    *,
    batch_size: int = 64,
    dtype: str = "auto",
    progress: bool = False,
    **array_parameters: Any,
) -> EEGTokens:
    """Return tokens for a model: check them, or make them from EEG.

    Parameters
    ----------
    X : EEGTokens | mne.BaseEpochs | list of mne.BaseEpochs | ndarray
        Tokens, or EEG.
    model : NeuroLM
        The model that is to read them.
    encoder_id : str | None
        Fingerprint that tokens must carry. None: any encoder of the model's width will do, and EEG
        can't be encoded, as the model has no trained encoder.
    batch_size, dtype, progress
        See :func:`encode_patches`.
    **array_parameters
        See :func:`~mne_neurolm.patches.make_patches`.

    Returns
    -------
    tokens : EEGTokens
        The tokens.

    Raises
    ------
    TypeError
        For a table, which holds features.
    ValueError
        If tokens come from another encoder, or for a matrix of features.
    """
    if isinstance(X, EEGTokens):
        if X.hidden.shape[2] != model.config.n_embd:
            raise ValueError(
                f"Tokens are {X.hidden.shape[2]}-dimensional, but the model reads "
                f"{model.config.n_embd}; give tokenizer and classifier the same model."
            )
        if encoder_id is not None and X.encoder_id != encoder_id:
            raise ValueError(
                f"The tokens come from another encoder ({X.encoder_id}) than that of this "
                f"model ({encoder_id}); give tokenizer and classifier the same model."
            )
        return X
    if hasattr(X, "iloc"):
        raise TypeError(
            "X is a pandas object, which holds features and no tokens. Leave the tokenizer's "
            "output as it is: tokenizer.set_output(transform='default')."
        )
    if isinstance(X, np.ndarray) and X.ndim == 2:
        raise ValueError(
            f"X is a matrix of shape {X.shape}, which holds features and no tokens. Pass "
            "EEGTokens (output='tokens' of the tokenizer, with no step in between), Epochs, or "
            "an array (n_epochs, n_chans, n_times)."
        )
    patches = make_patches(X, **array_parameters)
    if encoder_id is None:
        raise ValueError(
            "The model is a configuration, so it has no trained tokenizer: put a "
            "NeuroLMTokenizer before the classifier."
        )
    return encode_patches(model, patches, batch_size=batch_size, dtype=dtype, progress=progress)


@torch.no_grad()
def score_answers(
    model: NeuroLM,
    tokens: EEGTokens,
    questions: Sequence[EncodedTask],
    *,
    batch_size: int,
    dtype: str,
    progress: bool = False,
) -> list[NDArray[np.float64]]:
    """Score the answers to several questions about the same epochs.

    Parameters
    ----------
    model : NeuroLM
        The model, on the device to compute on.
    tokens : EEGTokens
        The epochs.
    questions : sequence of EncodedTask
        What is asked.
    batch_size, dtype, progress
        See :func:`encode_patches`.

    Returns
    -------
    log_probs : list of ndarray of float64, shape (n_epochs, n_answers)
        One for each question; see :func:`~mne_neurolm.models.scoring.question_log_probs`.
    """
    device = model.device
    channels, times = (torch.from_numpy(a).to(device) for a in (tokens.channels, tokens.times))
    scores = [np.empty((len(tokens), len(question.answers))) for question in questions]
    model.eval()
    with inference(model, dtype):
        compute_in_batches(
            lambda hidden: question_log_probs(model, hidden.float(), channels, times, questions),
            tokens.hidden,
            scores,
            device,
            batch_size=rows_at_a_time(batch_size, len(tokens.times), device),
            description="ask",
            progress=progress,
        )
    return scores


@torch.no_grad()
def write_answers(
    model: NeuroLM,
    tokens: EEGTokens,
    prompt: Sequence[int],
    *,
    max_new_tokens: int,
    batch_size: int,
    dtype: str,
) -> list[str]:
    """Generate an answer per epoch, most likely token first; see :func:`generate_text`."""
    device, words = model.device, model.text_tokenizer
    channels, times = (torch.from_numpy(a).to(device) for a in (tokens.channels, tokens.times))
    texts: list[str] = []
    with inference(model, dtype):
        for start in range(0, len(tokens), batch_size):
            some = readable(tokens.hidden[start : start + batch_size])
            hidden = torch.from_numpy(some).to(device, torch.float32)
            rows = generate_text(
                model, hidden, channels, times, prompt, max_new_tokens=max_new_tokens
            )
            assert words is not None  # or generate_text would have raised
            texts += [words.decode(row).strip() for row in rows]
    return texts
