"""From arrays to recordings, and from companion files to annotations."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import mne
import numpy as np
from mne.utils import warn
from numpy.typing import NDArray

#: An event: onset and duration in seconds from the first sample, and what it is.
Event = tuple[float, float, str]


def to_raw(
    data: NDArray[np.float64], names: Sequence[str], types: Sequence[str] | str, sfreq: float
) -> mne.io.RawArray:
    """Make a recording of an array.

    Parameters
    ----------
    data : ndarray of float64, shape (n_chans, n_times)
        Signals in volts; channels of type ``stim`` and ``misc`` as they are. It is not copied.
    names : sequence of str
        Names of the channels.
    types : str | sequence of str
        Their types, as MNE calls them.
    sfreq : float
        Sampling rate in Hz.

    Returns
    -------
    raw : mne.io.RawArray
        The recording.

    Raises
    ------
    ValueError
        If shape and names do not belong together, names repeat, or there is no sample.
    """
    if data.ndim != 2 or data.shape[0] != len(names) or not data.shape[1]:
        raise ValueError(
            f"the signals have the shape {data.shape}, and {len(names)} channels and one sample or "
            "more are expected"
        )
    repeated = sorted({name for name in names if list(names).count(name) > 1})
    if repeated:
        raise ValueError(f"several channels are called {', '.join(repeated)}")
    if not (np.isfinite(sfreq) and sfreq > 0):
        raise ValueError(f"the sampling rate is {sfreq}")
    types = [types] * len(names) if isinstance(types, str) else list(types)
    return mne.io.RawArray(data, mne.create_info(list(names), sfreq, types), verbose="error")


def set_types(raw: mne.io.BaseRaw, types: dict[str, str]) -> mne.io.BaseRaw:
    """Set channel types without a word about units: foreign headers call everything a voltage."""
    return raw.set_channel_types(types, on_unit_change="ignore", verbose="error")


def annotate(raw: mne.io.BaseRaw, events: Iterable[Event]) -> mne.io.BaseRaw:
    """Set events as annotations; those that start outside of the recording are left out.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        The recording, from its first sample on.
    events : iterable of tuple
        Onset and duration in seconds, and description.

    Returns
    -------
    raw : mne.io.BaseRaw
        The same.
    """
    end = raw.n_times / raw.info["sfreq"]
    inside = [event for event in events if 0 <= event[0] < end]
    onsets = [onset for onset, _, _ in inside]
    lengths = [min(length, end - onset) for onset, length, _ in inside]
    notes = mne.Annotations(onsets, lengths, [text for _, _, text in inside])
    return raw.set_annotations(notes, verbose="error")


def annotate_from(
    raw: mne.io.BaseRaw, file: Path, read: Callable[[Path], Iterable[Event]]
) -> mne.io.BaseRaw:
    """Set what a companion file says as annotations, if it is there and can be read.

    These corpora are for pretraining, which takes no labels: no EEG is lost for a bad file of them.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        The recording.
    file : Path
        Its companion.
    read : callable
        Returns the events in it; raises ValueError with what is wrong.

    Returns
    -------
    raw : mne.io.BaseRaw
        The same.

    Warns
    -----
    RuntimeWarning
        If the file cannot be read.
    """
    if not file.exists():
        return raw
    try:
        events = list(read(file))
    except (ValueError, OSError) as error:
        warn(f"{file.name} is not used: {error}", RuntimeWarning)
        return raw
    return annotate(raw, events)


def runs_of(mask: NDArray[np.bool_], sfreq: float, text: str) -> list[Event]:
    """Return the stretches where a mask over the samples is true.

    Parameters
    ----------
    mask : ndarray of bool, shape (n_times,)
        The mask.
    sfreq : float
        Sampling rate in Hz.
    text : str
        What such a stretch is.

    Returns
    -------
    events : list of tuple
        One per stretch.
    """
    edges = np.flatnonzero(np.diff(np.r_[False, mask, False].astype(np.int8)))
    return [
        (start / sfreq, (stop - start) / sfreq, text)
        for start, stop in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
    ]
