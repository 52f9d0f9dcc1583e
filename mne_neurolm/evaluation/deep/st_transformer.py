"""ST-Transformer: attention between channels, then between moments."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

# All sizes: BIOT code, model/st_transformer.py and the depth of run_binary_supervised.py, whose
# results the tables of LaBraM and NeuroLM quote.
_POOL = 100  # samples over which queries and keys of the channels are averaged
_CHANNEL_DROPOUT = 0.3
_KERNEL, _STRIDE = 15, 8  # of both convolutions that cut the window into moments
_N_MAPS = 64  # between the two
_SLOPE = 0.2  # of the leaky ReLU
_WIDTH = 256
_N_LAYERS = 4
_N_HEADS = 8
_DROPOUT = 0.5

#: Samples that two convolutions of kernel 15 and stride 8 need for one moment.
SHORTEST = (_KERNEL - 1) * _STRIDE + _KERNEL


class ChannelAttention(nn.Module):
    """Mix channels by how alike their courses are.

    Parameters
    ----------
    n_chans : int
        Number of channels.
    n_times : int
        Samples of a window.
    """

    def __init__(self, n_chans: int, n_times: int) -> None:
        super().__init__()
        self.pool = min(_POOL, n_times)
        self.query, self.key, self.projection = (
            nn.Sequential(
                nn.Linear(n_chans, n_chans), nn.LayerNorm(n_chans), nn.Dropout(_CHANNEL_DROPOUT)
            )
            for _ in range(3)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, n_chans, n_times) to the same shape."""
        by_time = x.transpose(1, 2)
        query = F.avg_pool1d(self.query(by_time).transpose(1, 2), self.pool)
        key = F.avg_pool1d(self.key(by_time).transpose(1, 2), self.pool)
        # queries and keys (B, n_chans, n_times // pool); here courses in time are the features
        mixed = F.scaled_dot_product_attention(query, key, x)
        return self.projection(mixed.transpose(1, 2)).transpose(1, 2)


class STTransformer(nn.Module):
    """Network of Song et al. (2021) [1]_ in the form in which BIOT [2]_ compares with it.

    Attention weighs the channels against each other, two strided convolutions cut the window into
    moments, and a transformer relates the moments, which are averaged for the classifier.

    Parameters
    ----------
    n_chans : int
        Number of channels.
    n_times : int
        Samples of a window.
    n_outputs : int
        Number of classes.
    sfreq : float
        Sampling rate in Hz, only for what an error says.

    Raises
    ------
    ValueError
        If a window is shorter than 127 samples.

    Notes
    -----
    BIOT's code sums the weights between channels over the attended channel before they meet the
    signal, which makes them one and the attention void. Here a channel becomes the weighted mean of
    all channels, as the paper describes it. Attention between moments is scaled by the width of a
    head, as usual, where BIOT's code takes the width of all heads. The spatial filters by which the
    paper prepares the data (CSP) are left out, as by BIOT.

    References
    ----------
    .. [1] Song, Y., Jia, X., Yang, L., & Xie, L. (2021). Transformer-based spatial-temporal feature
       learning for EEG decoding. arXiv:2106.11170
    .. [2] Yang, C., Westover, M. B., & Sun, J. (2023). BIOT: Biosignal transformer for cross-data
       learning in the wild. NeurIPS 36. https://github.com/ycq091044/BIOT
    """

    def __init__(self, n_chans: int, n_times: int, n_outputs: int, sfreq: float) -> None:
        super().__init__()
        if n_times < SHORTEST:
            raise ValueError(
                f"ST-Transformer needs windows of {SHORTEST} samples or more, "
                f"{SHORTEST / sfreq:.3g} s at {sfreq:g} Hz; got {n_times}. Cut longer windows."
            )
        self.spatial = nn.Sequential(
            nn.LayerNorm(n_times), ChannelAttention(n_chans, n_times), nn.Dropout(_DROPOUT)
        )
        self.moments = nn.Sequential(
            nn.Conv1d(n_chans, _N_MAPS, _KERNEL, _STRIDE),
            nn.BatchNorm1d(_N_MAPS),
            nn.LeakyReLU(_SLOPE),
            nn.Conv1d(_N_MAPS, _WIDTH, _KERNEL, _STRIDE),
        )
        self.temporal = nn.TransformerEncoder(
            nn.TransformerEncoderLayer(
                _WIDTH,
                _N_HEADS,
                4 * _WIDTH,
                _DROPOUT,
                activation="gelu",
                batch_first=True,
                norm_first=True,
            ),
            _N_LAYERS,
            enable_nested_tensor=False,
        )
        self.head = nn.Sequential(nn.ELU(), nn.Linear(_WIDTH, n_outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Map windows (B, n_chans, n_times) to logits (B, n_outputs)."""
        x = x + self.spatial(x)
        return self.head(self.temporal(self.moments(x).transpose(1, 2)).mean(dim=1))
