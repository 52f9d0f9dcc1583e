"""Where windows start."""

from __future__ import annotations

import mne
import numpy as np
import pytest

from mne_neurolm.datasets.windows import Span, spans_of, window_starts


def starts(onset: float, length: float, seconds: float = 100.0, **options) -> list[float]:
    options = {"duration": 4.0, "hop": 4.0} | options
    return window_starts(Span(onset, length, "x"), seconds, **options)


@pytest.mark.parametrize(
    ("onset", "length", "options", "expected"),
    [
        (0.0, 12.0, {}, [0.0, 4.0, 8.0]),
        (10.0, 11.9, {}, [10.0, 14.0]),
        (10.0, 8.0, {"hop": 2.0}, [10.0, 12.0, 14.0]),
        (10.0, 3.9995, {}, [10.0]),  # rounded to milliseconds
        (10.0, 3.9995, {"hop": 0.25}, [10.0]),
        (10.0, 3.9, {}, []),
        (10.0, 1.0, {"point_duration": 1.0}, [10.0]),
        (10.0, 1.5, {"point_duration": 1.0}, []),
        (97.0, 0.0, {"point_duration": 1.0}, []),  # the recording ends before the window does
        (96.0, 0.0, {"point_duration": 1.0}, [96.0]),
        (-1.0, 9.0, {}, [3.0]),
        (10.0, 1.0, {"duration": 5.0, "lead": 2.0}, [8.0]),
        (1.0, 1.0, {"duration": 5.0, "lead": 2.0}, [0.0]),  # moved into the recording
        (99.0, 1.0, {"duration": 5.0, "lead": 2.0}, [95.0]),
        (0.0, 12.0, {"bad": [Span(5.0, 1.0, "BAD")]}, [0.0, 8.0]),
        (0.0, 12.0, {"bad": [Span(4.0, 4.0, "BAD")]}, [0.0, 8.0]),  # touching is not overlapping
    ],
)
def test_starts(onset: float, length: float, options: dict, expected: list[float]) -> None:
    assert starts(onset, length, **options) == expected


def test_too_short_a_recording_has_none() -> None:
    assert starts(1.0, 1.0, seconds=3.0, duration=5.0, lead=2.0) == []


def test_onsets_count_from_the_first_sample() -> None:
    raw = mne.io.RawArray(np.zeros((1, 1000)), mne.create_info(["Cz"], 100.0, "eeg"))
    raw.set_annotations(mne.Annotations([6.0], [1.0], ["x"]))
    assert spans_of(raw.crop(5.0)) == [Span(1.0, 1.0, "x")]
