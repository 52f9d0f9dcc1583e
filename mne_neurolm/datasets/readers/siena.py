"""Siena Scalp EEG Database: the EDF files of PhysioNet, or those of its BIDS version.

Layouts: https://physionet.org/content/siena-scalp-eeg/1.0.0/ with audits of its headers, and
https://zenodo.org/records/10640762, which Braindecode's ``SIENA`` reads: 19 electrodes against
their average, with the seizures as tables of events. PhysioNet's lists of seizures are prose with
many slips of the pen and are not read.
"""

from __future__ import annotations

import csv
from pathlib import Path

import mne

from ..specs import Member, edf
from ._recording import Event, annotate_from, set_types

#: Electrodes that were not in use in PN10 (its subject_info.csv counts 20), though in the files.
_NOT_IN_PN10 = frozenset("CP1 CP2 CP5 CP6 F9 F10 FC1 FC2 FC5 FC6".split())


def companions(member: Member) -> list[Path]:
    """Return the table of events of a recording, which the BIDS version has."""
    if "session" not in member.groups:
        return []
    return [member.path.with_name(member.path.name.replace("_eeg.edf", "_events.tsv"))]


def read(member: Member) -> mne.io.BaseRaw:
    """Open a recording; of the BIDS version with the types of events as annotations.

    Parameters
    ----------
    member : Member
        ``PN00-1.edf`` or ``sub-00_ses-01_task-szMonitoring_run-00_eeg.edf``.

    Returns
    -------
    raw : mne.io.BaseRaw
        Read from the file as needed.
    """
    raw = edf(member)
    other = [name for name in raw.ch_names if not name.upper().startswith("EEG ")]
    if len(other) < len(raw.ch_names):
        # PhysioNet: what is not called EEG is none; there are also inputs called 1, 2, B, C, D, 61.
        set_types(raw, {name: "ecg" if "EKG" in name.upper() else "misc" for name in other})
    if member.subject == "PN10":
        raw.info["bads"] = [
            name for name in raw.ch_names if name.upper().removeprefix("EEG ") in _NOT_IN_PN10
        ]
    for file in companions(member):
        annotate_from(raw, file, _events)
    return raw


def _events(file: Path) -> list[Event]:
    """Return the events of a table of BIDS."""
    events = []
    with open(file, encoding="utf-8-sig", newline="") as table:
        rows = csv.DictReader(table, delimiter="\t")
        for row in rows:
            try:
                event = float(row["onset"]), float(row["duration"]), str(row["eventType"])
            except (KeyError, TypeError, ValueError) as error:
                raise ValueError(
                    f"line {rows.line_num} is no onset, duration and eventType: {error}"
                ) from error
            events.append(event)
    return events
