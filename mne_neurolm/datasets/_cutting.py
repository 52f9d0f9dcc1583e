"""Cut recordings with labels into windows and join these: what folders, tables and BIDS share."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import mne
import numpy as np
from mne.utils import logger, warn
from numpy.typing import NDArray

from ..channels import CHANNELS, match_channels
from ..preprocessing import prepare_raw
from ._loading import MAX_LISTED, listed, load_all, warn_of
from .epochs import join_windows
from .windows import Span, window_starts

_NOT_A_CLASS = re.compile(r"bad|edge", re.IGNORECASE)  # MNE's names for spans to leave out
_OURS = ("subject", "label", "file", "start")  # columns of the metadata, in this order


class Source(NamedTuple):
    """A recording to load.

    Attributes
    ----------
    path : Path
        Its file.
    name : str
        What to call it in metadata and messages.
    columns : dict of str to object
        Metadata of all its windows; ``subject`` is one of them.
    details : object
        What else its reader needs.
    """

    path: Path
    name: str
    columns: dict[str, Any]
    details: Any = None


class Windows(NamedTuple):
    """What was cut from one recording."""

    data: NDArray[np.float64]  # (n_epochs, n_chans, n_times), volts
    info: mne.Info
    labels: list[str]  # one per epoch
    starts: NDArray[np.float64]  # (n_epochs,) seconds from the start of the recording
    columns: Sequence[Mapping[str, Any]]  # further metadata, one per epoch
    n_without_window: int  # spans too short, or too late in the file
    warnings: list[str]  # what MNE and prepare_raw warned about


@dataclass(frozen=True, slots=True, kw_only=True)
class Cutting:
    """How recordings are prepared and cut.

    Attributes
    ----------
    duration : float
        Length of a window in seconds, 1 to 64.
    overlap : float
        Seconds that consecutive windows of a span share.
    point_duration : float
        Longest span in seconds that is taken for an event, with one window.
    line_freq : float | "auto" | None
        Power line frequency in Hz.
    on_missing : "raise" | "warn" | "ignore"
        What to do about EEG channels outside the vocabulary.

    Raises
    ------
    ValueError
        If a length is out of range.
    """

    duration: float
    overlap: float
    point_duration: float
    line_freq: float | str | None
    on_missing: str

    def __post_init__(self) -> None:
        if not 1.0 <= self.duration <= 64.0:
            raise ValueError(f"duration={self.duration} s must lie between 1 and 64 s.")
        if not 0.0 <= self.overlap < self.duration:
            raise ValueError(
                f"overlap={self.overlap} s must be 0 or more and below duration={self.duration} s."
            )

    def cut(
        self,
        raw: mne.io.BaseRaw,
        spans: Sequence[Span],
        bad: Sequence[Span] = (),
        columns: Sequence[Mapping[str, Any]] | None = None,
    ) -> Windows:
        """Prepare a recording and cut its spans into windows.

        Parameters
        ----------
        raw : mne.io.BaseRaw
            The recording, in volts.
        spans : sequence of Span
            Where which class is.
        bad : sequence of Span
            Where no window may be.
        columns : sequence of mapping | None
            Metadata of each span's windows.

        Returns
        -------
        windows : Windows
            In the order of time, at 200 Hz, channels under the names of the vocabulary.

        Raises
        ------
        ValueError
            If no window fits, or :func:`mne_neurolm.prepare_raw` finds something wrong.
        """
        raw = prepare_raw(
            raw, line_freq=self.line_freq, on_missing=self.on_missing, verbose="warning"
        )
        match = match_channels(raw.info, on_missing="ignore")
        raw.rename_channels(
            {name: CHANNELS[row] for name, row in zip(match.ch_names, match.indices, strict=True)},
            verbose="error",
        )
        sfreq, n_times = raw.info["sfreq"], round(self.duration * raw.info["sfreq"])
        chosen: list[tuple[int, str, int]] = []  # first sample, label, number of the span
        n_without = 0
        for number, span in enumerate(spans):
            starts = window_starts(
                span,
                raw.n_times / sfreq,
                duration=self.duration,
                hop=self.duration - self.overlap,
                point_duration=self.point_duration,
                bad=bad,
            )
            for start in starts:
                first = min(max(round(start * sfreq), 0), raw.n_times - n_times)
                chosen.append((first, span.label, number))
            n_without += not starts
        if not chosen:
            raise ValueError(
                f"no window of {self.duration:g} s fits into any of its {len(spans)} labelled "
                f"spans (the longest lasts {max(span.duration for span in spans):g} s, the "
                f"recording {raw.n_times / sfreq:g} s; {len(bad)} spans are marked BAD)"
            )
        chosen = _without_repeats(chosen, n_times, sfreq)
        data = raw.get_data()
        return Windows(
            data=np.stack([data[:, first : first + n_times] for first, _, _ in chosen]),
            info=raw.info,
            labels=[label for _, label, _ in chosen],
            starts=np.array([first for first, _, _ in chosen]) / sfreq,
            columns=[{} if columns is None else columns[number] for _, _, number in chosen],
            n_without_window=n_without,
            warnings=[],
        )


def _without_repeats(
    chosen: list[tuple[int, str, int]], n_times: int, sfreq: float
) -> list[tuple[int, str, int]]:
    """Return windows in order, each once; warn if those of different classes share EEG."""
    first_of: dict[tuple[int, str], tuple[int, str, int]] = {}
    for window in sorted(chosen):
        first_of.setdefault(window[:2], window)
    windows = list(first_of.values())
    shared = sum(one[1] != two[1] and two[0] - one[0] < n_times for one, two in pairwise(windows))
    if shared:
        warn(
            f"Some windows of {n_times / sfreq:g} s overlap windows of another class, because "
            "their labels are closer than that: both contain the same EEG. Give a shorter "
            "duration, or leave a class out.",
            RuntimeWarning,
        )
    return windows


def load_windows(
    read: Callable[[Source], Windows],
    sources: Sequence[Source],
    *,
    on_error: str = "warn",
    n_jobs: int = 1,
    progress: bool = False,
    advice: str,
) -> mne.EpochsArray:
    """Read recordings and join their windows.

    Parameters
    ----------
    read : callable
        Cuts one recording.
    sources : sequence of Source
        The recordings.
    on_error : "warn" | "raise"
        Whether a recording that cannot be used is left out with a warning, or stops the loading.
    n_jobs : int
        Files to prepare in parallel processes.
    progress : bool
        Whether to show a progress bar on standard error.
    advice : str
        What to do if there are too few classes.

    Returns
    -------
    epochs : mne.EpochsArray
        In volts, of the channels that all recordings share. ``event_id`` numbers the classes in
        alphabetical order; the metadata has ``subject``, ``label``, ``file``, ``start`` and the
        columns of the sources and spans.

    Raises
    ------
    ValueError
        If fewer than two classes are found, recordings share no channel, or one cannot be used and
        ``on_error="raise"``.
    """
    if on_error not in ("warn", "raise"):
        raise ValueError(f"on_error must be 'warn' or 'raise', got {on_error!r}.")
    outcomes = load_all(read, sources, n_jobs=n_jobs, progress=progress)
    windows: dict[str, Windows] = {}
    problems: dict[str, str] = {}
    for source, outcome in zip(sources, outcomes, strict=True):
        if isinstance(outcome.result, Windows):
            found = outcome.result
            columns = [source.columns | dict(own) for own in found.columns]
            windows[source.name] = found._replace(warnings=outcome.warnings, columns=columns)
        else:
            problems[source.name] = str(outcome.result)
    windows, unlike = _share_channels(windows)
    problems.update(unlike)
    if problems and on_error == "raise":
        name, reason = next(iter(problems.items()))
        path = next(source.path for source in sources if source.name == name)
        raise ValueError(f"{path}: {reason}")
    counts = Counter(label for w in windows.values() for label in w.labels)
    without = sum(w.n_without_window for w in windows.values())
    logger.info(
        f"Cut {sum(counts.values())} windows from {len(windows)} of {len(sources)} files: "
        f"{counted(counts)}; {without} labelled spans held no window."
    )
    warn_of(problems if windows else {}, [w.warnings for w in windows.values()], len(sources))
    if len(counts) < 2:
        raise ValueError(
            f"Two or more classes are needed, found {counted(counts) or 'none'}{advice}"
            + (f"\nFiles left out:\n{listed(problems)}" if problems else "")
        )
    return _join(windows)


def as_mapping(classes: Sequence[str] | Mapping[str, str] | None) -> dict[str, str] | None:
    """Return the class of every label to use, None for all labels.

    Parameters
    ----------
    classes : sequence of str | mapping of str to str | None
        Labels to use, or the classes that they form.

    Returns
    -------
    mapping : dict of str to str | None
        Classes by label.

    Raises
    ------
    TypeError
        If it is a single word, which would be taken for a list of letters.
    """
    if isinstance(classes, str):
        raise TypeError(
            f"classes must be a list of descriptions, e.g. [{classes!r}], or a mapping."
        )
    if classes is None or isinstance(classes, Mapping):
        return None if classes is None else dict(classes)
    return {name: name for name in classes}


def split_spans(
    spans: Sequence[Span], classes: Mapping[str, str] | None
) -> tuple[list[Span], list[Span]]:
    """Sort the spans of a recording into those with a class and those to leave out.

    Parameters
    ----------
    spans : sequence of Span
        Spans as they are annotated.
    classes : mapping of str to str | None
        Class of each label to use; None for all.

    Returns
    -------
    labelled, bad : list of Span
        Those to use, with their class as label, and those whose label starts with ``BAD`` or
        ``EDGE``.
    """
    spans = [span._replace(label=span.label.strip()) for span in spans]
    bad = [span for span in spans if _NOT_A_CLASS.match(span.label)]
    good = [span for span in spans if not _NOT_A_CLASS.match(span.label)]
    if classes is not None:
        good = [s._replace(label=classes[s.label]) for s in good if s.label in classes]
    return good, bad


def counted(counts: Counter[str]) -> str:
    """Return counts as text, the largest first; nothing if there are none."""
    shown = ", ".join(f"{name!r} ({n})" for name, n in counts.most_common(MAX_LISTED))
    more = len(counts) - MAX_LISTED
    return f"{shown} and {more} more" if more > 0 else shown


def _share_channels(windows: dict[str, Windows]) -> tuple[dict[str, Windows], dict[str, str]]:
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


def _join(windows: Mapping[str, Windows]) -> mne.EpochsArray:
    """Return all windows as one set of epochs."""
    import pandas as pd

    rows = [
        {"subject": own.get("subject"), "label": label, "file": name, "start": start}
        | {key: value for key, value in own.items() if key not in _OURS}
        for name, w in windows.items()
        for label, start, own in zip(w.labels, w.starts.tolist(), w.columns, strict=True)
    ]
    labels = [row["label"] for row in rows]
    event_id = {label: code for code, label in enumerate(sorted(set(labels)))}
    return join_windows(
        [w.data for w in windows.values()],
        [w.info for w in windows.values()],
        codes=[event_id[label] for label in labels],
        event_id=event_id,
        metadata=pd.DataFrame(rows),
    )
