"""Patches: units, order, rates, kinds of input, and real recordings."""

from __future__ import annotations

import pickle
import warnings
from typing import Any

import mne
import numpy as np
import pytest
from mne.utils import catch_logging

from mne_neurolm.channels import CHANNELS
from mne_neurolm.patches import MAX_TOKENS, PATCH_SIZE, Patches, make_patches
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


def test_values_order_and_indices():
    data = _data()
    patches = make_patches(_epochs(data))
    assert patches.data.shape == (4, 6, PATCH_SIZE) and patches.data.dtype == np.float32
    assert (len(patches), patches.n_channels, patches.n_seconds) == (4, 3, 2)
    assert patches.ch_names == NAMES
    assert [CHANNELS[i] for i in patches.channels] == ["FP1", "CZ", "O2"] * 2
    assert patches.times.tolist() == [0, 0, 0, 1, 1, 1]
    assert patches.channels.dtype == patches.times.dtype == np.int64
    for token in range(6):
        second, channel = divmod(token, 3)
        signal = data[:, channel, 200 * second : 200 * (second + 1)]
        np.testing.assert_allclose(patches.data[:, token], signal * 1e6 / 100, rtol=1e-6)


def test_dropped_channels_leave_no_trace():
    data = _data(n_chans=4)
    epochs = _epochs(data, ["Fp1", "ECG", "Cz", "O2"])
    epochs.info["bads"] = ["Cz"]
    patches = make_patches(epochs, verbose="ERROR")
    assert patches.ch_names == ("Fp1", "O2") and patches.data.shape[1] == 4
    np.testing.assert_allclose(patches.data[:, 1], data[:, 3, :200] * 1e4, rtol=1e-6)


@pytest.mark.parametrize("sfreq", [200.0, 256.0, 160.0, 128.0, 512.0])
def test_epochs_lists_and_arrays_give_identical_patches(sfreq):
    data = _data(sfreq=sfreq)
    epochs = _epochs(data, sfreq=sfreq)
    expected = make_patches(epochs, verbose="ERROR")
    assert expected.data.shape == (4, 6, PATCH_SIZE)
    one_by_one = [epochs[i] for i in range(4)]
    as_objects = np.empty(4, dtype=object)
    as_objects[:] = one_by_one
    array = make_patches(data, **(ARRAY | {"sfreq": sfreq}))
    for patches in (make_patches(one_by_one, verbose="ERROR"), array):
        np.testing.assert_array_equal(patches.data, expected.data)
        np.testing.assert_array_equal(patches.channels, expected.channels)
        assert patches.ch_names == expected.ch_names
    np.testing.assert_array_equal(make_patches(as_objects, verbose="ERROR").data, expected.data)
    np.testing.assert_array_equal(make_patches(epochs[2], verbose="ERROR").data, expected.data[2:3])


def test_units_are_equivalent():
    data = _data(sfreq=256.0)
    volts = make_patches(data, **(ARRAY | {"sfreq": 256.0}))
    for unit, factor in (("mV", 1e3), ("uV", 1e6), ("µV", 1e6)):
        other = make_patches(data * factor, **(ARRAY | {"sfreq": 256.0, "unit": unit}))
        np.testing.assert_array_max_ulp(other.data, volts.data, maxulp=1)
    single = make_patches((data * 1e6).astype(np.float32), **(ARRAY | dict(sfreq=256.0, unit="uV")))
    np.testing.assert_allclose(single.data, volts.data, atol=1e-6)


@pytest.mark.parametrize("sfreq", [128.0, 160.0, 250.0, 256.0, 500.0, 512.0, 1000.0, 2048.0])
@pytest.mark.parametrize("seconds", [2.0, 2.004])
def test_resampling_keeps_the_waveform_in_place(sfreq, seconds):
    times = np.arange(round(seconds * sfreq)) / sfreq
    data = np.tile(20e-6 * np.sin(2 * np.pi * 10 * times), (2, 3, 1))
    patches = make_patches(data, **(ARRAY | {"sfreq": sfreq}))
    expected = 0.2 * np.sin(2 * np.pi * 10 * np.arange(200) / 200.0)
    np.testing.assert_allclose(patches.data[0, 0, 10:], expected[10:], atol=1e-3)
    np.testing.assert_allclose(patches.data[0, 3, :190], expected[:190], atol=1e-3)


def test_remainder_is_cut_off():
    with catch_logging() as log:
        patches = make_patches(_data(seconds=2.9), **(ARRAY | {"verbose": "INFO"}))
    assert patches.n_seconds == 2 and "Leaving out the last 0.9 s" in log.getvalue()
    # MNE's epochs include tmax: one sample more is nothing to talk about
    with catch_logging() as log:
        assert make_patches(_data(seconds=2.005), **(ARRAY | {"verbose": "INFO"})).n_seconds == 2
    assert "Leaving out" not in log.getvalue()


def test_rates_that_are_not_quite_whole_keep_their_seconds():
    patches = make_patches(_data(sfreq=256.0), **(ARRAY | {"sfreq": 256.02}))
    assert patches.data.shape == (4, 6, PATCH_SIZE)


def test_indexing():
    patches = make_patches(_data(), **ARRAY)
    for item, expected in (
        (1, [1]),
        (-1, [3]),
        (np.int64(2), [2]),
        (slice(1, 3), [1, 2]),
        ([3, 0], [3, 0]),
        (np.array([True, False, True, False]), [0, 2]),
        ([], []),
    ):
        some = patches[item]
        assert isinstance(some, Patches) and len(some) == len(expected)
        np.testing.assert_array_equal(some.data, patches.data[expected])
        assert some.channels is patches.channels and some.ch_names == NAMES
        assert (some.n_channels, some.n_seconds) == (3, 2)
    for outside in (4, -5):
        with pytest.raises(IndexError, match="4 epochs"):
            patches[outside]
    with pytest.raises(TypeError, match="by epoch only"):
        patches[0, 0]
    again = pickle.loads(pickle.dumps(patches))
    np.testing.assert_array_equal(again.data, patches.data)


def test_long_lists_are_matched_once(monkeypatch):
    epochs = _epochs(_data(60))
    items = [epochs[i] for i in range(60)]
    calls = []
    original = mne.pick_types

    def record(*args, **kwargs):
        calls.append(args)
        return original(*args, **kwargs)

    monkeypatch.setattr(mne, "pick_types", record)
    assert len(make_patches(items)) == 60
    n_for_list = len(calls)
    calls.clear()
    make_patches(epochs)
    assert n_for_list == len(calls) > 0


# Wrong kinds of X


def test_wrong_types():
    raw = _raw()
    with pytest.raises(TypeError, match="make_fixed_length_epochs"):
        make_patches(raw)
    with pytest.raises(TypeError, match="Evoked"):
        make_patches(_epochs().average())
    with pytest.raises(TypeError, match="item 1 is RawArray"):
        make_patches([_epochs(), raw])
    with pytest.raises(TypeError, match="got str"):
        make_patches("recording.edf")
    with pytest.raises(TypeError, match="real numbers, got dtype complex"):
        make_patches(_data().astype(complex), **ARRAY)
    with pytest.raises(ValueError, match="empty list"):
        make_patches([])
    with pytest.raises(ValueError, match="no epochs"):
        make_patches(_data(0), **ARRAY)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"unit": None}, "unit must be given"),
        ({"sfreq": None, "ch_names": None}, "ch_names, sfreq must be given"),
        ({"unit": "nV"}, "unit must be 'V', 'mV' or 'uV', got 'nV'"),
        ({"sfreq": -200}, "sfreq must be a positive rate"),
        ({"ch_names": ["Fp1", "Cz"]}, "2 ch_names for the 3 channels"),
        ({"ch_names": ["Fp1", "Cz", "Cz"]}, "not: Cz"),
        ({"ch_names": ["ECG", "EOG", "EMG"]}, "No usable EEG channel"),
        ({"ch_names": ["Fp1", "Cz", "Moon"]}, "Moon.*on_missing='ignore'"),
    ],
)
def test_arrays_are_never_guessed_about(change, message):
    with pytest.raises(ValueError, match=message):
        make_patches(_data(), **(ARRAY | change))


@pytest.mark.parametrize("shape", [(3, 400), (400,)])
def test_array_shapes(shape):
    with pytest.raises(ValueError, match=r"\(n_epochs, n_chans, n_times\), got"):
        make_patches(np.ones(shape), **ARRAY)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (_epochs(names=["Fp1", "Cz", "O1"]), r"item 1 .* \(O1, O2\)"),
        (_epochs(names=["Cz", "Fp1", "O2"]), "in another order"),
        (_epochs(types=["eeg", "eeg", "eog"]), "types are not the same"),
        (_epochs(_data(sfreq=250.0), sfreq=250.0), "rate is 250 instead of 200"),
        (_epochs(_data(seconds=3.0)), "600 samples per epoch instead of 400"),
    ],
)
def test_lists_of_different_epochs(other, message):
    with pytest.raises(ValueError, match=message):
        make_patches([_epochs(), other, _epochs()])


def test_lists_of_different_bads():
    other = _epochs()
    other.info["bads"] = ["Cz"]
    with pytest.raises(ValueError, match=r"item 1 .* bad channels are \['Cz'\] instead of \[\]"):
        make_patches([_epochs(), other])


def test_durations():
    with pytest.raises(ValueError, match="0.5 s long.*at least 1 s"):
        make_patches(_data(seconds=0.5), **ARRAY)
    assert make_patches(_data(1, seconds=64), **ARRAY).n_seconds == 64
    with pytest.raises(ValueError, match="at most 64 s with this montage"):
        make_patches(_data(1, seconds=65), **ARRAY)
    names = list(CHANNELS[:64])
    longest = MAX_TOKENS // 64
    assert make_patches(_data(1, 64, longest), **(ARRAY | {"ch_names": names})).n_seconds == longest
    with pytest.raises(ValueError, match="1088 patches with 64 channels.*at most 16 s"):
        make_patches(_data(1, 64, longest + 1), **(ARRAY | {"ch_names": names}))


# Real recordings

NO_LINE = "The recording does not say its power line frequency"
SHORT = "is longer than the signal"  # MNE's own words about the 0.1 Hz high-pass
NARROW = "are limited to 0.5 to 15 Hz"
OFFSET = "have offsets larger than the signal"
# file: (n_channels, n_seconds) or the refusal, and the warnings
FORMATS = {
    "MB0400FU.EDF": ((21, 4), {SHORT, NO_LINE}),
    "data_resting_EO_200Hz_raw.fif": ((2, 4), {NO_LINE}),
    "duplicate_channel_labels.edf": ((2, 4), {SHORT, NO_LINE}),
    "eeglab_data.set": ((30, 4), {NO_LINE}),
    "scan41_short.cnt": ("125 EEG channel.*: 1, 2, 3.*not a head.*set_montage", set()),
    "subject04-epo.fif": ((32, 1), {NARROW}),
    "test.bdf": ((66, 1), {SHORT, NO_LINE, OFFSET}),
    "test.edf": ("136 EEG channel.*: A1, A2.*labels of the amplifier.*rename_channels", set()),
    "test.vhdr": ((26, 4), {SHORT, NO_LINE}),
    "test_1ch.gdf": (r"No usable EEG channel is left of 1.*\(ECG\)", set()),
    "test_epochs_onefile.set": ("0.16 s long.*at least 1 s", set()),
}
COMPANIONS = {"eeglab_data.fdt", "test.eeg", "test.vmrk"}  # read through their headers


def _read(path):
    if path.suffix == ".cnt":
        return mne.io.read_raw_cnt(path, data_format="int16", verbose="ERROR")
    if path.name.endswith("epo.fif"):
        return mne.read_epochs(path, verbose="ERROR")
    if path.name == "test_epochs_onefile.set":
        return mne.read_epochs_eeglab(path, verbose="ERROR")
    return mne.io.read_raw(path, verbose="ERROR")


def _patches_of(instance):
    if isinstance(instance, mne.io.BaseRaw):
        prepared = prepare_raw(instance, verbose="WARNING")
        duration = min(4, round(prepared.times[-1]))
        instance = mne.make_fixed_length_epochs(prepared, duration, preload=True, verbose="ERROR")
    return make_patches(instance, verbose="WARNING")


def test_every_format_has_an_expectation(shared_data):
    found = {path.name for path in (shared_data / "formats").iterdir()}
    assert found == FORMATS.keys() | COMPANIONS


@pytest.mark.parametrize("name", FORMATS)
def test_formats(shared_data, name):
    expected, expected_warnings = FORMATS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MNE's remarks about the files
        instance = _read(shared_data / "formats" / name)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if isinstance(expected, str):
            with pytest.raises(ValueError, match=expected):
                _patches_of(instance)
        else:
            patches = _patches_of(instance)
            assert (patches.n_channels, patches.n_seconds) == expected
            assert np.isfinite(patches.data).all()
    messages = [str(item.message) for item in caught]
    for text in expected_warnings:
        assert sum(text in message for message in messages) == 1
    assert len(messages) == len(expected_warnings)


@pytest.mark.parametrize("name", ["Subject00_1.edf", "Subject10_2.edf"])
def test_eegmat(shared_data, name):
    raw = mne.io.read_raw(shared_data / "eegmat" / name, verbose="ERROR")
    raw = prepare_raw(raw, line_freq=50, verbose="ERROR")
    epochs = mne.make_fixed_length_epochs(raw, 4.0, preload=True, verbose="ERROR")
    assert _messages(epochs) == []
    patches = make_patches(epochs)
    assert patches.data.shape[1:] == (76, PATCH_SIZE)
    # T3...T6 have rows of their own
    assert {"T3", "T4", "T5", "T6"} < {CHANNELS[i] for i in patches.channels}
    assert 0.02 < np.median(patches.data.std(axis=2)) < 1.0


def test_eegbci(shared_data):
    path = next((shared_data / "mne_data").rglob("S001R04.edf"))
    raw = prepare_raw(mne.io.read_raw(path, verbose="ERROR"), line_freq=60, verbose="ERROR")
    epochs = mne.make_fixed_length_epochs(raw, 4.0, preload=True, verbose="ERROR")
    assert _messages(epochs) == []
    patches = make_patches(epochs)
    assert patches.n_channels == 64 and patches.n_seconds == 4
    assert len(set(patches.channels.tolist())) == 64
    assert CHANNELS[patches.channels[0]] == "FC5"


def test_smni(shared_data):
    smni = np.load(shared_data / "smni" / "smni.npz")
    microvolts = smni["X_nV"][:20] / 1e3
    kwargs = dict(ch_names=smni["ch_names"].tolist(), sfreq=float(smni["sfreq"]), verbose="ERROR")
    patches = make_patches(microvolts, unit="uV", **kwargs)
    assert patches.data.shape == (20, 61, PATCH_SIZE)
    assert not {"X", "Y", "nd"} & set(patches.ch_names)
    volts = make_patches(microvolts / 1e6, unit="V", **kwargs)
    np.testing.assert_array_max_ulp(volts.data, patches.data, maxulp=1)
    with pytest.raises(ValueError, match="unit='uV'"):
        make_patches(microvolts, unit="V", **kwargs)
