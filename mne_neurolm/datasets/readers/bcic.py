"""BCI Competition IV, data set 1: continuous EEG in MATLAB files, at one rate of two.

Layout: https://www.bbci.de/competition/iv/desc_1.html and the readers of EEG-FM-Bench
(data/dataset/bcic/bcic_1a.py). ``cnt`` holds int16 of 0.1 uV, one row per sample; ``nfo`` the rate
(``fs``), the names of the channels (``clab``) and of the two ``classes``; ``mrk``, which the
evaluation files lack, the samples of the cues (``pos``) and their class (``y``, -1 the first, 1
the second).
"""

from __future__ import annotations

import mne
import numpy as np

from ..specs import Member
from ._matlab import read_matlab
from ._recording import Event, annotate, to_raw

_VOLTS = 1e-7  # per unit: 0.1 uV
_CUE_SECONDS = 4.0  # how long a cue is on the screen


def read(member: Member) -> mne.io.BaseRaw:
    """Open a recording, with the cues as annotations ``left``, ``right`` or ``foot``.

    Parameters
    ----------
    member : Member
        ``BCICIV_calib_ds1a.mat`` at 100 Hz or ``BCICIV_calib_ds1a_1000Hz.mat``, or ``eval``.

    Returns
    -------
    raw : mne.io.BaseRaw
        In memory.

    Raises
    ------
    ValueError
        If the file is not like those of the data set.
    """
    variables = read_matlab(member.path, "cnt", "nfo", "mrk", needed=2)
    counts, about = variables["cnt"], variables["nfo"]
    try:
        names = [str(name) for name in about.clab]
        classes = [str(name) for name in about.classes]
        sfreq = float(about.fs)
    except (AttributeError, TypeError) as error:
        raise ValueError(f"the variable nfo lacks what describes the signals: {error}") from error
    if counts.ndim != 2 or counts.dtype != np.int16:
        raise ValueError(
            f"the variable cnt is {counts.dtype} of shape {counts.shape}, not int16 of two axes"
        )
    data = np.multiply(counts.T, _VOLTS, dtype=np.float64)
    del counts, variables["cnt"]  # of large files as long as nothing else of the size is needed
    raw = to_raw(data, names, "eeg", sfreq)
    return annotate(raw, _cues(variables.get("mrk"), classes, sfreq))


def _cues(marks: object, classes: list[str], sfreq: float) -> list[Event]:
    """Return the cues; ``marks`` is the variable ``mrk`` or None."""
    if marks is None:
        return []
    try:
        samples = np.atleast_1d(marks.pos).astype(float) - 1.0  # type: ignore[attr-defined]
        which = np.atleast_1d(marks.y).astype(int)  # type: ignore[attr-defined]
    except (AttributeError, TypeError) as error:
        raise ValueError(f"the variable mrk holds no cues: {error}") from error
    if len(samples) != len(which) or len(classes) != 2 or not set(which.tolist()) <= {-1, 1}:
        raise ValueError(
            f"the variable mrk has {len(samples)} positions, {len(which)} labels of "
            f"{sorted(set(which.tolist()))} and the classes {classes}"
        )
    return [
        (sample / sfreq, _CUE_SECONDS, classes[label > 0])
        for sample, label in zip(samples.tolist(), which.tolist(), strict=True)
    ]
