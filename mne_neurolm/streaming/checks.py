"""Which windows of a continuous recording are no EEG, seen a few at a time.

The limits are those of :mod:`mne_neurolm.quality`, which refuses or warns about a set of epochs;
here a window is left out, and the recording goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import mne
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d, minimum_filter1d
from scipy.signal import detrend

from ..quality import CLIPPED_FRACTION, FLAT_SD, HIGHEST_SD, LOWEST_SD, check_unit, listed

_UV = 1e-6
_N_PLACES = 9  # of a recording that are looked at before the start
_MOST_NAMES = 8


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a window can't be used.

    Attributes
    ----------
    kind : str
        ``"NaN"``, ``"flat"``, ``"clipped"``, ``"amplitude"``, or the annotation's description.
    ch_names : tuple of str
        The channels; empty if it is not a matter of some.
    """

    kind: str
    ch_names: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.kind} ({listed(self.ch_names, _MOST_NAMES)})" if self.ch_names else self.kind


def fault_as_read(
    window: NDArray[np.float64], rate: float, ch_names: Sequence[str]
) -> Fault | None:
    """Return what is wrong with a window before filters have smeared it.

    Parameters
    ----------
    window : ndarray of float64, shape (n_channels, n_times)
        Volts.
    rate : float
        Sampling rate in Hz.
    ch_names : sequence of str
        Names of the channels.

    Returns
    -------
    fault : Fault | None
        NaN or infinite samples, a channel that is flat for a second, or one that rests on its
        highest or lowest value in more than 5 % of its samples.
    """
    highest, lowest = window.max(axis=1), window.min(axis=1)
    broken = ~(np.isfinite(highest) & np.isfinite(lowest))
    if broken.any():
        return Fault("NaN", _named(broken, ch_names))
    second = min(max(round(rate), 2), window.shape[1])
    half, rest = second // 2, second - second // 2
    within = slice(half, window.shape[1] - rest + 1)  # where a whole second is in the window
    spread = maximum_filter1d(window, second, axis=1) - minimum_filter1d(window, second, axis=1)
    flat = (spread[:, within] < FLAT_SD * _UV).any(axis=1)
    if flat.any():
        return Fault("flat", _named(flat, ch_names))
    resting = np.zeros(len(window))
    for extreme in (highest, lowest):
        at = window == extreme[:, None]
        resting += np.count_nonzero(at[:, 1:] & at[:, :-1], axis=1)
    clipped = resting > CLIPPED_FRACTION * (window.shape[1] - 1)
    return Fault("clipped", _named(clipped, ch_names)) if clipped.any() else None


def fault_as_prepared(window: NDArray[np.float64], ch_names: Sequence[str]) -> Fault | None:
    """Return what is wrong with a window that has been filtered.

    Parameters
    ----------
    window : ndarray of float64, shape (n_channels, n_times)
        Volts.
    ch_names : sequence of str
        Names of the channels.

    Returns
    -------
    fault : Fault | None
        A channel without any signal, or a typical amplitude that EEG in volts does not have.
    """
    sd = window.std(axis=1) / _UV
    flat = sd < FLAT_SD
    if flat.any():
        return Fault("flat", _named(flat, ch_names))
    return None if LOWEST_SD <= np.median(sd) <= HIGHEST_SD else Fault("amplitude")


def fault_annotated(
    annotations: mne.Annotations, first_time: float, start: float, stop: float
) -> Fault | None:
    """Return the bad annotation that a window overlaps, by the rule of :class:`mne.Epochs`.

    Parameters
    ----------
    annotations : mne.Annotations
        Those of the recording.
    first_time : float
        Time of its first sample in seconds, which onsets count from too.
    start, stop : float
        The window in seconds from the first sample.

    Returns
    -------
    fault : Fault | None
        The first whose description begins with "bad" in any case.
    """
    begins = annotations.onset - first_time
    inside = (begins < stop) & (begins + annotations.duration > start)
    for description in annotations.description[inside]:
        if description.lower().startswith("bad"):
            return Fault(str(description))
    return None


def check_recording(
    raw: mne.io.BaseRaw, picks: NDArray[np.int64], ch_names: Sequence[str], seconds: float
) -> None:
    """Look at a few places of a recording for what would spoil all of it.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        The recording.
    picks : ndarray of int64, shape (n_channels,)
        The channels that are used.
    ch_names : sequence of str
        Their names.
    seconds : float
        Length of a place.

    Raises
    ------
    ValueError
        If channels are flat in all places, or amplitudes are those of another unit.
    """
    n_times = min(round(seconds * raw.info["sfreq"]), raw.n_times)
    flat, sds = np.ones(len(picks), dtype=bool), []
    n_seen = 0
    for start in np.unique(np.linspace(0, raw.n_times - n_times, _N_PLACES).astype(int)).tolist():
        try:
            data = raw.get_data(picks=picks, start=start, stop=start + n_times) / _UV
        except MemoryError:
            raise
        except Exception:  # of foreign readers; told when this place is reached
            break
        finite = np.isfinite(data).all(axis=1)
        sd = np.zeros(len(data))
        if finite.any():
            sd[finite] = detrend(data[finite]).std(axis=1)
        flat &= finite & (np.ptp(data, axis=1) < FLAT_SD)
        sds.append(sd[finite & (sd >= FLAT_SD)])
        n_seen += 1
    if not n_seen:
        return
    if flat.any():
        raise ValueError(
            f"{int(flat.sum())} channel(s) are flat (less than {FLAT_SD:g} µV of variation) in "
            f"all {n_seen} places of the recording that were looked at: "
            f"{listed(_named(flat, ch_names), _MOST_NAMES)}. Mark them as bad (raw.info['bads']), "
            "drop them with drop_channels, or interpolate them."
        )
    found = np.concatenate(sds)
    if len(found):
        check_unit(found, "V")


def summarize(faults: Sequence[Fault | None], onsets: NDArray[np.float64]) -> str:
    """Return how many windows have which fault, and where the first is.

    Parameters
    ----------
    faults : sequence of (Fault | None)
        One per window.
    onsets : ndarray of float64, shape (n_windows,)
        Their onsets in seconds.

    Returns
    -------
    summary : str
        Such as ``"12 flat (T3, T4; from 3600 s on), 1 NaN (Cz; at 20 s)"``.
    """
    parts = []
    for kind in dict.fromkeys(fault.kind for fault in faults if fault is not None):
        where = [i for i, fault in enumerate(faults) if fault is not None and fault.kind == kind]
        names = dict.fromkeys(
            name for i in where if (fault := faults[i]) is not None for name in fault.ch_names
        )
        shown = [f"{onsets[i]:g}" for i in where[:3]]
        onset = f"at {', '.join(shown)}{', ...' if len(where) > 3 else ''} s"
        channels = f"{listed(list(names), _MOST_NAMES)}; " if names else ""
        parts.append(f"{len(where)} {kind} ({channels}{onset})")
    return ", ".join(parts)


def _named(where: NDArray[np.bool_], ch_names: Sequence[str]) -> tuple[str, ...]:
    return tuple(ch_names[i] for i in np.flatnonzero(where).tolist())
