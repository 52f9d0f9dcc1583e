"""Vocabulary, names and positions."""

from __future__ import annotations

import hashlib

import mne
import numpy as np
import pytest
from mne.utils import catch_logging

from mne_neurolm.channels import (
    CHANNELS,
    PAD_INDEX,
    channel_index,
    clean_channel_name,
    match_channels,
)

OLD_10_20 = "Fp1 Fp2 F3 F4 F7 F8 T3 T4 C3 C4 T5 T6 P3 P4 O1 O2 Fz Cz Pz".split()
NEW_10_20 = "Fp1 Fp2 F3 F4 F7 F8 T7 T8 C3 C4 P7 P8 P3 P4 O1 O2 Fz Cz Pz".split()


def _info(names, types="eeg", bads=()):
    info = mne.create_info(list(names), 200.0, types)
    info["bads"] = list(bads)
    return info


def _located(montage="easycap-M1", electrodes=NEW_10_20, names=None, scale=1.0):
    """Info with positions of the electrodes in the head frame, under other names."""
    info = _info(electrodes)
    info.set_montage(montage)
    for ch in info["chs"]:
        ch["loc"][:3] *= scale
    names = names or [f"electrode {i}" for i in range(len(electrodes))]
    mne.rename_channels(info, dict(zip(electrodes, names, strict=True)))
    return info


def _rows(info, **kwargs):
    match = match_channels(info, **kwargs)
    return dict(zip(match.ch_names, (CHANNELS[i] for i in match.indices), strict=True))


def test_vocabulary_is_the_released_one():
    assert len(CHANNELS) == 139 and len(set(CHANNELS)) == 139
    assert CHANNELS[PAD_INDEX] == "pad" and PAD_INDEX == 136
    digest = hashlib.sha256(",".join(CHANNELS).encode()).hexdigest()
    # of the released table, row order included
    assert digest == "424737b9cc4e20e78c7c9769601f5d2da7c3c2c24a661a943af293f0ad2e52fe"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("EEG FP1-REF", "FP1"),
        ("EEG Fp1-LE", "FP1"),
        ("EEG Fp2-Ref", "FP2"),
        ("EEG A1-REF", "A1"),
        ("EEG Cz", "CZ"),
        ("Fp1.", "FP1"),
        ("FC5..", "FC5"),
        ("fp1", "FP1"),
        ("ftt9H", "FTT9h"),
        ("FTT9h", "FTT9h"),
        ("FP1-F7", "FP1-F7"),
        ("EEG Fp1-F7", "FP1-F7"),
        ("Fp1 \u2013 F7", "FP1-F7"),
        ("T8-P8-0", "T8-P8"),
        ("EEG F1-Ref-1", "F1"),
        ("F4-A1", "F4"),
        ("EEG C3-M2", "C3"),
        ("EEG O1-A1A2", "O1"),
        ("C3-AVG", "C3"),
        ("EEG P3-AR", "P3"),
        ("T3", "T3"),
        ("EEG T6-LE", "T6"),
        # not in the vocabulary: only tidied up
        ("F7-T3", "F7-T3"),
        ("Fz-Cz", "Fz-Cz"),
        ("EEG A2-A1", "A2-A1"),
        ("EEG 31-REF", "31"),
        ("", ""),
    ],
)
def test_clean_channel_name(name, expected):
    assert clean_channel_name(name) == expected


@pytest.mark.parametrize("name", [name for name in CHANNELS if name != "pad"])
def test_every_electrode_is_found_by_its_own_name(name):
    assert CHANNELS[channel_index(name)] == name
    assert CHANNELS[channel_index(f"EEG {name.title()}-REF")] == name


def test_channel_index_of_unknown_names():
    with pytest.raises(ValueError, match="'FP11' is not in .* Similar names are FP1"):
        channel_index("FP11")
    with pytest.raises(ValueError, match="not in NeuroLM's vocabulary"):
        channel_index("pad")


def test_old_temporal_names_keep_their_rows():
    rows = _rows(_info(["T3", "T7", "T4", "T8", "T5", "P7", "T6", "P8"]))
    assert rows == {name: name for name in ("T3", "T7", "T4", "T8", "T5", "P7", "T6", "P8")}


@pytest.mark.parametrize(
    "name",
    ["EOG1", "VEOGR", "HEOG", "EOG E1-M2", "ECG ECG", "EEG EKG1-REF", "EMG-REF", "EMG chin"]
    + ["EEG A2-A1", "STI 014", "Status", "PHOTIC-REF", "IBI", "BURSTS", "SUPPR", "EEG LOC-REF"]
    + ["EEG ROC-REF", "Resp oro-nasal", "PULSE RATE", "EDF Annotations", "EXG3", "POL X1"]
    + ["X", "Y", "nd", "SpO2", "DC1-DC", "TRIGGER", "EEG A1-A2-0"],
)
def test_other_signals_typed_as_eeg_never_enter(name):
    with catch_logging() as log:
        with mne.utils.use_log_level("INFO"):
            match = match_channels(_info(["Cz", name]))
    assert match.ch_names == ("Cz",)
    assert f"not scalp EEG by their names: {name}." in log.getvalue()


def test_other_types_never_enter():
    info = _info(["Cz", "Fz", "Pz", "Oz"], ["eeg", "eog", "misc", "eeg"])
    with catch_logging() as log, mne.utils.use_log_level("INFO"):
        assert match_channels(info).picks.tolist() == [0, 3]
    assert log.getvalue() == "Using 2 of 4 channels; not EEG: Fz (eog), Pz (misc).\n"


def test_what_is_dropped_is_told_at_info_only():
    info = _info(["Cz", "X", "Y", "nd", "Pz"], ["eeg", "eog", "eog", "misc", "eeg"], bads=["Pz"])
    with catch_logging() as log, mne.utils.use_log_level("INFO"):
        match_channels(info)
    assert "Using 1 of 5 channels; not EEG: X, Y (eog), nd (misc)." in log.getvalue()
    with catch_logging() as log, mne.utils.use_log_level("WARNING"):
        match_channels(info)
    assert not log.getvalue()
    with catch_logging() as log, mne.utils.use_log_level("INFO"):
        match_channels(_info(["Cz", "Pz"]))
    assert not log.getvalue()


def test_match_keeps_order_names_and_types():
    match = match_channels(_info(["EEG O2-REF", "EEG Fp1-REF", "EEG A2-A1", "EEG T3-REF"]))
    assert match.picks.tolist() == [0, 1, 3] and match.picks.dtype == np.int64
    assert match.indices.tolist() == [82, 0, 88] and match.indices.dtype == np.int64
    assert match.ch_names == ("EEG O2-REF", "EEG Fp1-REF", "EEG T3-REF")


def test_bad_channels_are_dropped_with_a_log_line():
    with catch_logging() as log:
        with mne.utils.use_log_level("INFO"):
            match = match_channels(_info(["Cz", "Pz", "unheard of"], bads=["Pz", "unheard of"]))
    assert match.ch_names == ("Cz",)
    assert "Dropping 2 channel(s) marked as bad: Pz, unheard of." in log.getvalue()


def test_repeated_labels_keep_the_first():
    with catch_logging() as log:
        with mne.utils.use_log_level("INFO"):
            match = match_channels(_info(["T8-P8-0", "Fp1", "T8-P8-1", "EEG FP1-REF"]))
    assert match.ch_names == ("T8-P8-0", "Fp1")
    assert "already there: T8-P8-1, EEG FP1-REF." in log.getvalue()


def test_unknown_names_raise_warn_or_go():
    names = ["Cz", *(f"unheard{i}" for i in range(25))]
    with pytest.raises(ValueError, match="25 EEG channel.*unheard0,.*and 5 more.*set_montage"):
        match_channels(_info(names))
    with pytest.warns(RuntimeWarning, match="25 EEG channel.*left out"):
        assert match_channels(_info(names), on_missing="warn").ch_names == ("Cz",)
    assert match_channels(_info(names), on_missing="ignore").ch_names == ("Cz",)
    with pytest.raises(ValueError, match="on_missing must be"):
        match_channels(_info(names), on_missing="drop")


def test_the_padding_row_is_not_an_electrode():
    with pytest.raises(ValueError, match="1 EEG channel.*pad"):
        match_channels(_info(["Cz", "pad"]))


@pytest.mark.parametrize("others", [["A3", "A16"], ["A3", "B1", "C16"]])
def test_amplifier_labels_are_not_read_as_electrodes(others):
    with pytest.raises(ValueError, match="A1, A2, .*labels of the amplifier or cap"):
        match_channels(_info(["Cz", "A1", "A2", *others]))


def test_electrodes_beside_amplifier_labels_are_kept():
    match = match_channels(_info(["A1", "A2", "A3", "C3", "Fp1"]), on_missing="ignore")
    assert match.ch_names == ("C3", "Fp1")


@pytest.mark.parametrize("scale", [0.8, 1.0, 1.2])
@pytest.mark.parametrize("n", [5, 19])
def test_unknown_names_take_the_nearest_electrode(scale, n):
    with catch_logging() as log:
        with mne.utils.use_log_level("INFO"):
            rows = _rows(_located(electrodes=NEW_10_20[:n], scale=scale))
    assert "nearest electrodes: electrode 0 as FP1, electrode 1 as FP2" in log.getvalue()
    assert list(rows.values()) == [name.upper() for name in NEW_10_20[:n]]


@pytest.mark.parametrize(
    ("montage", "least"),
    [("biosemi64", 1.0), ("brainproducts-RNP-BA-128", 1.0), ("fsaverage_1005", 1.0)]
    + [("colin27_1005", 0.9)],
)
def test_other_templates_find_the_same_electrodes(montage, least):
    if montage not in mne.channels.get_builtin_montages():
        pytest.skip(f"this MNE has no montage {montage}")
    electrodes = [*NEW_10_20, *"AF7 AF8 FC5 FC6 CP1 CP2 PO7 PO8 FCz CPz POz Oz".split()]
    rows = _rows(_located(montage, electrodes))
    found = [rows.get(f"electrode {i}") == name.upper() for i, name in enumerate(electrodes)]
    assert np.mean(found) >= least


def test_names_go_before_positions_and_rows_are_used_once():
    names = ["second Cz", *NEW_10_20[:17], "Cz"]
    electrodes = ["C1", *NEW_10_20[:17], "Cz"]
    info = _located(electrodes=electrodes, names=names)
    info["chs"][0]["loc"][:3] = info["chs"][-1]["loc"][:3]
    with catch_logging() as log:
        with mne.utils.use_log_level("INFO"):
            rows = _rows(info)
    assert rows["Cz"] == "CZ" and "second Cz" not in rows
    assert "nearest electrode is already taken: second Cz." in log.getvalue()


def test_the_closer_of_two_channels_gets_the_electrode():
    info = _located(names=["far", "near", *NEW_10_20[2:]])
    info["chs"][0]["loc"][:3] = info["chs"][1]["loc"][:3] + [0.004, 0.0, 0.0]
    rows = _rows(info)
    assert rows["near"] == "FP2" and "far" not in rows


def test_far_away_and_impossible_positions_are_missing():
    info = _located(names=["throat", *NEW_10_20[1:]])
    info["chs"][0]["loc"][:3] = [0.0, 0.06, -0.09]
    with pytest.raises(ValueError, match="within 3 cm.*: throat"):
        match_channels(info)
    with pytest.raises(ValueError, match="which is not a head"):
        match_channels(_located(scale=1000.0))


def test_a_bipolar_derivation_has_no_position():
    with pytest.raises(ValueError, match="1 EEG channel.*F7-T3"):
        match_channels(_located(names=["F7-T3", *NEW_10_20[1:]]))


def test_no_eeg_channels():
    with pytest.raises(ValueError, match="2 channels have the types eog, misc.*set_channel_types"):
        match_channels(_info(["a", "b"], ["misc", "eog"]))
    with pytest.raises(ValueError, match=r"No usable EEG channel is left of 1: .*\(ECG\)"):
        match_channels(_info(["ECG"]))
