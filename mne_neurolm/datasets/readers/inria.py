"""BCI Challenge at NER 2015 (Inria): sessions of a P300 speller as CSV files.

Layout: the competition's files as public solutions and EEG-FM-Bench (data/dataset/inria_bci.py)
read them. Values are microvolts: recordings have a standard deviation of about 100 of them.
"""

from __future__ import annotations

import csv
from pathlib import Path

import mne
import numpy as np

from ..specs import Member
from ._recording import Event, annotate, annotate_from, to_raw
from ._tables import read_columns, read_header

SFREQ = 200.0
_NO_EEG = ("Time", "EOG", "FeedBackEvent")
_MISSPELT = {"P08": "PO8"}  # with a zero
_OUTCOMES = {"0": "error", "1": "correct"}
_VOLTS = 1e-6  # per unit


def companions(member: Member) -> list[Path]:
    """Return the file with the outcomes of the training sessions, above their folder or in it."""
    folder = member.path.parent
    places = [place / "TrainLabels.csv" for place in (folder.parent, folder)]
    return [next((place for place in places if place.exists()), places[0])]


def read(member: Member) -> mne.io.BaseRaw:
    """Open a session, with annotations where the speller showed what it had understood.

    Parameters
    ----------
    member : Member
        ``Data_S02_Sess01.csv``.

    Returns
    -------
    raw : mne.io.BaseRaw
        In memory; annotations are ``correct`` or ``error``, or ``feedback`` where the outcomes are
        not known, which is so for the subjects of the competition's test set.

    Raises
    ------
    ValueError
        If the file is not like those of the data set.
    """
    header = read_header(member.path)
    missing = [name for name in _NO_EEG if name not in header]
    if missing:
        raise ValueError(f"lacks the columns {', '.join(missing)}")
    eeg = [name for name in header if name not in _NO_EEG]
    data = read_columns(member.path, [*eeg, "EOG", "FeedBackEvent", "Time"])
    time, signals = data[-1], data[:-2]
    step = float(np.median(np.diff(time))) if len(time) > 1 else np.nan
    if not abs(step * SFREQ - 1) < 0.01:
        raise ValueError(f"the column Time goes on by {step:g} s, and {1 / SFREQ:g} s is expected")
    signals *= _VOLTS
    names = [_MISSPELT.get(name, name) for name in eeg]
    raw = to_raw(signals, [*names, "EOG"], ["eeg"] * len(names) + ["eog"], SFREQ)
    onsets = (np.flatnonzero(data[-2] > 0) / SFREQ).tolist()
    annotate(raw, [(onset, 0.0, "feedback") for onset in onsets])
    (labels,) = companions(member)
    session = f"{member.subject}_{member.session}"
    return annotate_from(raw, labels, lambda file: _outcomes(file, session, onsets))


def _outcomes(file: Path, session: str, onsets: list[float]) -> list[Event]:
    """Return the events of a session with their outcomes, if there is one for each."""
    found = []
    with open(file, encoding="utf-8-sig", newline="") as table:
        for row in csv.reader(table):
            if row and row[0].startswith(f"{session}_FB"):
                found.append(row[1].strip() if len(row) > 1 else "")
    unknown = sorted(set(found) - set(_OUTCOMES))
    if unknown or (found and len(found) != len(onsets)):
        raise ValueError(
            f"it has {len(found)} outcomes of {session} for {len(onsets)} events, and they must be "
            f"0 or 1, not {', '.join(unknown) or 'fewer or more'}"
        )
    texts = [_OUTCOMES[outcome] for outcome in found] or ["feedback"] * len(onsets)
    return [(onset, 0.0, text) for onset, text in zip(onsets, texts, strict=True)]
