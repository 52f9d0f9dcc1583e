"""Read a store: any window of any recording is one contiguous read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .access import open_folder
from .format import DTYPE, MANIFEST, Recording, Row, fingerprint, load_rows, parse_manifest


class Store:
    """A store of prepared recordings, as it was when it was opened.

    Parameters
    ----------
    path : str | Path
        Folder that ``python -m mne_neurolm.prepare`` wrote, or the URL of a copy of it that fsspec
        reads, e.g. ``"s3://bucket/store"``.

    Attributes
    ----------
    path : str
        As given.
    recordings : tuple of Recording
        Sorted by name.
    manifest : dict
        Recipe, versions and sources, see ``manifest.json``.

    Raises
    ------
    FileNotFoundError
        If there is no store.
    ValueError
        If it has another format.

    Notes
    -----
    Shards are mapped into memory, or opened with fsspec, when they are first needed and in each
    process anew, so a store can be pickled and used in forked and spawned processes. A store may
    be read while it is written; what is added later is seen by a new object.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from mne_neurolm.store import Store, StoreWriter
    >>> volts = 2e-5 * np.random.default_rng(0).standard_normal((4000, 2))  # prepared already
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with StoreWriter(folder) as writer:
    ...         _ = writer.add(name="lab/anna", data_volts=volts, ch_names=["Cz", "Pz"])
    ...     read = Store(folder).volts(0, start=2000, n_times=1000)
    >>> read.shape, bool(abs(read - volts[2000:3000]).max() < 1e-8)  # stored as int16
    ((1000, 2), True)
    """

    def __init__(self, path: str | Path) -> None:
        self.path = str(path)
        self._files = open_folder(self.path)
        try:
            manifest = self._files.read(MANIFEST)
        except FileNotFoundError as error:
            raise FileNotFoundError(
                f"{self.path} is not a store of EEG: it has no {MANIFEST}. Make one with "
                f"python -m mne_neurolm.prepare SOURCE --output {self.path}"
            ) from error
        self.manifest: dict[str, Any] = parse_manifest(manifest, self.path)
        try:
            rows, _ = load_rows(self._files.read)
        except FileNotFoundError as error:
            raise FileNotFoundError(
                f"The index of the store {self.path} is missing ({error}). Restore the file from a "
                "copy of the store, or delete the store and prepare the recordings again."
            ) from error
        self._rows: tuple[Row, ...] = tuple(rows.values())
        self.recordings: tuple[Recording, ...] = tuple(row.recording for row in self._rows)

    def __len__(self) -> int:
        """Return the number of recordings."""
        return len(self.recordings)

    def __repr__(self) -> str:
        return f"<Store {self.path!r}: {len(self)} recordings, {self.hours:.2f} h>"

    @property
    def rows(self) -> tuple[Row, ...]:
        """Everything the index holds, in the order of ``recordings``."""
        return self._rows

    @property
    def hours(self) -> float:
        """Duration of all recordings together."""
        return sum(recording.seconds for recording in self.recordings) / 3600.0

    @property
    def fingerprint(self) -> str:
        """Hexadecimal digits that change when anything readable does, not with the shards."""
        return fingerprint(self._rows)

    def counts(self, index: int, start: int, n_times: int) -> NDArray[np.int16]:
        """Read a window as it is stored.

        Parameters
        ----------
        index : int
            Which recording.
        start : int
            First sample.
        n_times : int
            Number of samples.

        Returns
        -------
        counts : ndarray of int16, shape (n_times, n_channels)
            Times ``recordings[index].scale`` it is volts.

        Raises
        ------
        IndexError
            If there is no such recording, or the window is not inside it.
        FileNotFoundError, ValueError
            If the shard is missing or too short.
        """
        recording = self.recordings[index]
        if start < 0 or n_times < 0 or start + n_times > recording.n_times:
            raise IndexError(
                f"Samples {start} to {start + n_times} are not inside {recording.name}, which has "
                f"{recording.n_times}."
            )
        width = len(recording.channels)
        begin = recording.offset + start * width * DTYPE.itemsize
        n_bytes = n_times * width * DTYPE.itemsize
        try:
            data = self._files.read_range(recording.shard, begin, n_bytes)
        except FileNotFoundError as error:
            raise FileNotFoundError(self._shard_message(recording.shard, "is missing")) from error
        if len(data) != n_bytes:
            what = f"ends before byte {begin + n_bytes}, so it is incomplete"
            raise ValueError(self._shard_message(recording.shard, what))
        return np.frombuffer(data, dtype=DTYPE).reshape(n_times, width)

    def volts(self, index: int, start: int = 0, n_times: int | None = None) -> NDArray[np.float32]:
        """Read a window in volts.

        Parameters
        ----------
        index : int
            Which recording.
        start : int
            First sample. Default 0.
        n_times : int | None
            Number of samples. ``None`` (default): to the end of the recording.

        Returns
        -------
        volts : ndarray of float32, shape (n_times, n_channels)
            The signal.

        Raises
        ------
        IndexError, FileNotFoundError, ValueError
            As :meth:`counts`.
        """
        recording = self.recordings[index]
        n_times = recording.n_times - start if n_times is None else n_times
        counts = self.counts(index, start, n_times)
        return counts.astype(np.float32) * np.float32(recording.scale)

    def _shard_message(self, shard: str, what: str) -> str:
        names = [recording.name for recording in self.recordings if recording.shard == shard]
        shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
        return (
            f"The shard {shard} of the store {self.path} {what}. It holds {len(names)} "
            f"recording(s): {shown}. Restore it from a copy of the store, or prepare these "
            f"recordings again with python -m mne_neurolm.prepare SOURCE --output {self.path} "
            "--repair"
        )
