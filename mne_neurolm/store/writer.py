"""Write a store so that it can be read after a kill at any moment."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .access import LocalFolder
from .check import find_damaged
from .format import (
    FORMAT,
    INDEX,
    JOURNAL,
    MANIFEST,
    REPORT,
    SHARDS,
    VERSION,
    Recording,
    Row,
    index_to_bytes,
    is_shard,
    load_rows,
    parse_journal,
    parse_manifest,
    quantize,
)
from .lock import lock
from .recipe import RECIPE, check_recipe, package_versions
from .report import File, report_from_bytes, report_to_bytes

PARTS = "parts"  # samples on their way into a shard
GIGABYTE = 10**9

_LOCK = ".lock"
_PARTIAL = ".partial"
_OWN_NAMES = {_LOCK, PARTS, SHARDS, INDEX, JOURNAL, REPORT, MANIFEST}
_COPY_BYTES = 1 << 24


class StoreWriter:
    """Add recordings to a store, or make a new one.

    Use it in a ``with`` statement. Whatever happens to the process, what was committed stays
    readable; what was not is gone with the next writer.

    Parameters
    ----------
    path : str | Path
        Folder of the store. A new one must be empty.
    shard_bytes : int
        Begin another shard when one would grow beyond this. Default 2e9.
    flush_seconds : float
        Write the index anew when the last time was this long ago, or longer where that takes
        long. Default 60.
    repair : bool
        Whether to drop recordings whose samples are missing or damaged, instead of refusing to
        add to such a store. All samples are read. Default False.

    Attributes
    ----------
    rows : dict of str to Row
        What is in the store, by name.
    others : dict of str to File
        Files that were seen and are not in the store, by name.
    repaired : list of str
        Names of the recordings that were dropped.

    Raises
    ------
    BlockingIOError
        If another process is writing to the store.
    ValueError
        If the folder holds something else, or a store by another recipe, or shards are damaged.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from mne_neurolm.store import Store, StoreWriter
    >>> volts = 2e-5 * np.random.default_rng(0).standard_normal((2000, 2))  # prepared already
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with StoreWriter(folder) as writer:
    ...         for name in ("lab/anna", "lab/ben"):
    ...             _ = writer.add(name=name, data_volts=volts, ch_names=["Cz", "Pz"])
    ...     print([recording.name for recording in Store(folder).recordings])
    ['lab/anna', 'lab/ben']
    """

    def __init__(
        self,
        path: str | Path,
        *,
        shard_bytes: int = 2 * GIGABYTE,
        flush_seconds: float = 60.0,
        repair: bool = False,
    ) -> None:
        self.path = Path(path).expanduser()
        self.shard_bytes = int(shard_bytes)
        self.flush_seconds = flush_seconds
        self.repair = repair
        self.rows: dict[str, Row] = {}
        self.others: dict[str, File] = {}
        self.repaired: list[str] = []
        self._sequence = 0
        self._ends: dict[str, int] = {}  # of shards, as far as anything was ever committed
        self._pending: list[dict[str, Any]] = []
        self._manifest: dict[str, Any] = {}
        self._flushed = 0.0
        self._flush_after = flush_seconds
        self._journal: IO[bytes]
        self._shard: IO[bytes] | None = None
        self._shard_name = ""
        self._resources = ExitStack()

    def __enter__(self) -> StoreWriter:
        """Lock the store, make it if need be, and put it in order after a kill."""
        self.path.mkdir(parents=True, exist_ok=True)
        strangers = sorted(
            file.name
            for file in self.path.iterdir()
            if file.name not in _OWN_NAMES and not file.name.endswith(_PARTIAL)
        )
        if strangers and not (self.path / MANIFEST).exists():
            raise ValueError(
                f"{self.path} is not a store and not empty (it holds {', '.join(strangers[:5])}). "
                "Give a new or empty folder."
            )
        try:
            self._resources.enter_context(lock(self.path / _LOCK))
            self._open()
        except BaseException:
            self._resources.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Commit and write the index; after an error leave all as it was last committed."""
        with self._resources:
            if kind is None:
                self.commit()
                self.flush()

    def add(
        self,
        *,
        name: str,
        data_volts: ArrayLike,
        ch_names: Sequence[str],
        dataset: str = "",
        subject: str = "",
        split: str = "",
        annotations: Sequence[tuple[float, float, str]] = (),
        line_freq: float | None = None,
    ) -> Row:
        """Add a recording that is prepared already, and commit it.

        Parameters
        ----------
        name : str
            A name that is not in the store.
        data_volts : array, shape (n_times, n_channels)
            Signal in volts at 200 Hz, filtered as by :func:`mne_neurolm.prepare_raw`.
        ch_names : sequence of str
            Channels, all in NeuroLM's vocabulary.
        dataset, subject : str
            Where it comes from; by default the first part of the name, and the name.
        split : "" | "train" | "val" | "test"
            Part of a split. Default: none.
        annotations : sequence of (float, float, str)
            Onset and duration in seconds, description. Default: none.
        line_freq : float | None
            Power line frequency that was removed. Default None.

        Returns
        -------
        row : Row
            What the index holds about it.

        Raises
        ------
        ValueError
            If the name is taken, shapes disagree, channels are unknown or repeated, or samples are
            NaN or infinite.
        """
        from ..channels import channel_index

        if name in self.rows:
            raise ValueError(f"There is already a recording {name!r} in {self.path}.")
        volts = np.asarray(data_volts)
        if volts.ndim != 2 or volts.shape[1] != len(ch_names):
            raise ValueError(
                f"data_volts must have the shape (n_times, {len(ch_names)}) for these channels, "
                f"got {volts.shape}."
            )
        channels = tuple(map(channel_index, ch_names))
        if len(set(channels)) != len(channels):
            raise ValueError(f"Channels are repeated in {list(ch_names)}.")
        counts, scale = quantize(volts)
        digest = hashlib.sha256(counts.tobytes()).hexdigest()
        recording = Recording(
            name=name,
            dataset=dataset or name.partition("/")[0],
            subject=subject or name,
            split=split,
            shard="",
            offset=0,
            n_times=len(counts),
            sfreq=RECIPE["sfreq"],
            channels=channels,
            ch_names=tuple(ch_names),
            scale=scale,
            sha256=digest,
            line_freq=line_freq,
            annotations=tuple((float(o), float(d), str(text)) for o, d, text in annotations),
        )
        second = round(RECIPE["sfreq"])
        whole = volts[: len(volts) // second * second].reshape(-1, second, len(channels))
        sds = whole.std(axis=1) if len(whole) else volts.std(axis=0, keepdims=True)
        sd = float(np.median(np.median(sds, axis=0))) if len(volts) else 0.0
        row = self.append(Row(recording=recording, data_sha256=digest, sd=sd), counts)
        self.commit()
        return row

    def append(self, row: Row, samples: NDArray[np.int16] | Path) -> Row:
        """Append a recording's samples to the current shard, to be committed.

        Parameters
        ----------
        row : Row
            The recording; its shard and offset are found here. A row of the same name is replaced.
        samples : ndarray of int16, shape (n_times, n_channels) | Path
            The samples, or a file that holds them.

        Returns
        -------
        row : Row
            The row with its place.

        Raises
        ------
        OSError
            If the samples could not be written; nothing is left of them.
        """
        shard, file = self._room_for(row.recording.n_bytes)
        offset = file.seek(0, os.SEEK_END)
        try:
            if isinstance(samples, Path):
                with open(samples, "rb") as part:
                    while block := part.read(_COPY_BYTES):
                        _write_all(file, block)
            else:
                _write_all(file, samples.tobytes())
            if file.tell() - offset != row.recording.n_bytes:
                raise OSError(errno.EIO, f"{row.recording.name} does not have the expected length")
        except OSError:
            file.truncate(offset)
            raise
        row = replace(row, recording=replace(row.recording, shard=shard, offset=offset))
        self.rows[row.recording.name] = row
        self.others.pop(row.recording.name, None)
        self._pending.append({"row": row.to_dict()})
        return row

    def relabel(self, row: Row) -> None:
        """Replace what the index says about a recording whose samples stay where they are.

        Parameters
        ----------
        row : Row
            What it is to say.
        """
        self.rows[row.recording.name] = row
        self._pending.append({"row": row.to_dict()})

    def set_aside(self, file: File) -> None:
        """Note that a file is not in the store; a row of the same name goes.

        Parameters
        ----------
        file : File
            The file, with what became of it.
        """
        self.rows.pop(file.name, None)
        self.others[file.name] = file
        self._pending.append({"file": file.to_dict()})

    def commit(self) -> None:
        """Make what was appended and set aside part of the store, also through a power failure."""
        if not self._pending:
            return
        if self._shard is not None:
            os.fsync(self._shard.fileno())
        lines = []
        for change in self._pending:
            self._sequence += 1
            lines.append(json.dumps({"sequence": self._sequence} | change) + "\n")
        length = self._journal.seek(0, os.SEEK_END)
        try:
            _write_all(self._journal, "".join(lines).encode())
            os.fsync(self._journal.fileno())
        except OSError:
            self._journal.truncate(length)
            raise
        # What a reader may have mapped is never cut off, whatever becomes of the recording.
        for change in self._pending:
            if "row" in change:
                self._note_end(Row.from_dict(change["row"]))
        self._pending = []
        if time.monotonic() - self._flushed > self._flush_after:
            self.flush()

    def flush(self) -> None:
        """Write report, index and manifest anew and empty the journal."""
        started = time.monotonic()
        rows = dict(sorted(self.rows.items()))
        self._write(REPORT, report_to_bytes(self.report()))
        self._write(INDEX, index_to_bytes(rows.values(), self._sequence))
        self._manifest["sequence"] = self._sequence
        self._manifest["ends"] = self._ends
        self._manifest["recordings"] = {name: row.recording.sha256 for name, row in rows.items()}
        self._write(MANIFEST, (json.dumps(self._manifest, indent=1) + "\n").encode())
        self._journal.truncate(0)
        self._flushed = time.monotonic()
        # of a large store this takes seconds, which must stay a small share of the time
        self._flush_after = max(self.flush_seconds, 20.0 * (self._flushed - started))

    def report(self) -> list[File]:
        """Return a line for every file that was seen.

        Returns
        -------
        files : list of File
            Sorted by name, those in the store included.
        """
        files = self.others | {name: File.stored(row) for name, row in self.rows.items()}
        return [files[name] for name in sorted(files)]

    def _open(self) -> None:
        """Load what is there, or make an empty store."""
        shards = self.path / SHARDS
        if (self.path / MANIFEST).exists():
            data = (self.path / MANIFEST).read_bytes()
            self._manifest = parse_manifest(data, str(self.path))
            check_recipe(self._manifest["recipe"], self.path)
            ends = self._manifest.get("ends", {})
            self._ends = {shard: int(end) for shard, end in ends.items() if is_shard(shard)}
            self._load()
        else:
            lost = [f.name for f in shards.glob("*") if f.stat().st_size] if shards.exists() else []
            if lost:
                raise ValueError(
                    f"{self.path} holds shards ({', '.join(sorted(lost)[:5])}) but no {MANIFEST}. "
                    "Restore that file from a copy of the store, or give another folder."
                )
            self._manifest = {"format": FORMAT, "version": VERSION, "recipe": RECIPE}
            self._manifest |= {"written_by": [], "sequence": 0, "recordings": {}}
        shards.mkdir(exist_ok=True)
        shutil.rmtree(self.path / PARTS, ignore_errors=True)
        (self.path / PARTS).mkdir()
        packages = package_versions()
        if packages not in self._manifest["written_by"]:
            self._manifest["written_by"].append(packages)
        journal = open(self.path / JOURNAL, "ab", buffering=0)
        self._journal = self._resources.enter_context(journal)
        self._drop_tail()
        self.flush()

    def _load(self) -> None:
        """Take over the rows and the report of a store, and look for damaged shards."""
        folder = LocalFolder(str(self.path))
        self.rows, self._sequence = load_rows(folder.read)
        if (self.path / REPORT).exists():
            lines = report_from_bytes(folder.read(REPORT))
            self.others = {line.name: line for line in lines if line.status != "stored"}
        if (self.path / JOURNAL).exists():
            for change in parse_journal(folder.read(JOURNAL)):
                if "row" in change:
                    self._note_end(Row.from_dict(change["row"]))
                if "file" in change:
                    self.others[change["file"]["name"]] = File(**change["file"])
        for name in self.rows:
            self.others.pop(name, None)
        damaged = find_damaged(self.rows.values(), self.path, read_all=self.repair)
        if damaged and not self.repair:
            name, why = next(iter(damaged.items()))
            raise ValueError(
                f"Samples of {len(damaged)} recording(s) of the store {self.path} are not there: "
                f"{name}: {why}. Restore the shard from a copy of the store, or run with --repair, "
                "which drops them and prepares them again if their sources are given."
            )
        for name in damaged:
            del self.rows[name]
        self.repaired = sorted(damaged)

    def _note_end(self, row: Row) -> None:
        """Remember up to where a shard was ever committed."""
        shard, end = row.recording.shard, row.recording.offset + row.recording.n_bytes
        self._ends[shard] = max(end, self._ends.get(shard, 0))

    def _drop_tail(self) -> None:
        """Open the last shard behind what was ever committed; what follows never was."""
        for row in self.rows.values():
            self._note_end(row)
        there = [f"{SHARDS}/{file.name}" for file in (self.path / SHARDS).iterdir()]
        names = {name for name in there if is_shard(name)} | set(self._ends)
        if not names:
            return
        last = max(names)
        self._open_shard(last)
        assert self._shard is not None
        self._shard.truncate(self._ends.get(last, 0))

    def _room_for(self, n_bytes: int) -> tuple[str, IO[bytes]]:
        """Return name and file of the shard that takes the next recording."""
        if self._shard is None:
            self._open_shard(f"{SHARDS}/00000.bin")
        else:
            size = self._shard.seek(0, os.SEEK_END)
            if size and size + n_bytes > self.shard_bytes:
                self.commit()  # what is in this shard, before it is closed
                number = int(Path(self._shard_name).stem) + 1
                self._open_shard(f"{SHARDS}/{number:05d}.bin")
        assert self._shard is not None
        return self._shard_name, self._shard

    def _open_shard(self, name: str) -> None:
        file = open(self.path / name, "ab", buffering=0)
        if self._shard is not None:
            self._shard.close()
        self._shard = self._resources.enter_context(file)
        self._shard_name = name

    def _write(self, name: str, data: bytes) -> None:
        """Replace a file in one step."""
        partial = self.path / (name + _PARTIAL)
        with open(partial, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, self.path / name)


def _write_all(file: IO[bytes], data: bytes) -> None:
    """Write to an unbuffered file, which may take less than it is given."""
    view = memoryview(data)
    while len(view):
        view = view[file.write(view) :]
