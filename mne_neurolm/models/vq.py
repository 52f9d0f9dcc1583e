"""Stage 1: the text-aligned neural tokenizer (paper, section 2.2).

Shapes are written with B = samples in the batch, N = patches of a sample, D = width.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .config import NeuroLMConfig
from .encoder import NeuralTransformer, build_encoder
from .quantizer import Codebook
from .scalp import description_size
from .targets import (
    N_FREQUENCIES,
    amplitudes_and_phases,
    log_magnitudes,
    reconstruction_targets,
    target_sizes,
)

__all__ = ["N_FREQUENCIES", "VQ", "VQOutput", "check_times", "reconstruction_targets"]


class VQOutput(NamedTuple):
    """What one pass through the tokenizer gives.

    Attributes
    ----------
    hidden : Tensor, shape (B, N, D)
        Encoder hidden states: what the language model reads.
    codes : Tensor of int64, shape (B, N)
        Codebook indices.
    predictions : dict of Tensor
        What the decoders predict from the codes, of ``"frequency"``, ``"phase"`` and ``"raw"``
        those that the configuration asks for. Shapes (B, N, 100) for spectra, (B, N, 200) for
        waveforms and for LaBraM's amplitudes and phases; all are standardised.
    commitment_loss : Tensor, shape ()
        Commitment loss of the codebook.
    hidden_predictions : dict of Tensor
        The same from the hidden states alone, and ``"scalp"`` if there are ``scalp_components``;
        empty without ``hidden_target_weight``.
    scalp : Tensor of float32, shape (B, N, K) | None
        The description of each patch's second, which the encoder read and ``"scalp"`` must
        predict; None where nothing predicts it.
    """

    hidden: Tensor
    codes: Tensor
    predictions: dict[str, Tensor]
    commitment_loss: Tensor
    hidden_predictions: dict[str, Tensor]
    scalp: Tensor | None = None

    @property
    def frequency(self) -> Tensor:
        """Predicted spectra (B, N, 100)."""
        return self.predictions["frequency"]

    @property
    def raw(self) -> Tensor:
        """Predicted waveforms (B, N, 200)."""
        return self.predictions["raw"]


def check_times(times: Tensor, n_time_embeddings: int) -> None:
    """Refuse seconds (N,) or (B, N) that have no row in the time embedding."""
    if times.numel() and not 0 <= int(times.min()) <= int(times.max()) < n_time_embeddings:
        raise ValueError(
            f"Times run from {int(times.min())} to {int(times.max())} s; the model has embeddings "
            f"of the seconds 0 to {n_time_embeddings - 1}. Cut shorter epochs."
        )


class _ReverseGradient(torch.autograd.Function):
    """Identity forward; the gradient comes back multiplied by -alpha (paper, Eq. 5)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, alpha: float) -> Tensor:
        ctx.alpha = alpha
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return -ctx.alpha * grads[0], None


class VQ(nn.Module):
    """Encoder, codebook, the two decoders, and the domain classifier that aligns EEG with text.

    Parameters
    ----------
    config : NeuroLMConfig
        Sizes; the language model's part is not used.
    """

    log_magnitude_mean: Tensor
    log_magnitude_std: Tensor

    def __init__(self, config: NeuroLMConfig) -> None:
        super().__init__()
        self.encoder = build_encoder(config)
        if config.frequency_target == "log_magnitude":
            # Of the training data, set when training starts.
            self.register_buffer("log_magnitude_mean", torch.zeros(N_FREQUENCIES))
            self.register_buffer("log_magnitude_std", torch.ones(N_FREQUENCIES))
        self.n_time_embeddings = config.n_time_embeddings
        self.frequency_target = config.frequency_target
        self.to_code = _two_layers(config.n_embd, config.codebook_dim)
        self.codebook = Codebook(
            config.codebook_size,
            config.codebook_dim,
            decay=config.codebook_decay,
            commitment_weight=config.commitment_weight,
            dead_code_threshold=config.dead_code_threshold,
        )
        width = config.decoder_n_embd

        def decoder() -> NeuralTransformer:
            return NeuralTransformer(
                nn.Linear(config.codebook_dim, width),
                n_layer=config.decoder_n_layer,
                n_head=config.decoder_n_head,
                n_embd=width,
                n_channel_embeddings=config.n_channel_embeddings,
                n_time_embeddings=config.n_time_embeddings,
            )

        # A decoder that nothing asks for is not built (paper, Figure 10).
        sizes = target_sizes(config.reconstruction, config.frequency_target)
        self.decoder_freq = decoder() if "frequency" in sizes else None
        self.decoder_raw = decoder() if "raw" in sizes else None
        self.head_freq = _head(_two_layers, width, sizes.get("frequency"))
        self.head_raw = _head(_two_layers, width, sizes.get("raw"))
        # LaBraM's amplitudes and phases come from one decoder.
        self.head_phase = _head(_two_layers, width, sizes.get("phase"))
        self.hidden_target_weight = config.hidden_target_weight
        if self.hidden_target_weight > 0:
            self.head_hidden_freq = _head(nn.Linear, config.n_embd, sizes.get("frequency"))
            self.head_hidden_raw = _head(nn.Linear, config.n_embd, sizes.get("raw"))
            self.head_hidden_phase = _head(nn.Linear, config.n_embd, sizes.get("phase"))
            # So that what the scalp embedding brings in comes out of the last layer too.
            n_scalp = description_size(config.scalp_components) or None
            self.head_hidden_scalp = _head(nn.Linear, config.n_embd, n_scalp)
        self.target_names = tuple(sizes)
        # 768 -> 256 -> 2 in the paper (Table 7); it scales with the width.
        self.domain_classifier = nn.Sequential(
            nn.Linear(config.n_embd, config.n_embd // 3),
            nn.GELU(),
            nn.Linear(config.n_embd // 3, 2),
        )

    def encode(
        self,
        patches: Tensor,
        channels: Tensor,
        times: Tensor,
        mask: Tensor | None = None,
        *,
        norm_over_padding: bool = False,
        scalp: Tensor | None = None,
    ) -> Tensor:
        """Return hidden states (B, N, D) of patches (B, N, 200); see the encoder's ``forward``."""
        check_times(times, self.n_time_embeddings)
        return self.encoder(
            patches, channels, times, mask, norm_over_padding=norm_over_padding, scalp=scalp
        )

    def codes(self, hidden: Tensor) -> Tensor:
        """Return codebook indices (B, N) of hidden states (B, N, D); the codebook never moves."""
        with torch.autocast(hidden.device.type, enabled=False):
            unit = F.normalize(self._project(hidden).float(), dim=-1)
            return self.codebook.assign(unit.flatten(0, -2)).view(hidden.shape[:-1])

    def reconstruct(
        self, vectors: Tensor, channels: Tensor, times: Tensor, mask: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Return what the decoders predict from code vectors (B, N, codebook_dim).

        Parameters
        ----------
        vectors : Tensor, shape (B, N, codebook_dim)
            Code vectors.
        channels, times : Tensor of int64, shape (N,) or (B, N)
            Vocabulary row and second of each patch.
        mask : Tensor of bool, shape (B, N) | None
            True for patches that exist.

        Returns
        -------
        predictions : dict of Tensor
            See :class:`VQOutput`.
        """
        check_times(times, self.n_time_embeddings)
        predictions: dict[str, Tensor] = {}
        if self.decoder_freq is not None:
            states = self.decoder_freq(vectors, channels, times, mask)
            predictions["frequency"] = self.head_freq(states)
            if self.head_phase is not None:
                predictions["phase"] = self.head_phase(states)
        if self.decoder_raw is not None:
            predictions["raw"] = self.head_raw(self.decoder_raw(vectors, channels, times, mask))
        return predictions

    def decode(
        self, vectors: Tensor, channels: Tensor, times: Tensor, mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return predicted spectra (B, N, 100) and waveforms (B, N, 200), both standardised.

        Raises
        ------
        ValueError
            If there is no decoder of either; :meth:`reconstruct` returns what there is.
        """
        missing = {"frequency", "raw"}.difference(self.target_names)
        if missing:
            what = {"frequency": "spectra", "raw": "waveforms"}[missing.pop()]
            raise ValueError(
                f"This neural tokenizer has no decoder of {what} (its configuration's "
                "'reconstruction'). VQ.reconstruct returns what it can rebuild; for both, train "
                "one with reconstruction='both'."
            )
        predictions = self.reconstruct(vectors, channels, times, mask)
        # LaBraM's amplitudes have 200 bins, of which the second half mirrors the first.
        return predictions["frequency"][..., :N_FREQUENCIES], predictions["raw"]

    def decode_codes(self, codes: Tensor, channels: Tensor, times: Tensor) -> tuple[Tensor, Tensor]:
        """Decode indices (B, N); returns as :meth:`decode`."""
        return self.decode(self.codebook.weight[codes], channels, times)

    def forward(
        self,
        patches: Tensor,
        channels: Tensor,
        times: Tensor,
        mask: Tensor | None = None,
        *,
        norm_over_padding: bool = False,
    ) -> VQOutput:
        """Encode, quantise and decode; in training mode the codebook collects its rows."""
        scalp = self._scalp_target(patches, channels, times, mask)
        hidden = self.encode(
            patches, channels, times, mask, norm_over_padding=norm_over_padding, scalp=scalp
        )
        vectors, codes, loss = self.codebook(self._project(hidden), mask)
        predictions = self.reconstruct(vectors, channels, times, mask)
        return VQOutput(hidden, codes, predictions, loss, self._predict_from(hidden), scalp)

    def _scalp_target(
        self, patches: Tensor, channels: Tensor, times: Tensor, mask: Tensor | None
    ) -> Tensor | None:
        """Describe each patch's second, if hidden states must predict that."""
        if not self.hidden_target_weight or self.encoder.scalp_embed is None:
            return None
        return self.encoder.scalp_embed.describe(patches, channels, times, mask)

    def _predict_from(self, hidden: Tensor) -> dict[str, Tensor]:
        """Return what linear layers predict from hidden states, see ``hidden_target_weight``."""
        if not self.hidden_target_weight:
            return {}
        heads = {
            "frequency": self.head_hidden_freq,
            "phase": self.head_hidden_phase,
            "raw": self.head_hidden_raw,
            "scalp": self.head_hidden_scalp,
        }
        return {name: head(hidden) for name, head in heads.items() if head is not None}

    def targets(self, patches: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return spectra and waveforms that decoders must predict, shapes as in :meth:`decode`."""
        frequency, raw = reconstruction_targets(patches, mask)
        if self.frequency_target == "log_magnitude":
            frequency = (log_magnitudes(patches) - self.log_magnitude_mean) / self.log_magnitude_std
        return frequency, raw

    def all_targets(
        self,
        patches: Tensor,
        channels: Tensor,
        times: Tensor,
        mask: Tensor | None = None,
        *,
        scalp: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Return what each of the predictions of :class:`VQOutput` must be.

        Parameters
        ----------
        patches, channels, times, mask
            As for :meth:`forward`.
        scalp : Tensor | None
            ``VQOutput.scalp`` of the same patches. Default None: it is computed again.

        Returns
        -------
        targets : dict of Tensor
            By the names of the predictions.
        """
        frequency, raw = self.targets(patches, mask)
        targets = {"frequency": frequency, "raw": raw}
        if self.frequency_target == "amplitude_phase":
            targets["frequency"], targets["phase"] = amplitudes_and_phases(patches, mask)
        targets = {name: targets[name] for name in self.target_names}
        if scalp is None:
            scalp = self._scalp_target(patches, channels, times, mask)
        if scalp is not None:
            targets["scalp"] = scalp
        return targets

    def domain_logits(self, features: Tensor, alpha: float = 0.0) -> Tensor:
        """Return logits (..., 2) of "EEG" and "text" for features (..., D).

        ``alpha`` scales the reversed gradient that flows back into the features.
        """
        return self.domain_classifier(_ReverseGradient.apply(features, alpha))

    def _project(self, hidden: Tensor) -> Tensor:
        with torch.autocast(hidden.device.type, enabled=False):
            return self.to_code(hidden.to(self.codebook.weight.dtype))


def _head(build: Callable[[int, int], nn.Module], n_in: int, n_out: int | None) -> Any:
    """Return a head, or nothing where there is nothing to predict."""
    return None if n_out is None else build(n_in, n_out)


def _two_layers(n_in: int, n_out: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(n_in, n_in), nn.Tanh(), nn.Linear(n_in, n_out))
