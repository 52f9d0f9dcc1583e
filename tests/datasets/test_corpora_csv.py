"""Pretraining corpora in CSV files, from miniatures in their layouts.

Layouts: the files of https://www.kaggle.com/c/grasp-and-lift-eeg-detection and
https://www.kaggle.com/c/inria-bci-challenge as public solutions and EEG-FM-Bench
(``grasp_and_lift.py``, ``inria_bci.py``) read them.
"""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from corpus_files import (
    GRASP_AND_LIFT,
    INRIA,
    SECONDS,
    amplitudes,
    check_channels,
    sines,
    write_series,
    write_session,
)

from mne_neurolm.datasets import load, read_recording
from mne_neurolm.datasets.catalog import get_spec
from mne_neurolm.datasets.readers._tables import read_columns

INRIA_NAMES = ["PO8" if name == "P08" else name for name in INRIA]


def test_grasp_and_lift(tmp_path: Path) -> None:
    events = {"HandStart": [1000, 9000], "LiftOff": [1100], "BothReleased": [17990]}
    path = write_series(tmp_path / "train", "subj12_series8", events=events)
    write_series(tmp_path / "test", "subj1_series10")
    dataset = load("grasp-and-lift", tmp_path)
    assert dataset.problems == {}
    assert dataset.description[["subject", "run", "file"]].to_numpy().tolist() == [
        ["1", "10", "test/subj1_series10_data.csv"],
        ["12", "8", "train/subj12_series8_data.csv"],
    ]
    for one in dataset.datasets:
        assert one.raw.ch_names == GRASP_AND_LIFT and one.raw.info["sfreq"] == 200.0
        assert one.raw.n_times == SECONDS * 200 and one.raw.info["line_freq"] == 50.0
        np.testing.assert_allclose(amplitudes(one.raw), 10 + np.arange(32), rtol=0.01)
    raw = read_recording("grasp-and-lift", path)
    check_channels(raw, GRASP_AND_LIFT)
    assert raw.info["sfreq"] == 500.0
    np.testing.assert_allclose(1e6 * raw.get_data(), sines(32, 500.0), atol=0.0501)
    notes = raw.annotations
    assert notes.description.tolist() == ["HandStart", "LiftOff", "HandStart", "BothReleased"]
    np.testing.assert_allclose(notes.onset, [1.85, 2.05, 17.85, 35.83])
    np.testing.assert_allclose(notes.duration, [0.302, 0.302, 0.302, 0.17])  # the end cuts it
    spec = get_spec("grasp-and-lift")
    assert spec.member("train/subj1_series1_events.csv") is None
    assert spec.member("sample_submission.csv") is None


def test_bad_files_of_grasp_and_lift(tmp_path: Path) -> None:
    good = write_series(tmp_path, "subj1_series1", events={}).read_text()
    lines = good.splitlines(keepends=True)

    def write(series: int, text: str) -> None:
        (tmp_path / f"subj1_series{series}_data.csv").write_text(text)

    write(2, good[:-100])
    write(3, good.replace("Fp2,F7", "Fp1,F7", 1))
    write(4, good.replace(",PO10\n", ",PO11\n", 1))
    write(5, lines[0])
    write(6, "")
    write(7, "".join([*lines[:10], lines[10].replace(",", ",x", 1), *lines[11:]]))
    write(8, "".join(lines[:-7]))
    events = (tmp_path / "subj1_series1_events.csv").read_bytes()
    (tmp_path / "subj1_series8_events.csv").write_bytes(events)
    with pytest.warns(RuntimeWarning, match="7 of 8 files are left out"):
        dataset = load("grasp-and-lift", tmp_path)
    assert dataset.description["run"].tolist() == ["1"]
    reasons = {name[12]: reason for name, reason in dataset.problems.items()}
    assert reasons["2"].startswith("row 18000 below the header is incomplete")
    assert reasons["3"] == "has several columns Fp1"
    assert reasons["4"].startswith("lacks the columns PO10; it has id, Fp1")
    assert reasons["5"] == "has no row below its header"
    assert reasons["6"] == "is empty"
    assert reasons["7"] == "could not convert string to float: 'x90'"
    assert reasons["8"] == (
        "has 17993 rows, and subj1_series8_events.csv has 18000; one of the two is cut off"
    )
    for name in dataset.problems:
        with pytest.raises(ValueError, match=f"^{tmp_path / name}: "):
            read_recording("grasp-and-lift", tmp_path / name)


def test_inria(tmp_path: Path) -> None:
    train = write_session(tmp_path / "train" / "Data_S02_Sess01.csv", feedback=[400, 1000, 2000])
    write_session(tmp_path / "test" / "Data_S01_Sess05.csv", feedback=[600])
    (tmp_path / "TrainLabels.csv").write_text(
        "IdFeedBack,Prediction\n"
        "S02_Sess01_FB001,1\nS02_Sess01_FB002,0\nS02_Sess01_FB003,1\nS02_Sess02_FB001,0\n"
    )
    dataset = load("inria-bci", tmp_path)
    assert dataset.problems == {}
    assert dataset.description[["subject", "session"]].to_numpy().tolist() == [
        ["S01", "Sess05"],
        ["S02", "Sess01"],
    ]
    for one in dataset.datasets:
        assert one.raw.ch_names == INRIA_NAMES and one.raw.info["sfreq"] == 200.0
        assert one.raw.n_times == SECONDS * 200 and one.raw.info["line_freq"] == 50.0
        np.testing.assert_allclose(amplitudes(one.raw), 10 + np.arange(56), rtol=0.01)
    raw = read_recording("inria-bci", train)
    check_channels(raw, INRIA_NAMES)
    assert raw.get_channel_types()[56:] == ["eog"]
    np.testing.assert_allclose(raw.get_data("eeg"), 1e-6 * sines(56, 200.0), rtol=1e-8, atol=1e-15)
    np.testing.assert_allclose(raw.get_data("eog"), 3e-4)
    assert raw.annotations.onset.tolist() == [2.0, 5.0, 10.0]
    assert raw.annotations.description.tolist() == ["correct", "error", "correct"]
    raw = read_recording("inria-bci", tmp_path / "test" / "Data_S01_Sess05.csv")
    assert raw.annotations.description.tolist() == ["feedback"]
    spec = get_spec("inria-bci")
    member = spec.member(train)
    assert member is not None and spec.companions(member) == [tmp_path / "TrainLabels.csv"]


def test_inria_without_outcomes(tmp_path: Path) -> None:
    """Where outcomes do not fit the events, or are missing, the EEG is still used."""
    path = write_session(tmp_path / "train" / "Data_S22_Sess05.csv", feedback=[400, 1000])
    assert set(read_recording("inria-bci", path).annotations.description) == {"feedback"}
    labels = tmp_path / "TrainLabels.csv"
    for rows in ("S22_Sess05_FB001,1\n", "S22_Sess05_FB001,1\nS22_Sess05_FB002,2\n"):
        labels.write_text("IdFeedBack,Prediction\n" + rows)
        with pytest.warns(RuntimeWarning, match="TrainLabels.csv is not used: it has . outcomes"):
            raw = read_recording("inria-bci", path)
        assert raw.annotations.description.tolist() == ["feedback", "feedback"]


def test_bad_files_of_inria(tmp_path: Path) -> None:
    write_session(tmp_path / "Data_S02_Sess01.csv")
    write_session(tmp_path / "Data_S02_Sess02.csv", step=0.004)
    path = write_session(tmp_path / "Data_S02_Sess03.csv")
    path.write_text(path.read_text().replace("FeedBackEvent", "Event", 1))
    with pytest.warns(RuntimeWarning, match="2 of 3 files are left out"):
        dataset = load("inria-bci", tmp_path)
    assert dataset.problems == {
        "Data_S02_Sess02.csv": "the column Time goes on by 0.004 s, and 0.005 s is expected",
        "Data_S02_Sess03.csv": "lacks the columns FeedBackEvent",
    }


def test_memory_of_tables(tmp_path: Path) -> None:
    """Reading a table takes less than three times what is read."""
    n_rows = 120_000  # several chunks
    row = ",".join("1.25" for _ in range(40))
    names = [f"c{k}" for k in range(40)]
    path = tmp_path / "table.csv"
    path.write_text(",".join(names) + "\n" + f"{row}\n" * n_rows)
    read_columns(path, names[:1])  # imports are not counted
    tracemalloc.start()
    values = read_columns(path, names[::-1])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert values.shape == (40, n_rows) and (values == 1.25).all()
    assert peak < 3 * values.nbytes
