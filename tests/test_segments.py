"""How recordings are cut into segments; what becomes of them is tested in the store's tests."""

from __future__ import annotations

import pytest

from mne_neurolm.store.recipe import RECIPE
from mne_neurolm.streaming.segments import BAND, SFREQ, cut_segments


@pytest.mark.parametrize("sfreq", [200.0, 256.0, 499.907])
def test_segments_are_bounded_and_cover_everything(sfreq: float) -> None:
    n_times = round(3 * 3600 * sfreq) + 17
    segments = cut_segments(n_times, sfreq, 600.0)
    assert [s.start for s in segments[1:]] == [s.stop for s in segments[:-1]]
    assert segments[0].start == segments[0].read_from == 0
    assert segments[-1].stop == segments[-1].read_to == n_times
    for segment in segments:
        assert segment.read_to - segment.read_from < (600.0 + 120.0) * sfreq
        for sample in (segment.start, segment.read_from):
            at_200 = sample * 200.0 / sfreq
            assert abs(at_200 - round(at_200)) < 1e-3
    # half the length of the 0.1 Hz high-pass, 33 s, of the notch, 6.6 s, and room for resampling
    assert all(s.start - s.read_from > 20 * sfreq for s in segments[1:])


@pytest.mark.parametrize("seconds", [10.0, 25.0, 120.0])
@pytest.mark.parametrize("sfreq", [128.0, 199.37, 499.907, 333.3333])
def test_no_segment_is_empty(sfreq: float, seconds: float) -> None:
    for extra in range(0, 4000, 37):
        n_times = round(seconds * 1.5 * sfreq) + extra
        segments = cut_segments(n_times, sfreq, seconds)
        assert all(s.read_from <= s.start < s.stop <= s.read_to for s in segments)
        assert [s.start for s in segments[1:]] == [s.stop for s in segments[:-1]]
        assert (segments[0].start, segments[-1].stop) == (0, n_times)


def test_short_recordings_are_one_segment() -> None:
    assert len(cut_segments(100, 500.0, 900.0)) == 1
    assert len(cut_segments(22 * 60 * 500, 500.0, 900.0)) == 1


def test_the_store_holds_what_prepare_raw_makes_by_default() -> None:
    assert (RECIPE["l_freq"], RECIPE["h_freq"], RECIPE["sfreq"]) == (*BAND, SFREQ)
