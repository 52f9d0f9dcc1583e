"""Which files make up a recording."""

from __future__ import annotations

from pathlib import Path

import mne
import numpy as np
import pytest

from mne_neurolm.datasets._files import find_recordings, parts_of


@pytest.mark.parametrize(
    ("first", "others", "strangers"),
    [
        ("a.edf", "", "a.fdt b.edf"),
        ("a.set", "a.fdt", "a.json b.fdt"),
        ("A.SET", "A.FDT", ""),
        ("a_raw.fif", "a_raw-1.fif a_raw-2.fif", "a_raw-4.fif b_raw-1.fif a.fif"),
        ("a_raw.fif.gz", "a_raw-1.fif.gz", "a_raw-1.fif"),
        ("s_split-01_eeg.fif", "s_split-02_eeg.fif s_split-03_eeg.fif", "s_split-05_eeg.fif"),
        ("a.cdt", "a.cdt.dpa", "a.dap"),
        ("a.lay", "a.dat", ""),
        ("a.mff/x.bin", "a.mff/info/y.xml", "a.edf"),
    ],
)
def test_parts(tmp_path: Path, first: str, others: str, strangers: str) -> None:
    for name in (first, *others.split(), *strangers.split()):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    if first.startswith("a.mff"):
        parts = parts_of(tmp_path / "a.mff")
        assert set(parts) == {tmp_path / first, tmp_path / others}
        return
    parts = parts_of(tmp_path / first)
    assert parts == [tmp_path / name for name in (first, *others.split())]
    # none of the others is taken for a recording of its own
    assert not set(parts[1:]) & set(find_recordings(tmp_path))


def test_brainvision_names_its_parts(tmp_path: Path) -> None:
    (tmp_path / "a.vhdr").write_text("DataFile=data.eeg\r\nMarkerFile=$b.vmrk\n;DataFile=c.eeg")
    for name in ("data.eeg", "a.vmrk", "a.eeg", "c.eeg"):
        (tmp_path / name).touch()
    assert [part.name for part in parts_of(tmp_path / "a.vhdr")] == ["a.vhdr", "a.vmrk", "data.eeg"]


def test_split_files_of_mne(tmp_path: Path) -> None:
    info = mne.create_info(4, 200.0, "eeg")
    raw = mne.io.RawArray(1e-5 * np.ones((4, 250_000)), info, verbose="error")
    for naming, name in (("neuromag", "a_raw.fif"), ("bids", "b_raw.fif")):
        raw.save(tmp_path / name, split_size="3MB", split_naming=naming, verbose="error")
    first, second = find_recordings(tmp_path)
    assert [len(parts_of(first)), len(parts_of(second))] == [2, 2]
    everything = {*parts_of(first), *parts_of(second)}
    assert everything == {file for file in tmp_path.iterdir() if file.suffix == ".fif"}


def test_in_formats(shared_data: Path) -> None:
    names = {
        file.name: [part.name for part in parts_of(file)[1:]]
        for file in find_recordings(shared_data / "formats")
    }
    assert names["eeglab_data.set"] == ["eeglab_data.fdt"]
    assert names["test.vhdr"] == ["test.eeg", "test.vmrk"]
    assert names["test.edf"] == []
