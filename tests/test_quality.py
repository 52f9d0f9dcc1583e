"""What make_patches refuses and warns about: units, flat and clipped channels, filters."""

from __future__ import annotations

import warnings
from typing import Any

import mne
import numpy as np
import pytest

from mne_neurolm.patches import make_patches
from mne_neurolm.preprocessing import prepare_raw

NAMES = ("Fp1", "Cz", "O2")
ARRAY: dict[str, Any] = dict(ch_names=NAMES, sfreq=200.0, unit="V", verbose="WARNING")


def _data(n_epochs=4, n_chans=3, seconds=2.0, sfreq=200.0, seed=0):
    """20 µV of noise in volts."""
    rng = np.random.default_rng(seed)
    return 20e-6 * rng.standard_normal((n_epochs, n_chans, round(seconds * sfreq)))


def _epochs(data=None, names=NAMES, sfreq=200.0, types="eeg"):
    data = _data(sfreq=sfreq) if data is None else data
    return mne.EpochsArray(data, mne.create_info(list(names), sfreq, types), verbose="ERROR")


def _raw(seconds=40, sfreq=200.0, names=NAMES):
    data = _data(1, len(names), seconds, sfreq)[0]
    return mne.io.RawArray(data, mne.create_info(list(names), sfreq, "eeg"), verbose="ERROR")


def _messages(X, **kwargs):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        make_patches(X, **kwargs)
    return [str(item.message) for item in caught]


# Signals that are not EEG


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("wrap", [_epochs, lambda data: data])
def test_non_finite(value, wrap):
    data = _data()
    data[2, 1, 50:60] = value
    kwargs = ARRAY if wrap is not _epochs else {}
    with pytest.raises(ValueError, match=r"10 samples .* in 1 epoch\(s\) \(2\) and .* Cz\."):
        make_patches(wrap(data), **kwargs)


def test_non_finite_in_a_dropped_channel_is_no_matter():
    data = _data()
    data[:, 1] = np.nan
    epochs = _epochs(data)
    epochs.info["bads"] = ["Cz"]
    assert make_patches(epochs, verbose="ERROR").ch_names == ("Fp1", "O2")


@pytest.mark.parametrize(
    ("factor", "unit", "message"),
    [
        (1e6, "V", "1,000,000 times .* values in µV had been declared as V.*unit='uV'"),
        (1e3, "V", "1,000 times .* values in mV had been declared as V.*unit='mV'"),
        (1.0, "uV", "a millionth .* values in V had been declared as µV.*unit='V'"),
        (1.0, "mV", "a thousandth .* values in V had been declared as mV.*unit='V'"),
        (1e6, "mV", "1,000 times .* values in µV had been declared as mV.*unit='uV'"),
        (1e3, "uV", "a thousandth .* values in mV had been declared as µV.*unit='mV'"),
    ],
)
def test_wrong_unit(factor, unit, message):
    with pytest.raises(ValueError, match=message):
        make_patches(_data() * factor, **(ARRAY | {"unit": unit}))


def test_epochs_in_microvolts():
    with pytest.raises(ValueError, match="Epochs must be in volts"):
        make_patches(_epochs(_data() * 1e6))


@pytest.mark.parametrize("scale", [0.05, 100.0])
def test_unusual_amplitudes_are_not_a_wrong_unit(scale):
    assert len(make_patches(_data() * scale, **ARRAY)) == 4  # 1 µV and 2 mV


def test_flat_channels():
    data = _data()
    data[:, 1] = 5e-6
    with pytest.raises(ValueError, match=r"1 channel\(s\) are flat .* in every epoch: Cz.*bads"):
        make_patches(data, **ARRAY)
    with pytest.raises(ValueError, match="3 channel.* Fp1, Cz, O2"):
        make_patches(np.zeros((4, 3, 400)), **ARRAY)
    data[0] = _data()[0]
    with pytest.warns(RuntimeWarning, match="3 of 4 epochs have flat channels: Cz") as record:
        make_patches(data, **ARRAY)
    assert len(record) == 1


def test_offset_does_not_hide_a_flat_channel():
    data = _data() + 0.1
    assert len(make_patches(data, **ARRAY)) == 4
    data[:, 1] = 0.1
    with pytest.raises(ValueError, match="flat .* Cz"):
        make_patches(data, **ARRAY)


def test_clipped_channels():
    data = _data()
    slow = 50e-6 * np.sin(2 * np.pi * np.arange(400) / 200.0)
    # coarse steps make runs of equal samples, but seldom at the extremes: not clipped
    data[:, 0] = np.round(slow + 0.3 * data[:, 0], 6)
    make_patches(data, **ARRAY)
    data[:, 2] = np.clip(3 * slow, -80e-6, 80e-6)
    with pytest.warns(RuntimeWarning, match=r"1 channel.* clipped.*: O2 \(\d+%\)") as record:
        make_patches(data, **ARRAY)
    assert len(record) == 1


# Filters


def _from_raw(l_freq=None, h_freq=None, sfreq=200.0):
    raw = _raw(sfreq=sfreq)
    if l_freq or h_freq:
        raw.filter(l_freq, h_freq, verbose="ERROR")
    return mne.make_fixed_length_epochs(raw, 4.0, preload=True, verbose="ERROR")


@pytest.mark.parametrize(
    ("band", "message"),
    [
        ((4.0, 75.0), "limited to 4 to 75 Hz, which is too narrow.*prepare_raw"),
        ((0.5, 30.0), "limited to 0.5 to 30 Hz, which is too narrow.*prepare_raw"),
        ((None, None), "have not been high-pass filtered.*prepare_raw"),
        ((None, 75.0), "have not been high-pass filtered.*prepare_raw"),
    ],
)
def test_narrow_and_missing_filters_warn_once(band, message):
    epochs = _from_raw(*band)
    with pytest.warns(RuntimeWarning, match=message) as record:
        make_patches(epochs)
    assert len(record) == 1
    with pytest.warns(RuntimeWarning, match=message) as record:
        make_patches([epochs[i] for i in range(len(epochs))])
    assert len(record) == 1


@pytest.mark.parametrize("band", [(0.1, 75.0), (0.5, 45.0), (1.0, 40.0), (0.1, None)])
def test_good_filters_do_not_warn(band):
    assert _messages(_from_raw(*band)) == []


@pytest.mark.parametrize("sfreq", [160.0, 200.0, 256.0])
def test_prepared_recordings_do_not_warn(sfreq):
    raw = prepare_raw(_raw(sfreq=sfreq), line_freq=50, verbose="ERROR")
    epochs = mne.make_fixed_length_epochs(raw, 4.0, preload=True, verbose="ERROR")
    assert _messages(epochs) == []


def test_epochs_made_from_arrays_warn_on_evidence_only():
    data = _data(seconds=4.0)
    assert _messages(_epochs(data)) == []
    times = np.arange(800) / 200.0
    (message,) = _messages(_epochs(data + 20e-6 * np.sin(2 * np.pi * 50 * times)))
    assert "strong line noise" in message
    (message,) = _messages(_epochs(data + 5e-3))
    assert "offsets larger than the signal" in message
    # arrays carry no filters to check
    assert _messages(data + 5e-3, **ARRAY) == []
