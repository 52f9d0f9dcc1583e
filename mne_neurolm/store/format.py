"""The layout of a store: its files, the rows of its index, and how volts become int16.

A store is a folder::

    manifest.json     format, recipe, versions, SHA-256 of the source of every recording
    index.parquet     one row per recording
    journal.jsonl     changes since index.parquet was written
    report.tsv        every file that was seen, and what became of it
    shards/00000.bin  samples of recordings, one after another: little-endian int16, time-major

Bytes of a shard are never written over. A row enters the journal only after its samples are on
disk, and the index replaces the journal by a rename, so the folder can be read at any moment.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..utils.optional import import_optional

FORMAT = "mne-neurolm store"
VERSION = 1

MANIFEST = "manifest.json"
INDEX = "index.parquet"
JOURNAL = "journal.jsonl"
REPORT = "report.tsv"
SHARDS = "shards"

DTYPE = np.dtype("<i2")
MAX_COUNT = 32767  # symmetric: -32768 is not used

_SHARD = re.compile(r"shards/\d{5,}\.bin")
_SEQUENCE = b"sequence"  # key of the index's Parquet metadata


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """One recording of a store.

    Attributes
    ----------
    name : str
        Unique in the store: the data set, a slash, and the file's path below the source.
    dataset, subject : str
        Where it comes from and whose it is. Subjects are named within their data set.
    split : "" | "train" | "val" | "test"
        Part of the data set's own split, if it has one.
    shard : str
        File below the store's folder, e.g. ``"shards/00000.bin"``.
    offset : int
        First byte in the shard.
    n_times : int
        Samples per channel.
    sfreq : float
        Sampling rate in Hz.
    channels : tuple of int
        Row of each channel in :data:`mne_neurolm.channels.CHANNELS`.
    ch_names : tuple of str
        The recording's own names of the channels.
    scale : float
        Volts per count.
    sha256 : str
        SHA-256 of the source file, hexadecimal.
    line_freq : float | None
        Power line frequency in Hz whose harmonics were removed; None without a notch.
    annotations : tuple of (float, float, str)
        Onset in seconds from the first stored sample, duration in seconds, description.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from mne_neurolm.store import Store, StoreWriter
    >>> volts = 2e-5 * np.random.default_rng(0).standard_normal((2000, 2))  # prepared already
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with StoreWriter(folder) as writer:
    ...         _ = writer.add(name="lab/anna", data_volts=volts, ch_names=["Cz", "Pz"])
    ...     recording = Store(folder).recordings[0]
    >>> recording.dataset, recording.ch_names, recording.seconds
    ('lab', ('Cz', 'Pz'), 10.0)
    >>> recording.n_bytes  # 2000 samples of 2 channels, 2 bytes each
    8000
    """

    name: str
    dataset: str
    subject: str
    split: str
    shard: str
    offset: int
    n_times: int
    sfreq: float
    channels: tuple[int, ...]
    ch_names: tuple[str, ...]
    scale: float
    sha256: str
    line_freq: float | None
    annotations: tuple[tuple[float, float, str], ...]

    @property
    def n_bytes(self) -> int:
        """Number of bytes in the shard."""
        return self.n_times * len(self.channels) * DTYPE.itemsize

    @property
    def seconds(self) -> float:
        """Duration in seconds."""
        return self.n_times / self.sfreq


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What the index holds about one recording, with what only `prepare` and `verify` need.

    Attributes
    ----------
    recording : Recording
        The recording.
    data_sha256 : str
        SHA-256 of its bytes in the shard.
    source : str
        Path of the source file; empty for one that was added as an array.
    source_bytes, source_mtime_ns : int
        Size and time of last change of the source, all its parts together.
    settings : str
        JSON of the options that shaped the recording beyond the store's recipe.
    source_sfreq : float
        Sampling rate of the source in Hz.
    sd : float
        Standard deviation of a typical second of a typical channel, in volts: the median over
        channels of the median over seconds.
    left_out : int
        EEG channels of the source that are not in the store.
    notes : str
        What was noticed while it was prepared.
    """

    recording: Recording
    data_sha256: str
    source: str = ""
    source_bytes: int = 0
    source_mtime_ns: int = 0
    settings: str = ""
    source_sfreq: float = 0.0
    sd: float = 0.0
    left_out: int = 0
    notes: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the row as a flat dictionary of what JSON and Parquet know."""
        row = {name: getattr(self.recording, name) for name in Recording.__dataclass_fields__}
        row["annotations"] = [
            dict(zip(("onset", "duration", "description"), annotation, strict=True))
            for annotation in self.recording.annotations
        ]
        own = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "recording"}
        return row | own

    @classmethod
    def from_dict(cls, row: dict[str, Any]) -> Row:
        """Return the row of a dictionary by :meth:`to_dict`; unknown keys are ignored."""
        values = {name: row[name] for name in Recording.__dataclass_fields__}
        if not is_shard(values["shard"]) or values["offset"] < 0:
            # Stores are exchanged: nothing outside of them is read or written on their word.
            raise ValueError(
                f"The index says that {values['name']} lies in {values['shard']!r} at byte "
                f"{values['offset']}, which is no place in a store. Get the store again."
            )
        values["channels"] = tuple(values["channels"])
        values["ch_names"] = tuple(values["ch_names"])
        values["annotations"] = tuple(
            (a["onset"], a["duration"], a["description"]) for a in values["annotations"]
        )
        own = {f.name: row[f.name] for f in fields(cls) if f.name != "recording"}
        return cls(recording=Recording(**values), **own)


def is_shard(name: str) -> bool:
    """Tell whether a name below a store's folder is that of a shard."""
    return _SHARD.fullmatch(name) is not None


def printable(name: str) -> str:
    """Return a file's name as text that can be written anywhere; bytes that are none escaped."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def quantize(volts: NDArray[np.floating]) -> tuple[NDArray[np.int16], float]:
    """Return a signal as int16 counts, and the volts per count.

    The largest magnitude becomes 32767, so nothing is clipped and no sample is off by more than
    half a count.

    Parameters
    ----------
    volts : ndarray of float, shape (n_times, n_channels)
        Signal in volts.

    Returns
    -------
    counts : ndarray of int16, shape (n_times, n_channels)
        Little-endian and C-contiguous.
    scale : float
        Volts per count.

    Raises
    ------
    ValueError
        If samples are NaN or infinite.
    """
    peak = float(np.abs(volts).max(initial=0.0))
    if not np.isfinite(peak):
        raise ValueError("Samples are NaN or infinite, which int16 cannot hold.")
    scale = scale_of(peak)
    return to_counts(volts, scale), scale


def scale_of(peak: float) -> float:
    """Return the volts per count that make a peak in volts the largest count."""
    return max(peak, 1e-12) / MAX_COUNT  # a picovolt where there is no signal at all


def to_counts(volts: NDArray[np.floating], scale: float) -> NDArray[np.int16]:
    """Return volts (n_times, n_channels) as the nearest counts; none may be beyond 32767."""
    return np.ascontiguousarray(np.rint(np.asarray(volts, np.float64) / scale), dtype=DTYPE)


def load_rows(read: Callable[[str], bytes]) -> tuple[dict[str, Row], int]:
    """Return the rows of a store by name, and the number of its last change.

    Parameters
    ----------
    read : callable
        Takes the name of a file of the store and returns its bytes; raises FileNotFoundError.

    Returns
    -------
    rows : dict of str to Row
        Sorted by name.
    sequence : int
        Number of the last change, 0 if there was none.

    Raises
    ------
    FileNotFoundError
        If the index is missing.
    """
    # The journal first: the index that is read after it can only be newer, and knows the number
    # of the last change that it holds.
    try:
        changes = parse_journal(read(JOURNAL))
    except FileNotFoundError:
        changes = []
    rows, sequence = index_from_bytes(read(INDEX))
    for change in changes:
        if change["sequence"] <= sequence:
            continue
        sequence = change["sequence"]
        if "row" in change:
            row = Row.from_dict(change["row"])
            rows[row.recording.name] = row
        else:  # a file that is not in the store, or not any more
            rows.pop(change["file"]["name"], None)
    return dict(sorted(rows.items())), sequence


def parse_journal(data: bytes) -> list[dict[str, Any]]:
    """Return the changes of a journal up to the first that was not written whole."""
    changes = []
    for line in data.split(b"\n")[:-1]:  # what follows the last line end is torn, or empty
        try:
            change = json.loads(line)
            change["sequence"]
        except (ValueError, TypeError, KeyError):
            break
        changes.append(change)
    return changes


def index_to_bytes(rows: Iterable[Row], sequence: int) -> bytes:
    """Return the Parquet file of an index."""
    pa = import_optional("pyarrow", extra="train", purpose="Writing a store")
    pq = import_optional("pyarrow.parquet", extra="train", purpose="Writing a store")
    annotation = pa.struct(
        [("onset", pa.float64()), ("duration", pa.float64()), ("description", pa.string())]
    )
    schema = pa.schema(
        [
            ("name", pa.string()),
            ("dataset", pa.string()),
            ("subject", pa.string()),
            ("split", pa.string()),
            ("shard", pa.string()),
            ("offset", pa.int64()),
            ("n_times", pa.int64()),
            ("sfreq", pa.float64()),
            ("channels", pa.list_(pa.int16())),
            ("ch_names", pa.list_(pa.string())),
            ("scale", pa.float64()),
            ("sha256", pa.string()),
            ("line_freq", pa.float64()),
            ("annotations", pa.list_(annotation)),
            ("data_sha256", pa.string()),
            ("source", pa.string()),
            ("source_bytes", pa.int64()),
            ("source_mtime_ns", pa.int64()),
            ("settings", pa.string()),
            ("source_sfreq", pa.float64()),
            ("sd", pa.float64()),
            ("left_out", pa.int32()),
            ("notes", pa.string()),
        ],
        metadata={_SEQUENCE: str(sequence).encode()},
    )
    table = pa.Table.from_pylist([row.to_dict() for row in rows], schema=schema)
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue().to_pybytes()


def index_from_bytes(data: bytes) -> tuple[dict[str, Row], int]:
    """Return the rows of a Parquet index by name, and the number of its last change."""
    pa = import_optional("pyarrow", extra="train", purpose="Reading a store")
    pq = import_optional("pyarrow.parquet", extra="train", purpose="Reading a store")
    # Without threads: those of pyarrow can abort a process that ends right after.
    table = pq.ParquetFile(pa.BufferReader(data)).read(use_threads=False)
    rows = map(Row.from_dict, table.to_pylist())
    sequence = int((table.schema.metadata or {}).get(_SEQUENCE, b"0"))
    return {row.recording.name: row for row in rows}, sequence


def parse_manifest(data: bytes, where: str) -> dict[str, Any]:
    """Return the manifest of a store.

    Parameters
    ----------
    data : bytes
        The file.
    where : str
        The store, for the message.

    Raises
    ------
    ValueError
        If it is no manifest, or that of a later format.
    """
    try:
        manifest = json.loads(data)
        kind, version = manifest["format"], manifest["version"]
    except (ValueError, TypeError, KeyError):
        kind, version = None, 0
    if kind != FORMAT:
        raise ValueError(
            f"{MANIFEST} in {where} is not the manifest of a store of EEG. Make a store with "
            "python -m mne_neurolm.prepare SOURCE --output STORE."
        )
    if version != VERSION:
        raise ValueError(
            f"The store {where} has format {version}; this version of mne-neurolm reads format "
            f"{VERSION}. Install the version that wrote it, or prepare the recordings again."
        )
    return manifest


def fingerprint(rows: Iterable[Row]) -> str:
    """Return 64 hexadecimal digits that change when anything readable does.

    Where samples lie does not matter, nor does the order of the rows, the place of the source or
    what was noted about it.
    """
    digest = hashlib.sha256()
    for row in sorted(rows, key=lambda row: row.recording.name):
        readable = {
            name: value for name, value in row.to_dict().items() if name not in _NOT_READABLE
        }
        digest.update(json.dumps(readable, sort_keys=True).encode())
        digest.update(b"\n")
    return digest.hexdigest()


_NOT_READABLE = {
    "shard",
    "offset",
    "source",
    "source_bytes",
    "source_mtime_ns",
    "settings",
    "source_sfreq",
    "sd",
    "left_out",
    "notes",
}
