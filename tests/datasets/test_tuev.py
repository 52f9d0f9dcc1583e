"""TUH EEG Events Corpus from miniatures in its layouts.

Layouts: ``AAREADME.txt`` of v1 (names, ``.rec`` files), the file list of v1.0.1
(github.com/fldbock/eeg_time_series_transfer_learning, ``data/JSON_files``), and Braindecode's
``TUHEvents`` (v2.0.1).
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from tuh_files import ORDER, burst, member, write_edf, write_rec

from mne_neurolm.datasets import load, read_recording, to_epochs
from mne_neurolm.datasets.catalog import get_spec
from mne_neurolm.datasets.members import find_members
from mne_neurolm.datasets.readers import tuev, tuh

TRAIN, EVAL = "edf/train", "edf/eval"


@pytest.fixture(scope="module")
def tuev_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return TUEV v2.0.1: a training recording with events at both ends, and two of eval."""
    root = tmp_path_factory.mktemp("tuh_eeg_events")
    train = root / "v2.0.1" / TRAIN / "aaaaaaar" / "aaaaaaar_00000001.edf"
    write_edf(
        train,
        signals={"EEG P4-REF": burst(8.4, 9.4, 40)},
        patient="/aa F 01-JAN-0000 /aa Age:19",
    )
    # in the order of the files: by channel, not by time
    write_rec(train, ["1,8.4,9.4,6", "5,0.5,1.5,4", "13,8.4,9.4,2", "13,38.5,39.5,1"])
    for name, lines in {
        "000/bckg_000_a_": ["0,3.0,4.0,6", "0,4.0,5.0,6", "1,4.0,5.0,6"],
        "001/pled_001_a_2": ["21,5.2,6.2,3", "20,5.2,6.2,5"],
    }.items():
        path = root / "v2.0.1" / EVAL / f"{name}.edf"
        number = name[:3]
        write_edf(path, patient=f"{number} F 01-JAN-0000 {number} Age:68", seed=5)
        write_rec(path, lines)
    return root


def test_tuev(tuev_root: Path) -> None:
    dataset = load("tuev", tuev_root)
    table = dataset.description
    assert table["subject"].tolist() == ["000", "001", "aaaaaaar"]
    assert table["run"].tolist() == ["bckg_000_a_", "pled_001_a_2", "00000001"]
    assert table["split"].tolist() == ["test", "test", "train"]
    epochs = to_epochs(dataset)
    assert epochs.get_data().shape == (9, 23, 1000) and epochs.ch_names == ORDER
    assert epochs.info["line_freq"] == 60.0
    rows = epochs.metadata
    # an event of 1 s with 2 s before and after; at the ends the window is moved inside
    assert rows["start"].tolist() == [1.0, 2.0, 2.0, 3.2, 3.2, 0.0, 6.4, 6.4, 35.0]
    assert rows["label"].tolist()[:3] == ["bckg"] * 3
    assert sorted(rows["label"][3:5]) == ["artf", "pled"]
    assert rows["label"].tolist()[5::3] == ["eyem", "spsw"]
    assert sorted(rows["label"][6:8]) == ["bckg", "gped"]
    channels = {(row.label, row.start): row.channel for row in rows.itertuples()}
    assert channels["eyem", 0.0] == "F8-T4" and channels["gped", 6.4] == "T4-A2"
    assert channels["pled", 3.2] == "P4-O2" and channels["bckg", 6.4] == "F7-T3"
    assert epochs.event_id == {
        label: k for k, label in enumerate("spsw gped pled eyem artf bckg".split())
    }
    # the event is in the middle second of its window, on its channel
    window = epochs.get_data()[6, ORDER.index("P4")].reshape(5, 200)
    assert window.std(axis=1).argmax() == 2
    assert np.sqrt(2) * window[2].std() == pytest.approx(100e-6, rel=0.1)
    assert np.delete(window.std(axis=1), 2).max() < 25e-6


def test_tuev_windows_are_those_of_the_code(tuev_root: Path) -> None:
    """NeuroLM's BuildEvents: from 2 s before the first sample of the event to 2 s after its end."""
    part = load("tuev", tuev_root, subjects=["aaaaaaar"]).datasets[0]
    times = np.arange(part.raw.n_times) / 200.0
    begin = np.flatnonzero(times >= 8.4)[0]
    end = np.flatnonzero(times >= 9.4)[0]
    assert end - begin == 200
    expected = part.raw.get_data()[:, begin - 400 : end + 400]
    assert np.allclose(part[1][0], expected, atol=1e-12)


def test_tuev_cache_keeps_channels(tuev_root: Path, tmp_path: Path) -> None:
    direct = to_epochs(load("tuev", tuev_root)).metadata
    load("tuev", tuev_root, cache=tmp_path)
    assert to_epochs(load("tuev", tuev_root, cache=tmp_path)).metadata.equals(direct)


def test_tuev_of_before(tuev_root: Path, tmp_path: Path) -> None:
    new = tuev_root / "v2.0.1" / TRAIN / "aaaaaaar" / "aaaaaaar_00000001.edf"
    old = tmp_path / "v1.0.1" / TRAIN / "00000017" / "00000017_00000023.edf"
    old.parent.mkdir(parents=True)
    shutil.copyfile(new, old)
    shutil.copyfile(new.with_suffix(".rec"), old.with_suffix(".rec"))
    dataset = load("tuev", tmp_path)
    table = dataset.description
    assert (table["subject"][0], table["run"][0], table["split"][0]) == (
        "00000017",
        "00000023",
        "train",
    )
    assert len(dataset) == 4
    code = load("tuev", old.parent, variant="code")  # from a folder of one subject
    assert code.datasets[0].raw.info["line_freq"] == 50.0


def test_tuev_names_of_the_corpus() -> None:
    for path, subject, run in (
        ("eval/049/gped_049_a_6.edf", "049", "gped_049_a_6"),
        ("eval/037/bckg_037_a_1.edf", "037", "bckg_037_a_1"),
        ("/x/edf/train/aaaaadnn/aaaaadnn_00000015.edf", "aaaaadnn", "00000015"),
    ):
        found = member("tuev", path)
        assert (found.subject, found.run, found.session) == (subject, run, "")
    for path in (
        "eval/049/gped_048_a_6.edf",
        "train/aaaaadnn/aaaaadnm_00000015.edf",
        "train/aaaaadnn/00000015.edf",
        "train/aaaaaaac/s001_2002/02_tcp_le/aaaaaaac_s001_t000.edf",
    ):
        assert get_spec("tuev").member(path) is None


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("13,90.4,91.4,7\n", "line 1: '13,90.4,91.4,7'"),
        ("13,90.4,91.4,6\n\n22,90.4,91.4,6\n", "line 3: '22,90.4,91.4,6'"),
        ("-1,90.4,91.4,6\n", "line 1"),
        ("1,90.4,91.4\n", "line 1"),
        ("1,91.4,90.4,6\n", "line 1"),
        ("1,nan,91.4,6\n", "line 1"),
        ("1,90.4,91.4,6.5\n", "line 1"),
        ("channel,start,stop,label\n", "line 1"),
    ],
)
def test_tuev_bad_labels(tmp_path: Path, text: str, where: str) -> None:
    path = tmp_path / "x.rec"
    path.write_text(text)
    with pytest.raises(ValueError, match=rf"^x\.rec, {where}.* is not channel \(0 to 21\)"):
        tuev.read_events(path)


def test_tuev_odd_but_good_labels(tmp_path: Path) -> None:
    path = tmp_path / "x.rec"
    path.write_bytes(b"\xef\xbb\xbf 3.0, 0.0,1.0 ,6.0\r\n\r\n")
    assert tuev.read_events(path) == [tuh.Event(0.0, 1.0, "bckg", "T5-O1")]


def test_tuev_bad_files(tuev_root: Path, tmp_path: Path) -> None:
    source = tuev_root / "v2.0.1" / EVAL / "000" / "bckg_000_a_.edf"
    for number, text in {
        "000": None,
        "001": "0,3.0,4.0,9\n",
        "002": "",
        "003": "0,3.0,4.0,6\n0,40.0,41.0,6\n",
    }.items():
        path = tmp_path / EVAL / number / f"bckg_{number}_a_.edf"
        path.parent.mkdir(parents=True)
        shutil.copyfile(source, path)
        if text is not None:
            path.with_suffix(".rec").write_text(text)
    with pytest.warns(RuntimeWarning) as caught:
        dataset = load("tuev", tmp_path)
    messages = " ".join(str(warning.message) for warning in caught)
    assert "3 of 4 files are left out" in messages
    assert "1 of 4 files: Events that start after the end of the recording" in messages
    assert len(dataset) == 1 and dataset.description["subject"].tolist() == ["003"]
    reasons = [reason for _, reason in sorted(dataset.problems.items())]
    assert reasons[0] == "there is no label file bckg_000_a_.rec beside it"
    assert reasons[1].startswith("bckg_001_a_.rec, line 1: '0,3.0,4.0,9' is not channel")
    assert reasons[2].startswith("no window of 5 s: 0 of 0 annotations")
    with pytest.raises(ValueError, match=r"000/bckg_000_a_\.edf: there is no label file"):
        read_recording("tuev", tmp_path / EVAL / "000" / "bckg_000_a_.edf")


# Braindecode 1.8.1 with pandas 3.1, and what it says about a part of the corpus
@pytest.mark.filterwarnings("ignore:The inplace keyword in DataFrame:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:Expected 518 files but found 3:UserWarning")
def test_tuev_as_braindecode(tuev_root: Path, tmp_path: Path) -> None:
    """Same subjects, and the same events but for the channels, which they drop."""
    from braindecode.datasets import TUHEvents

    shutil.copytree(tuev_root / "v2.0.1", tmp_path / "v2.0.1")
    theirs = TUHEvents(str(tmp_path), on_missing_files="warn", merge_events=False)
    by_path = {one.description["path"]: one for one in theirs.datasets}
    ours = find_members("tuev", tmp_path)
    assert len(ours) == len(by_path) == 3
    for found in ours:
        one = by_path[str(found.path)]
        assert one.description["subject"] == found.subject
        assert one.description["split"] == found.groups["part"]
        if found.groups["part"] == "train":
            assert one.description["session"] == int(found.run)
        else:
            prefix, number = one.description["event_prefix"], one.description["run"]
            assert found.run == f"{prefix}_{found.subject}_a_{number or ''}"
        events = [
            {
                (round(onset, 6), round(duration, 6), label)
                for onset, duration, label in zip(
                    notes.onset, notes.duration, notes.description, strict=True
                )
            }
            for notes in (one.raw.annotations, read_recording("tuev", found.path).annotations)
        ]
        assert events[0] == events[1] and events[0]
