"""Which channels of a recording are usable, seen a part at a time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..quality import CLIPPED_FRACTION, FLAT_SD, HIGHEST_SD, LOWEST_SD
from .format import scale_of

_FLAT_SECONDS = 0.5  # share of a channel's seconds that may be flat
_COARSEST_STEP = 0.05  # of the median standard deviation of the channels
_UV = 1e-6


class UnusableError(Exception):
    """A recording cannot be used; the message says why, its first words which kind of reason.

    Parameters
    ----------
    message : str
        The reason.
    seconds : float
        How long the recording is, where the summary should count what was left out. Default 0.
    """

    def __init__(self, message: str, seconds: float = 0.0) -> None:
        super().__init__(message)
        self.seconds = seconds


class RawScreen:
    """Find channels that are broken in the recording as it was read.

    Parameters
    ----------
    n_channels : int
        Number of channels.
    sfreq : float
        Sampling rate in Hz.
    """

    def __init__(self, n_channels: int, sfreq: float) -> None:
        self._second = max(round(sfreq), 2)
        self._n_seconds = 0
        self._n_times = 0
        self._not_finite = np.zeros(n_channels, dtype=np.int64)
        self._flat_seconds = np.zeros(n_channels, dtype=np.int64)
        # highest and lowest value so far, and pairs of neighbouring samples that both rest on it
        self._extremes = np.array([np.full(n_channels, -np.inf), np.full(n_channels, np.inf)])
        self._resting = np.zeros((2, n_channels), dtype=np.int64)

    def update(self, data: NDArray[np.float64]) -> None:
        """Take in the next samples.

        Parameters
        ----------
        data : ndarray of float64, shape (n_channels, n_times)
            Volts. Channels that are not finite are set to zero in place.
        """
        n_times = data.shape[1]
        if not n_times:
            return
        highest, lowest = data.max(axis=1), data.min(axis=1)
        for channel in np.flatnonzero(~np.isfinite(highest) | ~np.isfinite(lowest)):
            self._not_finite[channel] += np.count_nonzero(~np.isfinite(data[channel]))
            data[channel] = 0.0  # nothing else is asked about it, and filters would complain
            highest[channel] = lowest[channel] = 0.0
        self._n_times += n_times
        n_seconds = n_times // self._second
        seconds = data[:, : n_seconds * self._second].reshape(len(data), n_seconds, self._second)
        if not n_seconds:  # a remainder only counts where there is no more
            n_seconds, seconds = 1, data[:, None]
        variation = seconds.max(axis=2) - seconds.min(axis=2)
        self._flat_seconds += np.count_nonzero(variation < FLAT_SD * _UV, axis=1)
        self._n_seconds += n_seconds
        for side, now in enumerate((highest, lowest)):
            at = data == now[:, None]
            resting = np.count_nonzero(at[:, 1:] & at[:, :-1], axis=1)
            before = self._extremes[side]
            farther = now > before if side == 0 else now < before
            self._resting[side] = np.where(
                farther, resting, self._resting[side] + np.where(now == before, resting, 0)
            )
            self._extremes[side] = np.where(farther, now, before)

    def broken(self) -> dict[int, str]:
        """Return what is wrong by channel: "NaN or infinite", "flat" or "clipped"."""
        clipped = self._resting.sum(axis=0) / max(self._n_times - 1, 1)
        broken = dict.fromkeys(np.flatnonzero(clipped > CLIPPED_FRACTION).tolist(), "clipped")
        flat = self._flat_seconds > _FLAT_SECONDS * self._n_seconds
        broken |= dict.fromkeys(np.flatnonzero(flat).tolist(), "flat")
        broken |= dict.fromkeys(np.flatnonzero(self._not_finite).tolist(), "NaN or infinite")
        return broken


def check_broken(broken: dict[int, str], n_channels: int) -> None:
    """Refuse a recording most of whose channels are broken.

    Parameters
    ----------
    broken : dict of int to str
        What is wrong with which channel.
    n_channels : int
        Number of channels that could have been used.

    Raises
    ------
    UnusableError
        If more than half are broken.
    """
    if 2 * len(broken) > n_channels:
        kinds = list(broken.values())
        listed = ", ".join(f"{kinds.count(kind)} {kind}" for kind in sorted(set(kinds)))
        worst = max(sorted(set(kinds)), key=kinds.count)
        raise UnusableError(f"{worst}: of {n_channels} channels, {listed}")


def find_too_large(
    sd: NDArray[np.float64], peak: NDArray[np.float64], broken: dict[int, str]
) -> dict[int, str]:
    """Return the broken channels, with those whose artefacts would make int16 too coarse.

    The step of int16 is the largest magnitude of all channels over 32767, so one artefact costs
    all channels resolution.

    Parameters
    ----------
    sd, peak : ndarray of float64, shape (n_channels,)
        Standard deviation of a typical second and largest magnitude in volts, after filtering.
    broken : dict of int to str
        Channels that are left out already.

    Returns
    -------
    broken : dict of int to str
        With those whose artefacts are too large: without them the step is at most 5 % of the median
        standard deviation.

    Raises
    ------
    UnusableError
        If the amplitudes are not those of EEG in volts, or more than half of the channels would be
        left out.
    """
    broken = dict(broken)
    while True:
        kept = [channel for channel in range(len(sd)) if channel not in broken]
        typical = float(np.median(sd[kept]))
        if not LOWEST_SD * _UV <= typical <= HIGHEST_SD * _UV:
            raise UnusableError(
                f"implausible unit: the median standard deviation of the channels is "
                f"{typical / _UV:.3g} µV, and that of EEG lies between {LOWEST_SD:g} and "
                f"{HIGHEST_SD:g} µV"
            )
        too_large = [c for c in kept if scale_of(peak[c]) > _COARSEST_STEP * typical]
        if not too_large:
            return broken
        broken |= dict.fromkeys(too_large, "artefacts too large for int16")
        check_broken(broken, len(sd))
