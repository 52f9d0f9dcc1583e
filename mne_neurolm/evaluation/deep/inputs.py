"""From epochs in volts to what a network reads: its sampling rate and its scale."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ...patches import SFREQ, VOLTS_PER_UNIT, resample_epochs

_UV_PER_VOLT = 1e6
_TINY = 1e-8  # µV; keeps flat channels from dividing by zero (BIOT code, utils.py)


def _percentile(data: NDArray[np.float64]) -> NDArray[np.float64]:
    data = data * _UV_PER_VOLT
    return data / (np.quantile(np.abs(data), 0.95, axis=-1, keepdims=True) + _TINY)


def _hundred_microvolts(data: NDArray[np.float64]) -> NDArray[np.float64]:
    return data / VOLTS_PER_UNIT


def _standard(data: NDArray[np.float64]) -> NDArray[np.float64]:
    data = (data - data.mean(axis=-1, keepdims=True)) * _UV_PER_VOLT
    return data / (data.std(axis=-1, keepdims=True) + _TINY)


#: Scalings by name, from volts, shape (n_epochs, n_chans, n_times), to numbers near one. They need
#: nothing but the window itself, so the result for a window never depends on others.
#:
#: ``"percentile"``
#:     Each channel of each window in multiples of the 95th percentile of its absolute value (BIOT
#:     code, utils.py).
#: ``"100 uV"``
#:     In units of 100 µV (LaBraM paper, preprocessing: most amplitudes then lie between -1 and 1).
#: ``"standard"``
#:     Each channel of each window with mean 0 and standard deviation 1: for windows what the
#:     exponential moving standardisation of Schirrmeister et al. (2017) is for recordings.
SCALINGS: dict[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    "percentile": _percentile,
    "100 uV": _hundred_microvolts,
    "standard": _standard,
}


def to_network(
    data: NDArray[np.float64], sfreq: float, *, resamples: bool, scaling: str
) -> tuple[NDArray[np.float32], float]:
    """Convert windows in volts to what a network reads: the only place where this happens.

    Parameters
    ----------
    data : ndarray of float64, shape (n_epochs, n_chans, n_times)
        Windows in volts.
    sfreq : float
        Their sampling rate in Hz.
    resamples : bool
        Whether the network reads 200 Hz and nothing else.
    scaling : str
        A key of ``SCALINGS``.

    Returns
    -------
    inputs : ndarray of float32, shape (n_epochs, n_chans, n_times_out)
        The windows, resampled where rates differ, then scaled.
    rate : float
        Their sampling rate in Hz.
    """
    if resamples and sfreq != SFREQ:
        data, sfreq = resample_epochs(data, sfreq), SFREQ
    return SCALINGS[scaling](data).astype(np.float32), sfreq
