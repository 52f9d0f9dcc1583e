"""Writing a store, and finding it in order after a kill."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mne_neurolm.store import Store, StoreWriter
from mne_neurolm.store.format import INDEX, JOURNAL, MANIFEST, REPORT, Recording, Row
from mne_neurolm.store.report import File


def signal(seed: int = 0, n_times: int = 400) -> np.ndarray:
    return 2e-5 * np.random.default_rng(seed).standard_normal((n_times, 2))


def add(writer: StoreWriter, name: str, seed: int = 0, **options: Any) -> None:
    writer.add(name=name, data_volts=signal(seed), ch_names=["Cz", "Pz"], **options)


def names(path: Path) -> list[str]:
    store = Store(path)
    for index, recording in enumerate(store.recordings):
        store.counts(index, 0, recording.n_times)
    return [recording.name for recording in store.recordings]


def test_shards_are_filled_and_followed_by_others(tmp_path: Path) -> None:
    with StoreWriter(tmp_path, shard_bytes=4000) as writer:  # two recordings of 1600 bytes each
        for k in range(5):
            add(writer, f"x/{k}", seed=k)
    with StoreWriter(tmp_path, shard_bytes=4000) as writer:
        add(writer, "x/5", seed=5)
        add(writer, "x/6", seed=6)
    sizes = {file.name: file.stat().st_size for file in (tmp_path / "shards").iterdir()}
    assert sizes == {f"{k:05d}.bin": 3200 for k in range(3)} | {"00003.bin": 1600}
    store = Store(tmp_path)
    for k in range(7):
        assert np.allclose(store.volts(k), signal(k), atol=0.51 * store.recordings[k].scale)


def test_readable_while_it_is_written(tmp_path: Path) -> None:
    with StoreWriter(tmp_path) as writer:
        assert names(tmp_path) == []
        add(writer, "x/a")
        assert names(tmp_path) == ["x/a"]
        add(writer, "x/b")
        writer.set_aside(File(name="x/a", status="skipped"))
        writer.commit()
        assert names(tmp_path) == ["x/b"]
        assert (tmp_path / JOURNAL).read_bytes().count(b"\n") == 3
        writer.flush()
        assert (tmp_path / JOURNAL).read_bytes() == b""
        assert names(tmp_path) == ["x/b"]


def test_index_is_written_now_and_then(tmp_path: Path) -> None:
    with StoreWriter(tmp_path, flush_seconds=0.0) as writer:
        writer._flush_after = 0.0
        add(writer, "x/a")
        assert (tmp_path / JOURNAL).read_bytes() == b""
        assert list(json.loads((tmp_path / MANIFEST).read_bytes())["recordings"]) == ["x/a"]


def test_wrong_recordings(tmp_path: Path) -> None:
    with StoreWriter(tmp_path) as writer:
        add(writer, "x/a")
        with pytest.raises(ValueError, match="already a recording 'x/a'"):
            add(writer, "x/a")
        with pytest.raises(ValueError, match=r"shape \(n_times, 2\).*got \(400, 3\)"):
            writer.add(name="x/b", data_volts=np.zeros((400, 3)), ch_names=["Cz", "Pz"])
        with pytest.raises(ValueError, match="not in NeuroLM's vocabulary"):
            writer.add(name="x/b", data_volts=signal(), ch_names=["Cz", "nose"])
        with pytest.raises(ValueError, match="repeated"):
            writer.add(name="x/b", data_volts=signal(), ch_names=["Cz", "EEG Cz-REF"])
        with pytest.raises(ValueError, match="NaN"):
            writer.add(name="x/b", data_volts=np.full((9, 2), np.nan), ch_names=["Cz", "Pz"])
    assert names(tmp_path) == ["x/a"]


def test_folder_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(ValueError, match="not a store and not empty .*thesis.tex"):
        StoreWriter(tmp_path).__enter__()


def test_another_recipe(tmp_path: Path) -> None:
    with StoreWriter(tmp_path) as writer:
        add(writer, "x/a")
    manifest = json.loads((tmp_path / MANIFEST).read_bytes())
    manifest["recipe"]["h_freq"] = 45.0
    (tmp_path / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(ValueError, match=r"another recipe: h_freq is 45\.0 there and 75\.0 here"):
        StoreWriter(tmp_path).__enter__()
    assert names(tmp_path) == ["x/a"]  # reading it is no problem


def test_lost_manifest_or_index_is_not_made_anew(tmp_path: Path) -> None:
    with StoreWriter(tmp_path) as writer:
        add(writer, "x/a")
    manifest = (tmp_path / MANIFEST).read_bytes()
    (tmp_path / MANIFEST).unlink()
    with pytest.raises(ValueError, match=r"holds shards \(00000.bin\) but no manifest.json"):
        StoreWriter(tmp_path).__enter__()
    (tmp_path / MANIFEST).write_bytes(manifest)
    (tmp_path / INDEX).unlink()
    with pytest.raises(FileNotFoundError):
        StoreWriter(tmp_path).__enter__()
    assert (tmp_path / "shards/00000.bin").stat().st_size == 1600


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    other = (
        "import sys; from mne_neurolm.store import StoreWriter\n"
        "try: StoreWriter(sys.argv[1]).__enter__()\n"
        "except BlockingIOError as error: sys.exit(f'{error}')"
    )
    with StoreWriter(tmp_path) as writer:
        done = subprocess.run(
            [sys.executable, "-c", other, str(tmp_path)], capture_output=True, text=True
        )
        assert done.returncode == 1 and "Another process is writing" in done.stderr
        add(writer, "x/a")
    with StoreWriter(tmp_path) as writer:  # the lock is gone with its holder
        assert list(writer.rows) == ["x/a"]


def test_torn_journal_and_tail(tmp_path: Path) -> None:
    writer = StoreWriter(tmp_path).__enter__()
    add(writer, "x/a")
    add(writer, "x/b", seed=1)
    writer.set_aside(File(name="x/c", status="skipped", reason="too short: 1 s"))
    writer.commit()
    writer._resources.close()  # what a kill leaves: no index, only the journal
    journal = tmp_path / JOURNAL
    with open(journal, "ab") as file:
        file.write(b'{"sequence": 4, "row": {"name": "x/d", "n_ti')
    with open(tmp_path / "shards/00000.bin", "ab") as file:
        file.write(b"\1" * 777)
    (tmp_path / (INDEX + ".partial")).write_bytes(b"PAR1")
    assert names(tmp_path) == ["x/a", "x/b"]
    with StoreWriter(tmp_path) as writer:
        assert list(writer.rows) == ["x/a", "x/b"]
        assert writer.others["x/c"].reason == "too short: 1 s"
        assert (tmp_path / "shards/00000.bin").stat().st_size == 3200
        add(writer, "x/d", seed=2)
    store = Store(tmp_path)
    assert np.allclose(store.volts(2), signal(2), atol=0.51 * store.recordings[2].scale)


@pytest.mark.parametrize("n_written", range(4))
def test_stopped_while_the_index_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n_written: int
) -> None:
    """Report, index and manifest are written one after the other; stop after each."""
    with StoreWriter(tmp_path) as writer:
        add(writer, "x/a")
        writer.set_aside(File(name="x/z", status="skipped", reason="flat"))
    writer = StoreWriter(tmp_path).__enter__()
    add(writer, "x/b", seed=1)
    writer.set_aside(File(name="x/y", status="skipped", reason="flat"))
    writer.commit()
    original, calls = StoreWriter._write, []

    def write(self: StoreWriter, name: str, data: bytes) -> None:
        if len(calls) == n_written:
            raise InterruptedError("stopped here")
        calls.append(name)
        original(self, name, data)

    with monkeypatch.context() as patch:
        patch.setattr(StoreWriter, "_write", write)
        if n_written < 3:
            with pytest.raises(InterruptedError):
                writer.flush()
        else:  # all are written, the journal is not yet emptied
            patch.setattr(writer, "_journal", open(tmp_path / "elsewhere.partial", "wb"))
            writer.flush()
            writer._journal.close()
    writer._resources.close()
    assert calls == [REPORT, INDEX, MANIFEST][:n_written]
    assert names(tmp_path) == ["x/a", "x/b"]
    with StoreWriter(tmp_path) as writer:
        assert sorted(writer.others) == ["x/y", "x/z"]
    assert names(tmp_path) == ["x/a", "x/b"]


def test_full_disk_leaves_nothing_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno

    from mne_neurolm.store import writer as module

    def fill(file, data):
        file.write(data[: len(data) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    writer = StoreWriter(tmp_path).__enter__()
    add(writer, "x/a")
    with monkeypatch.context() as patch:
        patch.setattr(module, "_write_all", fill)
        with pytest.raises(OSError, match="No space left"):
            add(writer, "x/b")
    assert (tmp_path / "shards/00000.bin").stat().st_size == 1600
    add(writer, "x/c", seed=3)  # there is space again
    writer.__exit__(None, None, None)
    assert names(tmp_path) == ["x/a", "x/c"]


def test_damaged_store_is_refused_or_repaired(tmp_path: Path) -> None:
    with StoreWriter(tmp_path, shard_bytes=2000) as writer:
        for k in range(3):
            add(writer, f"x/{k}", seed=k)
    (tmp_path / "shards/00001.bin").unlink()
    with pytest.raises(
        ValueError, match=r"1 recording.*x/1: the shard shards/00001.bin is missing"
    ):
        StoreWriter(tmp_path).__enter__()
    shard = tmp_path / "shards/00002.bin"
    damaged = bytearray(shard.read_bytes())
    damaged[100] ^= 1
    shard.write_bytes(damaged)
    with StoreWriter(tmp_path, shard_bytes=2000, repair=True) as writer:
        assert writer.repaired == ["x/1", "x/2"]
        add(writer, "x/1", seed=1)
    assert names(tmp_path) == ["x/0", "x/1"]


def test_committed_bytes_are_never_cut_off(tmp_path: Path) -> None:
    """A reader that maps a shard goes on reading what was replaced or set aside since."""
    signal = np.random.default_rng(0).standard_normal((2000, 2)) * 1e-5
    common = {"dataset": "d", "subject": "1", "split": "", "ch_names": ["C3", "C4"]}
    common |= {"annotations": [], "line_freq": None}
    with StoreWriter(tmp_path / "store") as writer:
        for name in ("d/a", "d/b"):
            writer.add(name=name, data_volts=signal, **common)
    reader = Store(tmp_path / "store")
    before = reader.counts(1, 0, 2000)
    with StoreWriter(tmp_path / "store") as writer:
        writer.set_aside(File(name="d/b", status="skipped", reason="gone"))
    for _ in range(2):  # opening once more must not cut either
        with StoreWriter(tmp_path / "store") as writer:
            assert list(writer.rows) == ["d/a"]
    np.testing.assert_array_equal(reader.counts(1, 0, 2000), before)


def test_foreign_files_among_shards_are_left_alone(tmp_path: Path) -> None:
    signal = np.random.default_rng(0).standard_normal((2000, 2)) * 1e-5
    common = {"dataset": "d", "subject": "1", "split": "", "ch_names": ["C3", "C4"]}
    common |= {"annotations": [], "line_freq": None, "data_volts": signal}
    with StoreWriter(tmp_path / "store") as writer:
        writer.add(name="d/a", **common)
    backup = tmp_path / "store" / "shards" / "00000_backup.bin"
    backup.write_bytes(b"precious")
    with StoreWriter(tmp_path / "store") as writer:
        writer.add(name="d/b", **common)
    assert backup.read_bytes() == b"precious"
    assert {r.shard for r in Store(tmp_path / "store").recordings} == {"shards/00000.bin"}


@pytest.mark.parametrize("place", ["shards/../../victim.bin", "/etc/passwd", "shards/a.bin"])
def test_places_outside_of_a_store_are_refused(place: str) -> None:
    row = {name: None for name in Recording.__dataclass_fields__}
    row |= {"name": "d/a", "shard": place, "offset": 0}
    row |= {"channels": [], "ch_names": [], "annotations": []}
    with pytest.raises(ValueError, match="which is no place in a store"):
        Row.from_dict(row)
