"""Where the windows of a labelled recording start."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import mne
import numpy as np

_HAIR = 1e-3  # s; onsets and durations are often rounded to milliseconds


class Span(NamedTuple):
    """A stretch of a recording with one label."""

    onset: float  # s from the first sample
    duration: float  # s
    label: str


def spans_of(raw: mne.io.BaseRaw) -> list[Span]:
    """Return the annotations of a recording, onsets counted from its first sample.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        The recording.

    Returns
    -------
    spans : list of Span
        In the order of the annotations.
    """
    notes = raw.annotations
    # Onsets count from the start of the acquisition, which a cropped recording does not begin with.
    return [
        Span(float(onset), float(length), str(description))
        for onset, length, description in zip(
            notes.onset - raw.first_time, notes.duration, notes.description, strict=True
        )
    ]


def window_starts(
    span: Span,
    seconds: float,
    *,
    duration: float,
    hop: float,
    lead: float = 0.0,
    point_duration: float = 0.0,
    bad: Sequence[Span] = (),
) -> list[float]:
    """Cut a stretch of a recording into windows.

    Parameters
    ----------
    span : Span
        The stretch.
    seconds : float
        Length of the recording.
    duration : float
        Length of a window in seconds.
    hop : float
        Seconds from the start of one window to that of the next.
    lead : float
        Seconds that the first window starts before the stretch. With a lead, a stretch has one
        window, which is moved into the recording where it would reach beyond. Default 0.
    point_duration : float
        Stretches that are shorter than a window and last at most this many seconds are events with
        one window. Default 0.
    bad : sequence of Span
        Stretches that no window may touch.

    Returns
    -------
    starts : list of float
        Seconds from the first sample, ascending; all windows lie within the recording.
    """
    if lead:
        starts = [min(max(span.onset - lead, 0.0), max(seconds - duration, 0.0))]
    else:
        # A hair of tolerance, also for one that only just fits.
        n_fit = max(int(np.floor((span.duration - duration) / hop + _HAIR)) + 1, 1)
        if span.duration < duration - _HAIR:
            n_fit = int(span.duration <= point_duration)
        starts = [span.onset + k * hop for k in range(n_fit)]
    return [
        start
        for start in starts
        if start >= -_HAIR
        and start + duration <= seconds + _HAIR
        and not any(start < b.onset + b.duration and start + duration > b.onset for b in bad)
    ]
