"""Quantisation, the index, the journal and the report."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from mne_neurolm.store.format import (
    INDEX,
    JOURNAL,
    Recording,
    Row,
    fingerprint,
    index_from_bytes,
    index_to_bytes,
    load_rows,
    parse_journal,
    parse_manifest,
    quantize,
)
from mne_neurolm.store.report import File, report_from_bytes, report_to_bytes


def make_row(name: str = "lab/a", **changes: object) -> Row:
    recording = Recording(
        name=name,
        dataset="lab",
        subject="a",
        split="",
        shard="shards/00000.bin",
        offset=8,
        n_times=1000,
        sfreq=200.0,
        channels=(3, 41),
        ch_names=("Fz", "EEG Cz-REF"),
        scale=1.25e-9,
        sha256="ab",
        line_freq=None,
        annotations=((0.5, 2.0, "eyes\tclosed Ω"), (3.0, 0.0, "")),
    )
    own = {k: v for k, v in changes.items() if k in Row.__dataclass_fields__}
    return Row(
        recording=replace(recording, **{k: v for k, v in changes.items() if k not in own}),
        **({"data_sha256": "cd", "sd": 2e-5, "notes": "a note"} | own),
    )


@pytest.mark.parametrize("microvolts", [1e-3, 1.0, 50.0, 1e5])
def test_round_trip_error_is_at_most_half_a_step(microvolts: float) -> None:
    rng = np.random.default_rng(0)
    volts = 1e-6 * microvolts * rng.standard_t(3, size=(5000, 7))
    counts, scale = quantize(volts)
    assert counts.dtype == "<i2" and counts.shape == volts.shape and counts.flags.c_contiguous
    assert np.abs(counts).max() == 32767  # nothing is clipped, and nothing of the range is wasted
    error = np.abs(counts * scale - volts).max()
    assert 0.4 * scale < error <= 0.5 * scale * (1 + 1e-9)


def test_quantize_silence_and_nonsense() -> None:
    counts, scale = quantize(np.zeros((5, 2)))
    assert not counts.any() and scale > 0
    assert quantize(np.zeros((0, 2)))[0].shape == (0, 2)
    for bad in (np.nan, np.inf):
        with pytest.raises(ValueError, match="NaN or infinite"):
            quantize(np.array([[1.0, bad]]))


def test_rows_survive_json_and_parquet() -> None:
    rows = [make_row("lab/a"), make_row("lab/b", line_freq=50.0, annotations=(), left_out=3)]
    assert [Row.from_dict(json.loads(json.dumps(row.to_dict()))) for row in rows] == rows
    loaded, sequence = index_from_bytes(index_to_bytes(rows, sequence=17))
    assert list(loaded.values()) == rows and list(loaded) == ["lab/a", "lab/b"]
    assert sequence == 17
    assert index_from_bytes(index_to_bytes([], sequence=0)) == ({}, 0)


def test_fingerprint_tells_what_is_readable() -> None:
    rows = [make_row("lab/a"), make_row("lab/b")]
    same = fingerprint(rows)
    assert fingerprint(reversed(rows)) == same
    moved = {"shard": "shards/00007.bin", "offset": 0, "source": "/x", "notes": "", "sd": 1.0}
    assert fingerprint([make_row("lab/a", **moved), rows[1]]) == same
    for change in (
        {"scale": 1.3e-9},
        {"subject": "b"},
        {"split": "val"},
        {"channels": (3, 42)},
        {"ch_names": ("Fz", "Cz")},
        {"n_times": 999},
        {"annotations": ()},
        {"line_freq": 60.0},
        {"data_sha256": "ce"},
    ):
        assert fingerprint([make_row("lab/a", **change), rows[1]]) != same, change
    assert fingerprint(rows[:1]) != same


def test_journal_stops_at_what_is_torn() -> None:
    lines = [json.dumps({"sequence": k, "file": {"name": "x"}}) for k in (1, 2, 3)]
    whole = ("\n".join(lines) + "\n").encode()
    assert [change["sequence"] for change in parse_journal(whole)] == [1, 2, 3]
    for end in range(len(whole)):
        n_whole = whole[:end].count(b"\n")
        assert len(parse_journal(whole[:end])) == n_whole
    assert parse_journal(b"\x00\x00\n" + whole) == []
    assert parse_journal(b'{"no": "sequence"}\n') == []


def test_journal_is_applied_to_the_index_it_follows() -> None:
    a, b = make_row("lab/a"), make_row("lab/b")
    changes = [
        {"sequence": 5, "row": make_row("lab/a", n_times=7).to_dict()},  # in the index already
        {"sequence": 6, "row": b.to_dict()},
        {"sequence": 7, "file": {"name": "lab/c"}},
    ]
    files = {
        INDEX: index_to_bytes([a, make_row("lab/c")], sequence=5),
        JOURNAL: "".join(json.dumps(change) + "\n" for change in changes).encode(),
    }
    rows, sequence = load_rows(files.__getitem__)
    assert list(rows.values()) == [a, b] and sequence == 7


def test_manifest_of_something_else() -> None:
    for data in (b"", b"[]", b"{}", b'{"format": "zarr", "version": 1}'):
        with pytest.raises(ValueError, match="not the manifest of a store"):
            parse_manifest(data, "here")
    with pytest.raises(ValueError, match="has format 2; this version .* reads format 1"):
        parse_manifest(b'{"format": "mne-neurolm store", "version": 2}', "here")


def test_report_can_be_read_back() -> None:
    files = [
        File.stored(make_row("lab/a", notes='tab\there, "quotes", line\nend', line_freq=50.0)),
        File(name="lab/b", status="skipped", reason="too short: 1 s", source_mtime_ns=10**18 + 1),
    ]
    data = report_to_bytes(files)
    assert data.count(b"\n") == 3
    first, second = report_from_bytes(data)
    assert second == files[1]
    assert (first.notes, first.line_freq) == ('tab here, "quotes", line end', 50.0)
    assert report_from_bytes(b"name\tstatus\nx") == [] and report_from_bytes(b"\xff") == []
