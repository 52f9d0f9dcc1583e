"""CNN-Transformer: convolutions in short segments, attention between them."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from .spectrogram import WINDOW_SECONDS, SpectrogramEncoder

# All sizes: BIOT code, model/cnn_transformer.py, whose results the tables of LaBraM and NeuroLM
# quote.
_N_SEGMENTS = 5
_N_LAYERS = 4
_N_HEADS = 4
_FEEDFORWARD = 256
_DROPOUT = 0.2
_POSITION_DROPOUT = 0.1


class CNNTransformer(nn.Module):
    """Network of Peh, Yao and Dauwels (2022) [1]_ in the form in which BIOT [2]_ compares with it.

    The window is cut into segments of equal length, a convolutional network makes a vector of each
    segment's spectrogram, and a transformer with sinusoidal positions reads the vectors, which are
    averaged for the classifier.

    Parameters
    ----------
    n_chans : int
        Number of channels.
    n_times : int
        Samples of a window.
    n_outputs : int
        Number of classes.
    sfreq : float
        Sampling rate in Hz.

    Raises
    ------
    ValueError
        If a window is shorter than the one second of a Fourier window.

    Notes
    -----
    BIOT always cuts into five segments, of windows of 5 s and 10 s. Here there are fewer where the
    window is shorter, so that each lasts a second at least: 4 s make four, 1 s makes one. Samples
    that do not fill a segment, fewer than there are segments, are left out.

    References
    ----------
    .. [1] Peh, W. Y., Yao, Y., & Dauwels, J. (2022). Transformer convolutional neural networks for
       automated artifact detection in scalp EEG. EMBC, 3599-3602.
       doi:10.1109/EMBC48229.2022.9871916
    .. [2] Yang, C., Westover, M. B., & Sun, J. (2023). BIOT: Biosignal transformer for cross-data
       learning in the wild. NeurIPS 36. https://github.com/ycq091044/BIOT
    """

    positions: Tensor

    def __init__(self, n_chans: int, n_times: int, n_outputs: int, sfreq: float) -> None:
        super().__init__()
        shortest = round(WINDOW_SECONDS * sfreq)
        if n_times < shortest:
            raise ValueError(
                f"CNN-Transformer needs windows of {WINDOW_SECONDS:g} s or more, {shortest} samples"
                f" at {sfreq:g} Hz; got {n_times}. Cut longer windows."
            )
        self.n_segments = min(_N_SEGMENTS, n_times // shortest)
        self.encoder = SpectrogramEncoder(n_chans, sfreq)
        width = self.encoder.n_features
        self.register_buffer("positions", sinusoids(self.n_segments, width), persistent=False)
        self.dropout = nn.Dropout(_POSITION_DROPOUT)
        self.transformer = nn.TransformerEncoder(
            nn.TransformerEncoderLayer(
                width, _N_HEADS, _FEEDFORWARD, _DROPOUT, activation="gelu", batch_first=True
            ),
            _N_LAYERS,
            enable_nested_tensor=False,
        )
        self.head = nn.Sequential(nn.ELU(), nn.Linear(width, n_outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Map windows (B, n_chans, n_times) to logits (B, n_outputs)."""
        length = x.shape[-1] // self.n_segments
        x = x[..., : length * self.n_segments].unflatten(-1, (self.n_segments, length))
        segments = x.transpose(1, 2).flatten(0, 1)  # (B * n_segments, n_chans, length)
        vectors = self.encoder(segments).unflatten(0, (-1, self.n_segments))
        return self.head(self.transformer(self.dropout(vectors + self.positions)).mean(dim=1))


def sinusoids(n_positions: int, width: int) -> Tensor:
    """Return sinusoidal position vectors (Vaswani et al., 2017, section 3.5).

    Parameters
    ----------
    n_positions : int
        Number of positions.
    width : int
        Length of a vector, even.

    Returns
    -------
    vectors : Tensor of float32, shape (n_positions, width)
        Sines at even, cosines at odd places.
    """
    rates = torch.exp(torch.arange(0, width, 2) * (-math.log(10000.0) / width))
    angles = torch.arange(n_positions)[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)
