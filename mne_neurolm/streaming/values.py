"""What an estimator says about windows, collected a few windows at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse

from ..tokens import EEGTokens

LARGEST_IN_MEMORY = 500_000_000  # bytes of results


class WindowValues:
    """Rows of results in order; rows of windows without one hold NaN, -1 or None.

    Parameters
    ----------
    n_windows : int
        How many there may be, for the error that says how much memory they would take.
    labels : bool
        Whether the rows are labels, of which None stands for a missing one.
    out : Path | None
        A ``.npy`` file for the values. None: they are kept in memory.
    """

    def __init__(self, n_windows: int, *, labels: bool, out: Path | None) -> None:
        self._n_windows = n_windows
        self._labels = labels
        self._out = out
        self._file: NpyWriter | None = None
        self._rows: list[NDArray[Any]] = []
        self._codes: list[NDArray[np.int64]] = []
        self._tokens: EEGTokens | None = None
        self._like: NDArray[Any] | None = None  # an empty array of the values' shape and dtype
        self._missing = 0  # windows that came before the first with a result
        self.n_rows = 0
        self.columns: list[str] | None = None

    @property
    def is_empty(self) -> bool:
        """Whether no window had a result so far."""
        return self._like is None

    def append(self, good: Sequence[int], values: Any, n_windows: int) -> None:
        """Take the results of the next windows.

        Parameters
        ----------
        good : sequence of int
            Which of the windows have one.
        values : EEGTokens | DataFrame | array-like | None
            The results; None if there are none.
        n_windows : int
            How many windows these are.
        """
        self.n_rows += n_windows
        if values is None:
            if self._like is None:
                self._missing += n_windows
            else:
                self._write(self._blank(n_windows, self._like))
                if self._tokens is not None:
                    self._codes.append(np.full((n_windows, self._codes[0].shape[1]), -1))
            return
        if isinstance(values, EEGTokens):
            rows = values.hidden
            codes = np.full((n_windows, values.codes.shape[1]), -1)
            codes[good] = values.codes
            if self._tokens is None:
                self._tokens = values[:0]
                self._codes.append(np.full((self._missing, codes.shape[1]), -1))
            self._codes.append(codes)
        else:
            if hasattr(values, "iloc"):
                self.columns = [str(name) for name in values.columns]
            rows = np.asarray(values.toarray() if issparse(values) else values)
        if self._like is None:
            self._like = rows[:0].copy()
            self._check_size(rows)
            self._write(self._blank(self._missing, self._like))
        filled = self._blank(n_windows, self._like)
        filled[good] = rows
        self._write(filled)

    def finish(self) -> Any:
        """Return all rows: an array, a memory map, or tokens."""
        if self._like is None:
            raise RuntimeError("There are no values.")
        values: Any
        if self._file is not None and self._out is not None:
            self.close()
            # "c": what reads them may want to write, and the file stays as it is
            values = np.load(self._out, mmap_mode="c" if self.n_rows else None)
        else:
            values = np.concatenate(self._rows)
            if self._labels and not any(value is None for value in values.tolist()):
                values = values.astype(self._like.dtype)
        if self._tokens is None:
            return values
        return replace(self._tokens, hidden=values, codes=np.concatenate(self._codes))

    def close(self) -> None:
        """Complete the file, if there is one; it holds the windows so far."""
        if self._file is not None:
            self._file.close()

    def _blank(self, n: int, like: NDArray[Any]) -> NDArray[Any]:
        """Return rows without results."""
        if self._labels:
            return np.full((n, *like.shape[1:]), None, dtype=object)
        fill = np.nan if like.dtype.kind == "f" else -1
        return np.full((n, *like.shape[1:]), fill, dtype=like.dtype)

    def _write(self, rows: NDArray[Any]) -> None:
        if self._file is not None:
            self._file.append(rows)
        else:
            self._rows.append(rows)

    def _check_size(self, rows: NDArray[Any]) -> None:
        """Open the file, or refuse what would not stay small in memory."""
        if self._out is not None:
            self._file = NpyWriter(self._out, rows.shape[1:], rows.dtype)
            return
        needed = rows[:1].nbytes * self._n_windows
        if needed > LARGEST_IN_MEMORY:
            raise ValueError(
                f"The results for {self._n_windows} windows would take {needed / 1e9:.2g} GB, "
                f"{'x'.join(map(str, rows.shape[1:]))} numbers each; more than "
                f"{LARGEST_IN_MEMORY / 1e9:g} GB are not kept in memory. Give a file for them "
                "(out='states.npy'), ask for less (output='codes' or predictions), or take part "
                "of the recording (raw.crop)."
            )


class NpyWriter:
    """Write a ``.npy`` file row by row; whatever was written is a valid file once it is closed.

    A memory map would do as well, but its pages count as memory of the process.

    Parameters
    ----------
    path : Path
        The file; it is replaced.
    shape : tuple of int
        Shape of a row.
    dtype : numpy.dtype
        Type of the numbers.
    """

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self._shape, self._dtype = shape, dtype
        self._n_rows = 0
        self._file = open(path, "wb")
        self._write_header()
        self._start = self._file.tell()

    def append(self, rows: NDArray[Any]) -> None:
        """Write rows behind those that are there."""
        self._file.write(np.ascontiguousarray(rows, dtype=self._dtype).data)
        self._n_rows += len(rows)

    def close(self) -> None:
        """Write how many rows there are."""
        if self._file.closed:
            return
        with self._file:
            self._file.seek(0)
            self._write_header()
            # NumPy leaves room for the first axis to grow
            assert self._file.tell() == self._start

    def _write_header(self) -> None:
        facts = {
            "descr": np.lib.format.dtype_to_descr(self._dtype),
            "fortran_order": False,
            "shape": (self._n_rows, *self._shape),
        }
        np.lib.format.write_array_header_1_0(self._file, facts)
