"""Prepare a recording a segment at a time, so that its length does not matter for memory.

Segments overlap by margins in which filters settle. What is kept of them, put together, is what
:func:`mne_neurolm.prepare_raw` makes of the whole recording, but for about 0.03 % of its standard
deviation (root mean square).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise

import mne
import numpy as np
from numpy.typing import NDArray

from ..preprocessing import common_length, filter_and_resample

#: What :func:`mne_neurolm.prepare_raw` does if it is not asked for anything else.
BAND = (0.1, 75.0)  # Hz
SFREQ = 200.0  # Hz

_NOTCH_MARGIN = 7.0  # s; MNE's notch filters are 6.6 s long at any rate
_RESAMPLING_MARGIN = 10.0  # s; by there the influence of the edge has decayed to 1e-4 of the signal
_STEP = re.compile(r"edge|bad_acq_skip", re.IGNORECASE)  # what MNE's filters skip by default


@dataclass(frozen=True, slots=True)
class Segment:
    """Samples of a recording to keep, ``start`` to ``stop``, and to read for that."""

    start: int
    stop: int
    read_from: int
    read_to: int


def cut_segments(n_times: int, rate: float, seconds: float) -> list[Segment]:
    """Cut a recording into segments with margins in which filters settle.

    Segments start at samples that are samples at 200 Hz too, so that nothing moves.

    Parameters
    ----------
    n_times : int
        Samples of the recording.
    rate : float
        Its sampling rate in Hz.
    seconds : float
        Approximate length of a segment. A recording shorter than one and a half is one.

    Returns
    -------
    segments : list of Segment
        In order; what they keep is the recording.
    """
    n_segments = max(round(n_times / (seconds * rate)), 1)
    if n_segments == 1:
        return [Segment(0, n_times, 0, n_times)]
    ratio = SFREQ / rate
    l_freq, h_freq = BAND
    band = mne.filter.create_filter(
        None, rate, l_freq, h_freq if h_freq < rate / 2 else None, verbose="error"
    )
    margin = len(band) // 2 + round((_NOTCH_MARGIN + _RESAMPLING_MARGIN) * rate)
    starts = {common_length(k * n_times // n_segments, ratio) for k in range(n_segments)}
    # Where such samples are rare some are of two segments, or beyond the end.
    cuts = [*sorted(start for start in starts if start < n_times), n_times]
    return [
        Segment(
            start,
            stop,
            read_from=common_length(max(start - margin, 0), ratio, below=True),
            read_to=min(stop + margin, n_times),
        )
        for start, stop in pairwise(cuts)
    ]


def prepare_segment(
    data: NDArray[np.float64],
    raw: mne.io.BaseRaw,
    picks: NDArray[np.int64],
    segment: Segment,
    n_times: int,
    line_freq: float | str | None,
) -> tuple[NDArray[np.float64], mne.Info]:
    """Filter and resample a segment as :func:`mne_neurolm.prepare_raw` does.

    Parameters
    ----------
    data : ndarray of float64, shape (n_channels, n_times)
        Volts from ``segment.read_from`` to ``segment.read_to``, all finite. It is modified.
    raw : mne.io.BaseRaw
        The recording that they come from.
    picks : ndarray of int64, shape (n_channels,)
        Its channels.
    segment : Segment
        The segment.
    n_times : int
        Samples of the whole recording.
    line_freq : float | "unknown" | None
        Power line frequency in Hz.

    Returns
    -------
    volts : ndarray of float64, shape (n_channels, n_times)
        The samples to keep, at 200 Hz.
    info : mne.Info
        What they are.
    """
    ratio = SFREQ / float(raw.info["sfreq"])
    info = mne.pick_info(raw.info, picks, verbose="error")
    part = mne.io.RawArray(data, info, copy=None, verbose="error")
    part = filter_and_resample(
        _with_steps(part, raw, segment),
        l_freq=BAND[0],
        h_freq=BAND[1],
        line_freq=line_freq,
        sfreq=SFREQ,
    )
    begin = round(segment.read_from * ratio)
    n_out = max(round(n_times * ratio), 1)
    stop = n_out if segment.stop == n_times else round(segment.stop * ratio)
    return part.get_data(start=round(segment.start * ratio) - begin, stop=stop - begin), part.info


def _with_steps(part: mne.io.RawArray, raw: mne.io.BaseRaw, segment: Segment) -> mne.io.RawArray:
    """Mark in a segment where the recording was put together or paused: filters stop there."""
    notes, rate = raw.annotations, float(raw.info["sfreq"])
    begins = notes.onset - raw.first_time - segment.read_from / rate
    ends = begins + notes.duration
    chosen = [
        i
        for i, description in enumerate(notes.description)
        if _STEP.match(description) and ends[i] >= 0 and begins[i] < part.times[-1]
    ]
    steps = mne.Annotations(
        np.maximum(begins[chosen], 0.0),
        np.minimum(ends[chosen], part.times[-1]) - np.maximum(begins[chosen], 0.0),
        [str(notes.description[i]) for i in chosen],
    )
    with part.info._unlock():
        part.info["meas_date"] = None  # onsets are relative to the segment
    return part.set_annotations(steps, verbose="error")
