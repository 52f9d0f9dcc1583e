"""EEG in the Brain Imaging Data Structure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mne

from ._cutting import Cutting, Source, Windows, as_mapping, counted, load_windows, split_spans
from ._files import warn_of_dangling_links
from .windows import Span

if TYPE_CHECKING:
    import pandas as pd
    from mne_bids import BIDSPath

# Files that hold a recording, as the specification has them for EEG; some write EDF in capitals.
_EXTENSIONS = [".vhdr", ".edf", ".EDF", ".bdf", ".set"]
_ENTITIES = ("session", "task", "run")
_ABSENT = ["n/a", ""]  # how the specification says that a cell has no value, and a common mistake


def load_bids(
    root: str | Path,
    *,
    label: str = "trial_type",
    classes: Sequence[str] | Mapping[str, str] | None = None,
    subjects: Iterable[str] | None = None,
    sessions: Iterable[str] | None = None,
    tasks: Iterable[str] | None = None,
    runs: Iterable[str] | None = None,
    duration: float = 4.0,
    overlap: float = 0.0,
    point_duration: float = 1.0,
    line_freq: float | str | None = "auto",
    on_missing: str = "warn",
    on_ch_mismatch: str = "raise",
    on_error: str = "warn",
    n_jobs: int = 1,
    progress: bool = False,
) -> mne.EpochsArray:
    """Load a BIDS data set of EEG, with its events as classes.

    MNE-BIDS opens the recordings with what ``channels.tsv`` says of types and bad channels, the
    positions of ``electrodes.tsv`` and the power line frequency of ``*_eeg.json``. Every recording
    goes through :func:`mne_neurolm.prepare_raw`. Events whose ``trial_type`` starts with ``BAD`` or
    ``EDGE`` are no class; windows that touch them are left out.

    Parameters
    ----------
    root : str | Path
        Folder of the data set: the one with ``dataset_description.json`` and the folders ``sub-*``.
        Derivatives below it are not searched.
    label : str
        What the classes are: a column of ``events.tsv``, ``"trial_type"`` by default, for the spans
        of the events; or, for whole recordings, ``"task"``, ``"session"`` or ``"run"``, or a column
        of ``participants.tsv`` such as ``"group"``.
    classes : sequence of str | dict of str | None
        Labels to use, or a mapping from labels to class names, by which several labels can form
        one class. ``None`` (default): all labels.
    subjects, sessions, tasks, runs : iterable of str | None
        What to load, with or without ``sub-`` and the like. ``None`` (default): all.
    duration : float
        Length of a window in seconds, 1 to 64. Default 4.0.
    overlap : float
        Seconds that consecutive windows of a span share. Default 0.0.
    point_duration : float
        Events that are shorter than a window and last at most this many seconds have one window,
        which starts at their onset. Default 1.0. Longer ones that are shorter than a window are
        left out.
    line_freq : float | "auto" | None
        Power line frequency, see :func:`mne_neurolm.prepare_raw`. Default ``"auto"``: that of
        ``*_eeg.json``.
    on_missing : "raise" | "warn" | "ignore"
        What to do about EEG channels outside NeuroLM's vocabulary; with ``"raise"`` a recording
        that has one cannot be used. Default ``"warn"``.
    on_ch_mismatch : "raise" | "reorder" | "rename" | "warn"
        What to do if ``channels.tsv`` names other channels than the recording, see
        :func:`mne_bids.read_raw_bids`. Default ``"raise"``: it cannot be used.
    on_error : "warn" | "raise"
        Whether a recording that cannot be used is left out with a warning, or stops the loading.
        Default ``"warn"``.
    n_jobs : int
        Files to prepare in parallel processes. Default 1.
    progress : bool
        Whether to show a progress bar on standard error. Default False.

    Returns
    -------
    epochs : mne.EpochsArray
        The windows in volts at 200 Hz, of the channels that all recordings share. ``event_id``
        numbers the classes in alphabetical order. The metadata columns are ``subject`` (str,
        without ``sub-``), ``label`` (str), ``file`` (str, relative to ``root``), ``start`` (float,
        seconds), ``session``, ``task``, ``run`` (str, empty if the name has none) and those of
        ``participants.tsv``.

    Raises
    ------
    FileNotFoundError
        If there is no such folder, or no EEG recording of a BIDS data set in it.
    ValueError
        If there is no recording of what was asked for, fewer than two classes are found, or a
        parameter is out of range.

    References
    ----------
    The Brain Imaging Data Structure, electroencephalography:
    https://bids-specification.readthedocs.io/en/stable/modality-specific-files/electroencephalography.html

    Examples
    --------
    >>> import tempfile
    >>> import mne
    >>> import numpy as np
    >>> from mne_bids import BIDSPath, write_raw_bids
    >>> from mne_neurolm.datasets import load_bids
    >>> noise = 1e-5 * np.random.default_rng(0).standard_normal((2, 12000))
    >>> raw = mne.io.RawArray(noise, mne.create_info(["Fz", "Cz"], 200.0, "eeg"), verbose="error")
    >>> raw.info["line_freq"] = 50
    >>> _ = raw.set_annotations(mne.Annotations([5.0, 30.0], [20.0, 20.0], ["rest", "sums"]))
    >>> with mne.use_log_level("warning"), tempfile.TemporaryDirectory() as folder:
    ...     path = BIDSPath(subject="01", task="arithmetic", datatype="eeg", root=folder)
    ...     _ = write_raw_bids(raw, path, format="BrainVision", allow_preload=True)
    ...     epochs = load_bids(folder)
    >>> epochs.metadata["label"].value_counts().to_dict()
    {'rest': 5, 'sums': 5}
    """
    cutting = Cutting(
        duration=duration,
        overlap=overlap,
        point_duration=point_duration,
        line_freq=line_freq,
        on_missing=on_missing,
    )
    folder = Path(root).expanduser()
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder {folder}.")
    asked = {"subject": subjects, "session": sessions, "task": tasks, "run": runs}
    found = _find(folder, {key: _names(key, value) for key, value in asked.items()})
    people = _read_participants(folder)
    whole = label in _ENTITIES or any(label in known for known in people.values())
    whole = whole and label != "trial_type"  # always of events
    wanted = "" if classes is None else f" among classes={list(classes)}"
    return load_windows(
        partial(
            _read,
            label=label,
            whole=whole,
            cutting=cutting,
            classes=as_mapping(classes),
            on_ch_mismatch=on_ch_mismatch,
        ),
        [_source(path, folder, people) for path in found],
        on_error=on_error,
        n_jobs=n_jobs,
        progress=progress,
        advice=f"{wanted}. They are {label!r}; label= takes another column of events.tsv, or "
        "'task', 'session', 'run' or a column of participants.tsv for whole recordings.",
    )


def _names(entity: str, given: Iterable[str] | None) -> set[str] | None:
    """Return the names of subjects, sessions, tasks or runs without ``sub-`` and the like."""
    if given is None:
        return None
    if isinstance(given, str):
        raise TypeError(f"{entity}s must be a list of names, e.g. [{given!r}].")
    key = {"subject": "sub", "session": "ses"}.get(entity, entity)
    return {str(name).removeprefix(f"{key}-") for name in given}


def _find(root: Path, asked: Mapping[str, set[str] | None]) -> list[BIDSPath]:
    """Return the recordings that were asked for, sorted."""
    from mne_bids import find_matching_paths

    paths = find_matching_paths(
        root, suffixes="eeg", datatypes="eeg", extensions=_EXTENSIONS, ignore_nosub=True
    )
    warn_of_dangling_links(root)
    if not paths:
        raise FileNotFoundError(
            f"{root} holds no recording like sub-01/eeg/sub-01_task-rest_eeg.edf (endings "
            f"{', '.join(_EXTENSIONS)}), so it is no BIDS data set with EEG. For other folders see "
            "mne_neurolm.datasets.load_folder."
        )
    for entity, wanted in asked.items():
        if wanted is None:
            continue
        there = {str(getattr(path, entity) or "") for path in paths}
        if not wanted or not wanted <= there:
            raise ValueError(
                f"{root} holds no recording of {entity} {', '.join(sorted(wanted - there))}; there "
                f"are {', '.join(sorted(there)[:40])}{' and more' if len(there) > 40 else ''}."
            )
        paths = [path for path in paths if (getattr(path, entity) or "") in wanted]
    return sorted(paths, key=lambda path: path.fpath.as_posix())


def _read_participants(root: Path) -> dict[str, dict[str, Any]]:
    """Return what is known about each participant, by name with ``sub-``."""
    file = root / "participants.tsv"
    if not file.is_file():
        return {}
    table = _read_tsv(file)
    if "participant_id" not in table:
        raise ValueError(f"{file}: no column participant_id; there are {', '.join(table)}.")
    names = ["sub-" + str(name).removeprefix("sub-") for name in table["participant_id"]]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"{file}: {', '.join(twice)} are there more than once.")
    rows = _numbers_where_all_are(table.drop(columns="participant_id")).to_dict("records")
    return {
        name: {str(column): value for column, value in row.items()}
        for name, row in zip(names, rows, strict=True)
    }


def _read_tsv(file: Path) -> pd.DataFrame:
    """Return a table as text, with NaN for cells without a value."""
    import pandas as pd

    return pd.read_csv(
        file,
        sep="\t",
        dtype=str,
        na_values=_ABSENT,
        keep_default_na=False,
        encoding="utf-8-sig",
        index_col=False,  # with a tab at the end of a line the first column would be the index
    )


def _numbers_where_all_are(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table with the columns of numbers as numbers."""
    import pandas as pd

    for column in table.columns:
        numbers = pd.to_numeric(table[column], errors="coerce")
        if numbers.notna().equals(table[column].notna()):
            table[column] = numbers
    return table


def _source(path: BIDSPath, root: Path, people: Mapping[str, dict[str, Any]]) -> Source:
    """Return a recording with what its name and the table of participants say."""
    columns = {"subject": path.subject}
    columns |= {entity: getattr(path, entity) or "" for entity in _ENTITIES}
    known = people.get(f"sub-{path.subject}", {})
    columns |= {
        f"participant_{key}" if key in ("label", "file", "start", *columns) else key: value
        for key, value in known.items()
    }
    return Source(path.fpath, path.fpath.relative_to(root).as_posix(), columns, (path, known))


def _read(
    source: Source,
    *,
    label: str,
    whole: bool,
    cutting: Cutting,
    classes: dict[str, str] | None,
    on_ch_mismatch: str,
) -> Windows:
    """Open a recording and cut its events, or all of it."""
    from mne_bids import read_raw_bids

    path, known = source.details
    found = path.find_matching_sidecar(suffix="events", extension=".tsv", on_error="ignore")
    if found is None and not whole:
        raise ValueError("there is no events.tsv for it")
    column = "trial_type" if whole else label  # of a whole recording, for what is bad in it
    told = [] if found is None else _read_events(Path(found), column, spare=whole)
    name = _label_of_all(source.columns if label in _ENTITIES else known, label) if whole else ""
    try:
        # silent, as it warns of every column and sidecar that it has no use for
        raw = read_raw_bids(path, on_ch_mismatch=on_ch_mismatch, verbose="error")
    except ValueError as error:
        if "mismatch" in str(error):
            raise ValueError(
                f"{error} (here: load_bids(on_ch_mismatch=...), 'rename' for the names of "
                "channels.tsv)"
            ) from error
        raise ValueError(
            f"MNE-BIDS cannot read it or its events.tsv, channels.tsv or participants.tsv: {error}"
        ) from error
    _, bad = split_spans(told, None)
    if found is not None and not whole and label != "trial_type":
        bad += split_spans(_read_events(Path(found), "trial_type", spare=True), None)[1]
    if whole:
        told = [Span(0.0, raw.n_times / raw.info["sfreq"], name)]
    spans, _ = split_spans(told, classes)
    if not spans:
        there = counted(Counter(span.label for span in told)) or "none"
        raise ValueError(f"none of its labels ({label}) is a class; it has {there}")
    return cutting.cut(raw, spans, bad)


def _label_of_all(known: Mapping[str, Any], column: str) -> str:
    """Return the label of a whole recording."""
    value = known.get(column, "")
    if value != value or value == "":  # NaN, or no such part in the name
        where = "name" if column in _ENTITIES else "participants.tsv"
        raise ValueError(f"its {where} has no {column} for it")
    # Whole numbers, which pandas makes floats beside empty cells, without a dot.
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _read_events(file: Path, column: str, *, spare: bool = False) -> list[Span]:
    """Return the events of a recording.

    They are not taken from the annotations that MNE-BIDS makes: where one ``trial_type`` has
    several values it puts these behind it ("stim/3"), and other columns are no labels there.

    Parameters
    ----------
    file : Path
        ``*_events.tsv``.
    column : str
        What to take for labels.
    spare : bool
        Whether a table without the column is one without events. Default False.

    Returns
    -------
    spans : list of Span
        Events that have an onset and a label. Without a duration it is 0.

    Raises
    ------
    ValueError
        If a column is missing, or an onset or duration is no number.
    """
    table = _read_tsv(file)
    missing = [name for name in ("onset", column) if name not in table]
    if missing and spare:
        return []
    if missing:
        raise ValueError(
            f"{file.name} has no column {', '.join(missing)}; there are {', '.join(table)}"
        )
    if "duration" not in table:
        table["duration"] = "0"
    table = table.dropna(subset=["onset", column]).fillna({"duration": "0"})
    try:
        return [
            Span(float(onset), float(length), label)
            for onset, length, label in zip(
                table["onset"], table["duration"], table[column], strict=True
            )
        ]
    except ValueError as error:
        raise ValueError(f"{file.name}: {error}") from error
