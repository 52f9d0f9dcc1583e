"""EEG During Mental Arithmetic Tasks: what is in a file is said by its name."""

from __future__ import annotations

from collections.abc import Sequence

import mne

from ..specs import Member, edf

SECONDS = 60.0  # the task takes the last minute of a recording (paper, section 3.1)
#: Label by the number in the file name: 1 rest, 2 serial subtraction.
LABELS = {"1": "No", "2": "Yes"}
#: Numbers of the subjects in each part of the paper's split.
SPLITS: dict[str, range] = {
    "train": range(0, 26),
    "validation": range(26, 31),
    "test": range(31, 36),
}


def split(member: Member, trial: int, members: Sequence[Member]) -> str:
    """Return the part of a subject: 00 to 25, 26 to 30, or from 31 on."""
    number = int(member.subject.removeprefix("Subject"))
    return next((part for part, numbers in SPLITS.items() if number in numbers), "test")


def read(member: Member) -> mne.io.BaseRaw:
    """Open a recording, with its last minute as one annotation.

    Parameters
    ----------
    member : Member
        ``SubjectNN_1.edf`` or ``SubjectNN_2.edf``.

    Returns
    -------
    raw : mne.io.BaseRaw
        As recorded.

    Raises
    ------
    ValueError
        If it is shorter than a minute.
    """
    raw = edf(member)
    seconds = raw.n_times / raw.info["sfreq"]
    if seconds < SECONDS - 1e-3:
        raise ValueError(f"lasts {seconds:.1f} s; the task takes the last {SECONDS:.0f} s")
    notes = mne.Annotations(max(seconds - SECONDS, 0.0), SECONDS, LABELS[member.run])
    return raw.set_annotations(notes, verbose="error")
