"""Brain Invaders 2015a: EEG of a P300 game, or of rest before and after it, in MATLAB files.

Layout: MOABB (``moabb.datasets.BI2015a``) and the authors' own
https://github.com/plcrodrigues/py.BI.EEG.2015a-GIPSA. ``DATA`` has one row per sample and 35
columns: time, 32 electrodes, and two of triggers, whose sum is 1 at a flash without and 2 at one
with the target.
"""

from __future__ import annotations

import mne
import numpy as np

from ..specs import Member
from ._matlab import read_matlab_array
from ._recording import annotate, to_raw

#: Electrodes in the order of columns 2 to 33, as in MOABB.
CHANNELS = tuple(
    "Fp1 Fp2 AFz F7 F3 F4 F8 FC5 FC1 FC2 FC6 T7 C3 Cz C4 T8 CP5 CP1 CP2 CP6 P7 P3 Pz P4 P8 PO7 O1 "
    "Oz O2 PO8 PO9 PO10".split()
)
TRIGGER = "STI 014"
EVENTS = {1: "NonTarget", 2: "Target"}
SFREQ = 512.0
_VOLTS = 1e-6  # per unit
_N_COLUMNS = 1 + len(CHANNELS) + 2


def read(member: Member) -> mne.io.BaseRaw:
    """Open a recording, with its flashes as annotations and in the channel ``STI 014``.

    Parameters
    ----------
    member : Member
        ``subject_01_session_01.mat``.

    Returns
    -------
    raw : mne.io.BaseRaw
        In memory.

    Raises
    ------
    ValueError
        If the file is not like those of the data set.
    """
    table = read_matlab_array(member.path, "DATA")
    if table.ndim != 2 or table.shape[1] != _N_COLUMNS:
        raise ValueError(f"DATA has the shape {table.shape}, not (n_times, {_N_COLUMNS})")
    n_chans = len(CHANNELS)
    data = np.empty((n_chans + 1, len(table)))
    np.multiply(table[:, 1 : n_chans + 1].T, _VOLTS, out=data[:n_chans])
    np.add(table[:, -2], table[:, -1], out=data[n_chans])
    raw = to_raw(data, [*CHANNELS, TRIGGER], ["eeg"] * n_chans + ["stim"], SFREQ)
    events = mne.find_events(raw, TRIGGER, shortest_event=0, verbose="error")
    return annotate(
        raw, [(sample / SFREQ, 0.0, EVENTS[code]) for sample, _, code in events if code in EVENTS]
    )
