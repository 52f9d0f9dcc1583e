"""Grasp and Lift: the CSV files of the Kaggle competition, and the MATLAB files of WAY-EEG-GAL.

Layouts: the competition's files as public solutions read them, EEG-FM-Bench
(data/dataset/grasp_and_lift.py), and for MATLAB the data set's own read-me and its script
``WEEG_MakeEEGLABDataset.m``, which multiplies ``hs.eeg.sig`` by 0.1 to have microvolts. That the
integers of the CSV files are 0.1 uV as well is what all readers take them for.
"""

from __future__ import annotations

from pathlib import Path

import mne
import numpy as np

from ..specs import Member
from ._matlab import read_matlab
from ._recording import Event, annotate, annotate_from, runs_of, to_raw
from ._tables import read_columns

#: Electrodes in the order of the columns of the CSV files and of ``hs.eeg.sig``.
CHANNELS = tuple(
    "Fp1 Fp2 F7 F3 Fz F4 F8 FC5 FC1 FC2 FC6 T7 C3 Cz C4 T8 TP9 CP5 CP1 CP2 CP6 TP10 P7 P3 Pz P4 P8 "
    "PO9 O1 Oz O2 PO10".split()
)
#: What a hand does in a trial, in the words of the competition.
EVENTS = (
    "HandStart",
    "FirstDigitTouch",
    "BothStartLoadPhase",
    "LiftOff",
    "Replace",
    "BothReleased",
)
SFREQ = 500.0
_VOLTS = 1e-7  # per unit: 0.1 uV


def companions(member: Member) -> list[Path]:
    """Return the file with the events of a recording: the competition's test series have none."""
    if member.path.suffix.lower() == ".mat":
        return [member.path.with_name(f"P{member.subject}_AllLifts.mat")]
    return [member.path.with_name(member.path.name.replace("_data.csv", "_events.csv"))]


def read(member: Member) -> mne.io.BaseRaw:
    """Open a recording, with the events of the trials as annotations.

    Parameters
    ----------
    member : Member
        ``subj1_series1_data.csv`` or ``HS_P1_S1.mat``.

    Returns
    -------
    raw : mne.io.BaseRaw
        In memory.

    Raises
    ------
    ValueError
        If the file is not like those of the data set, or its table of events has another length.
    """
    (companion,) = companions(member)
    if member.path.suffix.lower() == ".mat":
        raw = _read_matlab(member.path)
        return annotate_from(raw, companion, lambda file: _lifts(file, member.run))
    data = read_columns(member.path, CHANNELS)
    data *= _VOLTS
    raw = to_raw(data, CHANNELS, "eeg", SFREQ)
    if not companion.exists():
        return raw
    frames = read_columns(companion, EVENTS)
    if frames.shape[1] != raw.n_times:
        raise ValueError(
            f"has {raw.n_times} rows, and {companion.name} has {frames.shape[1]}; one of the two "
            "is cut off"
        )
    events = [
        event
        for name, frame in zip(EVENTS, frames, strict=True)
        for event in runs_of(frame > 0, SFREQ, name)
    ]
    return annotate(raw, events)


def _read_matlab(path: Path) -> mne.io.BaseRaw:
    """Read the EEG of a series; the file also holds EMG, forces and positions."""
    try:
        eeg = read_matlab(path, "hs")["hs"].eeg
        names = [str(name).strip() for name in np.atleast_1d(eeg.names)]
        sfreq = float(eeg.samplingrate)
        signals = np.asarray(eeg.sig)
    except (AttributeError, TypeError) as error:
        raise ValueError(f"the variable hs holds no EEG: {error}") from error
    return to_raw(np.multiply(signals.T, _VOLTS, dtype=np.float64), names, "eeg", sfreq)


def _lifts(file: Path, series: str) -> list[Event]:
    """Return the events of a series: times within a lift, which starts within the series."""
    try:
        table = read_matlab(file, "P")["P"]
        names = [str(name).strip() for name in table.ColNames]
        lifts = np.atleast_2d(table.AllLifts).astype(float)
        columns = {
            name: lifts[:, names.index(name)]
            for name in ("Run", "StartTime", *(f"t{event}" for event in EVENTS))
        }
    except (AttributeError, TypeError, IndexError) as error:
        raise ValueError(f"the variable P holds no table of lifts: {error}") from error
    of_series = columns["Run"] == (float(series) if series.isdigit() else np.nan)
    starts = columns["StartTime"][of_series]
    return [
        (onset, 0.0, event)
        for event in EVENTS
        for onset in (starts + columns[f"t{event}"][of_series]).tolist()
        if np.isfinite(onset)
    ]
