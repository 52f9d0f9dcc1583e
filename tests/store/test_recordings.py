"""One file into a row of the index, or the reason why not."""

from __future__ import annotations

import errno
import hashlib
from pathlib import Path
from typing import Any

import mne
import numpy as np
import pytest
from simulated_files import file_sha256, make_raw, save

from mne_neurolm.preprocessing import prepare_raw
from mne_neurolm.store.format import Row
from mne_neurolm.store.recordings import Job, hash_source, prepare_file, stat_source
from mne_neurolm.store.report import File


def run(path: Path, part: Path | None = None, **options: Any) -> Row | File:
    job = Job(path=path, name=f"lab/{path.name}", dataset="lab", subject="anna", **options)
    return prepare_file(job, part or path.parent / "part")


def stored(path: Path, **options: Any) -> Row:
    row = run(path, **options)
    assert isinstance(row, Row), row
    return row


def refused(path: Path, **options: Any) -> tuple[str, str]:
    file = run(path, **options)
    assert isinstance(file, File), file
    return file.status, file.reason


@pytest.mark.parametrize("sfreq", [200.0, 256.0])
def test_stores_what_prepare_raw_gives(tmp_path: Path, sfreq: float) -> None:
    raw = make_raw(seconds=40.3, sfreq=sfreq, ch_names=("EEG Fz-REF", "Cz", "EOG", "Pz"))
    raw.set_annotations(mne.Annotations([10.0, 3.0], [2.0, 0.0], ["b", "a"]))
    path = save(raw, tmp_path / "anna_raw.fif")
    row = stored(path)
    recording = row.recording
    expected = prepare_raw(raw, on_missing="ignore", verbose="ERROR").get_data().T
    counts = np.fromfile(tmp_path / "part", dtype="<i2").reshape(-1, 3)
    assert counts.shape == expected.shape == (recording.n_times, 3)
    error = np.abs(counts * recording.scale - expected).max()
    assert error <= 0.5 * recording.scale * (1 + 1e-6)  # the file holds doubles
    assert row.data_sha256 == file_sha256(tmp_path / "part")
    assert recording.sha256 == file_sha256(path)
    assert recording.ch_names == ("EEG Fz-REF", "Cz", "Pz") and row.left_out == 1
    assert "EOG" in row.notes
    assert recording.line_freq == 50.0 and row.source_sfreq == sfreq
    seconds = expected[: 40 * 200].reshape(40, 200, 3).std(axis=1)
    assert row.sd == pytest.approx(np.median(np.median(seconds, axis=0)))
    assert recording.annotations == ((3.0, 0.0, "a"), (10.0, 2.0, "b"))


def test_annotations_of_a_cropped_recording(tmp_path: Path) -> None:
    raw = make_raw(seconds=30.0)
    raw.set_annotations(mne.Annotations([12.0, 25.0], [1.0, 1.0], ["x", "y"]))
    path = save(raw.crop(10.0, 29.0), tmp_path / "a_raw.fif")
    assert stored(path).recording.annotations == ((2.0, 1.0, "x"), (15.0, 1.0, "y"))


@pytest.mark.parametrize("ending", ["edf", "bdf", "set", "vhdr"])
def test_formats(tmp_path: Path, ending: str) -> None:
    raw = make_raw(seconds=20.0, sfreq=250.0)
    path = tmp_path / f"a.{ending}"
    if ending == "set":
        scipy_io = pytest.importorskip("scipy.io")
        eeg = {
            "data": raw.get_data() * 1e6,
            "nbchan": 4,
            "pnts": raw.n_times,
            "trials": 1,
            "srate": 250.0,
            "chanlocs": {"labels": np.array(raw.ch_names, dtype=object)},
            "event": [],
            "xmin": 0.0,
        }
        scipy_io.savemat(path, {"EEG": eeg})
    else:
        fmt = "brainvision" if ending == "vhdr" else ending
        if fmt == "brainvision":
            pytest.importorskip("pybv")
        mne.export.export_raw(path, raw, fmt=fmt, verbose="error")
    row = stored(path, line_freq=50.0)
    expected = prepare_raw(raw, verbose="ERROR").get_data().T
    counts = np.fromfile(tmp_path / "part", dtype="<i2").reshape(-1, 4)
    assert counts.shape == expected.shape
    # formats have their own resolution, EDF 16 bits too
    assert np.abs(counts * row.recording.scale - expected).max() < 0.01 * expected.std()


def test_line_frequency(tmp_path: Path) -> None:
    silent = save(make_raw(line_freq=None), tmp_path / "silent_raw.fif")
    says = save(make_raw(line_freq=60.0), tmp_path / "says_raw.fif")
    assert stored(says).recording.line_freq == 60.0
    assert stored(says, line_freq=50.0).recording.line_freq == 50.0
    assert stored(says, line_freq=None).recording.line_freq is None
    row = stored(silent)
    assert row.recording.line_freq is None and "no notch" in row.notes
    row = stored(silent, known_line_freq=60.0)
    assert row.recording.line_freq == 60.0 and "no notch" not in row.notes
    assert stored(says, known_line_freq=50.0).recording.line_freq == 60.0
    slow = save(make_raw(sfreq=100.0), tmp_path / "slow_raw.fif")
    row = stored(slow)
    assert row.recording.line_freq is None  # 50 Hz is beyond what it holds
    assert "nothing above 50 Hz" in row.notes


def test_broken_channels_are_left_out(tmp_path: Path) -> None:
    raw = make_raw(ch_names=("Fz", "Cz", "Pz", "O1", "O2", "F3"))
    raw._data[1] = 0.0
    raw._data[4, 50] = np.nan
    raw.info["bads"] = ["F3"]
    row = stored(save(raw, tmp_path / "a_raw.fif"))
    assert row.recording.ch_names == ("Fz", "Pz", "O1") and row.left_out == 3
    for note in ("left out F3: bad", "left out Cz: flat", "left out O2: NaN or infinite"):
        assert note in row.notes


def test_one_huge_artefact_costs_its_channel(tmp_path: Path) -> None:
    raw = make_raw()
    raw._data[2, 2000:2010] = 1.0
    row = stored(save(raw, tmp_path / "a_raw.fif"))
    assert row.recording.ch_names == ("Fz", "Cz", "O1")
    assert "left out Pz: artefacts too large for int16" in row.notes
    assert row.recording.scale < 0.05 * row.sd


def test_unusable_content(tmp_path: Path) -> None:
    def refuse(raw: mne.io.BaseRaw, **options: Any) -> str:
        status, reason = refused(save(raw, tmp_path / "a_raw.fif"), **options)
        assert status == "skipped"
        return reason

    assert refuse(make_raw(seconds=3.0)) == "too short: 3 s, and the least is 4 s"
    assert refuse(make_raw(seconds=9.0), min_seconds=10.0).startswith("too short: 9 s")
    assert refuse(make_raw(ch_names=("ECG", "X1"))).startswith("no usable channel: No usable EEG")
    raw = make_raw()
    raw._data[:] = 1e-3
    assert refuse(raw).startswith("flat: of 4 channels, 4 flat")
    raw = make_raw()
    raw._data[:, 100] = np.nan
    assert refuse(raw).startswith("NaN or infinite: of 4 channels")
    raw = make_raw()
    raw._data.clip(-2e-5, 2e-5, out=raw._data)
    assert refuse(raw).startswith("clipped: of 4 channels, 4 clipped")
    assert refuse(make_raw(microvolts=2e7)).startswith("implausible unit: ")
    assert refuse(make_raw(microvolts=1e-3)).startswith("implausible unit: ")
    raw = make_raw()
    raw._data[:, 2000:2010] = 1.0
    assert refuse(raw).startswith("artefacts too large for int16: of 4 channels, 4")


def test_unreadable_files(tmp_path: Path) -> None:
    (tmp_path / "a.edf").write_bytes(b"this is no EDF")
    (tmp_path / "empty.bdf").touch()
    whole = save(make_raw(), tmp_path / "cut_raw.fif").read_bytes()
    (tmp_path / "cut_raw.fif").write_bytes(whole[:300])
    for name in ("a.edf", "empty.bdf", "cut_raw.fif", "gone.edf"):
        status, reason = refused(tmp_path / name)
        assert status == "failed" and reason.startswith("cannot be read: "), name
        assert "\n" not in reason


def test_epochs_are_not_continuous(tmp_path: Path, shared_data: Path) -> None:
    epochs = mne.make_fixed_length_epochs(make_raw(), 2.0, preload=True, verbose="error")
    epochs.save(tmp_path / "a-epo.fif", verbose="error")
    (tmp_path / "renamed_raw.fif").write_bytes((tmp_path / "a-epo.fif").read_bytes())
    for path in (
        tmp_path / "a-epo.fif",
        tmp_path / "renamed_raw.fif",
        shared_data / "formats/test_epochs_onefile.set",
    ):
        status, reason = refused(path, part=tmp_path / "part")
        assert status == "skipped" and reason.startswith("not continuous: "), reason


def test_neuroscan_whose_header_lacks_the_bits(tmp_path: Path, shared_data: Path) -> None:
    """Read as 16-bit; its electrodes are numbered, so it is of no use all the same."""
    file = run(shared_data / "formats/scan41_short.cnt", part=tmp_path / "part")
    assert isinstance(file, File)
    assert "read as int16" in file.notes
    assert file.status == "skipped" and file.reason.startswith("no usable channel")
    assert "125 are unknown (1, 2, 3" in file.reason


def test_known_content_is_not_prepared(tmp_path: Path) -> None:
    path = save(make_raw(), tmp_path / "a_raw.fif")
    file = run(path, known=(file_sha256(path),))
    assert isinstance(file, File) and file.status == "duplicate"
    assert file.sha256 == file_sha256(path)
    assert not (tmp_path / "part").exists()


def test_full_disk_is_no_property_of_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(*args: Any, **kwargs: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    path = save(make_raw(), tmp_path / "a_raw.fif")
    monkeypatch.setattr("mne_neurolm.store.signals.to_counts", fill)
    with pytest.raises(OSError, match="No space left"):
        run(path)


def test_all_parts_of_a_recording_count(tmp_path: Path) -> None:
    """The headers of two BrainVision recordings can be the same, byte for byte."""
    for folder, content in (("a", b"123"), ("b", b"124")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "eeg.vhdr").write_text("DataFile=$b.eeg\nMarkerFile=other.vmrk\n")
        (tmp_path / folder / "eeg.eeg").write_bytes(content)
        (tmp_path / folder / "other.vmrk").write_bytes(b"marks")
    first, second = (tmp_path / folder / "eeg.vhdr" for folder in "ab")
    assert hash_source(first) != hash_source(second)
    header = len(first.read_bytes())
    size, changed = stat_source(first)
    assert size == header + 3 + 5
    assert changed == max(file.stat().st_mtime_ns for file in (tmp_path / "a").iterdir())
    lone = tmp_path / "lone.edf"
    lone.write_bytes(b"abc")
    assert hash_source(lone) == hashlib.sha256(b"abc").hexdigest()


def test_real_recording(shared_data: Path, tmp_path: Path) -> None:
    row = stored(shared_data / "eegmat/Subject00_2.edf", part=tmp_path / "part", line_freq=50.0)
    assert len(row.recording.channels) == 19 and row.left_out == 2
    assert "left out EEG A2-A1, ECG ECG" in row.notes
    assert row.source_sfreq == 500.0 and row.recording.n_times == 62 * 200
    assert row.recording.scale < 0.005 * row.sd
