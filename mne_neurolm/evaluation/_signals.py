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
        The signals, in volts if X are Epochs.
    sfreq : float
        Sampling rate in Hz.
    ch_names : list of str, length n_chans
        Names of the channels; ``ch0``, ``ch1``, … for arrays.

    Raises
    ------
    TypeError
        If X is nothing of the kind.
    ValueError
        If X is empty, holds values that are not finite, is an array and there is no ``sfreq``, or a
        list of Epochs that differ in channels or rate.
    """
    if isinstance(X, mne.BaseEpochs):
        X = [X]
    if isinstance(X, list | tuple) and len(X) and all(isinstance(e, mne.BaseEpochs) for e in X):
        first = X[0]
        names, rate = list(first.ch_names), float(first.info["sfreq"])
        for other in X:
            if list(other.ch_names) != names or other.info["sfreq"] != rate:
                raise ValueError(
                    f"Epochs in one list must share channels and rate: got {names} at {rate:g} Hz "
                    f"and {other.ch_names} at {other.info['sfreq']:g} Hz."
                )
        data = np.concatenate([epochs.get_data(copy=False) for epochs in X])
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
