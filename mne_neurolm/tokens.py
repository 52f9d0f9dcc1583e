"""EEG as tokens: what the tokenizer gives and the classifier takes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

_STATISTICS = ("mean", "std")


@dataclass(frozen=True, eq=False)
class EEGTokens:
    """Tokens of a set of epochs with one montage and one length.

    Behaves like an array of epochs: it has a length, can be indexed with an integer, a slice or an
    array, and ``np.asarray`` turns it into features for any scikit-learn estimator.

    Parameters
    ----------
    codes : ndarray of int64, shape (n_epochs, n_tokens)
        Codebook indices, time-major: all channels of the first second, then of the next.
    hidden : ndarray of float32, shape (n_epochs, n_tokens, n_embd)
        Hidden states of the encoder: what the language model reads.
    channels : ndarray of int64, shape (n_tokens,)
        Row of each token's channel in the channel vocabulary.
    times : ndarray of int64, shape (n_tokens,)
        Second of each token.
    ch_names : tuple of str
        The recording's own channel names, one per channel.
    encoder_id : str
        Fingerprint of the encoder's weights.
    fitted_channels : ndarray of int64, shape (n_fitted_channels,) | None
        Rows of the channels that the tokenizer was fitted with. Features are columns without
        names, so they are refused for another montage. None (default): any montage will do.

    Raises
    ------
    TypeError
        If they are indexed with several axes.
    ValueError
        If ``np.asarray`` is called on tokens of another montage than ``fitted_channels``.

    Examples
    --------
    >>> import numpy as np
    >>> from mne_neurolm import NeuroLMTokenizer
    >>> from mne_neurolm.datasets import simulate_epochs
    >>> epochs = simulate_epochs(n_subjects=1, n_epochs_per_subject=4, random_state=0)
    >>> tokens = NeuroLMTokenizer().fit_transform(epochs)
    >>> tokens.codes.shape, tokens.hidden.shape  # 19 channels x 4 s
    ((4, 76), (4, 76, 192))
    >>> len(tokens[:2])
    2
    >>> np.asarray(tokens).shape, tokens.feature_names()[0]
    ((4, 7296), 'Fp1_mean_000')
    """

    codes: np.ndarray
    hidden: np.ndarray
    channels: np.ndarray
    times: np.ndarray
    ch_names: tuple[str, ...]
    encoder_id: str
    fitted_channels: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, item: Any) -> EEGTokens:
        if isinstance(item, tuple) and len(item) == 2 and item[1] is Ellipsis:
            item = item[0]  # as scikit-learn indexes a matrix
        if isinstance(item, tuple):
            raise TypeError(
                "EEGTokens are indexed by epoch only, with an int, a slice or an array."
            )
        if isinstance(item, (int, np.integer)):
            item = [item]
        return replace(self, codes=self.codes[item], hidden=self.hidden[item])

    def __repr__(self) -> str:
        return (
            f"<EEGTokens | {len(self)} epochs, {self.n_channels} channels x {self.n_seconds} s, "
            f"{self.hidden.shape[2]}-dimensional, {len(np.unique(self.codes))} different codes>"
        )

    @property
    def n_channels(self) -> int:
        """Number of channels."""
        return len(self.ch_names)

    @property
    def n_seconds(self) -> int:
        """Number of seconds per epoch."""
        return len(self.times) // self.n_channels

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of the feature matrix, (n_epochs, n_features)."""
        return len(self), self.n_channels * len(_STATISTICS) * self.hidden.shape[2]

    @property
    def ndim(self) -> int:
        """Number of axes of the feature matrix: 2."""
        return 2

    @property
    def dtype(self) -> np.dtype:
        """Type of the features: float32."""
        return self.hidden.dtype

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Return mean and standard deviation over time of each channel's hidden states.

        Returns
        -------
        features : ndarray of float32, shape (n_epochs, n_channels * 2 * n_embd)
            Named by :meth:`feature_names`. The deviation over a single second is 0.
        """
        if copy is False:
            raise ValueError("Features are computed, so np.asarray(..., copy=False) can't be met.")
        own = self.channels[: self.n_channels]
        if self.fitted_channels is not None and not np.array_equal(own, self.fitted_channels):
            raise ValueError(
                f"The tokenizer was fitted with {len(self.fitted_channels)} channels, these tokens "
                f"have {self.n_channels} others or in part others, so their features would stand "
                "in the wrong columns. Pick the same channels, or fit on this montage."
            )
        states = self.hidden.reshape(
            len(self), self.n_seconds, self.n_channels, self.hidden.shape[2]
        )
        features = np.stack([states.mean(axis=1), states.std(axis=1)], axis=2)
        return features.reshape(self.shape).astype(dtype or self.dtype, copy=False)

    def feature_names(self) -> list[str]:
        """Return names of the features.

        Returns
        -------
        names : list of str, length n_channels * 2 * n_embd
            Such as ``Cz_mean_017``: channel, statistic over time, hidden dimension.
        """
        return feature_names(self.ch_names, self.hidden.shape[2])


def feature_names(ch_names: tuple[str, ...], n_embd: int) -> list[str]:
    """Return names of the features of tokens with these channels and this width."""
    return [
        f"{ch}_{stat}_{k:03d}" for ch in ch_names for stat in _STATISTICS for k in range(n_embd)
    ]
