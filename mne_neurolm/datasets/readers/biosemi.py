"""Recordings of BioSemi amplifiers (BDF) with other channels beside the cap of 64 electrodes.

Emobrain (eNTERFACE'06): files as in the lists of public readers and EEG-FM-Bench
(data/dataset/emobrain.py). Data of L. Trujillo: https://doi.org/10.18738/T8/SS2NHB,
https://doi.org/10.18738/T8/EG0LJI and EEG-FM-Bench (data/dataset/trujillo_2017.py,
trujillo_2019.py).
"""

from __future__ import annotations

from pathlib import Path

import mne

from ..specs import Member
from ._recording import Event, annotate_from, set_types
from .spis import EEG

#: The 64 electrodes of the cap, which :mod:`.spis` has in the order of the amplifier.
CAP = frozenset(name.upper() for name in EEG)

#: Electrodes that were not put on in Emobrain, to make room for the near-infrared probe.
EMOBRAIN_ABSENT = frozenset("FP1 FPZ FP2 AF7 AFZ AF8 F7 F5 F6 F8".split())

_FIRST_LINE = "TL02"  # of Cartool's marker files


def read(member: Member) -> mne.io.BaseRaw:
    """Open a recording, with the cap as the only EEG.

    Mastoids and nasion are no EEG here: the corpora count 64 channels.

    Parameters
    ----------
    member : Member
        A BDF file.

    Returns
    -------
    raw : mne.io.BaseRaw
        Read from the file as needed. The triggers are in the channel ``Status``.

    Raises
    ------
    ValueError
        If there is no electrode of the cap.
    """
    raw = mne.io.read_raw_bdf(member.path, verbose="warning")
    other = [
        name
        for name, kind in zip(raw.ch_names, raw.get_channel_types(), strict=True)
        if kind == "eeg" and name.upper() not in CAP
    ]
    if len(other) == len(raw.ch_names) - raw.get_channel_types().count("stim"):
        raise ValueError(f"has none of the 64 electrodes by name; it has {raw.ch_names[:80]}")
    return set_types(raw, {name: "eog" if "EOG" in name.upper() else "misc" for name in other})


def emobrain_companions(member: Member) -> list[Path]:
    """Return the file with the markers of a recording."""
    return [member.path.with_name(member.path.name + ".mrk")]


def read_emobrain(member: Member) -> mne.io.BaseRaw:
    """Open a recording of Emobrain, with its markers as annotations.

    Parameters
    ----------
    member : Member
        ``Part1_IAPS_SES1_EEG_fNIRS_03082006.bdf``.

    Returns
    -------
    raw : mne.io.BaseRaw
        Read from the file as needed. Ten electrodes that were not put on are marked as bad.

    Raises
    ------
    ValueError
        If there is no electrode of the cap.
    """
    raw = read(member)
    raw.info["bads"] = [name for name in raw.ch_names if name.upper() in EMOBRAIN_ABSENT]
    (markers,) = emobrain_companions(member)
    return annotate_from(raw, markers, lambda file: _markers(file, raw.info["sfreq"]))


def _markers(file: Path, sfreq: float) -> list[Event]:
    """Return the markers of a file of Cartool: first sample, last sample, name in quotes."""
    first, *lines = file.read_text(encoding="latin-1").splitlines() or [""]
    if first.strip() != _FIRST_LINE:
        raise ValueError(f"line 1 is {first!r}, not {_FIRST_LINE!r}")
    events = []
    for number, line in enumerate(lines, start=2):
        if not line.strip():
            continue
        fields = line.split(maxsplit=2)
        if len(fields) != 3 or not fields[0].isdigit() or not fields[1].isdigit():
            raise ValueError(f"line {number} is {line!r}, not two samples and a name")
        start, stop = int(fields[0]), int(fields[1])
        events.append((start / sfreq, max(stop - start, 0) / sfreq, fields[2].strip().strip('"')))
    return events
