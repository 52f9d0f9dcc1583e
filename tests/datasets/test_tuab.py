"""TUH Abnormal EEG Corpus from miniatures in its two layouts.

Layouts: ``AAREADME.txt`` of v2.0.0 and v3.0.1, and the file list of v2.0.0
(github.com/fldbock/eeg_time_series_transfer_learning, ``data/JSON_files``).
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from tuh_files import ORDER, burst, member, names, write_edf

from mne_neurolm.channels import match_channels
from mne_neurolm.datasets import load, read_recording, to_epochs
from mne_neurolm.datasets.members import find_members
from mne_neurolm.datasets.readers import tuh

TRAIN, EVAL = "edf/train", "edf/eval"


@pytest.fixture(scope="module")
def tuab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return TUAB v3.0.1: one subject with a normal and an abnormal recording, two of eval."""
    root = tmp_path_factory.mktemp("tuh_eeg_abnormal")
    whole = {"EEG F7-REF": burst(0, 45, 45, size=50.0)}
    for k, (name, seconds) in enumerate(
        {
            f"{TRAIN}/normal/01_tcp_ar/aaaaaaav_s004_t000.edf": 45,
            f"{TRAIN}/abnormal/01_tcp_ar/aaaaaaav_s006_t001.edf": 51,
            f"{EVAL}/normal/01_tcp_ar/aaaaaayx_s002_t000.edf": 40,
            f"{EVAL}/abnormal/01_tcp_ar/aaaaamye_s001_t000.edf": 40,
        }.items()
    ):
        write_edf(
            root / "v3.0.1" / name,
            seconds=seconds,
            signals=whole if seconds == 45 else None,
            seed=k,
        )
    (root / "v3.0.1" / "AAREADME.txt").write_text("File: AAREADME.txt\n")
    return root


def test_tuab(tuab: Path) -> None:
    dataset = load("tuab", tuab)
    table = dataset.description
    assert table["file"].tolist() == [
        f"v3.0.1/{name}"
        for name in (
            f"{EVAL}/abnormal/01_tcp_ar/aaaaamye_s001_t000.edf",
            f"{EVAL}/normal/01_tcp_ar/aaaaaayx_s002_t000.edf",
            f"{TRAIN}/abnormal/01_tcp_ar/aaaaaaav_s006_t001.edf",
            f"{TRAIN}/normal/01_tcp_ar/aaaaaaav_s004_t000.edf",
        )
    ]
    assert table["subject"].tolist() == ["aaaaamye", "aaaaaayx", "aaaaaaav", "aaaaaaav"]
    assert table["session"].tolist() == ["s001", "s002", "s006", "s004"]
    assert table["run"].tolist() == ["t000", "t000", "t001", "t000"]
    assert table["split"].tolist() == ["test", "test", "train", "train"]
    assert [len(one) for one in dataset.datasets] == [4, 4, 5, 4]  # whole windows of 10 s
    epochs = to_epochs(dataset)
    assert epochs.get_data().shape == (17, 23, 2000) and epochs.info["sfreq"] == 200.0
    assert epochs.ch_names == ORDER and epochs.info["line_freq"] == 60.0
    assert epochs.event_id == {"No": 0, "Yes": 1}
    assert epochs.events[:, 2].tolist() == [1] * 4 + [0] * 4 + [1] * 5 + [0] * 4
    assert epochs.metadata["start"].tolist() == [
        *(0, 10, 20, 30) * 2,
        *(0, 10, 20, 30, 40),
        *(0, 10, 20, 30),
    ]
    # 50 microvolts come back in volts, on their channel only
    size = np.sqrt(2) * epochs.get_data()[14, :, 500:1500].std(axis=1)
    assert size[ORDER.index("F7")] == pytest.approx(50e-6, rel=0.05)
    assert np.delete(size, ORDER.index("F7")).max() < 20e-6


def test_tuab_recording(tuab: Path) -> None:
    raw = read_recording(
        "tuab", tuab / "v3.0.1" / TRAIN / "normal/01_tcp_ar/aaaaaaav_s004_t000.edf"
    )
    assert raw.ch_names == names() and not raw.preload and raw.info["sfreq"] == 250.0
    kinds = dict(zip(raw.ch_names, raw.get_channel_types(), strict=True))
    others = {name: kind for name, kind in kinds.items() if kind != "eeg"}
    assert others == {
        "EEG ROC-REF": "eog",
        "EEG LOC-REF": "eog",
        "EEG EKG1-REF": "ecg",
        "EMG-REF": "emg",
        "PHOTIC-REF": "misc",
        "IBI": "misc",
        "BURSTS": "misc",
        "SUPPR": "misc",
    }
    assert sorted(match_channels(raw.info).ch_names) == sorted(set(kinds) - set(others))
    notes = raw.annotations
    assert (notes.onset.tolist(), notes.duration.tolist()) == ([0.0], [45.0])
    assert notes.description.tolist() == ["No"]


def test_tuab_from_any_folder_and_by_part(tuab: Path) -> None:
    below = load("tuab", tuab / "v3.0.1" / TRAIN / "abnormal" / "01_tcp_ar")
    assert below.description["file"].tolist() == ["aaaaaaav_s006_t001.edf"] and len(below) == 5
    assert set(to_epochs(below).metadata["label"]) == {"Yes"}
    assert load("tuab", tuab, split="test").description["subject"].tolist() == [
        "aaaaamye",
        "aaaaaayx",
    ]
    code = load("tuab", tuab, variant="code", subjects=["aaaaaayx"])
    assert code.datasets[0].raw.info["line_freq"] == 50.0


def test_tuab_of_before(tmp_path: Path) -> None:
    """v2.0.0 has numbers for subjects, and folders for them and their sessions."""
    root = tmp_path / "v2.0.0"
    for name in (
        f"{TRAIN}/normal/01_tcp_ar/000/00000021/s004_2013_08_15/00000021_s004_t000.edf",
        f"{EVAL}/abnormal/01_tcp_ar/007/00000768/s003_2012_04_06/00000768_s003_t000.edf",
    ):
        write_edf(root / name)
    dataset = load("tuab", root)
    table = dataset.description
    assert table["subject"].tolist() == ["00000768", "00000021"]
    assert table["session"].tolist() == ["s003", "s004"]
    assert table["split"].tolist() == ["test", "train"]
    assert to_epochs(dataset).metadata["label"].tolist() == ["Yes"] * 4 + ["No"] * 4


def test_tuab_bad_files(tuab: Path, tmp_path: Path) -> None:
    folder = tmp_path / TRAIN / "normal" / "01_tcp_ar"
    folder.mkdir(parents=True)
    good = (tuab / "v3.0.1" / TRAIN / "normal/01_tcp_ar/aaaaaaav_s004_t000.edf").read_bytes()
    for k, content in enumerate(
        [good, good[:-3000], b"no EDF", good.replace(b"EEG T6-REF", b"EEG T5-REF")]
    ):
        (folder / f"aaaaaaa{chr(97 + k)}_s001_t000.edf").write_bytes(content)
    without = [name for name in names() if "T1" not in name and "T2" not in name]
    write_edf(folder / "aaaaaaae_s001_t000.edf", labels=[*without, "EEG OZ-REF"])
    write_edf(folder / "aaaaaaaf_s001_t000.edf", sfreq=100.0)
    write_edf(folder / "aaaaaaag_s001_t000.edf", seconds=9)
    with pytest.warns(RuntimeWarning) as caught:
        dataset = load("tuab", tmp_path)
    messages = " ".join(str(warning.message) for warning in caught)
    assert "6 of 7 files are left out" in messages and "filter_length" in messages  # of the 9 s
    assert len(dataset) == 4
    reasons = {Path(file).name[7]: reason for file, reason in dataset.problems.items()}
    assert "Number of records" in reasons["b"] and "several channels of one name" in reasons["d"]
    assert reasons["e"].startswith("lacks the channels T1, T2; it has ['EEG FP1-REF'")
    assert reasons["f"].startswith("sampled at 100 Hz")
    assert reasons["g"].startswith("no window of 10 s")
    with pytest.raises(ValueError, match=r"aaaaaaac_s001_t000\.edf: "):
        read_recording("tuab", folder / "aaaaaaac_s001_t000.edf")
    with pytest.raises(ValueError, match=r"aaaaaaab_s001_t000\.edf: "):
        load("tuab", tmp_path, on_error="raise")


def test_tuab_no_subject_in_two_parts() -> None:
    """By the subject alone: not by label, session, release or what else there is."""
    parts = []
    for number in range(2000):
        subject = tuh.letter_id(f"{number:08d}")
        of = {
            tuh.split(member("tuab", path), -1, [])
            for path in (
                f"{TRAIN}/normal/01_tcp_ar/{subject}_s001_t000.edf",
                f"{TRAIN}/abnormal/01_tcp_ar/{subject}_s002_t001.edf",
                f"{TRAIN}/normal/01_tcp_ar/000/{number:08d}/s001_2012_01_01/{number:08d}_s001_t000.edf",
            )
        }
        assert len(of) == 1 and of <= {"train", "validation"}
        parts += of
    assert 0.18 < parts.count("validation") / len(parts) < 0.22


# Braindecode 1.8.1 with pandas 3.1, and what it says about a part of the corpus
@pytest.mark.filterwarnings("ignore:The inplace keyword in DataFrame:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:Expected 2993 files but found 4:UserWarning")
def test_tuab_as_braindecode(tuab: Path, tmp_path: Path) -> None:
    from braindecode.datasets import TUHAbnormal

    shutil.copytree(tuab / "v3.0.1", tmp_path / "v3.0.1")  # it writes beside the recordings
    theirs = TUHAbnormal(str(tmp_path), on_missing_files="warn", version="v3.0.1")
    table = theirs.description.sort_values("path")
    assert table["path"].nunique() == 4
    for (_, row), ours in zip(
        table.iterrows(), find_members("tuab", tmp_path / "v3.0.1"), strict=True
    ):
        assert row["path"] == str(ours.path) and row["subject"] == ours.subject
        assert (f"s{row['session']:03d}", f"t{row['segment']:03d}") == (ours.session, ours.run)
        assert row["train"] == (ours.groups["part"] == "train")
        label = read_recording("tuab", ours.path).annotations.description[0]
        assert row["pathological"] == (label == "Yes")
