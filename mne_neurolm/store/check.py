"""Describe a store, and compare it with what it says about itself."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from .access import open_folder
from .format import INDEX, JOURNAL, REPORT, SHARDS, Row, index_from_bytes, parse_journal
from .reader import Store
from .report import report_from_bytes
from .summary import summarize

_BLOCK_BYTES = 1 << 24


@dataclass(frozen=True, slots=True)
class Verdict:
    """What :func:`verify` found.

    Attributes
    ----------
    problems : list of str
        What is wrong.
    remarks : list of str
        What is worth knowing and not wrong.
    n_recordings : int
        Recordings that were read.
    n_bytes : int
        Bytes that were read.
    """

    problems: list[str]
    remarks: list[str]
    n_recordings: int
    n_bytes: int


def inspect(path: str | Path) -> str:
    """Return a summary of a store: hours, subjects, channels, size, quantisation, skipped files.

    Parameters
    ----------
    path : str | Path
        Local folder or URL.

    Returns
    -------
    text : str
        Several lines.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no store of this format.
    """
    store = Store(path)
    try:
        files = report_from_bytes(open_folder(store.path).read(REPORT))
    except FileNotFoundError:
        files = []
    size = None
    if "://" not in store.path:
        shards = (Path(path).expanduser() / SHARDS).glob("*.bin")
        size = sum(shard.stat().st_size for shard in shards)
    head = f"store         {store.path}\nfingerprint   {store.fingerprint}\n"
    return head + summarize(store.rows, files, size)


def verify(path: str | Path) -> Verdict:
    """Read all of a local store and compare it with its index and manifest.

    Parameters
    ----------
    path : str | Path
        Folder of the store.

    Returns
    -------
    verdict : Verdict
        ``problems`` is empty if all is well.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no store of this format.
    """
    store = Store(path)
    folder = Path(path).expanduser()
    rows = store.rows
    damaged = find_damaged(rows, folder, read_all=True)
    problems = [f"{name}: {why}" for name, why in damaged.items()]
    problems += _find_overlaps(rows)
    problems += [f"{row.recording.name}: {why}" for row in rows if (why := _find_nonsense(row))]
    remarks = []
    journal = folder / JOURNAL
    in_journal = parse_journal(journal.read_bytes()) if journal.exists() else []
    indexed, sequence = index_from_bytes((folder / INDEX).read_bytes())
    if in_journal or store.manifest["sequence"] != sequence:
        remarks.append(
            "the last run was interrupted or is still going on; run prepare again to finish it"
        )
    else:
        listed = {name: row.recording.sha256 for name, row in indexed.items()}
        for name in sorted(listed.keys() | store.manifest["recordings"].keys()):
            if listed.get(name) != store.manifest["recordings"].get(name):
                problems.append(f"{name}: the manifest and the index disagree about its source")
    used = sum(row.recording.n_bytes for row in rows)
    size = sum(shard.stat().st_size for shard in (folder / SHARDS).glob("*.bin"))
    if size > used and not damaged:
        remarks.append(
            f"{size - used} bytes of the shards belong to no recording, which is no harm"
        )
    return Verdict(problems, remarks, len(rows), used)


def _find_overlaps(rows: Iterable[Row]) -> list[str]:
    """Name recordings whose bytes overlap."""
    ordered = sorted((row.recording for row in rows), key=lambda r: (r.shard, r.offset))
    return [
        f"{second.name}: overlaps {first.name} in the shard {first.shard}"
        for first, second in pairwise(ordered)
        if first.shard == second.shard and first.offset + first.n_bytes > second.offset
    ]


def _find_nonsense(row: Row) -> str:
    """Say what of a row cannot be."""
    recording = row.recording
    if len(recording.channels) != len(recording.ch_names) or not recording.channels:
        return "its channels and their names are not as many"
    if len(set(recording.channels)) != len(recording.channels):
        return "it has a channel twice"
    if not recording.scale > 0 or recording.n_times < 1 or recording.offset < 0:
        return "its scale, length or offset cannot be"
    return ""


def find_damaged(rows: Iterable[Row], path: Path, *, read_all: bool) -> dict[str, str]:
    """Return the recordings whose samples are not what the index says.

    Parameters
    ----------
    rows : iterable of Row
        Rows of the index.
    path : Path
        Folder of the store.
    read_all : bool
        Whether to read all samples and compare their checksums; otherwise only the sizes of the
        shards are looked at.

    Returns
    -------
    damaged : dict of str to str
        What is wrong, by name of the recording.
    """
    damaged = {}
    sizes: dict[str, int] = {}
    for row in rows:
        recording = row.recording
        file = path / recording.shard
        if recording.shard not in sizes:
            sizes[recording.shard] = file.stat().st_size if file.exists() else -1
        size, end = sizes[recording.shard], recording.offset + recording.n_bytes
        if size < 0:
            damaged[recording.name] = f"the shard {recording.shard} is missing"
        elif size < end:
            damaged[recording.name] = (
                f"the shard {recording.shard} has {size} bytes, the recording ends at {end}"
            )
        elif read_all and _digest(file, recording.offset, recording.n_bytes) != row.data_sha256:
            damaged[recording.name] = (
                f"bytes {recording.offset} to {end} of the shard {recording.shard} have changed"
            )
    return damaged


def _digest(path: Path, begin: int, n_bytes: int) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        file.seek(begin)
        while n_bytes > 0 and (block := file.read(min(n_bytes, _BLOCK_BYTES))):
            digest.update(block)
            n_bytes -= len(block)
    return digest.hexdigest()
