"""Load a known data set as the paper does, as a Braindecode dataset."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Collection
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import mne
from mne.utils import logger, use_log_level

from ..channels import channel_index, match_channels
from ..preprocessing import prepare_raw
from ..tasks import get_task
from ..utils.optional import import_braindecode
from ._loading import iterate, listed, warn_of
from ._montage import template_montage
from .catalog import get_spec
from .members import check_subjects, find_members, read_member
from .specs import PARTS, DatasetSpec, Member, Variant
from .windows import spans_of, window_starts

if TYPE_CHECKING:
    from braindecode.datasets import BaseConcatDataset

_CACHED = "prepared_raw.fif"
_SIZES = "sizes.json"
_CACHE_FORMAT = 2  # to be raised when prepared recordings change


class _Prepared(NamedTuple):
    """A prepared recording, in memory or in the cache."""

    raw: mne.io.BaseRaw | Path


def load(
    name: str,
    root: str | Path,
    *,
    split: str | None = None,
    subjects: Collection[str] | None = None,
    variant: str = "paper",
    cache: str | Path | None = None,
    on_error: str = "warn",
    n_jobs: int = 1,
    progress: bool = False,
) -> BaseConcatDataset:
    """Load a data set of the paper.

    A downstream data set becomes labelled windows by the protocol of the paper: every recording is
    read, its channels are picked in one order, :func:`mne_neurolm.prepare_raw` filters and
    resamples it, and its labels are cut into windows. A pretraining corpus becomes prepared
    recordings without windows. The table of all data sets is in the documentation.

    Files that cannot be read, or are not like those of the data set, are left out; one warning
    lists them with the reasons.

    Parameters
    ----------
    name : str
        ``"tuab"``, ``"tuev"``, ``"tusl"``, ``"seed"``, ``"hmc"``, ``"workload"``, or the name of a
        pretraining corpus.
    root : str | Path
        Folder with the files as they are distributed; its subfolders are searched.
    split : "train" | "validation" | "test" | None
        Part of the split to load. None (default): all; the column ``split`` of ``description``
        tells them apart, and ``dataset.split("split")`` separates them.
    subjects : collection of str | None
        Subjects to load, as the files name them. None (default): all.
    variant : "paper" | "code"
        Where the text of the paper and its released code differ (power line frequency, split):
        which of them to follow. Default ``"paper"``.
    cache : str | Path | None
        Folder to keep prepared recordings in, as FIF files. They are prepared once and windows are
        read from the disk when they are asked for, so that a data set larger than memory can be
        used. None (default): all recordings are held in memory.
    on_error : "warn" | "raise"
        Whether a file that cannot be used is left out with a warning, or stops the loading.
    n_jobs : int
        Files to prepare in parallel processes. Default 1.
    progress : bool
        Whether to show a progress bar on standard error. Default False.

    Returns
    -------
    dataset : braindecode.datasets.BaseConcatDataset
        Of a downstream data set, one ``EEGWindowsDataset`` per recording and part of the split: an
        item is (array of float32 in volts, shape (n_chans, n_times) at 200 Hz; the position of the
        label in the task's answers, int; crop indices). Of a corpus, one ``RawDataset`` per
        recording. ``description`` has the columns ``dataset``, ``subject``, ``session``, ``run``,
        ``split`` and ``file``. ``dataset.problems`` is a dict of the files left out, with reasons.

    Raises
    ------
    FileNotFoundError
        If there is no recording of the data set; it says where to get it.
    ValueError
        If a parameter is out of range, no recording is left, or one cannot be used and
        ``on_error="raise"``.
    ImportError
        If Braindecode cannot be imported; it says what to install.

    Examples
    --------
    >>> import tempfile
    >>> import mne
    >>> from mne_neurolm.datasets import load, simulate_epochs
    >>> simulated = simulate_epochs(1, 2, duration=62.0, random_state=0)  # in place of recordings
    >>> with mne.use_log_level("warning"), tempfile.TemporaryDirectory() as folder:
    ...     for number, data in enumerate(simulated.get_data(), start=1):
    ...         raw = mne.io.RawArray(data, simulated.info)
    ...         raw.export(f"{folder}/Subject03_{number}.edf")
    ...     dataset = load("workload", folder)
    >>> dataset.description[["subject", "run", "split"]].values.tolist()
    [['Subject03', '1', 'train'], ['Subject03', '2', 'train']]
    >>> x, y, _ = dataset[0]
    >>> len(dataset), x.shape, y
    (58, (19, 800), 0)
    """
    spec = get_spec(name)
    way = _check(spec, split, variant, on_error)
    import_braindecode()
    from braindecode.datasets import BaseConcatDataset

    everything = find_members(name, root)
    chosen = _choose(spec, everything, way, split, subjects)
    folder = None if cache is None else Path(cache).expanduser() / spec.name
    prepare = partial(_prepare, spec.name, None if way is None else way.line_freq, folder)
    outcomes = iterate(prepare, chosen, n_jobs=n_jobs, progress=progress)
    messages: list[list[str]] = []
    datasets: list[Any] = []
    problems: dict[str, str] = {}
    base = Path(os.path.abspath(Path(root).expanduser()))
    for member, outcome in zip(chosen, outcomes, strict=True):
        file = member.path.relative_to(base).as_posix()
        result = outcome.result
        messages.append(outcome.warnings)
        if isinstance(result, _Prepared):
            try:
                datasets += _to_datasets(spec, member, result, way, split, everything, file)
                continue
            except ValueError as error:
                result = error
        problems[file] = str(result)
        if on_error == "raise":
            raise ValueError(f"{member.path}: {result}") from (
                result if isinstance(result, Exception) else None
            )
    if not datasets:
        raise ValueError(
            f"None of {len(chosen)} recordings of {spec.title} in {root} can be used:\n"
            f"{listed(problems)}"
        )
    warn_of(problems, messages, len(chosen))
    dataset = BaseConcatDataset(datasets)
    dataset.problems = problems
    logger.info(f"Loaded {len(chosen) - len(problems)} recordings of {spec.title}.")
    return dataset


def _check(spec: DatasetSpec, split: str | None, variant: str, on_error: str) -> Variant | None:
    """Return which way to go about what can be done in two ways."""
    if on_error not in ("warn", "raise"):
        raise ValueError(f"on_error must be 'warn' or 'raise', got {on_error!r}.")
    if variant not in ("paper", "code"):
        raise ValueError(f"variant must be 'paper' or 'code', got {variant!r}.")
    if spec.protocol is None:
        if split is not None:
            raise ValueError(f"{spec.title} is a pretraining corpus; it has no split.")
        return None
    if split is not None and split not in PARTS:
        raise ValueError(f"split must be one of {', '.join(PARTS)}, or None; got {split!r}.")
    variants = spec.protocol.variants
    return variants.get(variant, variants["paper"])  # else the code does what the paper says


def _choose(
    spec: DatasetSpec,
    members: list[Member],
    way: Variant | None,
    split: str | None,
    subjects: Collection[str] | None,
) -> list[Member]:
    """Return the recordings to load."""
    chosen = members
    if subjects is not None:
        if isinstance(subjects, str):
            raise TypeError(f"subjects must be a list of names, e.g. [{subjects!r}].")
        wanted = check_subjects(spec, members, subjects)
        chosen = [member for member in chosen if member.subject in wanted]
    if split is not None and way is not None:
        # "" means that the parts of the split cut through recordings
        chosen = [m for m in chosen if way.split(m, -1, members) in (split, "")]
        if not chosen:
            raise ValueError(
                f"None of the {len(members)} recordings of {spec.title} that are there is in the "
                f"{split} part of its split ({spec.split})."
            )
    return chosen


def _prepare(name: str, line_freq: float | None, folder: Path | None, member: Member) -> _Prepared:
    """Return one recording, ready to be cut."""
    spec = get_spec(name)
    if folder is None:
        return _Prepared(_prepare_member(spec, member, line_freq))
    place = folder / _cache_name(spec, member, line_freq)
    if not _is_whole(place):
        shutil.rmtree(place, ignore_errors=True)
        raw = _prepare_member(spec, member, line_freq)
        raw.set_meas_date(None)  # FIF has no date before 1901, and some EDF files do
        folder.mkdir(parents=True, exist_ok=True)
        # A folder is renamed at once, with all files that MNE splits a long recording into.
        with tempfile.TemporaryDirectory(dir=folder, prefix=".unfinished-") as unfinished:
            aside = Path(unfinished) / "entry"
            aside.mkdir()
            raw.save(aside / _CACHED, fmt="single", verbose="error")
            (aside / _SIZES).write_text(json.dumps(_sizes(aside)))
            try:
                aside.rename(place)
            except OSError:
                if not _is_whole(place):  # else another process was faster
                    raise
    return _Prepared(place / _CACHED)


def _sizes(place: Path) -> dict[str, int]:
    """Return the sizes of the files of an entry of the cache."""
    return {file.name: file.stat().st_size for file in place.glob("*.fif")}


def _is_whole(place: Path) -> bool:
    """Tell whether an entry of the cache is there and none of its files was cut or lost."""
    try:
        return json.loads((place / _SIZES).read_text()) == _sizes(place)
    except (OSError, ValueError):
        return False


def _cache_name(spec: DatasetSpec, member: Member, line_freq: float | None) -> str:
    """Return a folder name that changes with everything that a prepared recording depends on."""
    facts: list[Any] = [_CACHE_FORMAT, mne.__version__, spec.name, spec.channels, line_freq]
    for part in [member.path, *spec.companions(member)]:
        if part.exists():
            stat = part.stat()
            facts.append([str(part), stat.st_size, stat.st_mtime_ns])
    digest = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]
    return f"{member.path.stem}-{digest}"


def _prepare_member(spec: DatasetSpec, member: Member, line_freq: float | None) -> mne.io.BaseRaw:
    """Read, pick, filter and resample."""
    with use_log_level("warning"):
        raw = read_member(spec, member)
        if line_freq is None:
            line_freq = raw.info["line_freq"] or spec.line_freq
        if spec.channels:
            raw = _pick(raw, spec)
        raw = prepare_raw(raw, line_freq=line_freq, on_missing="ignore")
    if spec.channels:
        raw.set_montage(template_montage(), on_missing="ignore", verbose="error")
    with raw.info._unlock():
        raw.info["line_freq"] = line_freq
        if spec.protocol is not None:
            # What prepare_raw did. Some headers name the amplifier's filters and others of the same
            # data set do not; one info speaks for all windows.
            raw.info["highpass"], raw.info["lowpass"] = 0.1, 75.0
    return raw


def _pick(raw: mne.io.BaseRaw, spec: DatasetSpec) -> mne.io.BaseRaw:
    """Return the electrodes of a data set, in its order and under its names."""
    match = match_channels(raw.info, on_missing="ignore")
    by_row = dict(zip(match.indices.tolist(), match.ch_names, strict=True))
    rows = [channel_index(name) for name in spec.channels]
    missing = [name for name, row in zip(spec.channels, rows, strict=True) if row not in by_row]
    if missing:
        raise ValueError(f"lacks the channels {', '.join(missing)}; it has {raw.ch_names}")
    names = [by_row[row] for row in rows]
    raw = raw.copy().pick(names, verbose="error")
    raw.reorder_channels(names)
    return raw.rename_channels(dict(zip(names, spec.channels, strict=True)), verbose="error")


def _to_datasets(
    spec: DatasetSpec,
    member: Member,
    prepared: _Prepared,
    way: Variant | None,
    split: str | None,
    everything: list[Member],
    file: str,
) -> list[Any]:
    """Return the windows of a recording, by part of the split; or the recording."""
    from braindecode.datasets import EEGWindowsDataset, RawDataset

    raw = prepared.raw
    if isinstance(raw, Path):
        raw = mne.io.read_raw_fif(raw, verbose="error")
    description = {
        "dataset": spec.name,
        "subject": member.subject,
        "session": member.session,
        "run": member.run,
        "file": file,
    }
    if way is None or spec.protocol is None:
        return [RawDataset(raw, description | {"split": ""})]
    table = cut_windows(raw, spec)
    parts = [way.split(member, trial, everything) for trial in table["trial"]]
    datasets = []
    for part in dict.fromkeys(parts):
        if split in (None, part):
            rows = table[[p == part for p in parts]].reset_index(drop=True)
            rows["i_window_in_trial"] = range(len(rows))
            datasets.append(EEGWindowsDataset(raw, rows, description | {"split": part}))
    return datasets


def cut_windows(raw: mne.io.BaseRaw, spec: DatasetSpec) -> Any:
    """Cut the labels of a prepared recording into windows.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        Recording with the task's labels as annotations.
    spec : DatasetSpec
        A downstream data set.

    Returns
    -------
    table : pandas.DataFrame
        One row per window: ``i_window_in_trial``, ``i_start_in_trial``, ``i_stop_in_trial``
        (samples), ``target`` (position of the label in the task's answers), ``label``, ``start``
        (seconds from the first sample), ``trial`` (number of the annotation) and what else the
        annotations carry.

    Raises
    ------
    ValueError
        If there is no window.
    """
    import pandas as pd

    protocol = spec.protocol
    assert protocol is not None
    labels = list(get_task(protocol.task).labels)
    sfreq, n_times = raw.info["sfreq"], round(protocol.duration * raw.info["sfreq"])
    spans = spans_of(raw)
    extras = getattr(raw.annotations, "extras", None) or [{}] * len(spans)
    labelled = [(s, extra) for s, extra in zip(spans, extras, strict=True) if s.label in labels]
    rows: list[dict[str, Any]] = []
    for trial, (span, extra) in enumerate(labelled):
        for start in window_starts(
            span,
            raw.n_times / sfreq,
            duration=protocol.duration,
            hop=protocol.hop,
            lead=protocol.lead,
            point_duration=protocol.point_duration,
        ):
            first = min(max(round(start * sfreq), 0), raw.n_times - n_times)
            rows.append(
                {
                    "i_window_in_trial": len(rows),
                    "i_start_in_trial": first,
                    "i_stop_in_trial": first + n_times,
                    "target": labels.index(span.label),
                    "label": span.label,
                    "start": first / sfreq,
                    "trial": trial,
                }
                | dict(extra or {})
            )
    if not rows:
        raise ValueError(
            f"no window of {protocol.duration:g} s: {len(labelled)} of {len(spans)} annotations "
            f"have one of the labels {', '.join(map(str, labels))}, and it lasts "
            f"{raw.n_times / sfreq:.4g} s"
        )
    return pd.DataFrame(rows)
