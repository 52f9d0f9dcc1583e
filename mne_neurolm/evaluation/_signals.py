"""From epochs or arrays to arrays, for classical methods."""

from __future__ import annotations

from typing import Any

import mne
import numpy as np
from numpy.typing import NDArray


def read_signals(X: Any, sfreq: float | None) -> tuple[NDArray[np.float64], float, list[str]]:
    """Return the signals of any input, checked.

    Parameters
    ----------
    X : Epochs | list of Epochs | array, shape (n_epochs, n_chans, n_times)
        The epochs; a list is what scikit-learn's cross-validation makes of Epochs.
    sfreq : float | None
        Sampling rate in Hz of an array.

    Returns
    -------
    data : ndarray of float64, shape (n_epochs, n_chans, n_times)
        The signals, in volts if X are Epochs. Of Epochs, the EEG channels that are not bad.
    sfreq : float
        Sampling rate in Hz.
    ch_names : list of str, length n_chans
        Names of the channels; ``ch0``, ``ch1``, … for arrays.

    Raises
    ------
    TypeError
        If X is nothing of the kind.
    ValueError
        If X is empty, holds values that are not finite, is an array and there is no ``sfreq``, are
        Epochs without an EEG channel that is not bad, or a list of Epochs that differ in channels
        or rate.
    """
    if isinstance(X, mne.BaseEpochs):
        X = [X]
    if isinstance(X, list | tuple) and len(X) and all(isinstance(e, mne.BaseEpochs) for e in X):
        names, rate, _ = _good_eeg(X[0])
        if not names:
            types = ", ".join(sorted(set(X[0].get_channel_types())))
            raise ValueError(
                f"There is no EEG channel that is not bad: the {len(X[0].ch_names)} channels have "
                f"the types {types}. If some are scalp EEG, say so with set_channel_types({{name: "
                "'eeg'})."
            )
        parts = []
        for epochs in X:
            own_names, own_rate, picks = _good_eeg(epochs)
            if own_names != names or own_rate != rate:
                raise ValueError(
                    "Epochs in one list must share channels and rate: got the EEG channels "
                    f"{names} at {rate:g} Hz and {own_names} at {own_rate:g} Hz."
                )
            whole = epochs.get_data(copy=False)
            parts.append(whole if len(picks) == whole.shape[1] else whole[:, picks])
        data = np.concatenate(parts)
    else:
        data = np.asarray(X)
        if data.ndim != 3 or data.dtype.kind not in "fiu":
            raise TypeError(
                "X must be mne.Epochs, a list of them, or a numeric array of shape (n_epochs, "
                f"n_chans, n_times); got {type(X).__name__} of shape {data.shape}."
            )
        if sfreq is None:
            raise ValueError("An array does not know its sampling rate: pass sfreq in Hz.")
        names, rate = [f"ch{k}" for k in range(data.shape[1])], float(sfreq)
    if 0 in data.shape:
        raise ValueError(f"X is empty: shape {data.shape}.")
    if not np.isfinite(data).all():
        raise ValueError(
            f"{(~np.isfinite(data)).any(axis=(1, 2)).sum()} of {len(data)} epochs hold NaN or "
            "infinite values; drop or interpolate them."
        )
    return np.asarray(data, dtype=np.float64), rate, names


def _good_eeg(epochs: mne.BaseEpochs) -> tuple[list[str], float, list[int]]:
    """Return names of the EEG channels that are not bad, the rate in Hz, and their positions."""
    picks = mne.pick_types(epochs.info, meg=False, eeg=True, exclude="bads").tolist()
    return [epochs.ch_names[pick] for pick in picks], float(epochs.info["sfreq"]), picks


def check_same(fitted: tuple[list[str], float], ch_names: list[str], sfreq: float) -> None:
    """Refuse signals of other channels or another rate than in ``fit``.

    Parameters
    ----------
    fitted : tuple of (list of str, float)
        Channels and rate in Hz seen in ``fit``.
    ch_names : list of str
        Channels.
    sfreq : float
        Rate in Hz.

    Raises
    ------
    ValueError
        If they differ.
    """
    names, rate = fitted
    if ch_names != names or sfreq != rate:
        raise ValueError(
            f"Fitted on {len(names)} channels {names} at {rate:g} Hz, got {len(ch_names)} channels "
            f"{ch_names} at {sfreq:g} Hz. Pick, reorder or resample to match."
        )
