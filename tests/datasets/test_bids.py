"""BIDS data sets of EEG.

The miniature is written by hand as the specification says (version 1.10, chapters "Common
principles", "Participants file", "Electroencephalography" and "Task events",
https://bids-specification.readthedocs.io/en/stable/), in EDF and BrainVision.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import mne
import numpy as np
import pytest

from mne_neurolm.datasets import load_bids, load_folder

NAMES = ["Fz", "Cz", "O1", "EYE"]
SFREQ = 250.0

# "value" says which picture it was: MNE-BIDS makes "target/7" and "target/8" of that.
EVENTS = """onset\tduration\ttrial_type\tvalue
2.0\t8.0\trest\t1
20.0\tn/a\ttarget\t7
26.0\t0.5\ttarget\t8
n/a\t0\ttarget\t8
33.0\t1.0\tBAD_movement\t9
32.0\t4.0\ttarget\t7
40.0\t0\tn/a\t3
"""
PARTICIPANTS = """participant_id\tage\tgroup\tlabel
sub-01\t31\tpatient\tx
sub-02\tn/a\tcontrol\ty
sub-03\t25\tn/a\tz
"""


def make_raw(seed: int, seconds: float = 60.0) -> mne.io.RawArray:
    """Return noise, with 40 µV at 10 Hz added between 20 and 24 s."""
    rng = np.random.default_rng(seed)
    times = np.arange(int(seconds * SFREQ)) / SFREQ
    data = 5e-6 * rng.standard_normal((len(NAMES), len(times)))
    data += np.where((times >= 20) & (times < 24), 40e-6 * np.sin(2 * np.pi * 10 * times), 0)
    return mne.io.RawArray(data, mne.create_info(NAMES, SFREQ, "eeg"), verbose="error")


def write_recording(
    root: Path, name: str, *, events: str | None = EVENTS, bads: Sequence[str] = ()
) -> Path:
    """Write a recording with its channels.tsv and events.tsv; the folder follows from its name."""
    entities = dict(part.split("-") for part in name.split("_") if "-" in part)
    folder = root / f"sub-{entities['sub']}"
    if "ses" in entities:
        folder /= f"ses-{entities['ses']}"
    folder = folder / "eeg"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    make_raw(len(name)).export(path, verbose="error")
    stem = path.name.rpartition("_")[0]
    kinds = ["EEG", "EEG", "EEG", "EOG"]
    rows = [
        f"{channel}\t{kind}\tµV\t{'bad' if channel in bads else 'good'}"
        for channel, kind in zip(NAMES, kinds, strict=True)
    ]
    text = "\n".join(["name\ttype\tunits\tstatus", *rows]) + "\n"
    (folder / f"{stem}_channels.tsv").write_text(text, encoding="utf-8")
    if events is not None:
        (folder / f"{stem}_events.tsv").write_text(events, encoding="utf-8")
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a data set of two subjects, the second one with sessions and runs."""
    root = tmp_path / "ds"
    write_recording(root, "sub-01_task-oddball_eeg.edf")
    write_recording(root, "sub-02_ses-am_task-oddball_run-1_eeg.vhdr")
    write_recording(root, "sub-02_ses-pm_task-oddball_run-1_eeg.vhdr")
    facts = {"Name": "miniature", "BIDSVersion": "1.10.0"}
    (root / "dataset_description.json").write_text(json.dumps(facts), encoding="utf-8")
    (root / "participants.tsv").write_text(PARTICIPANTS, encoding="utf-8")
    # Inherited by all recordings of the task.
    facts = {"TaskName": "oddball", "SamplingFrequency": SFREQ, "PowerLineFrequency": 60}
    (root / "task-oddball_eeg.json").write_text(json.dumps(facts), encoding="utf-8")
    # Derivatives are other people's versions of the same recordings.
    write_recording(root / "derivatives" / "clean", "sub-01_task-oddball_eeg.edf")
    return root


def test_events_become_windows(root: Path) -> None:
    epochs = load_bids(root)
    assert epochs.ch_names == ["FZ", "CZ", "O1"]  # EYE is EOG
    assert epochs.info["sfreq"] == 200.0 and epochs.info["line_freq"] == 60.0
    assert epochs.event_id == {"rest": 0, "target": 1}
    expected = [("rest", 2.0), ("rest", 6.0), ("target", 20.0), ("target", 26.0)]
    metadata = epochs.metadata
    assert list(zip(metadata["label"], metadata["start"], strict=True)) == expected * 3
    assert epochs.get_data().shape == (12, 3, 800)
    assert metadata["subject"].tolist() == ["01"] * 4 + ["02"] * 8
    assert metadata["session"].tolist() == [""] * 4 + ["am"] * 4 + ["pm"] * 4
    assert metadata["run"].tolist() == [""] * 4 + ["1"] * 8
    assert set(metadata["task"]) == {"oddball"}
    assert metadata["group"].tolist() == ["patient"] * 4 + ["control"] * 8
    assert metadata["age"].tolist()[:4] == [31] * 4 and metadata["age"][4:].isna().all()
    assert metadata["participant_label"].tolist() == ["x"] * 4 + ["y"] * 8
    assert metadata["file"].unique().tolist() == [
        "sub-01/eeg/sub-01_task-oddball_eeg.edf",
        "sub-02/ses-am/eeg/sub-02_ses-am_task-oddball_run-1_eeg.vhdr",
        "sub-02/ses-pm/eeg/sub-02_ses-pm_task-oddball_run-1_eeg.vhdr",
    ]
    # Volts, at the right moment, from both formats.
    amplitude = np.sqrt(2) * epochs.get_data().std(axis=2).mean(axis=1)
    np.testing.assert_allclose(amplitude[2::4], 40e-6, rtol=0.05)
    np.testing.assert_allclose(np.delete(amplitude, [2, 6, 10]), 6e-6, rtol=0.1)


def test_choice_of_recordings(root: Path) -> None:
    write_recording(root, "sub-03_task-rest_eeg.edf", events="onset\tduration\n")
    assert set(load_bids(root, subjects=["sub-01"], tasks=["oddball"]).metadata["subject"]) == {
        "01"
    }
    epochs = load_bids(root, sessions=["ses-pm", "am"], runs=["1"])
    assert set(epochs.metadata["session"]) == {"am", "pm"}
    with pytest.raises(ValueError, match="no recording of subject 07; there are 01, 02, 03"):
        load_bids(root, subjects=["07"])
    with pytest.raises(TypeError, match=r"subjects must be a list of names, e\.g\. \['01'\]"):
        load_bids(root, subjects="01")


def test_classes_of_whole_recordings(root: Path) -> None:
    """By a column of participants.tsv or by session; spans that events call BAD are left out."""
    by_group = load_bids(root, label="group")
    starts = [s for s in np.arange(0, 60, 4) if s != 32]  # BAD from 33 to 34 s
    assert by_group.metadata["start"].tolist() == starts * 3
    assert by_group.metadata["label"].tolist() == ["patient"] * 14 + ["control"] * 28
    by_session = load_bids(
        root, label="session", subjects=["02"], classes={"am": "early", "pm": "late"}
    )
    assert by_session.metadata["label"].tolist() == ["early"] * 14 + ["late"] * 14
    write_recording(root, "sub-03_task-oddball_eeg.edf", events=None)
    with pytest.warns(
        RuntimeWarning,
        match=r"1 of 4 files are left out:\nsub-03.*: its participants.tsv has no gr",
    ):
        assert len(load_bids(root, label="group")) == 42
    assert len(load_bids(root, label="age", subjects=["01", "03"])) == 29
    assert set(load_bids(root, label="age", subjects=["01", "03"]).event_id) == {"25", "31"}


def test_other_column_and_merged_classes(root: Path) -> None:
    by_value = load_bids(root, label="value", classes=["7", "8"])
    assert by_value.metadata["label"].tolist() == ["7", "8"] * 3
    assert by_value.metadata["start"].tolist() == [20, 26] * 3  # not 32: BAD as a trial_type
    with pytest.raises(ValueError, match=r"found 'x' \(12\) among classes=\['rest'"):
        load_bids(root, classes={"rest": "x", "target": "x"})
    with pytest.raises(ValueError, match=r"has no column kind; there are onset, duration, trial_t"):
        load_bids(root, label="kind")


def test_bad_channels_are_not_used(root: Path) -> None:
    write_recording(root, "sub-03_task-oddball_eeg.edf", bads=["Cz"])
    assert load_bids(root).ch_names == ["FZ", "O1"]


def test_broken_members_are_left_out(root: Path) -> None:
    broken = write_recording(root, "sub-04_task-oddball_eeg.edf")
    broken.write_bytes(broken.read_bytes()[:700])
    write_recording(root, "sub-05_task-oddball_eeg.edf", events=None)
    other = write_recording(root, "sub-06_task-oddball_eeg.edf")
    channels = other.with_name("sub-06_task-oddball_channels.tsv")
    channels.write_text(channels.read_text("utf-8").replace("Cz", "C9"), encoding="utf-8")
    write_recording(root, "sub-07_task-oddball_eeg.edf", events=EVENTS.replace("26.0", "soon"))
    write_recording(root, "sub-08_task-oddball_eeg.edf", events="onset\tduration\ttrial_type\n")
    gone = write_recording(root, "sub-09_task-oddball_run-1_eeg.vhdr")
    gone.with_suffix(".eeg").unlink()
    with pytest.warns(RuntimeWarning, match="6 of 9 files are left out") as caught:
        epochs = load_bids(root)
    (message,) = [str(warning.message) for warning in caught]
    reasons = dict(line.split(": ", 1) for line in message.splitlines()[1:])
    reasons = {name.split("/")[0]: reason for name, reason in reasons.items()}
    assert reasons["sub-05"] == "there is no events.tsv for it"
    assert "Channel mismatch" in reasons["sub-06"]
    assert "sub-07_task-oddball_events.tsv: could not convert" in reasons["sub-07"]
    assert reasons["sub-08"] == "none of its labels (trial_type) is a class; it has none"
    assert {"sub-04", "sub-09"} <= set(reasons)
    assert set(epochs.metadata["subject"]) == {"01", "02"}
    with pytest.raises(ValueError, match=r"sub-05/eeg/sub-05_task-oddball_eeg\.edf: there is no"):
        load_bids(root, subjects=["05", "01"], on_error="raise")


def test_unknown_line_frequency_is_told_once(root: Path) -> None:
    (root / "task-oddball_eeg.json").unlink()
    with pytest.warns(RuntimeWarning, match="3 of 3 files:.*line_freq=50") as caught:
        load_bids(root)
    assert len(caught) == 1
    assert load_bids(root, line_freq=None).info["line_freq"] is None


def test_what_is_no_data_set(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no folder .*nowhere"):
        load_bids(tmp_path / "nowhere")
    (tmp_path / "sub-01").mkdir()
    make_raw(0).export(tmp_path / "sub-01" / "x.edf", verbose="error")
    with pytest.raises(FileNotFoundError, match="no recording like sub-01/eeg.*load_folder"):
        load_bids(tmp_path)
    write_recording(tmp_path, "sub-01_task-oddball_eeg.edf")
    (tmp_path / "participants.tsv").write_text("subject\n01\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"participants\.tsv: no column participant_id"):
        load_bids(tmp_path)


def test_load_folder_tells_of_load_bids(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ValueError, match="is a BIDS data set.*load_bids"):
        load_folder(root, line_freq=60)  # no annotations in the recordings themselves


def test_same_as_written_by_mne_bids(tmp_path: Path) -> None:
    """What MNE-BIDS writes is read alike, also a recording that starts late."""
    from mne_bids import BIDSPath, write_raw_bids

    raw = make_raw(0)
    raw.set_channel_types({"EYE": "eog"})
    raw.info["line_freq"] = 50
    raw.set_annotations(mne.Annotations([10, 20], [4, 4], ["calm", "wave"]))
    raw = raw.crop(5)
    where = BIDSPath(subject="a", task="x", root=tmp_path, datatype="eeg")
    write_raw_bids(raw, where, format="EDF", allow_preload=True, overwrite=True, verbose="error")
    epochs = load_bids(tmp_path)
    assert epochs.metadata[["label", "start"]].to_numpy().tolist() == [["calm", 5], ["wave", 15]]
    power = epochs.get_data().var(axis=(1, 2))
    assert power[1] > 10 * power[0]


def test_bad_spans_count_for_other_columns(root: Path) -> None:
    """33-34 s are BAD_movement in trial_type, whatever column the labels are from."""
    epochs = load_bids(root, label="value", classes=["1", "7"], subjects=["01"])
    assert epochs.metadata["start"].tolist() == [2.0, 6.0, 20.0]  # not 32 s


def test_participants_in_other_spellings(root: Path) -> None:
    file = root / "participants.tsv"
    file.write_text(PARTICIPANTS.replace("sub-", ""), encoding="utf-8")
    assert set(load_bids(root).metadata["group"]) == {"patient", "control"}
    file.write_text(PARTICIPANTS + "02\t1\tpatient\tz\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"participants.tsv: sub-02 are there more than once"):
        load_bids(root)


def test_channels_under_other_names(root: Path) -> None:
    """As when channels were renamed before the data set was written."""
    file = root / "sub-01/eeg/sub-01_task-oddball_channels.tsv"
    file.write_text(file.read_text(encoding="utf-8").replace("Fz", "Fp1"), encoding="utf-8")
    with pytest.warns(RuntimeWarning, match=r"1 of 3 files.*load_bids\(on_ch_mismatch=|mismatch"):
        load_bids(root)
    epochs = load_bids(root, subjects=["01"], on_ch_mismatch="rename")
    assert epochs.ch_names == ["FP1", "CZ", "O1"]
