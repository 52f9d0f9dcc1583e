"""Neuroscan's continuous recordings of 32-bit numbers (``.cnt``), as those of SEED are."""

from __future__ import annotations

import inspect
import re
import struct
import warnings
from pathlib import Path

import mne

from ..specs import Member

# Layout of the header, by https://paulbourke.net/dataformats/eeg/ and MNE-Python's reader.
_HEADER = 900  # bytes, then 75 for each channel, the data, and the table of events
_CHANNEL = 75
_N_CHANNELS = 370  # where they are in the header
_N_SAMPLES = 864
_EVENT_TABLE = 886
_DATE = slice(225, 235)
_SAMPLE = 4  # bytes
_LARGEST = 2_000_000_000  # bytes; MNE takes no position of the table from a larger file's header

_EOG = ("VEO", "HEO")
_ECG = ("ECG",)
_MASTOIDS = ("M1", "M2")  # recorded, and used by neither the paper nor its code
_ANT_NEURO = (b"RIFF", b"RF64")  # another format with the same ending


def read(member: Member) -> mne.io.BaseRaw:
    """Open a recording of the SEED series: 62 electrodes, two mastoids and two of the eyes.

    The electrodes come first to last in the order of the cap, with M1 before TP7 and M2 after TP8,
    so they must be taken by name. VEO and HEO become EOG, ECG, which a few files have, ECG, and M1
    and M2 become channels of type misc. The events of the file are kept as annotations.

    Positions in the header are those of a drawing and distorted by far electrodes, and the date is
    written as month and day or as day and month: both are removed.

    Parameters
    ----------
    member : Member
        A ``.cnt`` file of 32-bit numbers. MNE cannot find that out from these files (CBraMod,
        issue 11; MNE-Python, issue 13547), so it is not asked to.

    Returns
    -------
    raw : mne.io.BaseRaw
        In volts, read from the disk when it is asked for.

    Raises
    ------
    ValueError
        If it is not a Neuroscan file or truncated.
    """
    with open(member.path, "rb") as file:
        header = file.read(_HEADER)
    options = {"recompute_n_samples": True} if _must_count(member.path, header) else {}
    day_first = re.match(rb"(1[3-9]|[23]\d)/", header[_DATE]) is not None
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"\s*Could not parse meas date", RuntimeWarning)
        try:
            raw = mne.io.read_raw_cnt(
                member.path,
                eog=_EOG,
                ecg=_ECG,
                misc=_MASTOIDS,
                data_format="int32",
                date_format="dd/mm/yy" if day_first else "mm/dd/yy",
                verbose="warning",
                **options,
            )
        except (RuntimeError, struct.error) as error:
            raise ValueError(f"has a broken header or table of events: {error}") from error
    raw.set_meas_date(None)
    return raw.set_montage(None, verbose="error")


def _must_count(path: Path, header: bytes) -> bool:
    """Check that a file is whole; tell whether its header says a wrong number of samples.

    One of SEED-V says -732 for instance (CBraMod, issue 11). The number then follows from the bytes
    before the table of events, whose position MNE took for right too until it read the number, and
    does so again from 1.12 on if it is asked to (MNE-Python, issue 13547).
    """
    size = path.stat().st_size
    if header.startswith(_ANT_NEURO):
        raise ValueError(
            "is not a Neuroscan recording but one of ANT Neuro, which has the same ending; open it "
            "with mne.io.read_raw_ant and save it in another format"
        )
    if len(header) < _HEADER or not header.startswith(b"Version"):
        raise ValueError(
            f"is not a Neuroscan recording: it starts with {header[:11]!r}, not 'Version 3.0'"
        )
    (n_channels,) = struct.unpack_from("<H", header, _N_CHANNELS)
    (n_samples,) = struct.unpack_from("<i", header, _N_SAMPLES)
    (table,) = struct.unpack_from("<i", header, _EVENT_TABLE)
    data = _HEADER + _CHANNEL * n_channels
    sample = _SAMPLE * n_channels
    if n_channels and size < _LARGEST and data < table <= size:
        if table - data == n_samples * sample:
            return False
        if "recompute_n_samples" not in inspect.signature(mne.io.read_raw_cnt).parameters:
            raise ValueError(
                f"its header says {n_samples} samples and it has {(table - data) // sample}; "
                "install MNE-Python 1.12 or later, which reads it all the same"
            )
        return True
    if n_channels and n_samples > 0 and data + n_samples * sample <= size:
        return False
    raise ValueError(
        f"is truncated or has a broken header: it has {size} bytes, and by its header "
        f"{n_channels} channels of {n_samples} samples and events from byte {table} on"
    )
