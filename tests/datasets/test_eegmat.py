"""EEGMAT by the paper's protocol, from the real files."""

from __future__ import annotations

import shutil
from pathlib import Path

import mne
import numpy as np
import pytest

from mne_neurolm.datasets import load_eegmat
from mne_neurolm.datasets.eegmat import SPLITS
from mne_neurolm.datasets.members import find_members
from mne_neurolm.patches import make_patches

SCALP = "Fp1 Fp2 F7 F3 Fz F4 F8 T3 C3 Cz C4 T4 T5 P3 Pz P4 T6 O1 O2".split()


@pytest.fixture(scope="module")
def root(shared_data: Path) -> Path:
    return shared_data / "eegmat"


@pytest.fixture(scope="module")
def epochs(root: Path) -> mne.EpochsArray:
    """Return subject 3, whose files have 500 Hz, and subject 4, whose files have 200 Hz."""
    return load_eegmat(root, subjects=[3, 4])


def test_protocol(epochs: mne.EpochsArray) -> None:
    assert epochs.get_data().shape == (4 * 29, 19, 800)
    assert epochs.info["sfreq"] == 200.0
    assert epochs.ch_names == SCALP
    assert epochs.event_id == {"rest": 0, "arithmetic": 1}
    assert (epochs.info["highpass"], epochs.info["lowpass"]) == (0.1, 75.0)
    assert np.isfinite([ch["loc"][:3] for ch in epochs.info["chs"]]).all()


def test_metadata(epochs: mne.EpochsArray, root: Path) -> None:
    table = epochs.metadata
    assert list(table.columns) == ["subject", "label", "file", "start"]
    assert table["subject"].tolist() == [3] * 58 + [4] * 58
    assert table["label"].tolist() == ([0] * 29 + [1] * 29) * 2
    assert (epochs.events[:, 2] == table["label"]).all()
    assert table["file"].unique().tolist() == [
        f"Subject{subject:02d}_{run}.edf" for subject in (3, 4) for run in (1, 2)
    ]
    for name, rows in table.groupby("file"):
        raw = mne.io.read_raw_edf(root / name, verbose="error")
        starts = rows["start"].to_numpy()
        assert np.allclose(np.diff(starts), 2.0)
        # The last window ends with the recording, the first starts 60 s before.
        assert starts[-1] + 4.0 == pytest.approx(raw.n_times / raw.info["sfreq"], abs=0.01)
        assert starts[0] == pytest.approx(raw.n_times / raw.info["sfreq"] - 60.0, abs=0.01)


def test_windows_are_the_recording(epochs: mne.EpochsArray, root: Path) -> None:
    """The loader's windows are the file's own samples, in the right place and channel order."""
    for subject, ratio in ((3, 2.5), (4, 1.0)):
        raw = mne.io.read_raw_edf(root / f"Subject{subject:02d}_2.edf", verbose="error")
        rows = np.flatnonzero(epochs.metadata["file"] == f"Subject{subject:02d}_2.edf")
        for row, channel in ((rows[0], "O2"), (rows[17], "T3"), (rows[28], "Fz")):
            start = round(epochs.metadata["start"].iloc[row] * raw.info["sfreq"])
            mine = epochs.get_data()[row, epochs.ch_names.index(channel)]
            theirs = raw.get_data([f"EEG {channel}"], start, start + round(800 * ratio))[0]
            # At 200 Hz, without the filters: correlated but for what they take away.
            theirs = theirs[np.round(np.arange(800) * ratio).astype(int)]
            assert np.corrcoef(mine, theirs)[0, 1] > 0.97
            assert 0.9 < mine.std() / theirs.std() < 1.1
    overlapping = epochs.get_data()[:2]
    assert np.array_equal(overlapping[0, :, 400:], overlapping[1, :, :400])


def test_tokenizer_takes_them(epochs: mne.EpochsArray) -> None:
    patches = make_patches(epochs[:2])
    assert patches.data.shape == (2, 76, 200)


def test_parallel_gives_the_same(epochs: mne.EpochsArray, root: Path) -> None:
    parallel = load_eegmat(root, subjects=[4], n_jobs=2)
    assert np.array_equal(parallel.get_data(), epochs[58:].get_data())


def test_progress_bar(root: Path, capsys: pytest.CaptureFixture) -> None:
    load_eegmat(root, subjects=[4], progress=True)
    shown = capsys.readouterr()
    assert "Loading" in shown.err and "2/2" in shown.err


def test_split_table() -> None:
    parts = [set(part) for part in SPLITS.values()]
    assert list(SPLITS) == ["train", "validation", "test"]
    assert [len(part) for part in parts] == [26, 5, 5]
    assert set.union(*parts) == set(range(36))


def test_split_by_name(root: Path) -> None:
    epochs = load_eegmat(root, subjects="validation")
    assert sorted(set(epochs.metadata["subject"])) == [26, 27, 28, 29, 30]
    assert len(epochs) == 5 * 2 * 29


def test_members(root: Path) -> None:
    found = find_members("workload", root)
    assert len(found) == 62
    assert (found[0].subject, found[0].run, found[0].path.name) == (
        "Subject00",
        "1",
        "Subject00_1.edf",
    )
    assert (found[-1].subject, found[-1].run) == ("Subject30", "2")


def test_unpaired_recording(root: Path, tmp_path: Path) -> None:
    for name in ("Subject04_1.edf", "Subject04_2.edf", "Subject05_2.edf"):
        shutil.copyfile(root / name, tmp_path / name)
    with pytest.warns(RuntimeWarning, match=r"Subjects \[5\] have only one"):
        epochs = load_eegmat(tmp_path)
    assert len(epochs) == 3 * 29
    with pytest.warns(RuntimeWarning, match="only one"):
        assert load_eegmat(tmp_path, [5]).event_id == {"arithmetic": 1}


def test_errors_about_files(root: Path, tmp_path: Path) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"no folder.*physionet\.org/content/eegmat.*ODC-BY"
    ):
        load_eegmat(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"hold no file like Subject00_1\.edf.*physionet"):
        load_eegmat(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"No recording of subjects \[31, 32, 33, 34, 35\]"):
        load_eegmat(root, subjects="test")


@pytest.mark.parametrize(
    ("subjects", "message"),
    [("dev", "not a part of the split"), ([36], "0 to 35"), ([], "0 to 35")],
)
def test_wrong_subjects(root: Path, subjects: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_eegmat(root, subjects=subjects)


def test_foreign_and_short_files(root: Path, shared_data: Path, tmp_path: Path) -> None:
    shutil.copyfile(root / "Subject04_2.edf", tmp_path / "Subject00_2.edf")
    run = shared_data / "mne_data/MNE-eegbci-data/files/eegmmidb/1.0.0/S001/S001R03.edf"
    shutil.copyfile(run, tmp_path / "Subject00_1.edf")
    with pytest.raises(ValueError, match=r"Subject00_1\.edf: lacks the channels T3, T4"):
        load_eegmat(tmp_path)
    # The same file cut after 50 of its records of one second.
    content = (root / "Subject04_2.edf").read_bytes()
    n_header, n_records = int(content[184:192]), int(content[236:244])
    n_bytes = n_header + 50 * (len(content) - n_header) // n_records
    short = content[:236] + b"50".ljust(8) + content[244:n_bytes]
    (tmp_path / "Subject00_1.edf").write_bytes(short)
    with pytest.raises(ValueError, match=r"Subject00_1\.edf: lasts 50\.0 s"):
        load_eegmat(tmp_path)
    # Cut near its end, with a header that promises more.
    (tmp_path / "Subject00_1.edf").write_bytes(content[:-1000])
    with pytest.raises(ValueError, match=r"Subject00_1\.edf: Number of records from the header"):
        load_eegmat(tmp_path)
