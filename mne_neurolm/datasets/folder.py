"""Any recordings that MNE can read, with their annotations as classes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import mne
import numpy as np
from mne.utils import logger
from numpy.typing import NDArray

from mne_neurolm.channels import CHANNELS, match_channels
from mne_neurolm.datasets._files import find_recordings, subject_of
from mne_neurolm.datasets._loading import MAX_LISTED, listed, load_all, warn_of
from mne_neurolm.preprocessing import prepare_raw

_NOT_A_CLASS = re.compile(r"bad|edge", re.IGNORECASE)  # MNE's names for spans to leave out


class _Windows(NamedTuple):
    """What was cut from one file."""

    data: NDArray[np.float64]  # (n_epochs, n_chans, n_times), volts
    info: mne.Info
    classes: list[str]  # one per epoch
    starts: NDArray[np.float64]  # (n_epochs,) seconds from the start of the recording
    n_without_window: int  # annotations too short, or too late in the file
    warnings: list[str]  # what MNE and prepare_raw warned about


def load_folder(
    path: str | Path,
    *,
    duration: float = 4.0,
    overlap: float = 0.0,
    classes: Sequence[str] | Mapping[str, str] | None = None,
    point_duration: float = 1.0,
    line_freq: float | str | None = "auto",
    on_missing: str = "warn",
    n_jobs: int = 1,
    progress: bool = False,
) -> mne.EpochsArray:
    """Load one recording or a folder of them, with annotations as classes.

    Every recording goes through :func:`mne_neurolm.prepare_raw`. The description of an annotation
    is the class of the windows inside its span; windows that touch a span whose description starts
    with ``BAD`` or ``EDGE`` are left out, as MNE does. Files that cannot be read, prepared or cut
    are left out with one warning that says why.

    Parameters
    ----------
    path : str | Path
        A file that :func:`mne.io.read_raw` reads, or a folder; its subfolders are searched too.
    duration : float
        Length of a window in seconds, 1 to 64. Default 4.0.
    overlap : float
        Seconds that consecutive windows of a span share. Default 0.0.
    classes : sequence of str | dict of str | None
        Descriptions to use, or a mapping from descriptions to class names, by which several
        descriptions can form one class. ``None`` (default): all descriptions.
    point_duration : float
        Annotations that are shorter than a window and last at most this many seconds are taken for
        events: one window starts at their onset. Default 1.0. Spans longer than this and shorter
        than a window are left out.
    line_freq : float | "auto" | None
        Power line frequency, see :func:`mne_neurolm.prepare_raw`. Default ``"auto"``.
    on_missing : "raise" | "warn" | "ignore"
        What to do about EEG channels outside NeuroLM's vocabulary; with ``"raise"`` a file that has
        one is left out. Default ``"warn"``.
    n_jobs : int
        Files to prepare in parallel processes. Default 1.
    progress : bool
        Whether to show a progress bar on standard error. Default False.

    Returns
    -------
    epochs : instance of EpochsArray
        The windows in volts at 200 Hz, of the channels that all files share, under the names of
        ``mne_neurolm.channels.CHANNELS``. ``event_id`` numbers the classes in alphabetical order;
        the metadata columns are ``subject`` (str), ``label`` (str, the class), ``file`` (str,
        relative to ``path``) and ``start`` (float, seconds from the start of the recording). The
        subject is the ``sub-`` entity of a BIDS name, else the first folder below ``path``, else
        the file's name without its ending. Give the folder above, not the one of a single
        subject, if subjects have a folder each.

    Raises
    ------
    FileNotFoundError
        If there is no such file or folder, or nothing in it that MNE reads.
    ValueError
        If fewer than two classes are found (the error lists what was), or a parameter is out of
        range.

    Examples
    --------
    >>> from mne_neurolm.datasets import load_folder
    >>> epochs = load_folder("sleep", duration=30.0, line_freq=50)  # doctest: +SKIP
    """
    if not 1.0 <= duration <= 64.0:
        raise ValueError(f"duration={duration} s must lie between 1 and 64 s.")
    if not 0.0 <= overlap < duration:
        raise ValueError(f"overlap={overlap} s must be 0 or more and below duration={duration} s.")
    root = Path(path).expanduser()
    files = find_recordings(root)
    read = partial(
        _cut_file,
        duration=duration,
        hop=duration - overlap,
        classes=None if classes is None else _as_mapping(classes),
        point_duration=point_duration,
        line_freq=line_freq,
        on_missing=on_missing,
    )
    outcomes = load_all(read, files, n_jobs=n_jobs, progress=progress)
    base = root if root.is_dir() else root.parent
    windows, problems = {}, {}
    for file, outcome in zip(files, outcomes, strict=True):
        name = file.relative_to(base).as_posix()
        if isinstance(outcome.result, _Windows):
            windows[name] = outcome.result._replace(warnings=outcome.warnings)
        else:
            problems[name] = str(outcome.result)
    windows, unlike = _share_channels(windows)
    problems.update(unlike)
    _report(windows, problems, len(files))
    return _join(windows, problems, classes)


def _as_mapping(classes: Sequence[str] | Mapping[str, str]) -> dict[str, str]:
    if isinstance(classes, str):
        raise TypeError(
            f"classes must be a list of descriptions, e.g. [{classes!r}], or a mapping."
        )
    return dict(classes) if isinstance(classes, Mapping) else {name: name for name in classes}


def _cut_file(
    path: Path,
    *,
    duration: float,
    hop: float,
    classes: dict[str, str] | None,
    point_duration: float,
    line_freq: float | str | None,
    on_missing: str,
) -> _Windows:
    raw = mne.io.read_raw(path, verbose="error")
    spans = _spans(raw, classes)
    if not spans:
        there = _counted(Counter(map(str, raw.annotations.description)))
        raise ValueError(f"none of its annotations is a class; it has {there}")
    bad = [(onset, onset + length) for onset, length, _ in _spans(raw, None, bad=True)]
    raw = prepare_raw(raw, line_freq=line_freq, on_missing=on_missing, verbose="warning")
    match = match_channels(raw.info, on_missing="ignore")
    raw.rename_channels(
        {name: CHANNELS[row] for name, row in zip(match.ch_names, match.indices, strict=True)},
        verbose="error",
    )
    sfreq, n_times = raw.info["sfreq"], int(round(duration * raw.info["sfreq"]))
    chosen: list[tuple[int, str]] = []
    n_without = 0
    for onset, length, name in spans:
        n_fit = int(np.floor((length - duration) / hop + 1e-3)) + 1 if length > duration else 0
        if n_fit == 0 and (abs(length - duration) < 1e-3 or length <= point_duration):
            n_fit = 1
        begins = [onset + k * hop for k in range(n_fit)]
        fitting = [
            (int(round(begin * sfreq)), name)
            for begin in begins
            if begin >= 0
            and int(round(begin * sfreq)) + n_times <= raw.n_times
            and not any(begin < end and begin + duration > start for start, end in bad)
        ]
        chosen += fitting
        n_without += not fitting
    if not chosen:
        raise ValueError(
            f"no window of {duration:g} s fits into any of its {len(spans)} annotations (the "
            f"longest lasts {max(length for _, length, _ in spans):g} s; {len(bad)} spans are "
            "marked BAD)"
        )
    chosen.sort()
    data = raw.get_data()
    return _Windows(
        data=np.stack([data[:, start : start + n_times] for start, _ in chosen]),
        info=raw.info,
        classes=[name for _, name in chosen],
        starts=np.array([start for start, _ in chosen]) / sfreq,
        n_without_window=n_without,
        warnings=[],
    )


def _spans(
    raw: mne.io.BaseRaw, classes: dict[str, str] | None, bad: bool = False
) -> list[tuple[float, float, str]]:
    """Return onset in seconds from the first sample, duration and class of annotations."""
    notes = raw.annotations
    # Onsets count from the start of the acquisition, which a cropped recording does not begin with.
    onsets = notes.onset - raw.first_time
    spans = []
    for onset, length, description in zip(
        onsets, notes.duration, map(str, notes.description), strict=True
    ):
        if bool(_NOT_A_CLASS.match(description)) != bad:
            continue
        if classes is None or description in classes:
            name = description if classes is None else classes[description]
            spans.append((float(onset), float(length), name))
    return spans


def _share_channels(
    windows: dict[str, _Windows],
) -> tuple[dict[str, _Windows], dict[str, str]]:
    """Reduce all files to the channels they share, and name those that share too few."""
    if not windows:
        return {}, {}
    montages = Counter(frozenset(w.info["ch_names"]) for w in windows.values())
    common = max(montages, key=lambda montage: (montages[montage], len(montage)))
    unlike = {
        name: f"it shares {len(common & set(w.info['ch_names']))} channels with the commonest "
        f"montage of {len(common)}, less than half"
        for name, w in windows.items()
        if 2 * len(common & set(w.info["ch_names"])) < len(common)
    }
    kept = {name: w for name, w in windows.items() if name not in unlike}
    shared = set.intersection(*(set(w.info["ch_names"]) for w in kept.values()))
    if not shared:
        raise ValueError(
            f"The {len(kept)} recordings have no channel in common. Load them in groups of one "
            "montage."
        )
    dropped = sorted(set().union(*(w.info["ch_names"] for w in kept.values())) - shared)
    if dropped:
        logger.info(f"Keeping the {len(shared)} channels of all files; some also have {dropped}.")
    first = next(iter(kept.values())).info["ch_names"]
    order = [name for name in first if name in shared]
    for name, w in kept.items():
        picks = [w.info["ch_names"].index(channel) for channel in order]
        kept[name] = w._replace(data=w.data[:, picks], info=mne.pick_info(w.info, picks))
    return kept, unlike


def _report(windows: dict[str, _Windows], problems: dict[str, str], n_files: int) -> None:
    """Warn about files that are left out, and log what was found."""
    without = sum(w.n_without_window for w in windows.values())
    counts = Counter(name for w in windows.values() for name in w.classes)
    logger.info(
        f"Cut {sum(counts.values())} windows from {len(windows)} of {n_files} files: "
        f"{_counted(counts)}; {without} annotations held no window."
    )
    warn_of(problems if windows else {}, [w.warnings for w in windows.values()], n_files)


def _join(
    windows: dict[str, _Windows],
    problems: dict[str, str],
    classes: Sequence[str] | Mapping[str, str] | None,
) -> mne.EpochsArray:
    """Return all windows as one set of epochs."""
    import pandas as pd

    counts = Counter(name for w in windows.values() for name in w.classes)
    if len(counts) < 2:
        asked = "" if classes is None else f" among classes={list(classes)}"
        raise ValueError(
            f"Two or more classes are needed, found {_counted(counts)}{asked}. The description of "
            "an annotation is a class (raw.set_annotations); choose other files, another duration "
            "or other classes." + (f"\nFiles left out:\n{listed(problems)}" if problems else "")
        )
    names = [name for name, w in windows.items() for _ in w.classes]
    labels = np.array([label for w in windows.values() for label in w.classes])
    metadata = pd.DataFrame(
        {
            "subject": [subject_of(name) for name in names],
            "label": labels,
            "file": names,
            "start": np.concatenate([w.starts for w in windows.values()]),
        }
    )
    infos = [w.info for w in windows.values()]
    info = infos[0].copy()
    with info._unlock():
        # One info speaks for all files: the narrowest band of any, so that a warning about
        # too narrow a filter is not lost.
        info["highpass"] = max(i["highpass"] for i in infos)
        info["lowpass"] = min(i["lowpass"] for i in infos)
        if len(infos) > 1:
            info["meas_date"] = info["subject_info"] = None
    data = np.concatenate([w.data for w in windows.values()])
    event_id = {name: code for code, name in enumerate(sorted(counts))}
    events = np.column_stack(
        [
            np.arange(len(data)) * data.shape[-1],
            np.zeros(len(data), dtype=np.int64),
            [event_id[label] for label in labels],
        ]
    )
    return mne.EpochsArray(
        data,
        info,
        events=events,
        event_id=event_id,
        metadata=metadata,
        proj=False,
        verbose="error",
    )


def _counted(counts: Counter[str]) -> str:
    """Return counts as text, the largest first."""
    shown = ", ".join(f"{name!r} ({n})" for name, n in counts.most_common(MAX_LISTED))
    more = len(counts) - MAX_LISTED
    return (f"{shown} and {more} more" if more > 0 else shown) or "no annotations"
