"""Stages of training: what each trains, and what it minimises for a batch.

A stage is a module whose ``forward`` does everything that needs gradients, so that one wrapper
replicates or shards it whole. It returns sums weighted by each batch's share of the step: added
over batches and processes they are the step's losses, however the step was divided.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ..models.neurolm import NeuroLM
from ..models.targets import N_FREQUENCIES, log_magnitudes
from ..utils.device import autocast
from .data import EEGBatch, Source
from .objectives import (
    autoregressive_objective,
    text_objective,
    vq_objective,
)
from .optim import alignment_weight

_MAX_WINDOWS_LOOKED_AT = 4096  # for the mean and standard deviation of spectra


class Stage(nn.Module):
    """A stage of training.

    Parameters
    ----------
    model : NeuroLM
        The model; what the stage trains requires gradients afterwards, the rest does not.
    precision : "auto" | "float32" | "bfloat16"
        Precision of matrix products. Default ``"float32"``.
    **parts : torch.nn.Module
        What the stage needs beside the model, to be found under these names.

    Attributes
    ----------
    name : str
        As on the command line.
    description : str
        For progress bars.
    judged_by : tuple of str
        Losses whose sum over the validation windows tells which weights are the best.
    """

    name: str
    description: str
    judged_by: tuple[str, ...] = ("loss",)

    def __init__(self, model: NeuroLM, precision: str = "float32", **parts: nn.Module) -> None:
        super().__init__()
        self.model = model
        for name, part in parts.items():
            self.add_module(name, part)
        self.precision = precision
        model.requires_grad_(False)
        for part in self.trained():
            part.requires_grad_(True)

    def trained(self) -> list[nn.Module]:
        """Return the parts that are trained."""
        raise NotImplementedError

    def train(self, mode: bool = True) -> Stage:
        """Set what is trained to training mode, and the rest to evaluation mode."""
        super().train(False)
        for part in self.trained():
            part.train(mode)
        return self

    def start(self, source: Source, seed: int) -> None:
        """Look at the training data before the first step."""

    def forward(
        self, batch: EEGBatch, text: Tensor | None, text_share: float, step: int, n_steps: int
    ) -> dict[str, Tensor]:
        """Return the losses of a batch, times its share.

        Parameters
        ----------
        batch : EEGBatch
            Windows on the device.
        text : Tensor of int64, shape (n_rows, T) | None
            Rows of text.
        text_share : float
            What the rows count for, 0 to 1.
        step, n_steps : int
            Step, from 0, and number of steps of the run.

        Returns
        -------
        losses : dict of Tensor
            ``"loss"``, to be differentiated, and its parts.
        """
        with autocast(self.precision, batch.channels.device):
            return self.losses(batch, text, text_share, step, n_steps)

    def losses(
        self, batch: EEGBatch, text: Tensor | None, text_share: float, step: int, n_steps: int
    ) -> dict[str, Tensor]:
        """Return what :meth:`forward` returns."""
        raise NotImplementedError

    def question_lengths(self, task: int) -> dict[str, Any]:
        """Return what :func:`~mne_neurolm.training.cost.step_flops` must know of a task."""
        return {}

    def after_step(self, step: int) -> dict[str, float]:
        """Do what follows an optimiser step; returns more to log."""
        return {}

    def discard(self) -> None:
        """Forget a step that was not taken."""


class TokenizerStage(Stage):
    """Stage 1: the neural tokenizer (paper, section 2.2).

    Parameters
    ----------
    model : NeuroLM
        Its ``vq`` is trained.
    alignment : float
        Strength of the alignment with text at the end of training.
    with_text : bool
        Whether there will be text to align with.
    seed : int
        What codes start from, and where dead ones are revived, depends on it.
    precision : str
        See :class:`Stage`.

    Raises
    ------
    ValueError
        If there is text, but no language model or one of another width.
    """

    name = "tokenizer"
    description = "neural tokenizer"

    def __init__(
        self,
        model: NeuroLM,
        *,
        alignment: float = 1.0,
        with_text: bool = True,
        seed: int = 0,
        precision: str = "float32",
    ) -> None:
        super().__init__(model, precision)
        self.alignment = alignment
        vq, names = model.vq, model.vq.target_names
        targets = (*names, "scalp") if vq.encoder.scalp_embed is not None else names
        hidden = [f"hidden_{name}" for name in targets] if vq.hidden_target_weight else []
        # Not the domain losses: they rise when the alignment succeeds.
        self.judged_by = (*names, "commitment", *hidden)
        model.vq.codebook.seed = seed
        if with_text:
            model._require_language_model()
            width = model.backbone.get_input_embeddings().embedding_dim
            if width != model.config.n_embd:
                raise ValueError(
                    f"Alignment compares word embeddings of width {width} with hidden states of "
                    f"width {model.config.n_embd}; they must be equal. Train without text, or with "
                    "a language model of that width."
                )
        else:  # several processes wait for the gradient of every parameter that requires one
            model.vq.domain_classifier.requires_grad_(False)

    def trained(self) -> list[nn.Module]:
        """Return the neural tokenizer."""
        return [self.model.vq]

    def start(self, source: Source, seed: int) -> None:
        """Look at the data: spectra, components of the scalp, and where codes start."""
        vq = self.model.vq
        if vq.encoder.scalp_embed is not None:
            vq.encoder.scalp_embed.fit(self._examples(source, seed))
        if vq.frequency_target == "log_magnitude" and "frequency" in vq.target_names:
            self._standardize(source, seed)
        if not vq.codebook.initialized:
            # By the whole first step, which may be more than the first batch of this process.
            with torch.no_grad():
                vq.codebook.initialize(torch.cat([self._code_inputs(b) for b in source[0]]))

    def _code_inputs(self, batch: EEGBatch) -> Tensor:
        """Return what the codebook would quantise (n, codebook_dim), none of what has no share."""
        vq = self.model.vq
        batch = batch.to(self.model.device)
        hidden = vq.encode(given(batch.patches), batch.channels, batch.times)
        rows = functional.normalize(vq._project(hidden).float(), dim=-1).flatten(0, -2)
        return rows if batch.share > 0 else rows[:0]

    @staticmethod
    def _examples(source: Source, seed: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yield patches, channels and times of windows; all processes look at the same ones."""
        rng = np.random.default_rng([seed, 4])
        rows = rng.permutation(len(source.windows))[:_MAX_WINDOWS_LOOKED_AT]
        for row in np.sort(rows):
            bucket = int(source.windows.bucket[row])
            batch = source.load(bucket, np.array([row]), 0).to(torch.device("cpu"))
            yield given(batch.patches), batch.channels, batch.times

    def _standardize(self, source: Source, seed: int) -> None:
        vq = self.model.vq
        count, total, squares = 0, np.zeros(N_FREQUENCIES), np.zeros(N_FREQUENCIES)
        for patches, _, _ in self._examples(source, seed):
            values = log_magnitudes(patches).double().flatten(0, 1).numpy()
            values = values[np.isfinite(values).all(axis=1)]
            count += len(values)
            total += values.sum(axis=0)
            squares += np.square(values).sum(axis=0)
        mean = total / max(count, 1)
        std = np.sqrt(np.maximum(squares / max(count, 1) - mean**2, 1e-12))
        vq.log_magnitude_mean.copy_(torch.from_numpy(mean))
        vq.log_magnitude_std.copy_(torch.from_numpy(std))

    def losses(
        self, batch: EEGBatch, text: Tensor | None, text_share: float, step: int, n_steps: int
    ) -> dict[str, Tensor]:
        """Return reconstruction, commitment and domain losses."""
        words = None
        if text is not None:
            words = self.model.backbone.get_input_embeddings()(text).detach().flatten(0, 1)
        vq = self.model.vq
        vq.codebook.collects = batch.share > 0
        terms = vq_objective(
            vq,
            given(batch.patches),
            batch.channels,
            batch.times,
            word_embeddings=words,
            alpha=self.alignment * alignment_weight(step, n_steps),
        )
        del terms["loss"]
        terms = {
            name: value * (text_share if name == "domain_text" else batch.share)
            for name, value in terms.items()
        }
        return {"loss": torch.stack(list(terms.values())).sum(), **terms}

    def after_step(self, step: int) -> dict[str, float]:
        """Move the codebook."""
        codebook = self.model.vq.codebook
        codebook.update(step)
        used, perplexity = codebook.usage()
        return {"codebook_used": float(used), "codebook_perplexity": float(perplexity)}

    def discard(self) -> None:
        """Forget the assignments of a step that was not taken."""
        self.model.vq.codebook.discard()


class LanguageModelStage(Stage):
    """Stages 2 and 3 train all but the neural tokenizer, and mix in text."""

    def __init__(
        self, model: NeuroLM, *, reads_text: bool = True, precision: str = "float32"
    ) -> None:
        model._require_language_model()
        super().__init__(model, precision)
        if not reads_text:  # see TokenizerStage
            model.backbone.get_input_embeddings().requires_grad_(False)

    def trained(self) -> list[nn.Module]:
        """Return the language model with its inputs and head."""
        return language_model_parts(self.model)

    def losses(
        self, batch: EEGBatch, text: Tensor | None, text_share: float, step: int, n_steps: int
    ) -> dict[str, Tensor]:
        """Return the losses over EEG and text."""
        terms = {
            name: value * (batch.window_share if name.endswith("accuracy") else batch.share)
            for name, value in self.eeg_losses(batch, step).items()
        }
        loss = terms.pop("loss")
        if text is not None:
            words = text_objective(self.model, text)
            terms["text"] = words["loss"] * text_share
            terms["text_accuracy"] = words["accuracy"] * text_share
            loss = loss + terms["text"]
        return {"loss": loss, **terms}

    def eeg_losses(self, batch: EEGBatch, step: int) -> dict[str, Tensor]:
        """Return the losses over EEG, ``"loss"`` among them."""
        raise NotImplementedError


class AutoregressiveStage(LanguageModelStage):
    """Stage 2: multi-channel autoregression (paper, section 2.3).

    Parameters
    ----------
    model : NeuroLM
        Its language model is trained.
    reads_text : bool
        Whether there will be text. Default True.
    precision : str
        See :class:`Stage`.
    """

    name = "autoregressive"
    description = "autoregression"

    def eeg_losses(self, batch: EEGBatch, step: int) -> dict[str, Tensor]:
        """Return the loss and accuracy of the next second's codes; the encoder runs once."""
        hidden, codes = self.model.tokenize(given(batch.patches), batch.channels, batch.times)
        eeg = autoregressive_objective(self.model, hidden, codes, batch.channels, batch.times)
        return {"loss": eeg["loss"], "eeg": eeg["loss"], "eeg_accuracy": eeg["accuracy"]}


def given(tensor: Tensor | None) -> Tensor:
    """Return a tensor that the stage at hand always has."""
    assert tensor is not None
    return tensor


def language_model_parts(model: NeuroLM) -> list[nn.Module]:
    """Return what stages 2 and 3 train: all but the neural tokenizer."""
    model._require_language_model()
    return [model.backbone, model.channel_embed, model.projection, model.lm_head]
