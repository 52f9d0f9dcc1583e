"""Recordings by a table that says which file holds which class from when on."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import mne
import numpy as np

from ._cutting import Cutting, Source, Windows, as_mapping, load_windows, split_spans
from .catalog import find_subject
from .windows import Span, spans_of

if TYPE_CHECKING:
    import pandas as pd

_REQUIRED = ("file", "start", "label")
_KNOWN = (*_REQUIRED, "duration", "subject", "session")
_SEPARATORS = ("\t", ";", ",")
_MAX_ROWS = 20  # named in an error


class _Row(NamedTuple):
    """A row of the table that belongs to one recording."""

    name: str  # how a message calls it: a line of the file, or an index
    span: Span
    columns: dict[str, Any]


def load_table(
    table: str | Path | pd.DataFrame,
    *,
    root: str | Path | None = None,
    duration: float = 4.0,
    overlap: float = 0.0,
    classes: Sequence[str] | Mapping[str, str] | None = None,
    point_duration: float = 1.0,
    line_freq: float | str | None = "auto",
    on_missing: str = "warn",
    on_error: str = "warn",
    n_jobs: int = 1,
    progress: bool = False,
) -> mne.EpochsArray:
    """Load the stretches of recordings that a table names.

    Every recording goes through :func:`mne_neurolm.prepare_raw`. A row without a duration is one
    window from its start on; a row with one is cut into windows. What the recordings themselves
    have as annotations is not used, except those that start with ``BAD`` or ``EDGE``: windows that
    touch them are left out.

    Parameters
    ----------
    table : str | Path | pandas.DataFrame
        A CSV file (separated by commas, semicolons or tabs, in UTF-8), or a table in memory, with
        the columns ``file``, ``start`` (seconds from the first sample) and ``label``, and if you
        like ``duration`` (seconds), ``subject`` and ``session``. Any further column is carried
        into the metadata.
    root : str | Path | None
        Folder that relative file names start from. None (default): that of the CSV file, or the
        working directory for a table in memory.
    duration : float
        Length of a window in seconds, 1 to 64. Default 4.0.
    overlap : float
        Seconds that consecutive windows of a row share. Default 0.0.
    classes : sequence of str | dict of str | None
        Labels to use, or a mapping from labels to class names. ``None`` (default): all labels.
    point_duration : float
        Rows whose duration is shorter than a window and at most this many seconds are events with
        one window. Default 1.0. Rows longer than this and shorter than a window are left out.
    line_freq : float | "auto" | None
        Power line frequency, see :func:`mne_neurolm.prepare_raw`. Default ``"auto"``.
    on_missing : "raise" | "warn" | "ignore"
        What to do about EEG channels outside NeuroLM's vocabulary; with ``"raise"`` a file that has
        one cannot be used. Default ``"warn"``.
    on_error : "warn" | "raise"
        Whether a file that cannot be used is left out with a warning, or stops the loading. Default
        ``"warn"``. Mistakes that the table shows by itself always raise.
    n_jobs : int
        Files to prepare in parallel processes. Default 1.
    progress : bool
        Whether to show a progress bar on standard error. Default False.

    Returns
    -------
    epochs : mne.EpochsArray
        The windows in volts at 200 Hz, of the channels that all files share. ``event_id`` numbers
        the classes in alphabetical order; the metadata columns are ``subject`` (str; without such
        a column as :func:`load_folder` finds it in the file's name), ``label`` (str), ``file``
        (str, as the table has it), ``start`` (float, seconds) and the further columns of the table.

    Raises
    ------
    FileNotFoundError
        If there is no such table, or files that it names are not there; rows are listed.
    ValueError
        If columns are missing or values are wrong (rows are listed; row 1 is the header, as
        spreadsheets count), or fewer than two classes are found.

    Examples
    --------
    >>> import tempfile
    >>> import mne
    >>> import numpy as np
    >>> import pandas as pd
    >>> from mne_neurolm.datasets import load_table
    >>> noise = 1e-5 * np.random.default_rng(0).standard_normal((2, 12000))
    >>> raw = mne.io.RawArray(noise, mne.create_info(["Fz", "Cz"], 200.0, "eeg"), verbose="error")
    >>> table = pd.DataFrame({"start": [5.0, 30.0], "duration": 20.0, "label": ["rest", "task"]})
    >>> table["file"] = "anna_raw.fif"
    >>> with mne.use_log_level("warning"), tempfile.TemporaryDirectory() as folder:
    ...     _ = raw.save(f"{folder}/anna_raw.fif")
    ...     epochs = load_table(table, root=folder, duration=4.0, line_freq=50)
    >>> epochs.metadata["label"].value_counts().to_dict()
    {'rest': 5, 'task': 5}
    """
    import pandas as pd

    cutting = Cutting(
        duration=duration,
        overlap=overlap,
        point_duration=point_duration,
        line_freq=line_freq,
        on_missing=on_missing,
    )
    if isinstance(table, (str, Path)):
        path = Path(table).expanduser()
        frame, what = _read_csv(path), str(path)
        folder = path.parent if root is None else Path(root).expanduser()
    else:
        if not isinstance(table, pd.DataFrame):
            raise TypeError(
                f"table must be a CSV file or a pandas.DataFrame, got {type(table).__name__}."
            )
        frame, what = table.copy(), "The table"
        folder = Path.cwd() if root is None else Path(root).expanduser()
    frame.columns = _check_columns(what, [str(column) for column in frame.columns])
    frame = _check_values(what, frame)
    sources = _group(what, frame, folder, as_mapping(classes))
    asked = "" if classes is None else f" among classes={list(classes)}"
    return load_windows(
        partial(_read, cutting=cutting),
        sources,
        on_error=on_error,
        n_jobs=n_jobs,
        progress=progress,
        advice=f"{asked}. They are the column label of {what}.",
    )


def _read_csv(path: Path) -> pd.DataFrame:
    """Return a CSV file as text, indexed by its lines; the header is line 1."""
    import pandas as pd

    if not path.is_file():
        raise FileNotFoundError(f"There is no table {path}.")
    cells: list[list[str]] = []
    numbers: list[int] = []
    wrong: list[str] = []
    try:
        # Excel puts a byte order mark in front, which "utf-8-sig" takes away.
        with path.open(encoding="utf-8-sig", newline="") as lines:
            separator = max(_SEPARATORS, key=lines.readline().count)
            lines.seek(0)
            reader = csv.reader(lines, delimiter=separator, skipinitialspace=True)
            names = [name.strip() for name in next(reader, [])]
            while names and not names[-1]:  # separators at the end of every line
                names.pop()
            for row in reader:
                if any(map(str.strip, row[len(names) :])):
                    wrong.append(
                        f"row {reader.line_num}: {len(row)} cells for {len(names)} columns"
                    )
                elif any(map(str.strip, row)):
                    cells.append([*row, *[""] * len(names)][: len(names)])
                    numbers.append(reader.line_num)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not in UTF-8 ({error}). Save the table as CSV UTF-8.") from error
    except csv.Error as error:
        raise ValueError(f"{path}: {error}") from error
    if wrong:
        raise ValueError(f"{path}: {_lines(wrong)}")
    frame = pd.DataFrame(cells, index=numbers, columns=names, dtype=str)
    # Where a comma separates decimals, columns are separated by something else.
    for column in frame.columns:
        if separator != "," and column.lower() in ("start", "duration"):
            frame[column] = frame[column].str.replace(",", ".")
    return frame


def _check_columns(what: str, names: list[str]) -> list[str]:
    """Return the names of the columns, those that are known in lower case."""
    clean = [name.strip() for name in names]
    clean = [name.lower() if name.lower() in _KNOWN else name for name in clean]
    twice = sorted({name for name in clean if clean.count(name) > 1})
    if twice:
        raise ValueError(f"{what}: column {', '.join(twice)} is there more than once.")
    missing = [name for name in _REQUIRED if name not in clean]
    if missing:
        raise ValueError(
            f"{what}: no column {', '.join(missing)}; there are {', '.join(clean)}. Needed are "
            f"{', '.join(_REQUIRED)}, and allowed are {', '.join(_KNOWN[3:])} and others."
        )
    ends = [name for name in clean if name.lower() in ("end", "stop", "offset")]
    if ends and "duration" not in clean:
        raise ValueError(
            f"{what}: where a span ends is said by a column duration (s), not by {ends[0]!r}."
        )
    for name in clean:
        near = get_close_matches(name.lower(), _KNOWN, n=1, cutoff=0.8)
        if near and name not in _KNOWN:
            raise ValueError(
                f"{what}: column {name!r} is not known. Did you mean {near[0]!r}? Otherwise give "
                "it another name."
            )
    return clean


def _check_values(what: str, frame: pd.DataFrame) -> pd.DataFrame:
    """Return the table with numbers as numbers; every wrong row is named."""
    import pandas as pd

    if frame.empty:
        raise ValueError(f"{what}: there are no rows.")
    wrong: list[str] = []
    frame = frame.copy()
    for column in ("start", "duration"):
        if column not in frame:
            continue
        given = frame[column]
        numbers = pd.to_numeric(given, errors="coerce").astype(float)
        absent = given.isna() | (given.astype(str).str.strip() == "")
        allowed = np.isfinite(numbers) & (numbers >= 0)
        if column == "duration":
            allowed |= absent
        wrong += [
            f"row {index}: {column}={value!r} is no number of seconds from 0 on"
            for index, value in given[~allowed].items()
        ]
        frame[column] = numbers
    for column in {"file", "label", "subject", "session"} & set(frame.columns):
        frame[column] = [_text(value) for value in frame[column]]
        if column != "session":
            wrong += [f"row {index}: no {column}" for index in frame.index[frame[column] == ""]]
    if wrong:
        raise ValueError(f"{what}: {_lines(wrong)}")
    return frame


def _group(
    what: str, frame: pd.DataFrame, folder: Path, classes: dict[str, str] | None
) -> list[Source]:
    """Return the recordings of the table, each with its rows."""
    further = [column for column in frame.columns if column not in (*_REQUIRED, "duration")]
    rows: dict[str, list[_Row]] = {}
    paths: dict[str, Path | None] = {}
    missing: list[str] = []
    for index, row in zip(frame.index, frame.to_dict("records"), strict=True):
        file, label = row["file"], row["label"]
        if file not in paths:
            paths[file] = _find(folder, file)
        if paths[file] is None:
            missing.append(f"row {index}: there is no file {folder / file}")
        if classes is not None and label not in classes:
            continue
        length = row.get("duration", 0.0)
        span = Span(
            onset=row["start"],
            duration=0.0 if np.isnan(length) else length,
            label=label if classes is None else classes[label],
        )
        columns = {column: row[column] for column in further}
        rows.setdefault(file, []).append(_Row(f"row {index}", span, columns))
    if missing:
        raise FileNotFoundError(
            f"{what}: {_lines(missing)}\nFile names start from {folder}; root= changes that."
        )
    found = {file: path for file, path in paths.items() if path is not None and file in rows}
    below = _below_one_folder(list(found.values()), folder)
    return [
        Source(path, file, {"subject": find_subject(name)}, rows[file])
        for (file, path), name in zip(found.items(), below, strict=True)
    ]


def _find(folder: Path, file: str) -> Path | None:
    """Return where a file is, None if it is nowhere."""
    for name in (file, file.replace("\\", "/")):  # a table may be from Windows
        path = Path(os.path.abspath(folder / Path(name).expanduser()))
        if path.exists():
            return path
    return None


def _below_one_folder(paths: Sequence[Path], folder: Path) -> list[str]:
    """Return paths below the folder if all are there, else below what they share."""
    base = Path(os.path.abspath(folder))
    if paths and not all(path.is_relative_to(base) for path in paths):
        base = Path(os.path.commonpath([path.parent for path in paths]))
    return [path.relative_to(base).as_posix() for path in paths]


def _read(source: Source, *, cutting: Cutting) -> Windows:
    """Open a recording and cut the rows that name it."""
    rows: list[_Row] = source.details
    raw = mne.io.read_raw(source.path, verbose="warning")
    seconds = raw.n_times / raw.info["sfreq"]
    late = [f"{row.name}: start={row.span.onset:g} s" for row in rows if row.span.onset >= seconds]
    if late:
        raise ValueError(f"it lasts {seconds:g} s only, but {', '.join(late[:_MAX_ROWS])}")
    _, bad = split_spans(spans_of(raw), None)
    return cutting.cut(raw, [r.span for r in rows], bad, [r.columns for r in rows])


def _text(value: Any) -> str:
    """Return a cell as text, empty if it is; 1.0, as pandas has 1 beside empty cells, is 1."""
    if value is None or value != value:
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip()


def _lines(wrong: Sequence[str]) -> str:
    more = len(wrong) - _MAX_ROWS
    return "\n".join(wrong[:_MAX_ROWS]) + (f"\nand {more} more" if more > 0 else "")
