"""Stores as MNE recordings and Braindecode datasets, and the way back."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import mne
import numpy as np
import pandas as pd
import pytest

from mne_neurolm.datasets import load
from mne_neurolm.store import Store, StoredRaw, StoreWriter, from_braindecode, to_braindecode

NOTES = ((1.0, 2.0, "W"), (5.0, 0.5, "R"))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    rng = np.random.default_rng(0)
    with StoreWriter(tmp_path / "store") as writer:
        for subject, split in (("anna", "train"), ("ben", "")):
            writer.add(
                name=f"lab/{subject}",
                subject=subject,
                split=split,
                data_volts=2e-5 * rng.standard_normal((3000, 3)),
                ch_names=["Cz", "T3", "Pz"],
                annotations=NOTES,
                line_freq=60.0,
            )
    return Store(tmp_path / "store")


def test_a_stored_recording_is_a_raw(store: Store) -> None:
    raw = StoredRaw(store, 1)
    assert (raw.n_times, raw.info["sfreq"], raw.ch_names) == (3000, 200.0, ["CZ", "T3", "PZ"])
    assert (raw.info["highpass"], raw.info["lowpass"], raw.info["line_freq"]) == (0.1, 75.0, 60.0)
    assert np.isfinite([ch["loc"][:3] for ch in raw.info["chs"]]).all()
    assert raw.annotations.onset.tolist() == [1.0, 5.0]
    volts = store.volts(1)
    np.testing.assert_allclose(raw.get_data(), volts.T, rtol=1e-6)
    part = raw.get_data(picks=["PZ", "CZ"], start=2990)
    np.testing.assert_allclose(part, volts[2990:, [2, 0]].T, rtol=1e-6)
    again = pickle.loads(pickle.dumps(raw))  # as a worker of a data loader does
    assert np.array_equal(again.get_data(), raw.get_data()) and not raw.preload
    filtered = raw.copy().load_data().filter(1.0, 40.0, verbose="error")
    assert filtered.get_data().shape == (3, 3000)


def test_to_braindecode(store: Store) -> None:
    dataset = to_braindecode(store.path)
    assert len(dataset.datasets) == 2 and len(dataset) == 6000
    assert dataset.description["subject"].tolist() == ["anna", "ben"]
    assert dataset.description["split"].tolist() == ["train", ""]
    x, _ = dataset[3000 + 7]
    np.testing.assert_allclose(x[:, 0], store.volts(1, 7, 1)[0], rtol=1e-6)


def test_there_and_back(store: Store, tmp_path: Path) -> None:
    dataset = to_braindecode(store)
    copy = from_braindecode(dataset, tmp_path / "copy", name="again", prepared=True)
    assert [r.subject for r in copy.recordings] == ["anna", "ben"]
    assert [r.split for r in copy.recordings] == ["train", ""]
    for index, recording in enumerate(copy.recordings):
        assert recording.annotations == NOTES and recording.line_freq == 60.0
        step = max(recording.scale, store.recordings[index].scale)
        assert np.abs(copy.volts(index) - store.volts(index)).max() <= 0.51 * step


def test_from_windows(write_eegmat: Callable[..., Path], tmp_path: Path) -> None:
    """The recordings behind windows are written, with their labels and split."""
    for name in ("Subject00_2", "Subject26_1"):
        write_eegmat(tmp_path / "eegmat", name)
    dataset = load("workload", tmp_path / "eegmat")
    store = from_braindecode(dataset, tmp_path / "store", name="workload", prepared=True)
    assert [(r.subject, r.split) for r in store.recordings] == [
        ("Subject00", "train"),
        ("Subject26", "val"),
    ]
    assert store.recordings[0].annotations == ((2.0, 60.0, "Yes"),)
    assert store.recordings[0].n_times == 62 * 200
    with pytest.raises(ValueError, match="already a recording 'workload/000000'"):
        from_braindecode(dataset, tmp_path / "store", name="workload", prepared=True)


def test_labels_of_other_parts_stay_behind(tmp_path: Path) -> None:
    """A split that cuts through a recording: its training part brings no test labels along."""
    from braindecode.datasets import BaseConcatDataset, EEGWindowsDataset

    data = 2e-5 * np.random.default_rng(0).standard_normal((2, 200 * 60))
    raw = mne.io.RawArray(data, mne.create_info(["C3", "C4"], 200.0, "eeg"), verbose="error")
    raw.set_annotations(mne.Annotations([0, 20, 40], [10, 10, 10], ["W", "R", "W"]))
    parts = []
    for part, first in (("train", 0), ("train", 4000), ("test", 8000)):
        table = pd.DataFrame(
            {"i_window_in_trial": [0], "i_start_in_trial": first, "i_stop_in_trial": first + 2000}
        ).assign(target=0)
        parts.append(EEGWindowsDataset(raw, table, {"subject": "a", "split": part}))
    train = BaseConcatDataset(parts[:2])
    store = from_braindecode(train, tmp_path / "store", name="x", prepared=True)
    assert [note[0] for note in store.recordings[0].annotations] == [0.0, 20.0]
    assert store.recordings[0].split == "train"
    both = from_braindecode(BaseConcatDataset(parts), tmp_path / "both", name="x", prepared=True)
    assert [note[0] for note in both.recordings[0].annotations] == [0.0, 20.0, 40.0]
    assert both.recordings[0].split == ""


def test_recordings_are_prepared_on_the_way(tmp_path: Path) -> None:
    from braindecode.datasets import BaseConcatDataset, RawDataset

    data = 2e-5 * np.random.default_rng(0).standard_normal((2, 250 * 60))
    raw = mne.io.RawArray(data, mne.create_info(["C3", "C4"], 250.0, "eeg"), verbose="error")
    dataset = BaseConcatDataset([RawDataset(raw, {"subject": 7})])
    with pytest.raises(ValueError, match="sampled at 250 Hz, so it is not prepared"):
        from_braindecode(dataset, tmp_path / "wrong", name="mine", prepared=True)
    store = from_braindecode(dataset, tmp_path / "store", name="mine", line_freq=50.0)
    assert store.recordings[0].line_freq == 50.0
    assert store.recordings[0].n_times == 12_000 and store.recordings[0].subject == "7"


def test_epochs_are_no_recordings(epochs: mne.EpochsArray, tmp_path: Path) -> None:
    from braindecode.datasets import BaseConcatDataset, WindowsDataset

    table = pd.DataFrame(
        {"i_window_in_trial": 0, "i_start_in_trial": 0, "i_stop_in_trial": 800, "target": 0},
        index=range(2),
    )
    two = mne.EpochsArray(epochs.get_data()[:2], epochs.info, metadata=table, verbose="error")
    with pytest.raises(ValueError, match="this dataset holds WindowsDataset"):
        from_braindecode(BaseConcatDataset([WindowsDataset(two)]), tmp_path / "s", name="none")
