"""Recordings by a table of file, start and label."""

from __future__ import annotations

from pathlib import Path

import mne
import numpy as np
import pandas as pd
import pytest

from mne_neurolm.datasets import load_table

NAMES = ["Fz", "Cz", "O1"]


def write_edf(path: Path, *, seconds: float = 60.0, frequency: float = 10.0) -> Path:
    """Write an EDF file: a sine of 50 µV in all channels, its frequency 1 Hz higher from 30 s."""
    times = np.arange(int(seconds * 200)) / 200
    wave = np.where(times < 30, 0, 1) + frequency
    data = 50e-6 * np.sin(2 * np.pi * wave * times) * np.ones((len(NAMES), 1))
    raw = mne.io.RawArray(data, mne.create_info(NAMES, 200.0, "eeg"), verbose="error")
    path.parent.mkdir(parents=True, exist_ok=True)
    raw.export(path, verbose="error")
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_edf(tmp_path / "anna" / "1.edf")
    write_edf(tmp_path / "anna" / "2.edf")
    write_edf(tmp_path / "ben" / "1.edf")
    return tmp_path


ROWS = """file,start,label,duration,condition
anna/1.edf,2,slow,10,a
anna/2.edf,30.5,fast,,b
ben/1.edf,30,fast,8,a
ben/1.edf,0,slow,4,b
"""
STARTS = [("slow", 2.0), ("slow", 6.0), ("fast", 30.5), ("slow", 0.0), ("fast", 30.0)]
STARTS += [("fast", 34.0)]


def table(folder: Path, text: str, *, encoding: str = "utf-8") -> Path:
    path = folder / "trials.csv"
    path.write_bytes(text.encode(encoding))
    return path


def test_rows_become_windows(folder: Path) -> None:
    epochs = load_table(table(folder, ROWS), line_freq=50)
    assert epochs.get_data().shape == (6, 3, 800)
    assert epochs.ch_names == ["FZ", "CZ", "O1"] and epochs.info["sfreq"] == 200.0
    metadata = epochs.metadata
    assert list(metadata) == ["subject", "label", "file", "start", "condition"]
    assert list(zip(metadata["label"], metadata["start"], strict=True)) == STARTS
    assert metadata["subject"].tolist() == ["anna"] * 3 + ["ben"] * 3
    assert metadata["file"].tolist() == ["anna/1.edf"] * 2 + ["anna/2.edf"] + ["ben/1.edf"] * 3
    assert metadata["condition"].tolist() == ["a", "a", "b", "b", "a", "a"]
    assert epochs.event_id == {"fast": 0, "slow": 1}
    assert epochs.events[:, 2].tolist() == [1, 1, 0, 1, 0, 0]
    # The signal is that of the row: frequency by label, amplitude in volts.
    psd, freqs = epochs.compute_psd(fmin=5, fmax=15, verbose="error").get_data(return_freqs=True)
    peaks = freqs[psd.mean(axis=1).argmax(axis=1)]
    assert peaks.tolist() == [10, 10, 11, 10, 11, 11]
    assert np.abs(epochs.get_data()[[0, 2]]).max() == pytest.approx(50e-6, rel=0.02)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_ways_to_write_a_table(folder: Path, separator: str, encoding: str) -> None:
    """Byte order mark, separators, line ends, capitals, empty lines and cells at the end."""
    lines = [line + separator for line in ROWS.replace(",", separator).splitlines()]
    lines[0] = lines[0].replace("file", "File").replace("start", " Start")
    lines.insert(3, "")
    if separator != ",":  # a decimal comma
        lines = [line.replace("30.5", "30,5") for line in lines]
    epochs = load_table(table(folder, "\r\n".join(lines), encoding=encoding), line_freq=50)
    assert list(epochs.metadata) == ["subject", "label", "file", "start", "condition"]
    assert list(zip(epochs.metadata["label"], epochs.metadata["start"], strict=True)) == STARTS


def test_table_in_memory(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = pd.DataFrame(
        {
            "file": [folder / "anna" / "1.edf", folder / "ben" / "1.edf", folder / "ben" / "1.edf"],
            "start": [0, 30, 40],
            "label": [0, 1, 1],
            "subject": [7, 8, 8],
            "session": ["a", None, "c"],
        }
    )
    epochs = load_table(rows, line_freq=50)
    assert epochs.metadata["label"].tolist() == ["0", "1", "1"]
    assert epochs.metadata["subject"].tolist() == ["7", "8", "8"]
    assert epochs.metadata["session"].tolist() == ["a", "", "c"]
    # without a column, files of one folder are one subject, wherever the folder is
    epochs = load_table(rows.drop(columns="subject"), line_freq=50)
    assert epochs.metadata["subject"].tolist() == ["anna", "ben", "ben"]
    rows["file"] = ["anna\\1.edf", "ben/1.edf", "./ben/1.edf"]
    monkeypatch.chdir(folder)
    assert len(load_table(rows, line_freq=50)) == 3
    monkeypatch.chdir("/")
    assert len(load_table(rows, root=folder, line_freq=50)) == 3


def test_files_of_known_data_sets_are_of_one_subject(tmp_path: Path) -> None:
    for name in ("Subject03_1.edf", "Subject03_2.edf"):
        write_edf(tmp_path / name)
    rows = "file,start,label\nSubject03_1.edf,0,rest\nSubject03_2.edf,0,task\n"
    epochs = load_table(table(tmp_path, rows), line_freq=50)
    assert epochs.metadata["subject"].tolist() == ["Subject03"] * 2


def test_classes_and_overlap(folder: Path) -> None:
    path = table(folder, ROWS + "ben/1.edf,40,other,10,c\n")
    epochs = load_table(path, line_freq=50, classes=["slow", "other"], duration=2.0, overlap=1.0)
    assert epochs.metadata["label"].value_counts().to_dict() == {"slow": 12, "other": 9}
    merged = load_table(path, line_freq=50, classes={"slow": "x", "fast": "y", "other": "x"})
    assert merged.metadata["label"].value_counts().to_dict() == {"x": 5, "y": 3}
    with pytest.raises(ValueError, match=r"found 'slow' \(3\) among classes=\['slow'\]"):
        load_table(path, line_freq=50, classes=["slow"])


def test_bad_spans_of_the_recording_are_left_out(tmp_path: Path) -> None:
    raw = mne.io.RawArray(
        20e-6 * np.random.default_rng(0).standard_normal((3, 12_000)),
        mne.create_info(NAMES, 200.0, "eeg"),
        verbose="error",
    )
    raw.set_annotations(mne.Annotations([5, 8], [1, 30], ["BAD_muscle", "not asked for"]))
    raw.crop(2).save(tmp_path / "a_raw.fif", verbose="error")  # now BAD from 3 to 4 s
    rows = "file,start,label,duration\na_raw.fif,0,x,16\na_raw.fif,20,y,8\n"
    epochs = load_table(table(tmp_path, rows), line_freq=50)
    assert epochs.metadata["start"].tolist() == [4.0, 8.0, 12.0, 20.0, 24.0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,start\nanna/1.edf,0\n", "no column label; there are file, start"),
        ("file,start,label,durations\nanna/1.edf,0,x,4\n", "'durations'.*mean 'duration'"),
        ("file,start,label,Label\nanna/1.edf,0,x,y\n", "label is there more than once"),
        ("file,start,label\nanna/1.edf,soon,x\nanna/1.edf,-1,y\n", r"row 2: start='soon'.*row 3"),
        ("file,start,label\n\nanna/1.edf,,x\n", "row 3: start=''"),
        ("file,start,label,duration\nanna/1.edf,0,x,inf\n", "row 2: duration='inf'"),
        ("file,start,label\nanna/1.edf,0,\n,4,x\n", r"row 2: no label|row 3: no file"),
        ("file,start,label,subject\nanna/1.edf,0,a,\n", "row 2: no subject"),
        ("file,start,label\nanna/1.edf,0,x,y\n", "row 2: 4 cells for 3 columns"),
        ("file,start,label\n", "there are no rows"),
        ("", "no column file, start, label"),
    ],
)
def test_mistakes_in_a_table(folder: Path, text: str, message: str) -> None:
    path = table(folder, text)
    with pytest.raises(ValueError, match=rf"(?s)trials\.csv: .*({message})"):
        load_table(path)


def test_missing_files(folder: Path) -> None:
    path = table(folder, ROWS + "carl/1.edf,0,slow,4,b\ncarl/1.edf,9,slow,4,b\n")
    with pytest.raises(FileNotFoundError, match=r"(?s)row 6: .*carl/1\.edf.*row 7.*root="):
        load_table(path)
    with pytest.raises(FileNotFoundError, match=r"no table .*none\.csv"):
        load_table(folder / "none.csv")
    with pytest.raises(TypeError, match="pandas.DataFrame, got list"):
        load_table([("anna/1.edf", 0, "x")])
    with pytest.raises(ValueError, match="not in UTF-8"):
        load_table(table(folder, ROWS + "é", encoding="latin-1"))


def test_what_only_the_recording_tells(folder: Path) -> None:
    """A start beyond the end and a broken file are left out with reasons, or raise."""
    (folder / "ben" / "2.edf").write_bytes((folder / "ben" / "1.edf").read_bytes()[:300])
    path = table(folder, ROWS + "anna/2.edf,60,slow,,\nben/2.edf,0,slow,,\n")
    with pytest.warns(RuntimeWarning, match="2 of 4 files are left out") as caught:
        epochs = load_table(path, line_freq=50)
    (message,) = [str(w.message) for w in caught]
    assert "\nanna/2.edf: it lasts 60 s only, but row 6: start=60 s" in message
    assert "\nben/2.edf: " in message
    assert set(epochs.metadata["file"]) == {"anna/1.edf", "ben/1.edf"}
    with pytest.raises(ValueError, match=r"anna/2\.edf: it lasts 60 s only"):
        load_table(path, line_freq=50, on_error="raise")
    with pytest.raises(ValueError, match="on_error must be"):
        load_table(path, on_error="ignore")


def test_windows_that_do_not_fit(folder: Path) -> None:
    path = table(folder, ROWS + "ben/1.edf,57,slow,,\nben/1.edf,50,fast,3,\n")
    assert len(load_table(path, line_freq=50)) == 6  # neither of the two rows has a window
    assert len(load_table(path, line_freq=50, point_duration=3)) == 7
