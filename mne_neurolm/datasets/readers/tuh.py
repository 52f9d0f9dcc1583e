"""Corpora of the Temple University Hospital (TUH): what their recordings have in common.

Sources: the corpora's own ``AAREADME.txt`` (TUAB v2.0.0, v3.0.0 and v3.0.1, TUEV v1), the report
"The Temple University Hospital EEG Corpus: Electrode Location and Channel Labels" (Ferrell et al.,
2020), file lists of TUAB v2.0.0, TUEV v1.0.1 and TUSL v1.0.1 as the server gave them
(github.com/fldbock/eeg_time_series_transfer_learning, ``data/JSON_files``), and the public readers
of NeuroLM (github.com/935963004/NeuroLM, ``dataset_maker``), EEG-FM-Bench
(github.com/xw1216/EEG-FM-Bench, ``data/dataset/tue``) and Braindecode (``braindecode.datasets``:
``TUH``, ``TUHAbnormal``, ``TUHEvents``).

Braindecode's classes find the same subjects, labels and events. They are not used because they open
every file to make a list, write a ``_date.txt`` beside each, stop at the first file that cannot be
read, take the folder above one that is called like the version and ask for the full number of
files, do not take the folders of TUEG v2.0.1 (``s001_2015``), and read the channel number of
TUEV's labels as that of a channel of the file, which it is not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import mne
from mne.utils import warn

from ..specs import Member, edf
from ..splits import draw_part

#: Electrodes of the paper's recordings, in the order of the files (``EEG FP1-REF``, ...).
CHANNELS: tuple[str, ...] = tuple(
    "Fp1 Fp2 F3 F4 C3 C4 P3 P4 O1 O2 F7 F8 T3 T4 T5 T6 A1 A2 Fz Cz Pz T1 T2".split()
)

#: Rates of the corpora in words.
RATE = "250 Hz, some 256 to 1024 Hz"

# Channels that are no EEG, by their names without "EEG " and reference: those of NeuroLM's list of
# channels to drop that are no electrodes of the head.
_TYPES = {
    "eog": re.compile(r"ROC|LOC|LUC|RLC"),
    "ecg": re.compile(r"E[CK]G.*"),
    "emg": re.compile(r"EMG.*"),
    "resp": re.compile(r"RESP.*"),
    "misc": re.compile(r"PHOTIC.*|PULSE RATE|IBI|BURSTS|SUPPR"),
}
_DECORATION = re.compile(r"^EEG |-(?:REF|LE)$")
_NUMBER = re.compile(r"\d{8}")  # subject in releases before the end of 2022
_LETTERS = 26


class Event(NamedTuple):
    """A line of a label file."""

    onset: float  # s from the first sample
    stop: float  # s
    label: str
    channel: str = ""  # derivation, if there is one


def read(member: Member) -> mne.io.BaseRaw:
    """Open a recording, and say which channels are no EEG.

    Parameters
    ----------
    member : Member
        An EDF file of any of the corpora.

    Returns
    -------
    raw : mne.io.BaseRaw
        As recorded, names as in the file.
    """
    raw = edf(member)
    types = {
        name: kind
        for name in raw.ch_names
        for kind, names in _TYPES.items()
        if names.fullmatch(_DECORATION.sub("", name.upper()))
    }
    return raw.set_channel_types(types, on_unit_change="ignore", verbose="error")


def against_linked_ears(raw: mne.io.BaseRaw) -> bool:
    """Tell whether a recording is against linked ears, with channels like ``EEG FP1-LE``."""
    return any(name.upper().endswith("-LE") for name in raw.ch_names)


def annotate(raw: mne.io.BaseRaw, events: Iterable[Event]) -> mne.io.BaseRaw:
    """Set the events of a label file as annotations.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        The recording. It is modified.
    events : iterable of Event
        What its label file says.

    Returns
    -------
    raw : mne.io.BaseRaw
        The same, with one annotation per event. The channel of an event, if any, is in ``extras``.

    Warns
    -----
    RuntimeWarning
        If an event starts after the end of the recording; it is left out.
    """
    seconds = raw.n_times / raw.info["sfreq"]
    events = list(events)
    inside = [event for event in events if event.onset < seconds]
    if len(inside) < len(events):
        warn("Events that start after the end of the recording are left out.", RuntimeWarning)
    notes = mne.Annotations(
        [event.onset for event in inside],
        [event.stop - event.onset for event in inside],
        [event.label for event in inside],
        extras=[{"channel": event.channel} if event.channel else {} for event in inside],
    )
    return raw.set_annotations(notes, verbose="error")


def find_labels(member: Member, endings: Sequence[str]) -> Path:
    """Find the label file of a recording.

    Parameters
    ----------
    member : Member
        The recording.
    endings : sequence of str
        Endings of label files, the preferred one first.

    Returns
    -------
    path : Path
        A file beside the recording.

    Raises
    ------
    ValueError
        If there is none.
    """
    for path in label_files(member, endings):
        if path.is_file():
            return path
    names = " or ".join(member.path.stem + ending for ending in endings)
    raise ValueError(f"there is no label file {names} beside it")


def label_files(member: Member, endings: Sequence[str]) -> list[Path]:
    """List where labels of a recording may be.

    Parameters
    ----------
    member : Member
        The recording.
    endings : sequence of str
        Endings of label files, the preferred one first.

    Returns
    -------
    paths : list of Path
        Files called like the recording. Two recordings of TUSL v2 have kept the old number of their
        subject as their name, while their folder and label files have the new one.
    """
    stems = [member.path.stem]
    if member.session and member.run:
        stems.append(f"{member.subject}_{member.session}_{member.run}")
    return [
        member.path.with_name(stem + ending) for ending in endings for stem in dict.fromkeys(stems)
    ]


def seconds_of(start: str, stop: str) -> tuple[float, float]:
    """Return start and stop of a line of a label file; ValueError if they cannot be."""
    onset, end = float(start), float(stop)
    if not 0 <= onset < end < float("inf"):
        raise ValueError("its times do not follow each other")
    return onset, end


def split(member: Member, trial: int, members: Sequence[Member]) -> str:
    """Split as TUAB and TUEV do: ``eval`` is for testing, a fifth of the others for validation.

    Parameters
    ----------
    member : Member
        A recording with the group ``part``.
    trial : int
        Is not looked at: a subject is in one part with all recordings.
    members : sequence of Member
        Is not looked at.

    Returns
    -------
    part : "train" | "validation" | "test"
        Of a subject who is not in ``eval`` by a hash of the subject's id, so the same for numbers
        and letters, and for recordings of a subject that are normal and others that are not.
    """
    if member.groups["part"] == "eval":
        return "test"
    return draw_part(letter_id(member.subject), {"train": 0.8, "validation": 0.2})


def letter_id(subject: str) -> str:
    """Return the present id of a subject who may have an old one.

    Releases before the end of 2022 number subjects (TUEG v1, TUAB v2, TUSL v1, TUEV v1), later ones
    write the same number in letters, as digits of base 26: ``00000254`` is ``aaaaaaju``. That is
    no official statement; it was checked on 275 evaluation recordings of TUAB v2.0.0, all of which
    are in v3.0.1 under the ids that it gives, and on all known ids of TUSL and TUEV.

    Parameters
    ----------
    subject : str
        Eight digits, or anything else.

    Returns
    -------
    subject : str
        Eight letters; anything else as it is.
    """
    if not _NUMBER.fullmatch(subject):
        return subject
    rest, letters = int(subject), ""
    for _ in subject:
        rest, digit = divmod(rest, _LETTERS)
        letters = chr(ord("a") + digit) + letters
    return letters


def tueg_ids(spec_name: str, member: Member) -> tuple[str, str] | None:
    """Return subject and session under which the whole corpus, TUEG, has a recording.

    TUAB and TUSL are subsets of TUEG whose files keep subject, session and token: "The IDs are
    consistent across all of our databases" (``AAREADME.txt`` of TUAB v2.0.0). TUEV does not: the
    numbers of its evaluation files are "a random index of each evaluation session", and those of
    its training files refer to TUH EEG v0.6.1 (``AAREADME.txt`` of TUEV), whose subjects were
    numbered anew for v1.1.0 (change log of TUAB v2.0.0 and TUSZ v1.5.0). What the letters in
    TUEV v2 mean in TUEG v2 is not documented; they are the old numbers.

    Parameters
    ----------
    spec_name : "tuab" | "tusl" | "tuev" | "tueg"
        Name of the data set.
    member : Member
        A recording of it.

    Returns
    -------
    ids : tuple of str | None
        Subject in letters, see :func:`letter_id`, and session, for example ``s001``. None where
        the file does not tell.

    Raises
    ------
    ValueError
        If the data set is no part of TUEG.
    """
    if spec_name == "tuev":
        return None
    if spec_name not in ("tuab", "tusl", "tueg"):
        raise ValueError(f"{spec_name!r} is no part of the TUH EEG Corpus; tuab, tuev, tusl are.")
    return letter_id(member.subject), member.session
