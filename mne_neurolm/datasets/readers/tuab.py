"""TUH Abnormal EEG Corpus: whether a recording is abnormal is said by its folder."""

from __future__ import annotations

import mne

from ..specs import Member
from . import tuh

#: Answer to "Is this EEG segment abnormal?" by the folder.
LABELS = {"normal": "No", "abnormal": "Yes"}


def read(member: Member) -> mne.io.BaseRaw:
    """Open a recording, with all of it as one annotation.

    Parameters
    ----------
    member : Member
        A file with the group ``label``, the name of a folder above it.

    Returns
    -------
    raw : mne.io.BaseRaw
        As recorded.
    """
    raw = tuh.read(member)
    return tuh.annotate(
        raw,
        [tuh.Event(0.0, raw.n_times / raw.info["sfreq"], LABELS[member.groups["label"]])],
    )
