"""Spectrograms and the residual network over them, which two of the baselines share."""

from __future__ import annotations

import torch
from torch import Tensor, nn

#: Length of the Fourier window in seconds: one bin per Hz (BIOT code, ``fft`` = sampling rate).
WINDOW_SECONDS = 1.0
# Hops per Fourier window (BIOT code, ``steps``).
_HOPS_PER_WINDOW = 20
# Feature maps of the four residual blocks (BIOT code, model/ffcl.py and model/cnn_transformer.py).
_WIDTHS = (32, 64, 128, 256)
_DROPOUT = 0.5  # after every block, same source


class Spectrogram(nn.Module):
    """Magnitude of the short-time Fourier transform with a rectangular window.

    Parameters
    ----------
    sfreq : float
        Sampling rate in Hz. The Fourier window lasts one second, the hop is a twentieth of it.
    """

    window: Tensor

    def __init__(self, sfreq: float) -> None:
        super().__init__()
        self.n_fft = round(WINDOW_SECONDS * sfreq)
        self.hop = max(1, self.n_fft // _HOPS_PER_WINDOW)
        self.register_buffer("window", torch.ones(self.n_fft), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map signals (..., n_times) to magnitudes (..., n_fft // 2 + 1, n_times // hop + 1)."""
        spectrum = torch.stft(
            x.reshape(-1, x.shape[-1]),
            self.n_fft,
            hop_length=self.hop,
            window=self.window,
            normalized=True,
            return_complex=True,
        ).abs()
        return spectrum.reshape(*x.shape[:-1], *spectrum.shape[-2:])


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions beside a strided shortcut, then max pooling; divides size by four.

    Parameters
    ----------
    n_in, n_out : int
        Number of feature maps before and after.
    """

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv2d(n_in, n_out, 3, stride=2, padding=1),
            nn.BatchNorm2d(n_out),
            nn.ReLU(),
            nn.Conv2d(n_out, n_out, 3, padding=1),
            nn.BatchNorm2d(n_out),
        )
        self.shortcut = nn.Sequential(
            nn.Conv2d(n_in, n_out, 3, stride=2, padding=1), nn.BatchNorm2d(n_out)
        )
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        self.dropout = nn.Dropout(_DROPOUT)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, n_in, height, width) to (B, n_out, height / 4, width / 4), rounded up."""
        return self.dropout(self.pool(self.main(x) + self.shortcut(x)))


class SpectrogramEncoder(nn.Module):
    """A window's spectrograms, channels as feature maps, in one vector.

    Four residual blocks shrink the spectrogram of a one-second Fourier window by 256 on both axes:
    to a single point up to 256 frequency bins and 256 frames (12.8 s). Beyond, points are averaged.

    Parameters
    ----------
    n_chans : int
        Number of EEG channels.
    sfreq : float
        Sampling rate in Hz.

    Attributes
    ----------
    n_features : int
        Length of the vector, 256.
    """

    n_features = _WIDTHS[-1]

    def __init__(self, n_chans: int, sfreq: float) -> None:
        super().__init__()
        widths = (n_chans, *_WIDTHS)
        self.layers = nn.Sequential(
            Spectrogram(sfreq),
            *(ResidualBlock(a, b) for a, b in zip(widths, widths[1:], strict=False)),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map windows (B, n_chans, n_times) to vectors (B, n_features)."""
        return self.layers(x).mean(dim=(-2, -1))
