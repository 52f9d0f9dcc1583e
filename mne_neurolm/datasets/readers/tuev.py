"""TUH EEG Events Corpus: labels in ``.rec`` files.

A line says channel, start and stop in seconds, and code of an event of one second:
``13,90.4,91.4,6``. There is no header (``AAREADME.txt`` of TUEV v1). One second has as many lines
as channels show the event, and may have different labels on different channels.
"""

from __future__ import annotations

from pathlib import Path

import mne

from ..specs import Member
from . import tuh

#: Label by code.
CODES = {1: "spsw", 2: "gped", 3: "pled", 4: "eyem", 5: "artf", 6: "bckg"}

#: What the channel number of a line counts: derivations of the ACNS TCP montage, which have to be
#: computed from the channels of the file.
DERIVATIONS: tuple[str, ...] = tuple(
    "FP1-F7 F7-T3 T3-T5 T5-O1 FP2-F8 F8-T4 T4-T6 T6-O2 "
    "A1-T3 T3-C3 C3-CZ CZ-C4 C4-T4 T4-A2 "
    "FP1-F3 F3-C3 C3-P3 P3-O1 FP2-F4 F4-C4 C4-P4 P4-O2".split()
)
_ENDING = ".rec"


def companions(member: Member) -> list[Path]:
    """Return the label file of a recording."""
    return [member.path.with_suffix(_ENDING)]


def read(member: Member) -> mne.io.BaseRaw:
    """Open a recording, with one annotation per line of its label file.

    Parameters
    ----------
    member : Member
        The recording.

    Returns
    -------
    raw : mne.io.BaseRaw
        As recorded. ``extras`` of the annotations have the derivation that shows the event as
        ``channel``.

    Raises
    ------
    ValueError
        If there is no label file, or a line of it is not as it should be.
    """
    return tuh.annotate(tuh.read(member), read_events(tuh.find_labels(member, [_ENDING])))


def read_events(path: Path) -> list[tuh.Event]:
    """Read a label file.

    Parameters
    ----------
    path : Path
        A ``.rec`` file.

    Returns
    -------
    events : list of Event
        One per line, in the order of the lines.

    Raises
    ------
    ValueError
        If a line is not as it should be.
    """
    events = []
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            channel, start, stop, code = line.split(",")
            derivation = DERIVATIONS[_whole(channel)]
            events.append(tuh.Event(*tuh.seconds_of(start, stop), CODES[_whole(code)], derivation))
        except (ValueError, KeyError, IndexError) as error:
            raise ValueError(
                f"{path.name}, line {number}: {line!r} is not channel (0 to "
                f"{len(DERIVATIONS) - 1}), start, stop (s) and code (1 to {len(CODES)}) of an event"
            ) from error
    return events


def _whole(text: str) -> int:
    """Return a number of channel or code, which may be written as 6.0."""
    value = float(text)
    if not value.is_integer() or value < 0:
        raise ValueError(text)
    return int(value)
