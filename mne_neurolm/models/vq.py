"""Stage 1: the text-aligned neural tokenizer (paper, section 2.2).

Shapes are written with B = samples in the batch, N = patches of a sample, D = width.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..patches import PATCH_SIZE
from .config import NeuroLMConfig
from .encoder import NeuralTransformer, build_encoder
from .quantizer import Codebook

N_FREQUENCIES = PATCH_SIZE // 2  # bins of the patch's DFT that the frequency decoder predicts


class VQOutput(NamedTuple):
    """What one pass through the tokenizer gives.

    Attributes
    ----------
    hidden : Tensor, shape (B, N, D)
        Encoder hidden states: what the language model reads.
    codes : Tensor of int64, shape (B, N)
        Codebook indices.
    frequency : Tensor, shape (B, N, 100)
        Predicted z-scored DFT magnitudes.
    raw : Tensor, shape (B, N, 200)
        Predicted z-scored waveform.
    commitment_loss : Tensor, shape ()
        Commitment loss of the codebook.
    """

    hidden: Tensor
    codes: Tensor
    frequency: Tensor
    raw: Tensor
    commitment_loss: Tensor


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


def reconstruction_targets(patches: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return what the two decoders must predict (paper, section 2.2; released code).

    Parameters
    ----------
    patches : Tensor, shape (B, N, 200)
        Patches; the scale does not matter.
    mask : Tensor of bool, shape (B, N) | None
        True for patches that exist.

    Returns
    -------
    frequency : Tensor, shape (B, N, 100)
        DFT magnitudes, z-scored over all patches and all 200 bins of the sample, first 100 bins
        (released code).
    raw : Tensor, shape (B, N, 200)
        The waveform, z-scored over all patches and time points of the sample.
    """
    magnitudes = torch.fft.fft(patches.float(), dim=-1).abs()
    return _zscore(magnitudes, mask)[..., :N_FREQUENCIES], _zscore(patches.float(), mask)


def log_magnitudes(patches: Tensor) -> Tensor:
    """Return natural logarithms (B, N, 100) of the DFT magnitudes of patches (B, N, 200)."""
    spectrum = torch.fft.rfft(patches.float(), dim=-1)[..., :N_FREQUENCIES]
    # A hundredth of a microvolt per sample: far below any amplifier's noise.
    return spectrum.abs().clamp_min(1e-4 * PATCH_SIZE**0.5).log()


def _zscore(x: Tensor, mask: Tensor | None) -> Tensor:
    """Z-score each sample over its valid rows (unbiased), zeros elsewhere."""
    if mask is None:
        mean = x.mean(dim=(1, 2), keepdim=True)
        std = x.std(dim=(1, 2), keepdim=True)
        return (x - mean) / std.clamp_min(torch.finfo(x.dtype).tiny)
    weight = mask[..., None].to(x.dtype)
    count = weight.sum(dim=(1, 2), keepdim=True) * x.shape[2]
    mean = (x * weight).sum(dim=(1, 2), keepdim=True) / count
    var = ((x - mean).square() * weight).sum(dim=(1, 2), keepdim=True) / (count - 1)
    return (x - mean) * weight / var.sqrt().clamp_min(torch.finfo(x.dtype).tiny)


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

        self.decoder_freq, self.decoder_raw = decoder(), decoder()
        self.head_freq = _two_layers(width, N_FREQUENCIES)
        self.head_raw = _two_layers(width, PATCH_SIZE)
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
    ) -> Tensor:
        """Return hidden states (B, N, D) of patches (B, N, 200); see the encoder's ``forward``."""
        check_times(times, self.n_time_embeddings)
        return self.encoder(patches, channels, times, mask, norm_over_padding=norm_over_padding)

    def codes(self, hidden: Tensor) -> Tensor:
        """Return codebook indices (B, N) of hidden states (B, N, D); the codebook never moves."""
        with torch.autocast(hidden.device.type, enabled=False):
            unit = F.normalize(self._project(hidden).float(), dim=-1)
            return self.codebook.assign(unit.flatten(0, -2)).view(hidden.shape[:-1])

    def decode(
        self, vectors: Tensor, channels: Tensor, times: Tensor, mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return predicted magnitudes (B, N, 100) and waveforms (B, N, 200), both z-scored."""
        check_times(times, self.n_time_embeddings)
        frequency = self.head_freq(self.decoder_freq(vectors, channels, times, mask))
        return frequency, self.head_raw(self.decoder_raw(vectors, channels, times, mask))

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
        hidden = self.encode(patches, channels, times, mask, norm_over_padding=norm_over_padding)
        vectors, codes, loss = self.codebook(self._project(hidden), mask)
        frequency, raw = self.decode(vectors, channels, times, mask)
        return VQOutput(hidden, codes, frequency, raw, loss)

    def targets(self, patches: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return what the decoders must predict, shapes as in :class:`VQOutput`."""
        frequency, raw = reconstruction_targets(patches, mask)
        if self.frequency_target == "log_magnitude":
            frequency = (log_magnitudes(patches) - self.log_magnitude_mean) / self.log_magnitude_std
        return frequency, raw

    def domain_logits(self, features: Tensor, alpha: float = 0.0) -> Tensor:
        """Return logits (..., 2) of "EEG" and "text" for features (..., D).

        ``alpha`` scales the reversed gradient that flows back into the features.
        """
        return self.domain_classifier(_ReverseGradient.apply(features, alpha))

    def _project(self, hidden: Tensor) -> Tensor:
        with torch.autocast(hidden.device.type, enabled=False):
            return self.to_code(hidden.to(self.codebook.weight.dtype))


def _two_layers(n_in: int, n_out: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(n_in, n_in), nn.Tanh(), nn.Linear(n_in, n_out))
