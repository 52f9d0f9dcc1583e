"""SEED and SEED-IV: films with an emotion each, one trial after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import mne
import numpy as np
from mne.utils import warn

from ..specs import DatasetSpec, Member
from . import neuroscan
from .seed_mat import read_trials

#: The electrodes in the order of the released files ("channel-order.xlsx", in capitals there), as
#: MNE spells them. CB1 and CB2 are in none of its montages.
CHANNELS: tuple[str, ...] = tuple(
    """
    Fp1 Fpz Fp2 AF3 AF4 F7 F5 F3 F1 Fz F2 F4 F6 F8 FT7 FC5 FC3 FC1 FCz FC2 FC4 FC6 FT8
    T7 C5 C3 C1 Cz C2 C4 C6 T8 TP7 CP5 CP3 CP1 CPz CP2 CP4 CP6 TP8 P7 P5 P3 P1 Pz P2 P4 P6 P8
    PO7 PO5 PO3 POz PO4 PO6 PO8 CB1 O1 Oz O2 CB2
    """.split()
)

#: First and last second of the trials in a ``.cnt`` recording, by NeuroLM's released code
#: (dataset_maker/prepare_SEED.py). The last second belongs to the trial, so the first lasts 241 s:
#: that makes 855 windows of 4 s per session and, in 45 sessions, the 38,475 of the paper's Table 1.
#: Those of the data set's own time.txt (27 to 262 s, 290 to 523 s, ...) differ by up to 4 s and
#: make 37,890, which is also what the trials in the ``.mat`` files make.
STARTS = (24, 289, 550, 782, 1049, 1260, 1483, 1747, 1993, 2283, 2550, 2812, 3072, 3332, 3598)
ENDS = (264, 526, 757, 1023, 1235, 1458, 1722, 1967, 2259, 2525, 2788, 3046, 3308, 3573, 3806)

_WORDS = {"+": "positive", "0": "neutral", "-": "negative"}
#: Labels of the trials, the same in all sessions: label.mat, which has 1, 0 and -1.
LABELS: tuple[str, ...] = tuple(_WORDS[sign] for sign in "+ 0 - - 0 + - 0 + + 0 - 0 + -".split())

# Dates in the names of the .mat files, of sessions 1, 2 and 3.
_DATES = {
    "1": "20131027 20131030 20131107",
    "2": "20140404 20140413 20140419",
    "3": "20140603 20140611 20140629",
    "4": "20140621 20140702 20140705",
    "5": "20140411 20140418 20140506",
    "6": "20130712 20131016 20131113",
    "7": "20131027 20131030 20131106",
    "8": "20140511 20140514 20140521",
    "9": "20140620 20140627 20140704",
    "10": "20131130 20131204 20131211",
    "11": "20140618 20140625 20140630",
    "12": "20131127 20131201 20131207",
    "13": "20140527 20140603 20140610",
    "14": "20140601 20140615 20140627",
    "15": "20130709 20131016 20131105",
}
SESSIONS: dict[tuple[str, str], str] = {
    (subject, date): str(number)
    for subject, dates in _DATES.items()
    for number, date in enumerate(dates.split(), start=1)
}

_WORDS_IV = ("neutral", "sad", "fear", "happy")
#: Labels of SEED-IV's trials by session (its ReadMe.txt).
LABELS_IV: dict[str, tuple[str, ...]] = {
    session: tuple(_WORDS_IV[int(code)] for code in codes)
    for session, codes in {
        "1": "123020010121112322330303",
        "2": "213002023323201121030131",
        "3": "122133311210233023002010",
    }.items()
}


class SeedSpec(DatasetSpec):
    """SEED, whose sessions have a number in the names of some files and a date in others."""

    __slots__ = ()

    def member(self, path: str | Path) -> Member | None:
        """Return the recording that a file holds, with the number of its session."""
        member = super().member(path)
        if member is None or "date" not in member.groups:
            return member
        date = member.groups["date"]
        return replace(member, session=SESSIONS.get((member.subject, date), date))


def split(member: Member, trial: int, members: Sequence[Member]) -> str:
    """Return the part of a trial: the first 9 of every session, the next 3 or the last 3."""
    if trial < 0:
        return ""  # every recording has trials of all parts
    return "train" if trial < 9 else "validation" if trial < 12 else "test"


def read(member: Member) -> mne.io.BaseRaw:
    """Open a session of SEED with its trials as annotations.

    Parameters
    ----------
    member : Member
        ``1_1.cnt``, recorded at 1000 Hz, or ``1_20131027.mat``, the trials cut out by the authors,
        at 200 Hz and without what is above 75 Hz.

    Returns
    -------
    raw : mne.io.BaseRaw
        The recording. Trials are ``"positive"``, ``"neutral"`` or ``"negative"``.

    Raises
    ------
    ValueError
        If it is not such a file or no trial is in it.

    Warns
    -----
    RuntimeWarning
        If it ends before the last trial does.
    """
    if member.path.suffix.lower() == ".mat":
        return read_trials(member.path, CHANNELS, LABELS)
    raw = neuroscan.read(member)
    # Two versions of the header say in two places which channels are bad. The paper uses all.
    raw.info["bads"] = []
    return raw.set_annotations(raw.annotations + _trials(raw, member.path.name), verbose="error")


def _trials(raw: mne.io.BaseRaw, name: str) -> mne.Annotations:
    """Return the trials that a ``.cnt`` recording holds as annotations."""
    seconds = raw.n_times / raw.info["sfreq"]
    begin = np.array(STARTS, dtype=float)
    end = np.array(ENDS, dtype=float) + 1.0
    there = begin < seconds
    if not there.any():
        raise ValueError(f"lasts {seconds:.1f} s; the first trial starts after {STARTS[0]} s")
    if seconds < ENDS[-1]:
        first = int(np.argmax(end > seconds)) + 1
        warn(
            f"{name} lasts {seconds:.1f} s, and its trials should go on to {ENDS[-1]} s: trial "
            f"{first} is missing or cut short, and so are those after it."
        )
    end = np.minimum(end, seconds)
    labels = np.array(LABELS)[there]
    return mne.Annotations(begin[there], (end - begin)[there], labels)


def read_iv(member: Member) -> mne.io.BaseRaw:
    """Open a session of SEED-IV.

    Parameters
    ----------
    member : Member
        ``eeg_raw_data/<session>/<subject>_<date>.mat``: 24 trials, at 200 Hz.

    Returns
    -------
    raw : mne.io.BaseRaw
        The trials one after the other, as annotations ``"neutral"``, ``"sad"``, ``"fear"`` and
        ``"happy"``.
    """
    return read_trials(member.path, CHANNELS, LABELS_IV[member.session])
