"""TUH EEG Slowing Corpus: labels in ``.tse_agg`` files, or in the newer ``.csv`` form.

A ``.tse_agg`` file starts with ``version = tse_v1.0.0`` and an empty line; then a line is start and
stop in seconds, label and probability: ``98.0000 108.0000 seiz 1.0000``. Events last 10 s and are
sorted by label rather than by time; a recording may have none. Single events are in ``.tse`` files
with a number (``_00.tse``). The ``.csv`` files have comment lines with ``#``, in varying number, a
header ``channel,start_time,stop_time,label,confidence``, and one line per derivation, so that an
event occurs many times.

Sources: all labels of v1.0.1 (github.com/fldbock/eeg_time_series_transfer_learning,
``data/JSON_files/TUSL/TUSL_annotations.json``; ``00006440_s004_t001`` has none), and the readers of
NeuroLM (``.tse_agg``) and EEG-FM-Bench (``.csv``). That v1 has ``.tse`` files is known, that it has
``.tse_agg`` is not.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import mne

from ...tasks import TASKS
from ..specs import Member
from ..splits import draw_part
from . import tuh

_TABLE = ".csv"
_ENDINGS = (".tse_agg", _TABLE)
_COLUMNS = ("start_time", "stop_time", "label")


def companions(member: Member) -> list[Path]:
    """Return where the labels of a recording may be."""
    return tuh.label_files(member, _ENDINGS) + _parts(member)


def read(member: Member) -> mne.io.BaseRaw:
    """Open a recording, with its events as annotations.

    Parameters
    ----------
    member : Member
        The recording.

    Returns
    -------
    raw : mne.io.BaseRaw
        As recorded.

    Raises
    ------
    ValueError
        If there is no label file, a line of it is not as it should be, or the recording is against
        linked ears, as 24 of 112 are: the paper takes the others.
    """
    raw = tuh.read(member)
    if tuh.against_linked_ears(raw):
        raise ValueError(
            f"is recorded against linked ears (channels like {raw.ch_names[0]}); the data set of "
            "the paper is those against the average"
        )
    parts = _parts(member)
    if parts and not any(path.is_file() for path in tuh.label_files(member, _ENDINGS)):
        events = [event for path in parts for event in _read_tse(path)]
    else:
        path = tuh.find_labels(member, _ENDINGS)
        events = _read_csv(path) if path.suffix == _TABLE else _read_tse(path)
    return tuh.annotate(raw, events)


def split(member: Member, trial: int, members: Sequence[Member]) -> str:
    """Split by subject: 60 % for training, 20 % for validation, 20 % for testing.

    Parameters
    ----------
    member : Member
        A recording.
    trial : int
        Is not looked at: a subject is in one part with all recordings.
    members : sequence of Member
        Is not looked at.

    Returns
    -------
    part : "train" | "validation" | "test"
        By a hash of the subject's id. Its prefix is the second of two that were tried: with it
        every part has every class on the 38 subjects of v1.0.1, and 16, 5 and 7 of them have
        recordings of the paper's kind.
    """
    shares = {"train": 0.6, "validation": 0.2, "test": 0.2}
    return draw_part(f"tusl/{tuh.letter_id(member.subject)}", shares)


def split_by_file(member: Member, trial: int, members: Sequence[Member]) -> str:
    """Split the files as the released code does, whoever they are from.

    Parameters
    ----------
    member : Member
        A recording.
    trial : int
        Is not looked at.
    members : sequence of Member
        All recordings.

    Returns
    -------
    part : "train" | "validation" | "test"
        The first 60 % of the files in the order of their paths are for training, the next 20 % for
        testing, the last for validation. The order of the code is that in which the operating
        system lists folders.
    """
    paths = sorted(other.path.as_posix() for other in members)
    place = paths.index(member.path.as_posix())
    if place < int(len(paths) * 0.6):
        return "train"
    return "test" if place < int(len(paths) * 0.8) else "validation"


def _parts(member: Member) -> list[Path]:
    return sorted(member.path.parent.glob(f"{member.path.stem}_[0-9][0-9].tse"))


def _read_tse(path: Path) -> list[tuh.Event]:
    """Read a ``.tse_agg`` or ``.tse`` file; ValueError with the line if one is wrong."""
    events = []
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), start=1):
        if not line.strip() or line.startswith(("version", "#")):
            continue
        try:
            start, stop, label = line.split()[:3]
            events.append(_event(start, stop, label))
        except ValueError as error:
            raise _complaint(path, number, line) from error
    return events


def _read_csv(path: Path) -> list[tuh.Event]:
    """Read a ``.csv`` file, each event once; ValueError with the line if one is wrong."""
    events: dict[tuh.Event, None] = {}
    columns: list[int] = []
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        fields = [field.strip() for field in next(csv.reader([line]))]
        try:
            if columns:
                events[_event(*(fields[column] for column in columns))] = None
            else:
                columns = [fields.index(name) for name in _COLUMNS]
        except (ValueError, IndexError) as error:
            raise _complaint(path, number, line) from error
    return list(events)


def _event(start: str, stop: str, label: str) -> tuh.Event:
    if label not in TASKS["tusl"].labels:
        raise ValueError(label)
    return tuh.Event(*tuh.seconds_of(start, stop), label)


def _complaint(path: Path, number: int, line: str) -> ValueError:
    return ValueError(
        f"{path.name}, line {number}: {line!r} is not start, stop (s) and label "
        f"({', '.join(TASKS['tusl'].labels)}) of an event"
    )
