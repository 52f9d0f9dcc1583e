"""Any recordings that MNE can read, with their annotations as classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import mne
from mne.utils import logger

from ._cutting import Cutting, Source, Windows, as_mapping, counted, load_windows, split_spans
from ._files import find_recordings
from .catalog import find_subject, match_subject
from .windows import spans_of

_BIDS_MARK = "dataset_description.json"  # every BIDS data set has it at its root


def load_folder(
    path: str | Path,
    *,
    duration: float = 4.0,
    overlap: float = 0.0,
    classes: Sequence[str] | Mapping[str, str] | None = None,
    point_duration: float = 1.0,
    line_freq: float | str | None = "auto",
    on_missing: str = "warn",
    subject_pattern: str | None = None,
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
    subject_pattern : str | None
        Regular expression that finds the subject in the path of a file below ``path``: its group
        ``subject``, else its first group, else all of the match. ``None`` (default): see below.
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
        the file's name without its ending; files of some known data sets are recognised by their
        names. Give the folder above, not the one of a single subject, if subjects have a folder
        each.

    Raises
    ------
    FileNotFoundError
        If there is no such file or folder, or nothing in it that MNE reads.
    ValueError
        If fewer than two classes are found (the error lists what was), or a parameter is out of
        range.

    Examples
    --------
    >>> import tempfile
    >>> import mne
    >>> import numpy as np
    >>> from mne_neurolm.datasets import load_folder
    >>> noise = 1e-5 * np.random.default_rng(0).standard_normal((2, 12000))
    >>> raw = mne.io.RawArray(noise, mne.create_info(["Fz", "Cz"], 200.0, "eeg"), verbose="error")
    >>> _ = raw.set_annotations(mne.Annotations([5.0, 30.0], [20.0, 20.0], ["rest", "task"]))
    >>> with mne.use_log_level("warning"), tempfile.TemporaryDirectory() as folder:
    ...     _ = raw.save(f"{folder}/anna_raw.fif")
    ...     epochs = load_folder(folder, duration=4.0, line_freq=50)
    >>> epochs.metadata["label"].value_counts().to_dict()
    {'rest': 5, 'task': 5}
    """
    cutting = Cutting(
        duration=duration,
        overlap=overlap,
        point_duration=point_duration,
        line_freq=line_freq,
        on_missing=on_missing,
    )
    root = Path(path).expanduser()
    files = find_recordings(root)
    hint = _hint(root)
    if hint:
        logger.info(hint)
    base = root if root.is_dir() else root.parent
    names = [file.relative_to(base).as_posix() for file in files]
    asked = "" if classes is None else f" among classes={list(classes)}"
    return load_windows(
        partial(_read, cutting=cutting, classes=as_mapping(classes)),
        [
            Source(
                file, name, {"subject": match_subject(subject_pattern, name) or find_subject(name)}
            )
            for file, name in zip(files, names, strict=True)
        ],
        n_jobs=n_jobs,
        progress=progress,
        advice=f"{asked}. The description of an annotation is a class (raw.set_annotations); "
        "choose other files, another duration or other classes." + (f" {hint}" if hint else ""),
    )


def _hint(root: Path) -> str:
    """Return what to say about a folder that another function reads better, or nothing."""
    if not (root / _BIDS_MARK).is_file():
        return ""
    return (
        f"{root} is a BIDS data set. load_folder takes the annotations that are in the recordings "
        "themselves; mne_neurolm.datasets.load_bids takes events.tsv, channels.tsv and "
        "participants.tsv."
    )


def _read(source: Source, *, cutting: Cutting, classes: dict[str, str] | None) -> Windows:
    """Open a recording and cut its annotations."""
    raw = mne.io.read_raw(source.path, verbose="warning")
    spans, bad = split_spans(spans_of(raw), classes)
    if not spans:
        there = counted(Counter(map(str, raw.annotations.description))) or "no annotations"
        raise ValueError(f"none of its annotations is a class; it has {there}")
    return cutting.cut(raw, spans, bad)
