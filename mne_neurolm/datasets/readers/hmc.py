"""HMC sleep staging database: EDF files with a hypnogram each, as text and as EDF annotations."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import mne
from mne.utils import warn

from ..specs import Member, edf

#: Label by what a line says after "Sleep stage", in small letters.
STAGES = {"w": "W", "n1": "N1", "n2": "N2", "n3": "N3", "r": "R"}
_LABELS = frozenset(STAGES.values())

_STAGE = "sleep stage "
_UNSCORED = "?"  # as EDF+ writes it
_TYPES = {"EMG": "emg", "EOG": "eog", "ECG": "ecg"}  # by the first word of a channel's name
_COLUMNS = ("Recording onset", "Duration", "Annotation")


class _Note(NamedTuple):
    """A line of a hypnogram."""

    onset: float  # s
    duration: float  # s
    text: str
    place: str  # where it is written


def label_files(member: Member) -> list[Path]:
    """List the files with the stages of a recording, of which one is enough."""
    stem = member.path.with_suffix("")
    return [Path(f"{stem}_sleepscoring{ending}") for ending in (".txt", ".edf")]


def read(member: Member) -> mne.io.BaseRaw:
    """Open a night with its sleep stages as annotations.

    The text file is a table with a blank after every comma, in the names of its columns too. Its
    rows are epochs of 30 s, and the moments of lights off and on, which have a duration of 0 and
    name a channel. The annotations of the EDF file are the same, with the channel after ``@@``.

    Parameters
    ----------
    member : Member
        ``SN001.edf``, beside ``SN001_sleepscoring.txt`` or ``SN001_sleepscoring.edf``. The text is
        read if both are there, as by NeuroLM's released code.

    Returns
    -------
    raw : mne.io.BaseRaw
        As recorded, with annotations ``"W"``, ``"N1"``, ``"N2"``, ``"N3"`` and ``"R"``, and others
        in their own words.

    Raises
    ------
    ValueError
        If the stages are missing or cannot be understood.

    Warns
    -----
    RuntimeWarning
        If stages lie beyond the end of the recording.
    """
    raw = edf(member)
    types = {name: _TYPES.get(name.partition(" ")[0].upper(), "eeg") for name in raw.ch_names}
    raw.set_channel_types(types, verbose="error")
    file = next((file for file in label_files(member) if file.is_file()), None)
    if file is None:
        names = " nor ".join(file.name for file in label_files(member))
        raise ValueError(f"has no sleep stages: neither {names} is beside it")
    lines = _read_table(file) if file.suffix == ".txt" else _read_edf(file)
    labels = [_label(line) for line in lines]
    seconds = raw.n_times / raw.info["sfreq"]
    stages = [line for line, label in zip(lines, labels, strict=True) if label in _LABELS]
    if not stages:
        raise ValueError(f"{file.name} has no sleep stage")
    n_beyond = sum(_is_beyond(line, seconds) for line in stages)
    if n_beyond:
        warn(
            f"{n_beyond} of {len(stages)} sleep stages in {file.name} lie beyond the end of the "
            f"recording, which lasts {seconds:.1f} s."
        )
    kept = [k for k, line in enumerate(lines) if not _is_beyond(line, seconds)]
    notes = mne.Annotations(
        [lines[k].onset for k in kept], [lines[k].duration for k in kept], [labels[k] for k in kept]
    )
    return raw.set_annotations(notes, verbose="error")


def _is_beyond(line: _Note, seconds: float) -> bool:
    return line.onset > seconds - 1e-3


def _label(line: _Note) -> str:
    """Return a stage in the task's words; other annotations without the channel they name."""
    text = " ".join(line.text.partition("@@")[0].split())
    if not text.lower().startswith(_STAGE):
        return text
    stage = text[len(_STAGE) :]
    if stage.lower() in STAGES:
        return STAGES[stage.lower()]
    if stage == _UNSCORED:
        return text
    raise ValueError(
        f"{line.place}: unknown annotation {text!r}; the stages are {', '.join(STAGES.values())}"
    )


def _read_table(file: Path) -> list[_Note]:
    """Read a ``_sleepscoring.txt`` file."""
    with open(file, encoding="utf-8-sig", errors="replace", newline="") as handle:
        rows = [[cell.strip() for cell in row] for row in csv.reader(handle)]
    header = rows[0] if rows else []
    missing = [name for name in _COLUMNS if name not in header]
    if missing:
        raise ValueError(f"{file.name}, line 1: has the columns {header}, lacks {missing}")
    where = [header.index(name) for name in _COLUMNS]
    return [
        _parse(row, where, f"{file.name}, line {number}")
        for number, row in enumerate(rows[1:], start=2)
        if any(row)
    ]


def _parse(row: list[str], where: Sequence[int], place: str) -> _Note:
    """Return what a row says."""
    try:
        onset, duration, text = (row[column] for column in where)
        return _Note(float(onset), float(duration), text, place)
    except (IndexError, ValueError):
        raise ValueError(
            f"{place}: {', '.join(row)!r} does not say onset, duration and annotation"
        ) from None


def _read_edf(file: Path) -> list[_Note]:
    """Read the annotations of a ``_sleepscoring.edf`` file."""
    notes = mne.read_annotations(file)
    # Onsets count from the start of this file. Its date is left aside: dates are anonymised.
    return [
        _Note(float(onset), float(duration), str(text), f"{file.name}, at {onset:g} s")
        for onset, duration, text in zip(
            notes.onset, notes.duration, notes.description, strict=True
        )
    ]


def split(member: Member, trial: int, members: Sequence[Member]) -> str:
    """Return the part of a subject in the paper: 100, 26 and 28 of the 154 subjects.

    Version 1.1 of the data set lacks SN014, SN064 and SN135, so that 98, 26 and 27 are left.
    """
    return _part(member, 100, 126)


def split_of_code(member: Member, trial: int, members: Sequence[Member]) -> str:
    """Return the part of a subject in the released code, of the 151 subjects of version 1.1.

    It takes the first 100 in order of their names, the next 25, and the other 26.
    """
    return _part(member, 102, 127)


def _part(member: Member, last_train: int, last_validation: int) -> str:
    number = int(member.subject.removeprefix("SN"))
    if number <= last_train:
        return "train"
    return "validation" if number <= last_validation else "test"
