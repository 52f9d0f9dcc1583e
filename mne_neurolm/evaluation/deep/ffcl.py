"""FFCL: a convolutional and a recurrent network side by side, their features fused."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .spectrogram import WINDOW_SECONDS, SpectrogramEncoder

# All sizes: BIOT code, model/ffcl.py, whose results the tables of LaBraM and NeuroLM quote.
_STEP_SECONDS = 0.1  # 20 samples at 200 Hz
_HIDDEN = 256
_N_LAYERS = 2
_DROPOUT = 0.5


class FFCL(nn.Module):
    """Feature fusion of CNN and LSTM of Li et al. (2022) [1]_ in the form that BIOT [2]_ compares.

    A convolutional network reads the spectrogram of the window, a long short-term memory reads its
    samples in time; the features of both are joined for the classifier.

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
    Li et al. let the LSTM run over time. BIOT's code lets it run over channels and sub-sampled
    copies of the signal, 20 steps per channel. Here it runs over time, as in the paper, in steps of
    0.1 s of all channels (20 samples at 200 Hz, the number of BIOT's copies): the same numbers
    reach it, in an order that means something and in fewer steps, 40 instead of 380 for 4 s of 19
    channels. Samples after the last whole step are left out.

    References
    ----------
    .. [1] Li, H., Ding, M., Zhang, R., & Xiu, C. (2022). Motor imagery EEG classification algorithm
       based on CNN-LSTM feature fusion network. Biomedical Signal Processing and Control, 72,
       103342. doi:10.1016/j.bspc.2021.103342
    .. [2] Yang, C., Westover, M. B., & Sun, J. (2023). BIOT: Biosignal transformer for cross-data
       learning in the wild. NeurIPS 36. https://github.com/ycq091044/BIOT
    """

    def __init__(self, n_chans: int, n_times: int, n_outputs: int, sfreq: float) -> None:
        super().__init__()
        shortest = round(WINDOW_SECONDS * sfreq)
        if n_times < shortest:
            raise ValueError(
                f"FFCL needs windows of {WINDOW_SECONDS:g} s or more, {shortest} samples at "
                f"{sfreq:g} Hz; got {n_times}. Cut longer windows."
            )
        self.step = round(_STEP_SECONDS * sfreq)
        self.cnn = SpectrogramEncoder(n_chans, sfreq)
        self.lstm = nn.LSTM(
            self.step * n_chans, _HIDDEN, _N_LAYERS, batch_first=True, dropout=_DROPOUT
        )
        self.head = nn.Sequential(nn.ELU(), nn.Linear(self.cnn.n_features + _HIDDEN, n_outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Map windows (B, n_chans, n_times) to logits (B, n_outputs)."""
        steps = x[..., : x.shape[-1] // self.step * self.step].unflatten(-1, (-1, self.step))
        hidden, _ = self.lstm(steps.transpose(1, 2).flatten(2))
        return self.head(torch.cat([self.cnn(x), hidden[:, -1]], dim=1))
