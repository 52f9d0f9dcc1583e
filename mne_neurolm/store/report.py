"""The list of every file that was seen, and what became of it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, fields
from typing import Any

from .format import Row

#: What can become of a file: its recording is in the store; its content is unusable; it could not
#: be read, which the next run tries again; its content is already there under another name.
STATUSES = ("stored", "skipped", "failed", "duplicate")


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A line of the report.

    Attributes
    ----------
    name : str
        Name of the recording, see :class:`mne_neurolm.store.Recording`.
    status : "stored" | "skipped" | "failed" | "duplicate"
        What became of the file.
    reason : str
        Why it is not in the store.
    notes : str
        What was noticed while it was read and prepared.
    seconds : float
        Duration.
    channels, left_out : int
        EEG channels that are in the store, and that are not.
    line_freq : float | None
        Power line frequency that was removed, in Hz.
    step_uv, sd_uv : float
        Quantisation step, and the standard deviation of a typical second and channel, in µV.
    source : str
        Path.
    source_bytes, source_mtime_ns : int
        Size and time of last change, all parts of the recording together.
    settings : str
        JSON of the options that it was prepared with.
    sha256 : str
        SHA-256 of the source; empty if it could not be read.
    """

    name: str
    status: str
    reason: str = ""
    notes: str = ""
    seconds: float = 0.0
    channels: int = 0
    left_out: int = 0
    line_freq: float | None = None
    step_uv: float = 0.0
    sd_uv: float = 0.0
    source: str = ""
    source_bytes: int = 0
    source_mtime_ns: int = 0
    settings: str = ""
    sha256: str = ""

    @classmethod
    def stored(cls, row: Row) -> File:
        """Return the line of a recording that is in the store."""
        recording = row.recording
        return cls(
            name=recording.name,
            status="stored",
            notes=row.notes,
            seconds=recording.seconds,
            channels=len(recording.channels),
            left_out=row.left_out,
            line_freq=recording.line_freq,
            step_uv=1e6 * recording.scale,
            sd_uv=1e6 * row.sd,
            source=row.source,
            source_bytes=row.source_bytes,
            source_mtime_ns=row.source_mtime_ns,
            settings=row.settings,
            sha256=recording.sha256,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the line as a dictionary."""
        return asdict(self)


def report_to_bytes(files: Iterable[File]) -> bytes:
    """Return the report as tab-separated values with a header line."""
    text = io.StringIO()
    names = [field.name for field in fields(File)]
    table = csv.DictWriter(text, names, dialect="excel-tab", lineterminator="\n")
    table.writeheader()
    for file in files:
        line = file.to_dict()
        line |= {"seconds": f"{file.seconds:.3f}"}
        line |= {name: f"{line[name]:.4g}" for name in ("step_uv", "sd_uv")}
        line |= {name: " ".join(line[name].split()) for name in ("reason", "notes")}
        table.writerow(line)
    return text.getvalue().encode()


def report_from_bytes(data: bytes) -> list[File]:
    """Return the lines of a report; one that is damaged has none.

    The report only spares work: a file that is not listed is looked at again.
    """
    kinds: dict[str, Callable[[str], Any]] = {"int": int, "float": float, "str": str}
    kinds["float | None"] = _optional_float
    try:
        lines = csv.DictReader(io.StringIO(data.decode(), newline=""), dialect="excel-tab")
        return [
            File(**{field.name: kinds[str(field.type)](line[field.name]) for field in fields(File)})
            for line in lines
        ]
    except (ValueError, KeyError, TypeError, csv.Error):
        return []


def settings_to_text(settings: dict[str, Any]) -> str:
    """Return options as one line that is the same whenever they are."""
    return json.dumps(settings, sort_keys=True)


def _optional_float(text: str) -> float | None:
    return float(text) if text else None
