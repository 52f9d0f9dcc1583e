"""Band, notch and rate of prepared recordings."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import mne
import numpy as np
import pytest
from mne.utils import catch_logging

from mne_neurolm.preprocessing import prepare_raw


def _raw(sfreq=500.0, seconds=60, ch_names=("Fz", "Cz"), types="eeg", line_freq=50.0):
    """Return drift, alpha, line noise and its harmonic, 20 µV each, plus a little noise."""
    times = np.arange(int(seconds * sfreq)) / sfreq
    rng = np.random.default_rng(0)
    waves = [np.sin(2 * np.pi * f * times + f) for f in (0.01, 10.0, 50.0, 100.0) if f < sfreq / 2]
    data = 20e-6 * np.sum(waves, axis=0) + 1e-7 * rng.standard_normal((len(ch_names), len(times)))
    info = mne.create_info(list(ch_names), sfreq, types)
    with info._unlock():
        info["line_freq"] = line_freq
    return mne.io.RawArray(data, info, verbose="ERROR")


def _amplitude(raw, freq):
    """Amplitude in µV at one frequency, in the first channel, away from the edges."""
    data = raw.get_data()[0, int(15 * raw.info["sfreq"]) : -int(15 * raw.info["sfreq"])]
    times = np.arange(len(data)) / raw.info["sfreq"]
    return 2e6 * np.abs(np.mean(data * np.exp(-2j * np.pi * freq * times)))


def test_band_notch_and_rate():
    raw = _raw()
    before = raw.get_data().copy()
    prepared = prepare_raw(raw, verbose="ERROR")
    assert prepared.info["sfreq"] == 200.0
    assert (prepared.info["highpass"], prepared.info["lowpass"]) == (0.1, 75.0)
    assert _amplitude(prepared, 10.0) == pytest.approx(20.0, rel=0.01)
    assert _amplitude(prepared, 50.0) < 0.2
    # the drift: an average over the middle, where the edges do not matter
    assert np.abs(raw.get_data(tmin=15, tmax=25)[0].mean()) > 10e-6
    assert np.abs(prepared.get_data(tmin=15, tmax=25)[0].mean()) < 1e-6
    # the recording itself is untouched
    assert np.array_equal(raw.get_data(), before) and raw.info["sfreq"] == 500.0


def test_harmonics_below_the_low_pass_are_removed():
    wide: dict[str, Any] = dict(h_freq=120.0, sfreq=500.0, verbose="ERROR")
    assert _amplitude(prepare_raw(_raw(), **wide), 100.0) < 0.2
    assert _amplitude(prepare_raw(_raw(), line_freq=None, **wide), 100.0) > 19.0
    assert _amplitude(prepare_raw(_raw(), line_freq=60, **wide), 50.0) > 19.0


def test_order_is_filter_notch_resample(monkeypatch):
    calls = []
    for name in ("filter", "notch_filter", "resample"):
        original = getattr(mne.io.BaseRaw, name)

        def record(self, *args, _name=name, _original=original, **kwargs):
            calls.append(_name)
            return _original(self, *args, **kwargs)

        monkeypatch.setattr(mne.io.BaseRaw, name, record)
    prepare_raw(_raw(seconds=40), verbose="ERROR")
    assert calls == ["filter", "notch_filter", "resample"]


def test_unknown_line_frequency_warns_once():
    raw = _raw(line_freq=None)
    with pytest.warns(RuntimeWarning, match="line_freq=50 .* line_freq=60") as record:
        prepared = prepare_raw(raw, verbose="WARNING")
    assert len(record) == 1
    assert _amplitude(prepared, 50.0) > 19.0
    # said by the user, or nothing left to remove: no warning, and warnings are errors here
    assert _amplitude(prepare_raw(raw, line_freq=50, verbose="ERROR"), 50.0) < 0.2
    prepare_raw(raw, line_freq=None, verbose="WARNING")
    prepare_raw(raw, h_freq=40.0, verbose="WARNING")


def test_low_rates_need_no_low_pass():
    with catch_logging() as log:
        prepared = prepare_raw(_raw(sfreq=128.0), verbose="INFO")
    assert "already limits the recording to 64 Hz" in log.getvalue()
    assert prepared.info["sfreq"] == 200.0 and prepared.info["lowpass"] == 64.0
    assert _amplitude(prepared, 10.0) == pytest.approx(20.0, rel=0.01)
    assert _amplitude(prepared, 50.0) < 0.2
    # a line frequency at Nyquist is left alone
    assert prepare_raw(_raw(sfreq=100.0), verbose="ERROR").info["sfreq"] == 200.0


@pytest.mark.parametrize("sfreq", [128.0, 160.0, 256.0, 499.907, 500.0, 512.0, 1000.0])
def test_resampling_does_not_move_the_signal(sfreq):
    """MNE's own padding moves it by up to half a sample: 2.5 ms, half of the amplitude here."""
    n_times = round(61.237 * sfreq)
    freqs = np.array([3.0, 17.3, 38.1])[:, None]
    data = 1e-5 * np.sin(2 * np.pi * freqs * np.arange(n_times) / sfreq)
    raw = mne.io.RawArray(data, mne.create_info(["Fz", "Cz", "Pz"], sfreq, "eeg"), verbose="ERROR")
    raw.set_annotations(mne.Annotations([10.0, 60.0], [2.0, 1.0], ["x", "y"]))
    prepared = prepare_raw(raw, l_freq=None, h_freq=None, line_freq=None, verbose="ERROR")
    assert prepared.n_times == round(n_times * 200.0 / sfreq)
    assert prepared.annotations.onset.tolist() == [10.0, 60.0]
    expected = 1e-5 * np.sin(2 * np.pi * freqs * prepared.times)
    inside = slice(200, -200)
    assert np.abs(prepared.get_data() - expected)[:, inside].max() < 2e-3 * 1e-5


@pytest.mark.parametrize("n_times", [25_600, 25_603])  # the latter is extended to be resampled
@pytest.mark.parametrize("date", [None, datetime(2026, 1, 1, tzinfo=UTC)])
def test_resampling_does_not_move_annotations(n_times, date):
    info = mne.create_info(["Fz", "Cz"], 256.0, "eeg")
    noise = np.random.default_rng(0).normal(scale=2e-5, size=(2, n_times))
    raw = mne.io.RawArray(noise, info, first_samp=2560).set_meas_date(date)
    raw.set_annotations(mne.Annotations(10.0, 2.0, "note"))
    events = mne.events_from_annotations(raw)[0][:, 0] - raw.first_samp
    assert events / 256.0 == [10.0]
    prepared = prepare_raw(raw, line_freq=None)
    events = mne.events_from_annotations(prepared)[0][:, 0] - prepared.first_samp
    np.testing.assert_allclose(events / 200.0, [10.0], atol=0.006)
    assert prepared.annotations.duration == [2.0]


def test_only_usable_channels_stay():
    names = ["EEG Fz-REF", "EOG", "Cz", "stim", "ECG ECG"]
    raw = _raw(ch_names=names, types=["eeg", "eog", "eeg", "stim", "eeg"], seconds=40)
    raw.info["bads"] = ["Cz"]
    assert prepare_raw(raw, verbose="ERROR").ch_names == ["EEG Fz-REF"]


def test_unknown_channels():
    raw = _raw(ch_names=["Cz", "unheard of"], seconds=40)
    with pytest.raises(ValueError, match="unheard of"):
        prepare_raw(raw, verbose="ERROR")
    assert prepare_raw(raw, on_missing="ignore", verbose="ERROR").ch_names == ["Cz"]


def test_nan_is_not_spread():
    raw = _raw(seconds=40)
    raw._data[1, 100:110] = np.nan
    with pytest.raises(ValueError, match="10 samples are NaN or infinite, in channel.*Cz"):
        prepare_raw(raw, verbose="ERROR")


def test_wrong_arguments():
    raw = _raw(seconds=40)
    epochs = mne.make_fixed_length_epochs(raw, 2.0, preload=True, verbose="ERROR")
    with pytest.raises(TypeError, match="got EpochsArray|got Epochs"):
        prepare_raw(epochs)
    with pytest.raises(ValueError, match="line_freq must be .* got 'europe'"):
        prepare_raw(raw, line_freq="europe")
    with pytest.raises(ValueError, match="line_freq must be .* got 0"):
        prepare_raw(raw, line_freq=0)
    with pytest.raises(ValueError, match="sfreq must be"):
        prepare_raw(raw, sfreq=0)


def test_real_recording_that_is_not_loaded(shared_data):
    raw = mne.io.read_raw(shared_data / "eegmat" / "Subject00_1.edf", verbose="ERROR")
    prepared = prepare_raw(raw.crop(0, 60), line_freq=50, verbose="ERROR")
    assert prepared.info["sfreq"] == 200.0 and len(prepared.ch_names) == 19
    assert "EEG A2-A1" not in prepared.ch_names and "ECG ECG" not in prepared.ch_names
    assert not raw.preload
    assert 1e-6 < np.median(prepared.get_data().std(axis=1)) < 100e-6
