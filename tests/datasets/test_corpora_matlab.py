"""Pretraining corpora in MATLAB files, from miniatures in their layouts.

Layouts: https://www.bbci.de/competition/iv/desc_1.html and EEG-FM-Bench's ``bcic_1a.py``; the
read-me of github.com/mastaneht/SPIS-Resting-State-Dataset; MOABB's ``BI2015a``; for WAY-EEG-GAL the
data set's read-me and its script ``WEEG_MakeEEGLABDataset.m``.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import h5py  # type: ignore[import-untyped]
import mne
import numpy as np
import pytest
from corpus_files import (
    BCIC,
    BRAIN_INVADERS,
    GRASP_AND_LIFT,
    SECONDS,
    amplitudes,
    check_channels,
    save,
    sines,
    write_bcic,
    write_brain_invaders,
    write_lifts,
    write_spis,
)

from mne_neurolm.datasets import load, read_recording
from mne_neurolm.datasets.catalog import get_spec
from mne_neurolm.datasets.members import find_members
from mne_neurolm.datasets.readers import spis

CALIB, EVAL, SLOW = "BCICIV_1calib_1000Hz_mat", "BCICIV_1eval_1000Hz_mat", "BCICIV_1_mat"


def check_prepared(raw: mne.io.BaseRaw, names: list[str], line_freq: float = 50.0) -> None:
    """Check a recording that was prepared from one of the miniatures."""
    assert raw.ch_names == names and raw.info["sfreq"] == 200.0
    assert raw.n_times == SECONDS * 200 and raw.info["line_freq"] == line_freq
    np.testing.assert_allclose(amplitudes(raw), 10 + np.arange(len(names)), rtol=0.01)


def test_bcic(tmp_path: Path) -> None:
    write_bcic(tmp_path / CALIB / "BCICIV_calib_ds1a_1000Hz.mat", cues=[(2001, -1), (10001, 1)])
    write_bcic(tmp_path / EVAL / "BCICIV_eval_ds1b_1000Hz.mat")
    save(tmp_path / "true_labels" / "BCICIV_eval_ds1b_1000Hz_true_y.mat", true_y=np.zeros((5, 1)))
    dataset = load("bcic-iv-1", tmp_path)
    assert dataset.problems == {}
    table = dataset.description
    assert table[["subject", "run"]].to_numpy().tolist() == [["ds1a", "calib"], ["ds1b", "eval"]]
    for one in dataset.datasets:
        check_prepared(one.raw, BCIC)
    assert dataset.datasets[0].raw.annotations.description.tolist() == ["left", "foot"]
    raw = read_recording("bcic-iv-1", tmp_path / CALIB / "BCICIV_calib_ds1a_1000Hz.mat")
    check_channels(raw, BCIC)
    assert raw.info["sfreq"] == 1000.0
    # 16 bits of 0.1 uV
    np.testing.assert_allclose(1e6 * raw.get_data(), sines(59, 1000.0), atol=0.0501)
    assert raw.annotations.onset.tolist() == [2.0, 10.0]  # MATLAB counts from 1
    assert raw.annotations.duration.tolist() == [4.0, 4.0]


def test_bcic_at_two_rates_is_taken_once(tmp_path: Path) -> None:
    fast = write_bcic(tmp_path / CALIB / "BCICIV_calib_ds1a_1000Hz.mat")
    slow = write_bcic(tmp_path / SLOW / "BCICIV_calib_ds1a.mat", sfreq=100)
    alone = write_bcic(tmp_path / SLOW / "BCICIV_calib_ds1g.mat", sfreq=100)
    assert [m.path for m in find_members("bcic-iv-1", tmp_path)] == [alone, fast]
    dataset = load("bcic-iv-1", tmp_path)
    assert dataset.description["subject"].tolist() == ["ds1g", "ds1a"]
    for one in dataset.datasets:
        check_prepared(one.raw, BCIC)
    # what lies outside of the root does not count
    assert [m.path for m in find_members("bcic-iv-1", tmp_path / SLOW)] == [slow, alone]
    assert read_recording("bcic-iv-1", slow).info["sfreq"] == 100.0


def test_bad_files_of_bcic(tmp_path: Path) -> None:
    good = write_bcic(tmp_path / "BCICIV_calib_ds1a.mat", sfreq=100, cues=[(201, -1)]).read_bytes()
    for k, content in enumerate((good[: len(good) // 2], b"", b"no MATLAB file" * 50), start=1):
        (tmp_path / f"BCICIV_calib_ds1{'abcdefg'[k]}_1000Hz.mat").write_bytes(content)
    write_bcic(tmp_path / "BCICIV_calib_ds1e_1000Hz.mat", cues=[(2001, 3)])
    write_bcic(tmp_path / "BCICIV_calib_ds1f_1000Hz.mat", names=["Cz", *BCIC[1:]])
    write_bcic(tmp_path / "BCICIV_calib_ds1g_1000Hz.mat", sfreq=500)
    save(tmp_path / "BCICIV_eval_ds1a_1000Hz.mat", cnt=np.zeros((9, 59), np.int16))
    save(tmp_path / "BCICIV_eval_ds1b_1000Hz.mat", cnt=np.zeros((9, 59), np.int16), nfo=1.0)
    nfo = {"fs": 1000, "clab": ["Cz"], "classes": ["left", "right"]}
    save(tmp_path / "BCICIV_eval_ds1c_1000Hz.mat", cnt=np.zeros((9, 59)), nfo=nfo)
    with pytest.warns(RuntimeWarning, match="9 of 10 files are left out"):
        dataset = load("bcic-iv-1", tmp_path)
    assert dataset.description["subject"].tolist() == ["ds1a"]
    reasons = {
        name.split("_")[1] + name.split("_")[2][3]: r for name, r in dataset.problems.items()
    }
    for which in ("calibb", "calibc", "calibd"):
        assert "is no MATLAB file that can be read" in reasons[which], reasons[which]
    assert "has 1 positions, 1 labels of [3]" in reasons["calibe"]
    assert reasons["calibf"] == "several channels are called Cz"
    assert reasons["calibg"].startswith("sampled at 500 Hz")
    assert reasons["evala"] == "has no variable nfo"
    assert reasons["evalb"].startswith("the variable nfo lacks what describes the signals")
    assert reasons["evalc"].startswith("the variable cnt is float64 of shape (9, 59)")
    for name in dataset.problems:
        with pytest.raises(ValueError, match=f"^{tmp_path / name}: "):
            read_recording("bcic-iv-1", tmp_path / name)


@pytest.mark.parametrize("volts_per_unit", [1e-9, 1e-6])
def test_spis(tmp_path: Path, volts_per_unit: float) -> None:
    folder = tmp_path / "Pre-SART EEG"
    write_spis(folder / "S02_restingPre_EC.mat", volts_per_unit=volts_per_unit)
    write_spis(folder / "S11_restingPre_EO.mat", volts_per_unit=volts_per_unit)
    dataset = load("spis", tmp_path)
    assert dataset.description[["subject", "run"]].to_numpy().tolist() == [
        ["S02", "EC"],
        ["S11", "EO"],
    ]
    for one, condition in zip(dataset.datasets, ("eyes closed", "eyes open"), strict=True):
        check_prepared(one.raw, list(spis.EEG))
        assert one.raw.annotations.description.tolist() == [condition]
        assert one.raw.annotations.duration[0] == pytest.approx(SECONDS)
    raw = read_recording("spis", folder / "S02_restingPre_EC.mat")
    check_channels(raw, spis.EEG)
    assert raw.get_channel_types()[64:] == ["eog"] * 3 + ["stim"] and raw.info["sfreq"] == 256.0
    expected = 1e-6 * sines(64, 256.0) + 1e-3 * (np.arange(64)[:, None] - 30)
    np.testing.assert_allclose(raw.get_data("eeg"), expected, rtol=1e-9, atol=1e-12)
    assert raw.get_data("stim")[0, :2].tolist() == [220.0, 0.0]


def test_spis_has_the_order_of_the_amplifier() -> None:
    """The first 32 electrodes are BioSemi's A1 to A32, as MNE-Python has their places."""
    assert len(set(spis.EEG)) == 64 and spis.EEG[26:33] == (
        "O1",
        "Iz",
        "Oz",
        "POz",
        "Pz",
        "CPz",
        "Fpz",
    )
    known = {name.upper() for name in mne.channels.make_standard_montage("biosemi64").ch_names}
    assert {name.upper() for name in spis.EEG} == known


def test_spis_in_version_73_and_bad_files(tmp_path: Path) -> None:
    old = write_spis(tmp_path / "S02_restingPre_EC.mat")
    new = tmp_path / "S02_restingPre_EO.mat"
    with h5py.File(new, "w", userblock_size=512) as file:
        file["dataRest"] = np.ascontiguousarray(mne_matrix(old).T)
    both = [read_recording("spis", path).get_data() for path in (old, new)]
    np.testing.assert_array_equal(*both)
    write_spis(tmp_path / "S03_restingPre_EC.mat", n_rows=67)
    write_spis(tmp_path / "S04_restingPre_EC.mat", volts_per_unit=1.0)
    save(tmp_path / "S05_restingPre_EC.mat", other=1.0)
    save(tmp_path / "S06_restingPre_EC.mat", dataRest="text")
    save(tmp_path / "S07_restingPre_EC.mat", dataRest=np.zeros((68, 100)))
    with h5py.File(tmp_path / "S08_restingPre_EC.mat", "w", userblock_size=512) as file:
        file["data"] = 1.0
    with pytest.warns(RuntimeWarning, match="6 of 8 files are left out"):
        dataset = load("spis", tmp_path)
    reasons = {name[:3]: reason for name, reason in dataset.problems.items()}
    assert reasons["S03"].startswith("dataRest has the shape (67, 9216), not (68, n_times)")
    assert "is EEG neither in nanovolts nor in microvolts" in reasons["S04"]
    assert reasons["S05"] == "has no variable dataRest"
    assert reasons["S06"] == "the variable dataRest is no array of numbers"
    assert reasons["S07"] == "has 100 samples, less than a second"
    assert reasons["S08"].startswith("no array dataRest can be read")


def mne_matrix(path: Path) -> np.ndarray:
    """Return the array in a MATLAB file of SPIS."""
    from scipy.io import loadmat

    return np.asarray(loadmat(path)["dataRest"])


def test_bi2015a(tmp_path: Path) -> None:
    folder = tmp_path / "subject_01"
    write_brain_invaders(folder / "subject_01_session_01.mat")
    write_brain_invaders(folder / "subject_01_closed_before.mat")
    save(tmp_path / "Header.mat", Header=1.0)
    dataset = load("bi2015a", tmp_path)
    assert dataset.problems == {}
    assert dataset.description[["subject", "session"]].to_numpy().tolist() == [
        ["01", "closed_before"],
        ["01", "session_01"],
    ]
    for one in dataset.datasets:
        check_prepared(one.raw, BRAIN_INVADERS)
        assert one.raw.annotations.description.tolist() == ["Target", "NonTarget"]
        assert one.raw.annotations.onset.tolist() == [1.0, 2.0]
    raw = read_recording("bi2015a", folder / "subject_01_session_01.mat")
    check_channels(raw, BRAIN_INVADERS)
    np.testing.assert_allclose(raw.get_data("eeg"), 1e-6 * sines(32, 512.0), rtol=1e-12)


def test_bi2015a_is_read_as_in_moabb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with warnings.catch_warnings():
        # MOABB 1.7.2 asks MNE 1.13 for montages by their old names
        warnings.filterwarnings("ignore", "Montage name 'standard_10", FutureWarning)
        from moabb.datasets import BI2015a

        path = write_brain_invaders(tmp_path / "subject_01_session_02.mat")
        dataset = BI2015a()
        monkeypatch.setattr(dataset, "data_path", lambda subject: [str(path)])
        theirs = dataset._get_single_subject_data(1)["1"]["0"]
    ours = read_recording("bi2015a", path)
    assert ours.ch_names == theirs.ch_names
    assert ours.get_channel_types() == theirs.get_channel_types()
    assert ours.info["sfreq"] == theirs.info["sfreq"]
    np.testing.assert_array_equal(ours.get_data(), theirs.get_data())
    events = mne.find_events(theirs, shortest_event=0, verbose="error")
    samples = (ours.annotations.onset * 512.0).round().astype(int)
    assert samples.tolist() == events[:, 0].tolist()
    codes = [dataset.event_id[text] for text in ours.annotations.description]
    assert codes == events[:, 2].tolist() == [2, 1]


def test_bad_files_of_bi2015a(tmp_path: Path) -> None:
    write_brain_invaders(tmp_path / "subject_01_session_01.mat")
    write_brain_invaders(tmp_path / "subject_01_session_02.mat", n_columns=34)
    save(tmp_path / "subject_01_session_03.mat", data=1.0)
    with pytest.warns(RuntimeWarning, match="2 of 3 files are left out"):
        dataset = load("bi2015a", tmp_path)
    assert dataset.problems == {
        "subject_01_session_02.mat": "DATA has the shape (18432, 34), not (n_times, 35)",
        "subject_01_session_03.mat": "has no variable DATA",
    }


def test_way_eeg_gal(tmp_path: Path) -> None:
    folder = write_lifts(tmp_path / "P1")
    dataset = load("grasp-and-lift", tmp_path)
    assert dataset.problems == {}
    assert dataset.description[["subject", "run"]].to_numpy().tolist() == [["1", "1"], ["1", "T"]]
    for one in dataset.datasets:
        check_prepared(one.raw, GRASP_AND_LIFT)
    raw = read_recording("grasp-and-lift", folder / "HS_P1_S1.mat")
    check_channels(raw, GRASP_AND_LIFT)
    assert raw.info["sfreq"] == 500.0
    np.testing.assert_allclose(1e6 * raw.get_data(), sines(32, 500.0), atol=1e-9)
    notes = list(zip(raw.annotations.onset.tolist(), raw.annotations.description, strict=True))
    assert [(t, n) for t, n in notes if n in ("HandStart", "Replace")] == [
        (3.0, "HandStart"),  # of a lift that starts at 0.5 s
        (5.5, "Replace"),
        (12.5, "HandStart"),  # the second lift has no time of replacing
    ]
    assert len(notes) == 11
    assert len(read_recording("grasp-and-lift", folder / "HS_P1_ST.mat").annotations) == 0
    spec = get_spec("grasp-and-lift")
    assert spec.member("P1/WS_P1_S1.mat") is None and spec.member("P1/P1_AllLifts.mat") is None


def test_bad_files_of_way_eeg_gal(tmp_path: Path) -> None:
    """Without a table of lifts there are no annotations; without EEG there is nothing."""
    folder = write_lifts(tmp_path / "P1")
    save(folder / "HS_P1_S2.mat", hs={"emg": 1.0})
    save(folder / "P1_AllLifts.mat", P={"AllLifts": np.zeros((1, 2))})
    with pytest.warns(RuntimeWarning) as caught:
        dataset = load("grasp-and-lift", tmp_path)
    texts = [str(w.message) for w in caught]
    assert any("P1_AllLifts.mat is not used: the variable P holds no table" in t for t in texts)
    assert list(dataset.problems) == ["P1/HS_P1_S2.mat"]
    assert dataset.problems["P1/HS_P1_S2.mat"].startswith("the variable hs holds no EEG")
    (folder / "P1_AllLifts.mat").unlink()
    assert len(read_recording("grasp-and-lift", folder / "HS_P1_S1.mat").annotations) == 0
