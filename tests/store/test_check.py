"""What verify finds, and what inspect says."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mne_neurolm.store import Store, StoreWriter
from mne_neurolm.store.check import inspect, verify
from mne_neurolm.store.format import INDEX, MANIFEST, index_to_bytes
from mne_neurolm.store.report import File


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    with StoreWriter(tmp_path / "store", shard_bytes=5000) as writer:
        for name, ch_names in (("x/a", ["Cz", "Pz"]), ("x/b", ["Cz", "Pz"]), ("y/a", ["Cz"])):
            volts = 2e-5 * rng.standard_normal((720, len(ch_names)))
            subject = name[-1]
            writer.add(
                name=name, data_volts=volts, ch_names=ch_names, subject=subject, line_freq=50
            )
        writer.set_aside(File(name="x/c", status="skipped", reason="too short: 1 s"))
        writer.set_aside(File(name="x/d", status="failed", reason="cannot be read: ValueError: ?"))
    return tmp_path / "store"


def test_a_sound_store(folder: Path) -> None:
    verdict = verify(folder)
    assert verdict.problems == [] and verdict.remarks == []
    assert (verdict.n_recordings, verdict.n_bytes) == (3, 720 * 2 * 5)


@pytest.mark.parametrize("index", range(3))
def test_one_flipped_bit(folder: Path, index: int) -> None:
    recording = Store(folder).recordings[index]
    shard = folder / recording.shard
    data = bytearray(shard.read_bytes())
    data[recording.offset + recording.n_bytes - 1] ^= 0x10
    shard.write_bytes(data)
    (problem,) = verify(folder).problems
    assert problem.startswith(f"{recording.name}: bytes {recording.offset} to")
    assert recording.shard in problem and "have changed" in problem


def test_missing_and_short_shards(folder: Path) -> None:
    first, second = sorted((folder / "shards").iterdir())
    with open(first, "r+b") as file:
        file.truncate(first.stat().st_size - 1)
    second.unlink()
    problems = verify(folder).problems
    assert problems == [
        "x/a: the shard shards/00000.bin has 2879 bytes, the recording ends at 2880",
        "x/b: the shard shards/00001.bin is missing",
        "y/a: the shard shards/00001.bin is missing",
    ]


def test_manifest_and_index_must_agree(folder: Path) -> None:
    manifest = json.loads((folder / MANIFEST).read_bytes())
    manifest["recordings"]["x/a"] = "0" * 64
    manifest["recordings"]["x/q"] = "1" * 64
    del manifest["recordings"]["y/a"]
    (folder / MANIFEST).write_text(json.dumps(manifest))
    assert [p.partition(":")[0] for p in verify(folder).problems] == ["x/a", "x/q", "y/a"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"channels": (41, 41)}, "a channel twice"),
        ({"ch_names": ("Cz",)}, "not as many"),
        ({"scale": 0.0}, "cannot be"),
    ],
)
def test_rows_that_cannot_be(folder: Path, change: dict, message: str) -> None:
    rows = list(Store(folder).rows)
    rows[0] = replace(rows[0], recording=replace(rows[0].recording, **change))
    sequence = json.loads((folder / MANIFEST).read_bytes())["sequence"]
    (folder / INDEX).write_bytes(index_to_bytes(rows, sequence))
    (problem,) = verify(folder).problems
    assert problem.startswith("x/a: ") and message in problem


def test_overlaps_and_bytes_of_nobody(folder: Path) -> None:
    rows = list(Store(folder).rows)
    sequence = json.loads((folder / MANIFEST).read_bytes())["sequence"]
    # the second and third share a shard
    moved = replace(rows[2].recording, offset=rows[1].recording.n_bytes - 4)
    overlapping = [*rows[:2], replace(rows[2], recording=moved)]
    (folder / INDEX).write_bytes(index_to_bytes(overlapping, sequence))
    assert any(
        p == "y/a: overlaps x/b in the shard shards/00001.bin" for p in verify(folder).problems
    )
    (folder / INDEX).write_bytes(index_to_bytes(rows[1:], sequence))
    manifest = json.loads((folder / MANIFEST).read_bytes())
    del manifest["recordings"]["x/a"]
    (folder / MANIFEST).write_text(json.dumps(manifest))
    verdict = verify(folder)
    assert verdict.problems == [] and "2880 bytes of the shards belong to no" in verdict.remarks[0]
    assert "2.9 kB in the shards that nothing refers to" in inspect(folder)


def test_inspect(folder: Path) -> None:
    text = inspect(folder)
    store = Store(folder)
    steps = 1e6 * np.array([r.scale for r in store.recordings])
    for line in (
        f"fingerprint   {store.fingerprint}",
        "files         5: 3 stored, 1 skipped, 1 failed",
        "              1 too short",
        "              1 cannot be read",
        "recordings    3, 0.00 h, 3 subjects",
        "              x: 2 recordings, 0.00 h, 2 subjects",
        "size          7.2 kB",
        "channels      2 of 138 electrodes and derivations",
        "              CZ (in 3 recordings)",
        "              PZ (in 2 recordings)",
        "montages      2",
        "              2 channels: 2 recordings",
        "notch         50 Hz in 3 recordings",
        f"int16 step    median {np.median(steps):.3g} µV, largest {steps.max():.3g} µV",
    ):
        assert line in text, line
    with StoreWriter(folder.parent / "empty"):
        pass
    assert "recordings    0, 0.00 h, 0 subjects" in inspect(folder.parent / "empty")
