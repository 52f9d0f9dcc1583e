"""Write Neuroscan's continuous recordings (.cnt) of 32-bit numbers.

The layout is that of the structures SETUP, ELECTLOC, TEEG and EVENT2 in
https://paulbourke.net/dataformats/eeg/, and the unit that of MNE-Python's reader: microvolts are
(value - baseline) * calibration * sensitivity / 204.8.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np

#: Channels of the SEED series in the order of its files.
SEED_CHANNELS = (
    "FP1 FPZ FP2 AF3 AF4 F7 F5 F3 F1 FZ F2 F4 F6 F8 FT7 FC5 FC3 FC1 FCZ FC2 FC4 FC6 FT8 T7 C5 C3 "
    "C1 CZ C2 C4 C6 T8 M1 TP7 CP5 CP3 CP1 CPZ CP2 CP4 CP6 TP8 M2 P7 P5 P3 P1 PZ P2 P4 P6 P8 PO7 "
    "PO5 PO3 POZ PO4 PO6 PO8 CB1 O1 OZ O2 CB2 VEO HEO"
).split()
SENSITIVITY = 6.1035  # makes 0.0298 uV per step, as of an amplifier of 24 bits


def header_of(
    names: Sequence[str],
    n_times: int,
    sfreq: int,
    *,
    n_samples: int | None = None,
    bad: Sequence[str] = (),
    date: str = "27/10/13",
) -> bytearray:
    """Return the header of a recording, with another number of samples in it if one is given."""
    header = bytearray(900 + 75 * len(names))
    header[0:11] = b"Version 3.0"
    header[225:235] = date.encode().ljust(10, b"\0")
    header[235:247] = b"14:30:05".ljust(12, b"\0")
    struct.pack_into("<H", header, 370, len(names))
    struct.pack_into("<H", header, 376, sfreq)
    struct.pack_into("<i", header, 864, n_times if n_samples is None else n_samples)
    struct.pack_into("<i", header, 886, len(header) + 4 * len(names) * n_times)
    struct.pack_into("<f", header, 890, n_times / sfreq)
    for number, name in enumerate(names):
        place = 900 + 75 * number
        header[place : place + 10] = name.encode().ljust(10, b"\0")
        header[place + 14] = name in bad
        angle = 2 * np.pi * number / len(names)
        struct.pack_into("<ff", header, place + 19, np.cos(angle), np.sin(angle))
        struct.pack_into("<f", header, place + 59, SENSITIVITY)
        struct.pack_into("<f", header, place + 71, 1.0)
    return header


def events_of(n_channels: int, events: Sequence[tuple[int, int]]) -> bytes:
    """Return the table of events, given as (sample, code)."""
    table = b""
    for sample, code in events:
        # MNE counts samples of events from 1
        offset = 900 + 75 * n_channels + 4 * n_channels * (sample + 1)
        table += struct.pack("<HBBihhfBBB", code, 0, 0, offset, 0, 0, 0.0, 0, 0, 0)
    return struct.pack("<Bii", 2, len(table), 0) + table


def write_cnt(
    path: Path,
    volts: np.ndarray,
    sfreq: int = 1000,
    *,
    names: Sequence[str] = SEED_CHANNELS,
    events: Sequence[tuple[int, int]] = (),
    **header: object,
) -> Path:
    """Write a recording of shape (n_channels, n_times)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    steps = np.rint(volts / (SENSITIVITY * 1e-6 / 204.8)).astype("<i4")
    content = header_of(names, volts.shape[1], sfreq, **header)
    path.write_bytes(bytes(content) + steps.T.tobytes() + events_of(len(names), events))
    return path


def write_long_cnt(
    path: Path,
    seconds: int,
    pieces: dict[float, np.ndarray],
    sfreq: int = 1000,
    *,
    names: Sequence[str] = SEED_CHANNELS,
) -> Path:
    """Write a recording that is zero but for pieces (in volts) from given seconds on.

    The zeros are a hole in the file, which takes no room on the disk.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    n_times = seconds * sfreq
    header = header_of(names, n_times, sfreq)
    with open(path, "wb") as file:
        file.write(header)
        for start, volts in pieces.items():
            file.seek(len(header) + 4 * len(names) * round(start * sfreq))
            file.write(np.rint(volts / (SENSITIVITY * 1e-6 / 204.8)).astype("<i4").T.tobytes())
        file.truncate(len(header) + 4 * len(names) * n_times)
        file.seek(0, 2)
        file.write(events_of(len(names), ()))
    return path
