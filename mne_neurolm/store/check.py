"""Compare a store with what it says about itself."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from .format import Row

_BLOCK_BYTES = 1 << 24


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
