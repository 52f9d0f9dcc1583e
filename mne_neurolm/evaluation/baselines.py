"""Classical baselines to print next to the model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.signal import welch
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted

from mne_neurolm.evaluation._signals import check_same, read_signals

#: Edges of the bands in Hz. The clinical bands, alpha and beta each in two halves.
BANDS: dict[str, tuple[float, float]] = {
    "delta": (1.0, 4.0),
    "theta": (4.0, 8.0),
    "low alpha": (8.0, 10.0),
    "high alpha": (10.0, 13.0),
    "low beta": (13.0, 20.0),
    "high beta": (20.0, 30.0),
    "gamma": (30.0, 45.0),
}

# Welch segments of 2 s resolve 0.5 Hz, enough for the narrowest band.
_SEGMENT = 2.0


class BandPower(TransformerMixin, BaseEstimator):
    """Natural logarithm of the mean spectral power in frequency bands, per channel.

    The power spectral density (V²/Hz) is Welch's, of Hann windows of 2 s, or of the whole epoch if
    it is shorter, that overlap by half. Of Epochs, the EEG channels that are not bad are read.

    Parameters
    ----------
    sfreq : float | None
        Sampling rate in Hz of array input. Not needed (default ``None``) for Epochs, which know it.
    bands : dict of (float, float) | None
        Name and edges in Hz of each band, lower edge included. ``None`` (default) takes the seven
        of ``mne_neurolm.evaluation.baselines.BANDS``, 1 to 45 Hz.

    Attributes
    ----------
    ch_names_ : list of str
        Channels seen in ``fit``; ``ch0``, ``ch1``, … for arrays.
    sfreq_ : float
        Sampling rate seen in ``fit``.
    bands_ : dict
        The bands in use.

    See Also
    --------
    mne_neurolm.evaluation.band_power_classifier : Logistic regression on these features.

    Examples
    --------
    >>> from mne_neurolm.datasets import simulate_epochs
    >>> from mne_neurolm.evaluation import BandPower
    >>> epochs = simulate_epochs(n_subjects=1, n_epochs_per_subject=4, random_state=0)
    >>> power = BandPower(bands={"alpha": (8.0, 13.0), "beta": (13.0, 30.0)}).fit(epochs)
    >>> power.transform(epochs).shape  # epochs, 19 channels x 2 bands
    (4, 38)
    >>> power.get_feature_names_out()[:3].tolist()
    ['Fp1 alpha', 'Fp1 beta', 'Fp2 alpha']
    """

    def __init__(
        self, sfreq: float | None = None, bands: Mapping[str, tuple[float, float]] | None = None
    ) -> None:
        self.sfreq = sfreq
        self.bands = bands

    def fit(self, X: Any, y: Any = None) -> BandPower:
        """Remember channels and rate; nothing is learned.

        Parameters
        ----------
        X : Epochs | list of Epochs | array, shape (n_epochs, n_chans, n_times)
            The epochs; a list is what scikit-learn's cross-validation makes of Epochs.
        y : array-like | None
            Ignored.

        Returns
        -------
        self : BandPower
            The fitted transformer.

        Raises
        ------
        ValueError, TypeError
            If ``X`` cannot be read, is too short, or lies below a band.
        """
        data, sfreq, ch_names = read_signals(X, self.sfreq)
        bands = dict(BANDS if self.bands is None else self.bands)
        resolution = 1.0 / min(_SEGMENT, data.shape[-1] / sfreq)
        for name, (low, high) in bands.items():
            if not 0 <= low < high <= sfreq / 2 or high - low < resolution:
                raise ValueError(
                    f"Band {name!r} of {low:g} to {high:g} Hz cannot be measured: edges must rise "
                    f"and end at {sfreq / 2:g} Hz, half the sampling rate, and epochs of "
                    f"{data.shape[-1] / sfreq:g} s resolve {resolution:g} Hz. Change bands, or "
                    "take longer epochs."
                )
        self.bands_ = bands
        self.sfreq_ = sfreq
        self.ch_names_ = ch_names
        return self

    def transform(self, X: Any) -> NDArray[np.float64]:
        """Compute the features.

        Parameters
        ----------
        X : Epochs | list of Epochs | array, shape (n_epochs, n_chans, n_times)
            Epochs with the channels and rate of ``fit``.

        Returns
        -------
        features : array, shape (n_epochs, n_chans * n_bands)
            Log band power, all bands of the first channel first. Another unit of ``X`` adds a
            constant.

        Raises
        ------
        ValueError
            If channels or rate differ from ``fit``, or a channel of an epoch has no power.
        """
        check_is_fitted(self)
        data, sfreq, ch_names = read_signals(X, self.sfreq)
        check_same((self.ch_names_, self.sfreq_), ch_names, sfreq)
        n_segment = min(int(round(_SEGMENT * sfreq)), data.shape[-1])
        freqs, psd = welch(data, sfreq, nperseg=n_segment, axis=-1)
        power = np.stack(
            [
                psd[..., (freqs >= low) & (freqs < high)].mean(axis=-1)
                for low, high in self.bands_.values()
            ],
            axis=-1,
        )
        flat: NDArray[np.bool_] = np.min(power, axis=-1) <= 0  # (n_epochs, n_chans)
        if flat.any():
            channels = [ch_names[k] for k in np.flatnonzero(flat.any(axis=0))]
            raise ValueError(
                f"{flat.any(axis=1).sum()} epochs have no power in channels {channels}: they are "
                "flat. Drop these epochs, e.g. epochs.drop_bad(flat=dict(eeg=1e-7)), or channels."
            )
        return np.log(power).reshape(len(data), -1)

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Return ``"<channel> <band>"`` for every feature.

        Parameters
        ----------
        input_features : None
            Ignored; there for scikit-learn.

        Returns
        -------
        names : array of str, shape (n_chans * n_bands,)
            Names in the order of the columns.
        """
        check_is_fitted(self)
        return np.array(
            [f"{name} {band}" for name in self.ch_names_ for band in self.bands_], dtype=object
        )


def band_power_classifier(sfreq: float | None = None, C: float = 0.01) -> Pipeline:
    """Build the band-power baseline: log band power, standardised, logistic regression.

    Seven bands per channel and a strongly regularised linear model are hard to beat with little
    data; a foundation model that does not is not worth its parameters.

    Parameters
    ----------
    sfreq : float | None
        Sampling rate in Hz, needed for arrays only. Default ``None``.
    C : float
        Inverse regularisation strength of the logistic regression. Default 0.01.

    Returns
    -------
    pipeline : sklearn.pipeline.Pipeline
        Unfitted. Its X is an Epochs, a list of Epochs or an array (n_epochs, n_chans, n_times).

    Examples
    --------
    >>> from mne_neurolm.datasets import simulate_epochs
    >>> from mne_neurolm.evaluation import band_power_classifier
    >>> epochs = simulate_epochs(n_subjects=2, random_state=0)
    >>> baseline = band_power_classifier().fit(epochs, epochs.metadata["state"])
    >>> baseline.predict_proba(epochs).shape
    (40, 2)
    """
    return Pipeline(
        [
            ("bandpower", BandPower(sfreq)),
            ("standardscaler", StandardScaler()),
            ("logisticregression", LogisticRegression(C=C, max_iter=1000)),
        ]
    )
