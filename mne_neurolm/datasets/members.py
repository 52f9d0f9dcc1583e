"""Find and open the recordings of a data set."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import mne
from mne.utils import logger, warn

from ..channels import clean_channel_name
from .catalog import get_spec
from .specs import DatasetSpec, Member

# What MNE only warns about, and what would make windows of a labelled data set wrong.
_TRUNCATED = re.compile(r"Number of records from the header does not match")
_REPEATS = re.compile(r"Channel names are not unique")
_NUMBERED = re.compile(r"-\d+$")  # how MNE tells such channels apart
_LOWEST_SFREQ = 150.0  # Hz; below there is nothing of the band up to 75 Hz


def find_members(name: str, root: str | Path) -> list[Member]:
    """List the recordings of a data set.

    Parameters
    ----------
    name : str
        Name of the data set.
    root : str | Path
        Its folder; it is searched with its subfolders, so any folder above will do as well.

    Returns
    -------
    members : list of Member
        Sorted by path.

    Raises
    ------
    FileNotFoundError
        If there is no such folder or no recording of the data set in it; it says where to get it.
    ValueError
        If there is no data set of that name.
    """
    spec = get_spec(name)
    folder = Path(root).expanduser()
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder {folder}. {spec.how_to_get()}")
    folder = Path(os.path.abspath(folder))
    found, others = [], 0
    for place, files in _walk(folder):
        for file in files:
            member = spec.member(os.path.join(place, file))
            if member is not None:
                found.append(member)
            else:
                others += 1
    if not found:
        raise FileNotFoundError(
            f"{folder} and its subfolders hold no file like {spec.example or spec.files.pattern}, "
            f"as in {spec.title}, but {others} others. {spec.how_to_get()}"
        )
    found = sorted(_once(spec, found), key=lambda member: member.path.as_posix())
    _warn_of_copies(spec, found)
    return found


def _warn_of_copies(spec: DatasetSpec, members: list[Member]) -> None:
    """Warn if there are several files of one name that should have names of their own."""
    first: dict[tuple[str, tuple[tuple[str, str], ...]], Member] = {}
    copies = []
    for member in members:
        other = first.setdefault((member.path.name, tuple(sorted(member.groups.items()))), member)
        if other is not member:
            copies.append((other, member))
    if copies:
        one, two = copies[0]
        warn(
            f"{len(copies)} recordings of {spec.title} are there more than once, for example "
            f"{one.path} and {two.path}. Give the folder of one version of the data set.",
            RuntimeWarning,
        )


def _once(spec: DatasetSpec, members: list[Member]) -> list[Member]:
    """Return recordings that are there in several forms once, in the preferred one."""
    if spec.rank is None:
        return members
    ranked = [((m.subject, m.session, m.run), spec.rank(m), m) for m in members]
    best: dict[tuple[str, str, str], int] = {}
    for recording, rank, _ in ranked:
        best[recording] = min(rank, best.get(recording, rank))
    kept = [member for recording, rank, member in ranked if rank == best[recording]]
    left_out = [member for recording, rank, member in ranked if rank > best[recording]]
    if left_out:
        logger.info(
            f"{len(left_out)} files of {spec.title}, such as {left_out[0].path}, are not used: the "
            "same recordings are there in a better form."
        )
    return kept


def check_subjects(
    spec: DatasetSpec, members: Sequence[Member], subjects: Collection[str]
) -> set[str]:
    """Return the names of subjects that were asked for, all of whom are there.

    Parameters
    ----------
    spec : DatasetSpec
        The data set.
    members : sequence of Member
        Its recordings.
    subjects : collection of str
        Names, as the files have them.

    Returns
    -------
    wanted : set of str
        The names.

    Raises
    ------
    ValueError
        If there is no name, or no recording of one of them.
    """
    wanted = {str(subject) for subject in subjects}
    there = sorted({member.subject for member in members})
    if not wanted or not wanted <= set(there):
        raise ValueError(
            f"There is no recording of subjects {sorted(wanted - set(there))}; {spec.title} has "
            f"{', '.join(there[:40])}{' and more' if len(there) > 40 else ''} there."
        )
    return wanted


def _walk(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield folders with their files. Links are followed, since corpora are made of them."""
    seen: set[str] = set()
    for place, folders, files in os.walk(folder, followlinks=True):
        folders.sort()
        real = os.path.realpath(place)
        if real in seen:  # a link back up, or to a folder that is there already
            folders.clear()
            continue
        seen.add(real)
        yield place, files


def read_recording(name: str, path: str | Path) -> mne.io.BaseRaw:
    """Open one recording of a data set, with its labels as annotations.

    Parameters
    ----------
    name : str
        Name of the data set.
    path : str | Path
        File of the recording, at its place in the data set's folders: they are part of its name.

    Returns
    -------
    raw : mne.io.BaseRaw
        In volts, as it was recorded; the annotations are in the words of the task's labels.

    Raises
    ------
    ValueError
        If the file or its labels cannot be read or are not what they should be. The message starts
        with the path.

    Examples
    --------
    >>> import tempfile
    >>> import mne
    >>> from mne_neurolm.datasets import read_recording, simulate_epochs
    >>> simulated = simulate_epochs(1, 2, duration=62.0, random_state=0)  # in place of recordings
    >>> with mne.use_log_level("warning"), tempfile.TemporaryDirectory() as folder:
    ...     raw = mne.io.RawArray(simulated.get_data()[0], simulated.info)
    ...     raw.export(f"{folder}/Subject03_2.edf")  # "_2": arithmetic
    ...     raw = read_recording("workload", f"{folder}/Subject03_2.edf").load_data()
    >>> raw.annotations.description.tolist(), raw.annotations.duration.tolist()
    (['Yes'], [60.0])
    """
    spec = get_spec(name)
    member = spec.member(Path(os.path.abspath(Path(path).expanduser())))
    if member is None:
        raise ValueError(
            f"{path}: no file of {spec.title} is called like this; they are like "
            f"{spec.example or spec.files.pattern}."
        )
    try:
        return read_member(spec, member)
    except Exception as error:  # readers of foreign files raise anything
        raise ValueError(f"{path}: {tell(error)}") from error


def read_member(spec: DatasetSpec, member: Member) -> mne.io.BaseRaw:
    """Open a recording and check it against what is known about the data set.

    Parameters
    ----------
    spec : DatasetSpec
        The data set.
    member : Member
        The recording.

    Returns
    -------
    raw : mne.io.BaseRaw
        In volts, with the labels as annotations.

    Raises
    ------
    ValueError
        If the recording is not like those of the data set. Of a pretraining corpus, which has no
        labels and no fixed channels, less is asked.
    Exception
        Anything that the reader raises.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        raw = spec.read(member)
    for warning in caught:
        text = " ".join(str(warning.message).split())
        if spec.protocol is not None and _TRUNCATED.search(text):
            raise ValueError(text)
        if spec.channels and _REPEATS.search(text):
            continue  # in channels that matter, see below
        warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    sfreq = float(raw.info["sfreq"])
    if spec.sfreqs and not any(abs(sfreq - rate) < 1e-3 * rate for rate in spec.sfreqs):
        rates = ", ".join(f"{rate:g}" for rate in spec.sfreqs)
        raise ValueError(f"sampled at {sfreq:g} Hz, and the recordings of {spec.title} at {rates}")
    if spec.protocol is not None and sfreq < _LOWEST_SFREQ:
        raise ValueError(
            f"sampled at {sfreq:g} Hz; for EEG up to 75 Hz it takes {_LOWEST_SFREQ:g} Hz or more"
        )
    _check_repeated(spec, raw.ch_names)
    return raw


def _check_repeated(spec: DatasetSpec, names: list[str]) -> None:
    """Refuse a recording that has an electrode of the data set twice."""
    wanted = {clean_channel_name(name) for name in spec.channels}
    numbered = [name for name in names if _NUMBERED.search(name)]
    repeated = [name for name in numbered if clean_channel_name(name) in wanted]
    if repeated:
        raise ValueError(
            f"has several channels of one name (as MNE-Python numbers them {', '.join(repeated)}); "
            "which is right is unknown"
        )


def tell(error: Exception) -> str:
    """Return an error of any kind in one line."""
    message = " ".join(str(error).split()) or "no message; perhaps it is no valid file"
    plain = isinstance(error, (ValueError, OSError))
    return message if plain else f"{type(error).__name__}: {message}"
