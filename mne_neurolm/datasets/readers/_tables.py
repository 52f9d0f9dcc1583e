"""Recordings as tables of text with one row per sample, which can be hundreds of megabytes."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_ROWS = 50_000  # that are converted at once


def read_header(path: Path) -> list[str]:
    """Return the names of the columns of a CSV file.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    names : list of str
        In the order of the file, without blanks around them.

    Raises
    ------
    ValueError
        If the file is empty, or two columns have the same name.
    """
    with open(path, encoding="utf-8-sig", newline="") as file:
        names = [name.strip() for name in next(csv.reader(file), [])]
    if not names:
        raise ValueError("is empty")
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError(f"has several columns {', '.join(repeated)}")
    return names


def read_columns(path: Path, columns: Sequence[str]) -> NDArray[np.float64]:
    """Read numeric columns of a CSV file, with a peak of memory of about twice their size.

    Parameters
    ----------
    path : Path
        The file; its first line names the columns.
    columns : sequence of str
        Columns to read.

    Returns
    -------
    values : ndarray of float64, shape (n_columns, n_rows)
        In the order asked for.

    Raises
    ------
    ValueError
        If a column is missing, or a row is incomplete or holds anything but finite numbers.
    """
    import pandas as pd

    header = read_header(path)
    missing = [name for name in columns if name not in header]
    if missing:
        raise ValueError(f"lacks the columns {', '.join(missing)}; it has {', '.join(header[:70])}")
    parts: list[NDArray[np.float64]] = []
    n_rows = 0
    with pd.read_csv(
        path,
        names=header,
        header=0,
        usecols=list(columns),
        dtype=np.float64,
        chunksize=_ROWS,
        encoding="utf-8-sig",
    ) as chunks:
        for chunk in chunks:
            part = np.ascontiguousarray(chunk[list(columns)].to_numpy().T)
            bad = np.flatnonzero(~np.isfinite(part).all(axis=0))
            if len(bad):
                row = n_rows + int(bad[0])
                raise ValueError(
                    f"row {row + 1} below the header is incomplete or holds what is no finite "
                    "number; is the file cut off?"
                )
            parts.append(part)
            n_rows += part.shape[1]
    if not n_rows:
        raise ValueError("has no row below its header")
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
