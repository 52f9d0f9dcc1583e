"""Segments of a recording give what the whole gives."""

from __future__ import annotations

from pathlib import Path

import mne
import numpy as np
import pytest
from simulated_files import make_raw

from mne_neurolm.preprocessing import prepare_raw
from mne_neurolm.store.screening import RawScreen
from mne_neurolm.store.signals import PreparedSignal, prepare_segments


def prepared(raw: mne.io.BaseRaw, segment_minutes: float) -> list[np.ndarray]:
    """Return the pieces of a recording, all channels."""
    picks = np.arange(len(raw.ch_names))
    screen = RawScreen(len(picks), raw.info["sfreq"])
    with mne.utils.use_log_level("ERROR"):
        return list(prepare_segments(raw, picks, 50.0, segment_minutes, screen))


@pytest.mark.parametrize("sfreq", [128.0, 160.0, 200.0, 250.0, 256.0, 499.907, 500.0, 512.0])
def test_segments_give_what_the_whole_gives(sfreq: float) -> None:
    """A length that is no multiple of anything, an offset, drift and line noise."""
    raw = make_raw(seconds=200.237, sfreq=sfreq, ch_names=("Fz", "Cz"))
    times = raw.times
    raw._data += 5e-3 + 1e-4 * np.sin(2 * np.pi * 0.02 * times)
    raw._data += 3e-5 * np.sin(2 * np.pi * 50.0 * times)
    whole = prepare_raw(raw, verbose="ERROR").get_data()
    pieces = prepared(raw, segment_minutes=0.5)
    assert len(pieces) == 7
    parts = np.concatenate(pieces, axis=1)
    assert parts.shape == whole.shape == (2, round(raw.n_times * 200 / sfreq))
    difference = (parts - whole) / whole.std()
    assert np.sqrt(np.mean(difference**2)) < 3e-4
    assert np.abs(difference).max() < 2e-3


def test_one_segment_is_what_prepare_raw_gives() -> None:
    raw = make_raw(seconds=70.0, sfreq=256.0)
    (piece,) = prepared(raw, segment_minutes=1.0)
    assert np.array_equal(piece, prepare_raw(raw, verbose="ERROR").get_data())


def test_artefacts_do_not_change_the_standard_deviation(tmp_path: Path) -> None:
    volts = 1e-5 * np.random.default_rng(0).standard_normal((1, 20_000))
    volts[0, 3000:3100] = 1.0
    with PreparedSignal(tmp_path) as signal:
        signal.append(volts)
        assert signal.sd == pytest.approx(1e-5, rel=0.05) and signal.peak == 1.0
    with PreparedSignal(tmp_path) as short:  # less than a second
        short.append(volts[:, :50])
        assert short.sd == pytest.approx(volts[:, :50].std())


@pytest.mark.parametrize("n_pieces", [1, 3])
def test_prepared_signal(tmp_path: Path, n_pieces: int) -> None:
    volts = 1e-5 * np.random.default_rng(0).standard_normal((4, 900))
    volts[2] *= 100
    with PreparedSignal(tmp_path) as signal:
        for piece in np.split(volts, n_pieces, axis=1):
            signal.append(piece)
        assert signal.n_times == 900
        seconds = volts[:, :800].reshape(4, 4, 200).std(axis=2)
        if n_pieces == 1:
            assert np.allclose(signal.sd, np.median(seconds, axis=1))
        assert np.allclose(signal.sd, volts.std(axis=1), rtol=0.2)
        assert np.array_equal(signal.peak, np.abs(volts).max(axis=1))
        scale, sha256 = signal.write_counts([0, 1, 3], tmp_path / "part")
    assert [file.name for file in tmp_path.iterdir()] == ["part"]
    counts = np.fromfile(tmp_path / "part", dtype="<i2").reshape(-1, 3)
    kept = volts[[0, 1, 3]].T
    assert scale == np.abs(kept).max() / 32767  # the loud channel that is left out has no say
    assert np.abs(counts * scale - kept).max() <= 0.5 * scale * (1 + 1e-9)
    from simulated_files import file_sha256

    assert sha256 == file_sha256(tmp_path / "part")
