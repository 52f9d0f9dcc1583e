"""Known data sets by one call: windows, cache, splits, and what is wrong with files."""

from __future__ import annotations

import errno
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import mne
import numpy as np
import pytest

from mne_neurolm.datasets import load, read_recording, to_epochs
from mne_neurolm.datasets._montage import STANDARD_1020

Write = Callable[..., Path]


@pytest.fixture(scope="module")
def root(write_eegmat: Write, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a train subject with both files, one of validation and one of test with one each."""
    folder = tmp_path_factory.mktemp("eegmat")
    for seed, name in enumerate(("Subject03_1", "Subject03_2", "Subject27_1", "Subject35_2")):
        write_eegmat(folder / "deep" / "er", name, seed=seed, seconds=62 + 8 * (seed == 1))
    return folder


def test_windows(root: Path) -> None:
    dataset = load("workload", root)
    assert len(dataset) == 4 * 29 and len(dataset.datasets) == 4
    x, y, crop = dataset[0]
    assert x.shape == (19, 800) and x.dtype == np.float32 and y == 0
    assert crop == [0, 400, 1200]  # 62 s: the last minute starts after 2 s
    x, y, crop = dataset[29 + 28]
    assert y == 1 and crop == [28, (10 + 56) * 200, (10 + 60) * 200]
    table = dataset.description
    assert table["file"].tolist()[:2] == ["deep/er/Subject03_1.edf", "deep/er/Subject03_2.edf"]
    assert table["split"].tolist() == ["train", "train", "validation", "test"]
    assert table["run"].tolist() == ["1", "2", "1", "2"] and set(table["dataset"]) == {"workload"}
    assert {len(part) for part in dataset.split("split").values()} == {29, 58}
    assert dataset.problems == {}


def test_epochs(root: Path) -> None:
    dataset = load("workload", root)
    epochs = to_epochs(dataset)
    assert epochs.ch_names == list(STANDARD_1020) and epochs.info["sfreq"] == 200.0
    assert epochs.info["line_freq"] == 50.0
    assert np.isfinite([ch["loc"][:3] for ch in epochs.info["chs"]]).all()
    assert epochs.event_id == {"No": 0, "Yes": 1}
    assert epochs.events[:, 2].tolist() == [0] * 29 + [1] * 29 + [0] * 29 + [1] * 29
    assert epochs.metadata["label"].tolist() == (["No"] * 29 + ["Yes"] * 29) * 2
    assert epochs.metadata["start"].tolist()[:2] == [2.0, 4.0]
    np.testing.assert_allclose(epochs.get_data()[30], dataset[30][0], rtol=1e-6, atol=1e-12)
    data = epochs.get_data()
    assert np.array_equal(data[0, :, 400:], data[1, :, :400])
    only = to_epochs(load("workload", root, split="validation"))
    assert len(only) == 29 and set(only.metadata["subject"]) == {"Subject27"}
    assert only.event_id == {"No": 0}


def test_subjects_and_names(root: Path) -> None:
    dataset = load("eegmat", root, subjects=["Subject35"])  # another name of it
    assert dataset.description["subject"].tolist() == ["Subject35"]
    with pytest.raises(ValueError, match=r"no recording of subjects \['Subject04'\].*Subject03, "):
        load("workload", root, subjects=["Subject04"])
    with pytest.raises(TypeError, match=r"list of names, e.g. \['Subject03'\]"):
        load("workload", root, subjects="Subject03")


def test_cache(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Recordings are prepared once, read from the disk, and prepared anew when they change."""
    import mne_neurolm.datasets.loading as loading

    first = load("workload", root, subjects=["Subject27", "Subject35"], cache=tmp_path)
    assert not any(one.raw.preload for one in first.datasets)
    fresh = load("workload", root, subjects=["Subject27", "Subject35"])
    for cached, direct in zip(first, fresh, strict=True):
        np.testing.assert_allclose(cached[0], direct[0], rtol=1e-5, atol=1e-11)
        assert cached[1:] == direct[1:]
    calls = []
    original = loading._prepare_member
    monkeypatch.setattr(
        loading, "_prepare_member", lambda *args: calls.append(args[1]) or original(*args)
    )
    load("workload", root, subjects=["Subject27", "Subject35"], cache=tmp_path)
    assert not calls
    changed = root / "deep/er/Subject35_2.edf"
    changed.touch()
    load("workload", root, subjects=["Subject27", "Subject35"], cache=tmp_path)
    assert [member.path for member in calls] == [changed]
    assert not list(tmp_path.rglob(".unfinished*"))


def test_processes_give_the_same(root: Path) -> None:
    one = to_epochs(load("workload", root, subjects=["Subject03"]))
    two = to_epochs(load("workload", root, subjects=["Subject03"], n_jobs=2))
    assert np.array_equal(one.get_data(), two.get_data())


def test_bad_files_are_left_out(root: Path, write_eegmat: Write, tmp_path: Path) -> None:
    good = (root / "deep/er/Subject03_1.edf").read_bytes()
    folder = tmp_path / "eegmat"
    folder.mkdir()
    (folder / "Subject00_1.edf").write_bytes(good)
    (folder / "Subject01_1.edf").write_bytes(good[:-5000])
    (folder / "Subject02_1.edf").write_bytes(b"no EDF at all")
    (folder / "Subject04_1.edf").write_bytes(good.replace(b"EEG Fp2 ", b"EEG Fp1 "))
    (folder / "Subject05_1.edf").write_bytes(good.replace(b"EEG Fp2 ", b"EEG XYZ "))
    write_eegmat(folder, "Subject06_1", seconds=30)
    write_eegmat(folder, "Subject07_1", sfreq=128.0)
    with pytest.warns(RuntimeWarning, match="6 of 7 files are left out:\nSubject01_1.edf: Number"):
        dataset = load("workload", folder)
    assert len(dataset) == 29
    reasons = dataset.problems
    assert list(reasons) == [f"Subject{n:02d}_1.edf" for n in (1, 2, 4, 5, 6, 7)]
    assert "Number of records from the header does not match" in reasons["Subject01_1.edf"]
    assert (
        "several channels of one name (as MNE-Python numbers them EEG Fp1-0"
        in reasons["Subject04_1.edf"]
    )
    assert reasons["Subject05_1.edf"].startswith("lacks the channels Fp2; it has ['EEG Fp1'")
    assert reasons["Subject06_1.edf"] == "lasts 30.0 s; the task takes the last 60 s"
    assert reasons["Subject07_1.edf"].startswith("sampled at 128 Hz")
    with pytest.raises(ValueError, match=r"Subject01_1\.edf: Number of records"):
        load("workload", folder, on_error="raise")
    for name in reasons:
        if name != "Subject05_1.edf":  # the recording itself is fine, its montage is another
            with pytest.raises(ValueError, match=f"{folder / name}: "):
                read_recording("workload", folder / name)
    (folder / "Subject00_1.edf").unlink()
    with pytest.raises(ValueError, match="None of 6 recordings .* can be used:\nSubject01_1"):
        load("workload", folder)


def test_read_recording(root: Path) -> None:
    raw = read_recording("workload", root / "deep/er/Subject03_2.edf")
    assert raw.info["sfreq"] == 500.0 and len(raw.ch_names) == 21 and not raw.preload
    assert raw.annotations.description.tolist() == ["Yes"]
    assert (raw.annotations.onset[0], raw.annotations.duration[0]) == (10.0, 60.0)
    with pytest.raises(ValueError, match="called like this; they are like Subject00_1.edf"):
        read_recording("workload", root / "Subject03_3.edf")


def test_wrong_calls(root: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Unknown data set 'worklod'. Did you mean 'workload'"):
        load("worklod", root)
    with pytest.raises(ValueError, match="split must be one of train, validation, test"):
        load("workload", root, split="val")
    with pytest.raises(ValueError, match="variant must be 'paper' or 'code'"):
        load("workload", root, variant="mine")
    with pytest.raises(ValueError, match="on_error must be"):
        load("workload", root, on_error="ignore")
    with pytest.raises(FileNotFoundError, match="no folder .*nowhere.*physionet.org.*ODC-BY"):
        load("workload", tmp_path / "nowhere")
    with pytest.raises(ValueError, match="None of the 1 recordings .* test part"):
        (tmp_path / "Subject00_1.edf").write_bytes(b"")
        load("workload", tmp_path, split="test")


def test_recordings_are_no_epochs(tmp_path: Path) -> None:
    info = mne.create_info(["Fc5.", "C3..", "Cz.."], 160.0, "eeg")
    data = 2e-5 * np.random.default_rng(0).standard_normal((3, 160 * 40))
    raw = mne.io.RawArray(data, info, verbose="error")
    mne.export.export_raw(tmp_path / "S001R01.edf", raw, verbose="error")
    dataset = load("eegbci", tmp_path)
    assert dataset.datasets[0].raw.info["sfreq"] == 200.0 and len(dataset) == 8000
    with pytest.raises(ValueError, match="holds recordings, not windows"):
        to_epochs(dataset)
    with pytest.raises(ValueError, match="pretraining corpus; it has no split"):
        load("eegbci", tmp_path, split="train")


def test_damaged_cache_is_prepared_again(root: Path, tmp_path: Path) -> None:
    whole = load("workload", root, subjects=["Subject27"], cache=tmp_path)
    expected = whole[28][0]
    (file,) = tmp_path.rglob("*.fif")
    for content in (file.read_bytes()[:-200_000], b""):
        file.write_bytes(content)
        again = load("workload", root, subjects=["Subject27"], cache=tmp_path)
        assert len(again) == 29 and np.array_equal(again[28][0], expected)
    file.unlink()
    assert len(load("workload", root, subjects=["Subject27"], cache=tmp_path)) == 29


def test_two_processes_share_a_cache(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process has finished the same recording while this one prepared it."""
    import mne_neurolm.datasets.loading as loading

    load("workload", root, subjects=["Subject27"], cache=tmp_path)
    answers = iter([False, True])
    monkeypatch.setattr(loading, "_is_whole", lambda place: next(answers))
    monkeypatch.setattr(loading.shutil, "rmtree", lambda *args, **kwargs: None)
    assert len(load("workload", root, subjects=["Subject27"], cache=tmp_path)) == 29
    assert not list(answers)


def test_cache_takes_recordings_of_any_date(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mne_neurolm.datasets.loading as loading

    original = loading._prepare_member

    def old(*args: object) -> mne.io.BaseRaw:
        return original(*args).set_meas_date(datetime(1850, 1, 1, tzinfo=UTC))

    monkeypatch.setattr(loading, "_prepare_member", old)
    dataset = load("workload", root, subjects=["Subject27"], cache=tmp_path)
    assert len(dataset) == 29 and dataset[0][2] == [0, 400, 1200]


def test_the_first_bad_file_stops(root: Path, tmp_path: Path) -> None:
    for name in ("Subject00_1", "Subject01_1"):
        (tmp_path / f"{name}.edf").write_bytes(b"")
    (tmp_path / "Subject02_1.edf").symlink_to(root / "deep/er/Subject03_1.edf")
    with pytest.raises(ValueError, match=r"Subject00_1\.edf: "):
        load("workload", tmp_path, on_error="raise", cache=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()  # the good one was not prepared any more


def test_a_full_disk_is_not_a_bad_file(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def save(*args: object, **kwargs: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(mne.io.BaseRaw, "save", save)
    with pytest.raises(OSError, match="No space left"):
        load("workload", root, cache=tmp_path)


def test_copies_are_noticed(root: Path, tmp_path: Path) -> None:
    for release in ("v1", "v2"):
        (tmp_path / release).mkdir()
        content = (root / "deep/er/Subject03_1.edf").read_bytes()
        (tmp_path / release / "Subject03_1.edf").write_bytes(content)
    with pytest.warns(RuntimeWarning, match="1 recordings .* more than once.*v1.*and.*v2"):
        load("workload", tmp_path)


def test_only_the_electrodes_must_be_unique(root: Path, tmp_path: Path) -> None:
    content = (root / "deep/er/Subject03_1.edf").read_bytes()
    assert content.count(b"EEG A2-A1") == content.count(b"ECG ECG  ") == 1
    both = content.replace(b"EEG A2-A1", b"ECG ECG  ")
    (tmp_path / "Subject03_1.edf").write_bytes(both)
    assert len(load("workload", tmp_path)) == 29
