"""Reading windows, from disk and through fsspec."""

from __future__ import annotations

import pickle
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import fsspec
import numpy as np
import pytest

from mne_neurolm.store import Recording, Store, StoreWriter
from mne_neurolm.store import access as access_module

SIGNALS = {
    "lab/a": (
        np.random.default_rng(0).standard_normal((1500, 3)) * 2e-5,
        ["Cz", "Pz", "EEG O1-REF"],
    ),
    "lab/b": (np.random.default_rng(1).standard_normal((900, 2)) * 5e-5, ["Fp1", "Fp2"]),
    "lab/c": (np.random.default_rng(2).standard_normal((700, 2)) * 1e-5, ["Fp1", "Fp2"]),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a store of three recordings in two shards."""
    path = tmp_path / "store"
    with StoreWriter(path, shard_bytes=12_000) as writer:
        for name in ("lab/c", "lab/a", "lab/b"):
            data, ch_names = SIGNALS[name]
            writer.add(
                name=name,
                data_volts=data,
                ch_names=ch_names,
                subject=name[-1],
                annotations=[(1.0, 2.0, "open")],
                line_freq=50.0,
            )
    return path


def _last_count(store: Store) -> int:
    return int(store.counts(0, 1499, 1)[0, 0])


def test_what_is_in_a_store(folder: Path) -> None:
    store = Store(folder)
    assert [r.name for r in store.recordings] == ["lab/a", "lab/b", "lab/c"] and len(store) == 3
    first = store.recordings[0]
    assert isinstance(first, Recording)
    assert (first.dataset, first.subject, first.split) == ("lab", "a", "")
    assert first.ch_names == ("Cz", "Pz", "EEG O1-REF") and first.channels == (41, 63, 80)
    assert first.annotations == ((1.0, 2.0, "open"),) and first.line_freq == 50.0
    assert (first.n_times, first.sfreq, first.seconds) == (1500, 200.0, 7.5)
    assert store.hours == pytest.approx((1500 + 900 + 700) / 200 / 3600)
    assert len({r.shard for r in store.recordings}) == 2
    assert "3 recordings" in repr(store)
    assert store.manifest["recordings"]["lab/a"] == first.sha256
    assert store.manifest["recipe"]["sfreq"] == 200.0


def test_windows(folder: Path) -> None:
    store = Store(str(folder))
    for index, (data, _) in enumerate(SIGNALS.values()):
        scale = store.recordings[index].scale
        whole = store.volts(index)
        assert whole.dtype == np.float32 and whole.shape == data.shape
        # half a step, and the rounding of float32
        assert np.abs(whole - data).max() <= 0.5 * scale + 1e-7 * np.abs(data).max()
        exact = store.counts(index, 0, len(data)) * scale
        assert np.abs(exact - data).max() <= 0.5 * scale * (1 + 1e-9)
        assert np.array_equal(store.volts(index, start=100, n_times=50), whole[100:150])
        assert np.array_equal(store.volts(index, start=600), whole[600:])
        window = store.counts(index, len(data) - 3, 3)
        assert window.dtype == np.int16 and window.flags.writeable
        assert store.counts(index, 5, 0).shape == (0, data.shape[1])


def test_windows_outside(folder: Path) -> None:
    store = Store(folder)
    for start, n_times in ((-1, 10), (1499, 2), (0, 1501), (0, -1)):
        with pytest.raises(IndexError, match="not inside lab/a, which has 1500"):
            store.counts(0, start, n_times)
    with pytest.raises(IndexError):
        store.counts(3, 0, 1)


def test_one_window_is_one_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads = []
    original = access_module.LocalFolder.read_range

    def record(self, name, begin, n_bytes):
        reads.append((name, begin, n_bytes))
        return original(self, name, begin, n_bytes)

    monkeypatch.setattr(access_module.LocalFolder, "read_range", record)
    store = Store(folder)
    store.counts(1, 100, 400)
    b = store.recordings[1]
    assert reads == [(b.shard, b.offset + 100 * 2 * 2, 400 * 2 * 2)]


def test_few_shards_stay_open(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access_module, "_MAX_OPEN", 1)
    store = Store(folder)
    expected = [store.volts(k) for k in range(3)]
    for _ in range(3):
        assert all(np.array_equal(store.volts(k), expected[k]) for k in range(3))
    assert len(store._files._maps) == 1


def test_pickled_and_in_other_processes(folder: Path) -> None:
    store = Store(folder)
    expected = _last_count(store)  # the map is open, and must not travel
    copy = pickle.loads(pickle.dumps(store))
    assert _last_count(copy) == expected and copy.fingerprint == store.fingerprint
    with ProcessPoolExecutor(1, mp_context=get_context("forkserver")) as pool:
        assert pool.submit(_last_count, store).result() == expected


def test_missing_and_short_shards(folder: Path) -> None:
    store = Store(folder)
    b = store.recordings[1]
    shard = folder / b.shard
    content = shard.read_bytes()
    shard.write_bytes(content[: b.offset + 100])
    with pytest.raises(ValueError, match=rf"{b.shard} .*incomplete.* 1 recording.*lab/b.*--repair"):
        Store(folder).volts(1)
    assert len(Store(folder).counts(1, 0, 25)) == 25  # what is there can be read
    shard.write_bytes(b"")
    with pytest.raises(ValueError, match="incomplete"):
        Store(folder).volts(1)
    shard.unlink()
    with pytest.raises(FileNotFoundError, match=rf"{b.shard} .*is missing.*lab/b.*Restore it"):
        Store(folder).volts(1)
    assert Store(folder).volts(0).shape == (1500, 3)


def test_no_store(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no manifest\.json.*mne_neurolm\.prepare"):
        Store(tmp_path)
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(ValueError, match="not the manifest"):
        Store(tmp_path)


def test_missing_index(folder: Path) -> None:
    (folder / "index.parquet").unlink()
    with pytest.raises(FileNotFoundError, match="index of the store .* is missing"):
        Store(folder)


def test_through_fsspec(folder: Path) -> None:
    memory = fsspec.filesystem("memory")
    try:
        memory.put(str(folder), "/bucket/store", recursive=True)
        local, remote = Store(folder), Store("memory://bucket/store")
        assert remote.recordings == local.recordings
        assert remote.fingerprint == local.fingerprint
        assert np.array_equal(remote.counts(0, 321, 77), local.counts(0, 321, 77))
        assert remote.counts(0, 321, 77).flags.writeable
        assert np.array_equal(pickle.loads(pickle.dumps(remote)).volts(2), local.volts(2))
        memory.rm("/bucket/store/" + local.recordings[0].shard)
        with pytest.raises(FileNotFoundError, match="is missing"):
            remote.counts(0, 0, 10)
        with pytest.raises(FileNotFoundError, match="not a store"):
            Store("memory://bucket/nothing")
    finally:
        memory.rm("/bucket", recursive=True)


def test_fingerprint_does_not_depend_on_the_shards(folder: Path, tmp_path: Path) -> None:
    with StoreWriter(tmp_path / "other") as writer:
        for name, (data, ch_names) in SIGNALS.items():
            writer.add(
                name=name,
                data_volts=data,
                ch_names=ch_names,
                subject=name[-1],
                annotations=[(1.0, 2.0, "open")],
                line_freq=50.0,
            )
    other = Store(tmp_path / "other")
    assert len({r.shard for r in other.recordings}) == 1
    assert other.fingerprint == Store(folder).fingerprint
    with StoreWriter(tmp_path / "other") as writer:
        writer.add(name="lab/d", data_volts=np.ones((200, 1)), ch_names=["Cz"])
    assert Store(tmp_path / "other").fingerprint != other.fingerprint
