"""Stages 1 and 2 on data in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from ..models.neurolm import NeuroLM
from ..models.vq import N_FREQUENCIES, VQ, log_magnitudes
from ..patches import Patches
from .data import Batch, shuffled_batches, text_rows, to_tensors
from .loop import TrainingConfig, run
from .objectives import autoregressive_objective, text_objective, vq_objective
from .optim import alignment_weight

# Defaults of the paper: Table 7 (tokenizer) and Table 8 (autoregression).
TOKENIZER_DEFAULTS = TrainingConfig(
    max_epochs=50,
    lr=5e-5,
    min_lr=1e-5,
    weight_decay=1e-4,
    betas=(0.9, 0.999),
    grad_clip=0.0,
    text_batch_size=16,
    text_length=1024,
)
AUTOREGRESSIVE_DEFAULTS = TrainingConfig(
    max_epochs=20, batch_size=60, lr=6e-4, min_lr=6e-5, text_length=1024
)


def train_tokenizer(
    model: NeuroLM,
    data: Sequence[Patches],
    *,
    text: np.ndarray | None = None,
    config: TrainingConfig = TOKENIZER_DEFAULTS,
) -> list[dict[str, float]]:
    """Stage 1: learn the neural tokenizer, in place.

    Parameters
    ----------
    model : NeuroLM
        Its ``vq`` is trained.
    data : sequence of Patches
        Sets of samples; each has one montage and one length.
    text : ndarray of int, shape (n_tokens,) | None
        Text whose word embeddings, taken from the model's language model, the EEG is aligned with.
        None: no alignment.
    config : TrainingConfig
        Default: Table 7.

    Returns
    -------
    history : list of dict
        Losses per epoch, see :func:`~mne_neurolm.training.objectives.vq_objective`.

    Raises
    ------
    ValueError
        If there are no samples, there is text but no language model, or their widths differ.
    """
    _require_samples(data)
    words = None
    if text is not None:
        model._require_language_model()
        words = model.backbone.get_input_embeddings().weight.detach()
        if words.shape[1] != model.config.n_embd:
            raise ValueError(
                f"Alignment compares word embeddings of width {words.shape[1]} with hidden states "
                f"of width {model.config.n_embd}; they must be equal. Train without text, or with "
                "a language model of that width."
            )
    device = model.device
    if model.vq.frequency_target == "log_magnitude":
        _standardize_log_magnitudes(model.vq, data)

    def objective(batch: Batch, step: int, n_steps: int) -> dict[str, Tensor]:
        tensors = [t.to(device) for t in to_tensors(data[batch.source], batch.rows)]
        embeddings = None
        if words is not None and text is not None:
            rows = _text(text, config, step)
            embeddings = words[rows.to(device)].flatten(0, 1)
        return vq_objective(
            model.vq,
            *tensors,
            word_embeddings=embeddings,
            alpha=config.alignment * alignment_weight(step, n_steps),
        )

    return _run([model.vq], objective, data, config, "neural tokenizer")


def _standardize_log_magnitudes(vq: VQ, data: Sequence[Patches]) -> None:
    """Note mean and standard deviation of each bin over all patches."""
    count = 0
    total = squares = torch.zeros(N_FREQUENCIES, dtype=torch.float64)
    for patches in data:
        for start in range(0, len(patches), 256):  # bounds memory
            values = log_magnitudes(torch.from_numpy(patches.data[start : start + 256])).double()
            count += values[..., 0].numel()
            total = total + values.sum(dim=(0, 1))
            squares = squares + values.square().sum(dim=(0, 1))
    mean = total / count
    vq.log_magnitude_mean.copy_(mean)
    vq.log_magnitude_std.copy_((squares / count - mean.square()).sqrt())


def train_autoregressive(
    model: NeuroLM,
    data: Sequence[Patches],
    *,
    text: np.ndarray | None = None,
    config: TrainingConfig = AUTOREGRESSIVE_DEFAULTS,
) -> list[dict[str, float]]:
    """Stage 2: teach the language model EEG, in place; the tokenizer stays as it is.

    Parameters
    ----------
    model : NeuroLM
        Its language model is trained.
    data : sequence of Patches
        Sets of samples of at least two seconds.
    text : ndarray of int, shape (n_tokens,) | None
        Text mixed into every step. None: EEG only.
    config : TrainingConfig
        Default: Table 8.

    Returns
    -------
    history : list of dict
        Losses and accuracies per epoch.

    Raises
    ------
    ValueError
        If there are no samples or there is no language model, or samples of a single second.
    """
    _require_samples(data)
    device = model.device
    model.vq.eval()  # in training mode the codebook would move

    def objective(batch: Batch, step: int, n_steps: int) -> dict[str, Tensor]:
        patches, channels, times = (
            t.to(device) for t in to_tensors(data[batch.source], batch.rows)
        )
        with torch.no_grad():
            hidden, codes = model.tokenize(patches, channels, times)
        eeg = autoregressive_objective(model, hidden, codes, channels, times)
        losses = {"loss": eeg["loss"], "eeg": eeg["loss"], "eeg_accuracy": eeg["accuracy"]}
        if text is not None:
            rows = _text(text, config, step).to(device)
            losses |= add_text(model, losses["loss"], rows)
        return losses

    return _run(language_model_parts(model), objective, data, config, "autoregression")


def train_text(
    model: NeuroLM, text: np.ndarray, *, n_steps: int, config: TrainingConfig
) -> list[dict[str, float]]:
    """Train the language model on text alone, in place.

    A model that starts from GPT-2 needs no such stage; one that starts from nothing has no word
    embeddings to align EEG with before it.

    Parameters
    ----------
    model : NeuroLM
        Its language model is trained.
    text : ndarray of int, shape (n_tokens,)
        The corpus.
    n_steps : int
        Steps per epoch.
    config : TrainingConfig
        Optimiser and schedule.

    Returns
    -------
    history : list of dict
        Loss and accuracy per epoch.

    Raises
    ------
    ValueError
        If the text is shorter than a row, ``n_steps`` is below 1, or there is no language model.
    """
    device = model.device

    def objective(batch: object, step: int, n_steps: int) -> dict[str, Tensor]:
        return text_objective(model, _text(text, config, step).to(device))

    return run(
        language_model_parts(model),
        objective,
        lambda epoch: range(n_steps),
        config,
        description="text",
    )


def language_model_parts(model: NeuroLM) -> list[nn.Module]:
    """Return what stages 2 and 3 train: all but the neural tokenizer."""
    model._require_language_model()
    return [model.backbone, model.channel_embed, model.projection, model.lm_head]


def _text(text: np.ndarray, config: TrainingConfig, step: int) -> Tensor:
    return text_rows(
        text, config.text_batch_size, config.text_length, seed=config.random_state, step=step
    )


def add_text(model: NeuroLM, loss: Tensor, rows: Tensor) -> dict[str, Tensor]:
    """Return entries of a dictionary of losses that mix rows of text into a step."""
    text = text_objective(model, rows)
    return {"loss": loss + text["loss"], "text": text["loss"], "text_accuracy": text["accuracy"]}


def _require_samples(data: Sequence[Patches]) -> None:
    if not sum(map(len, data)):
        raise ValueError(
            f"No samples: got {len(data)} sets with nothing in them; pass a list of Patches, as "
            "mne_neurolm.patches.make_patches returns."
        )


def _run(
    modules: Sequence[nn.Module],
    objective: Callable[[Batch, int, int], dict[str, Tensor]],
    data: Sequence[Patches],
    config: TrainingConfig,
    description: str,
) -> list[dict[str, float]]:
    lengths = [len(patches) for patches in data]
    return run(
        modules,
        objective,
        lambda epoch: shuffled_batches(
            lengths, config.batch_size, seed=config.random_state, epoch=epoch
        ),
        config,
        description=description,
    )
