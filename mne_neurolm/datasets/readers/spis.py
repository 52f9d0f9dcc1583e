"""SPIS Resting-State Dataset: 2.5 minutes of resting EEG per MATLAB file.

Layout: the read-me of https://github.com/mastaneht/SPIS-Resting-State-Dataset. The variable
``dataRest`` has 64 rows of EEG, 3 of EOG and one of triggers, at 256 Hz.

The unit is not certain. The read-me says microvolts, but public statistics of the values have
offsets of millions and a largest value of 2.66e8, which is 1.3 % above the range of a BioSemi
amplifier (262 mV) in nanovolts, and EEG-FM-Bench (data/dataset/spis_resting_state.py) reads
nanovolts. Since a factor of a thousand cannot be mistaken, each file is read in the one of these
units that makes its signals as large as EEG.
"""

from __future__ import annotations

import mne
import numpy as np
from numpy.typing import NDArray

from ..specs import Member
from ._matlab import read_matlab_array
from ._recording import annotate, to_raw

#: Rows of the variable in their order, as the read-me spells them.
EEG = tuple(
    "Fp1 AF7 AF3 F1 F3 F5 F7 FT7 FC5 FC3 FC1 C1 C3 C5 T7 TP7 CP5 CP3 CP1 P1 P3 P5 P7 P9 PO7 PO3 O1 "
    "Iz Oz POz Pz CPz Fpz Fp2 AF8 AF4 Afz Fz F2 F4 F6 F8 FT8 FC6 FC4 FC2 FCz Cz C2 C4 C6 T8 TP8 "
    "CP6 CP4 CP2 P2 P4 P6 P8 P10 PO8 PO4 O2".split()
)
EOG = ("EOG1", "EOG2", "EOG3")  # outer corners of the eyes and between the eyebrows
TRIGGER = "Trigger"  # 200 with the eyes open, 220 with the eyes closed
SFREQ = 256.0
_CONDITIONS = {"EC": "eyes closed", "EO": "eyes open"}
_UNITS = (1e-9, 1e-6)  # V per unit: nV, uV
_PLAUSIBLE = (2e-6, 100e-6)  # V, standard deviation of EEG within a second, electrodes' median


def read(member: Member) -> mne.io.BaseRaw:
    """Open a recording, with the whole of it as one annotation.

    Parameters
    ----------
    member : Member
        ``S02_restingPre_EC.mat``, eyes closed, or ``S02_restingPre_EO.mat``, eyes open.

    Returns
    -------
    raw : mne.io.BaseRaw
        In memory.

    Raises
    ------
    ValueError
        If the file is not like those of the data set.
    """
    values = read_matlab_array(member.path, "dataRest")
    names = [*EEG, *EOG, TRIGGER]
    if values.ndim != 2 or values.shape[0] != len(names):
        raise ValueError(f"dataRest has the shape {values.shape}, not ({len(names)}, n_times)")
    data = values.astype(np.float64)
    data[:-1] *= _volts_per_unit(data[: len(EEG)])
    types = ["eeg"] * len(EEG) + ["eog"] * len(EOG) + ["stim"]
    raw = to_raw(data, names, types, SFREQ)
    seconds = raw.n_times / SFREQ
    return annotate(raw, [(0.0, seconds, _CONDITIONS[member.run])])


def _volts_per_unit(eeg: NDArray[np.float64]) -> float:
    """Return the unit in which signals, shape (n_chans, n_times), are as large as EEG."""
    n_seconds = int(eeg.shape[1] // SFREQ)
    if not n_seconds:
        raise ValueError(f"has {eeg.shape[1]} samples, less than a second")
    seconds = eeg[:, : n_seconds * int(SFREQ)].reshape(len(eeg), n_seconds, int(SFREQ))
    size = float(np.median(seconds.std(axis=2)))  # offsets and slow drifts do not count
    for unit in _UNITS:
        if _PLAUSIBLE[0] <= size * unit < _PLAUSIBLE[1]:
            return unit
    raise ValueError(
        f"its signals have a standard deviation of {size:g} within a second, which is EEG neither "
        "in nanovolts nor in microvolts"
    )
