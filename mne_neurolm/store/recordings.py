"""One recording: from a file that MNE reads to a row of the index and its samples."""

from __future__ import annotations

import hashlib
import re
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import mne
import numpy as np
from mne.utils import use_log_level

from ..channels import match_channels
from ..datasets._files import parts_of
from ..datasets.catalog import get_spec
from ..datasets.members import read_member, tell
from ..preprocessing import LOWEST_LINE_FREQ
from ..quality import HIGHEST_SD, LOWEST_SD, listed
from ..utils.disk import FULL_DISK
from .format import Recording, Row, printable
from .recipe import RECIPE
from .report import File, settings_to_text
from .screening import RawScreen, UnusableError, check_broken, find_too_large
from .signals import PreparedSignal, prepare_segments

_LARGEST = 2**62  # the sum of times fits into the index
_LINKED_EARS = re.compile(r"-LE$", re.IGNORECASE)
_NOT_RAW = ("-epo.fif", "_epo.fif", "-epo.fif.gz", "_epo.fif.gz")


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A file to prepare, and how.

    Attributes
    ----------
    path : Path
        File that MNE reads.
    name, dataset, subject, split : str
        What the recording will be called.
    line_freq : float | "auto" | None
        Power line frequency in Hz; ``"auto"`` takes it from the file, else from the data set.
    known_line_freq : float | None
        That of the data set, if it is known.
    corpus : str
        Known data set whose reader opens the file; empty if MNE does. Default "".
    companions : tuple of Path
        Files with labels that belong to the recording.
    held_out : str
        Why the recording must not be in the store; empty if it may. Default "".
    linked_ears : bool
        Whether a recording against linked ears is kept. Default True.
    min_seconds : float
        Shorter recordings are skipped.
    segment_minutes : float
        Longer recordings are processed in segments of about this length.
    source_bytes, source_mtime_ns : int
        Size and time of last change of the file with all its parts.
    known : tuple of str
        SHA-256 of recordings that need not be prepared again.
    """

    path: Path
    name: str
    dataset: str
    subject: str
    split: str = ""
    line_freq: float | str | None = "auto"
    known_line_freq: float | None = None
    corpus: str = ""
    companions: tuple[Path, ...] = ()
    held_out: str = ""
    linked_ears: bool = True
    min_seconds: float = 4.0
    segment_minutes: float = 15.0
    source_bytes: int = 0
    source_mtime_ns: int = 0
    known: tuple[str, ...] = ()

    @property
    def settings(self) -> str:
        """What shapes what is stored, beyond the recipe."""
        settings: dict[str, Any] = {
            "line_freq": self.line_freq,
            "known_line_freq": self.known_line_freq,
        }
        # Only what is not the default, so that stores of earlier versions stay as they are.
        settings |= {"corpus": self.corpus} if self.corpus else {}
        settings |= {"held_out": self.held_out} if self.held_out else {}
        settings |= {} if self.linked_ears else {"linked_ears": False}
        return settings_to_text(settings)

    @property
    def screening_settings(self) -> str:
        """What decides whether a file is skipped."""
        return settings_to_text({"min_seconds": self.min_seconds}) + self.settings


def stat_source(path: Path, companions: tuple[Path, ...] = ()) -> tuple[int, int]:
    """Return the size in bytes of a recording's files together, and a number of when they changed.

    That is the time of the last change; with companions, a number that changes with any of theirs.
    """
    stats = [part.stat() for part in parts_of(path)]
    labels = [part.stat() for part in companions if part.exists()]
    changed = max((s.st_mtime_ns for s in stats), default=0)
    changed = (changed + sum(s.st_mtime_ns for s in labels)) % _LARGEST
    return sum(s.st_size for s in stats + labels), changed


def hash_source(path: Path, companions: tuple[Path, ...] = ()) -> str:
    """Return the SHA-256 of a recording's file; of several files, that of their SHA-256s."""
    digests = []
    for part in (*parts_of(path), *(part for part in companions if part.exists())):
        with open(part, "rb") as file:
            digests.append(hashlib.file_digest(file, "sha256"))
    if len(digests) == 1:
        return digests[0].hexdigest()
    return hashlib.sha256(b"".join(digest.digest() for digest in digests)).hexdigest()


def prepare_file(job: Job, part: Path) -> Row | File:
    """Prepare one file; nothing that is wrong with it raises.

    Parameters
    ----------
    job : Job
        The file, and how.
    part : Path
        Where to write the samples: int16, time-major.

    Returns
    -------
    result : Row | File
        The index's row, without a place; or why there is none. The status is ``"duplicate"`` if
        the content is among ``job.known``, ``"skipped"`` if it is unusable, and ``"failed"`` if
        the file could not be read.

    Raises
    ------
    OSError
        If there is no space left to write to.
    """
    sha256, status, reason, seconds = "", "failed", "", 0.0
    notes: list[str] = []
    row = None
    with warnings.catch_warnings(record=True) as caught, use_log_level("warning"):
        warnings.simplefilter("always")
        try:
            if job.held_out:
                raise UnusableError(f"held out: {job.held_out}", _edf_seconds(job.path))
            sha256 = hash_source(job.path, job.companions)
            if sha256 in job.known:
                status = "duplicate"
            else:
                row = _prepare(job, part, sha256, notes)
        except UnusableError as error:
            status, reason, seconds = "skipped", str(error), error.seconds
        except Exception as error:  # readers of foreign files raise anything, and one bad file of
            # thousands must not stop the others; every reason is reported
            if isinstance(error, OSError) and error.errno in FULL_DISK:
                raise
            message = " ".join(str(error).split())
            reason = f"cannot be read: {type(error).__name__}: {message}"[:1000]
    # Deprecations inside other libraries are no news about a recording.
    told = [w for w in caught if issubclass(w.category, (UserWarning, RuntimeWarning))]
    notes += dict.fromkeys(" ".join(str(w.message).split()) for w in told)
    if row is not None:
        return replace(row, notes=" | ".join(notes))
    return File(
        name=job.name,
        status=status,
        reason=reason,
        notes=" | ".join(notes),
        seconds=seconds,
        source=printable(str(job.path)),
        source_bytes=job.source_bytes,
        source_mtime_ns=job.source_mtime_ns,
        settings=job.screening_settings,
        sha256=sha256,
    )


def _prepare(job: Job, part: Path, sha256: str, notes: list[str]) -> Row:
    raw = _read_member(job) if job.corpus else _read(job.path, notes)
    rate = float(raw.info["sfreq"])
    seconds = raw.n_times / rate
    if not job.linked_ears and any(_LINKED_EARS.search(name) for name in raw.ch_names):
        raise UnusableError("reference: linked ears (--linked-ears keep stores them)", seconds)
    if seconds < job.min_seconds:
        raise UnusableError(f"too short: {seconds:.3g} s, and the least is {job.min_seconds:g} s")
    try:
        match = match_channels(raw.info, on_missing="ignore")
    except ValueError as error:
        raise UnusableError(f"no usable channel: {error}") from error
    eeg = mne.pick_types(raw.info, meg=False, eeg=True, exclude=[])
    unused = [raw.ch_names[pick] for pick in eeg if raw.ch_names[pick] not in match.ch_names]
    if unused:
        notes.append(f"left out {listed(unused)}: bad, unknown, repeated or no scalp EEG")
    line = _line_freq(job, raw.info, notes)
    if rate / 2.0 < RECIPE["h_freq"]:
        notes.append(f"sampled at {rate:g} Hz, so there is nothing above {rate / 2:g} Hz")
    screen = RawScreen(len(match.picks), rate)
    with PreparedSignal(part.parent) as signal:
        for volts in prepare_segments(raw, match.picks, line, job.segment_minutes, screen):
            signal.append(volts)
        broken = screen.broken()
        check_broken(broken, len(match.picks))
        broken = find_too_large(signal.sd, signal.peak, broken)
        kept = [channel for channel in range(len(match.picks)) if channel not in broken]
        for kind in sorted(set(broken.values())):
            names = [match.ch_names[c] for c in sorted(broken) if broken[c] == kind]
            notes.append(f"left out {listed(names)}: {kind}")
        scale, data_sha256 = signal.write_counts(kept, part)
    removed = (
        line if isinstance(line, float) and line < min(rate / 2 - 1, RECIPE["h_freq"]) else None
    )
    recording = Recording(
        name=job.name,
        dataset=job.dataset,
        subject=job.subject,
        split=job.split,
        shard="",
        offset=0,
        n_times=signal.n_times,
        sfreq=RECIPE["sfreq"],
        channels=tuple(int(match.indices[c]) for c in kept),
        ch_names=tuple(match.ch_names[c] for c in kept),
        scale=scale,
        sha256=sha256,
        line_freq=line if removed else None,
        annotations=_annotations(raw),
    )
    return Row(
        recording=recording,
        data_sha256=data_sha256,
        source=printable(str(job.path)),
        source_bytes=job.source_bytes,
        source_mtime_ns=job.source_mtime_ns,
        settings=job.settings,
        source_sfreq=rate,
        sd=float(np.median(signal.sd[kept])),
        left_out=len(eeg) - len(kept),
    )


def _read_member(job: Job) -> mne.io.BaseRaw:
    """Open a recording of a known data set, with its labels as annotations."""
    spec = get_spec(job.corpus)
    member = spec.member(job.path)
    assert member is not None, "jobs of a data set are files that its pattern has matched"
    try:
        return read_member(spec, member)
    except ValueError as error:  # the content; what else goes wrong may pass, and is tried again
        raise UnusableError(f"not as in {job.corpus}: {tell(error)}") from error


def _edf_seconds(path: Path) -> float:
    """Return the duration that the header of an EDF or BDF file tells; 0 if it does not."""
    try:
        with open(path, "rb") as file:
            header = file.read(256)
        return max(float(header[236:244]) * float(header[244:252]), 0.0)
    except (OSError, ValueError):
        return 0.0


def _read(path: Path, notes: list[str]) -> mne.io.BaseRaw:
    """Open a recording, and note what had to be found out."""
    if path.name.lower().endswith(_NOT_RAW):
        raise UnusableError("not continuous: a file of epochs; prepare the recording they are from")
    try:
        return mne.io.read_raw(path, verbose="warning")
    except Exception as error:
        message = str(error)
        if "number of trials" in message:  # EEGLAB
            raise UnusableError(
                "not continuous: an EEGLAB file of epochs; prepare the recording they are from"
            ) from error
        if "No raw data" in message:  # FIF
            raise UnusableError("not continuous: a FIF file without a recording") from error
        if path.suffix.lower() == ".cnt" and _is_neuroscan(path):
            return _read_neuroscan(path, notes)
        raise


def _is_neuroscan(path: Path) -> bool:
    with open(path, "rb") as file:
        return file.read(7) == b"Version"


def _read_neuroscan(path: Path, notes: list[str]) -> mne.io.BaseRaw:
    """Read a Neuroscan file whose header does not say how many bytes a sample has."""
    # 16-bit data read as 32-bit are 65,536 times too large, so the wider type is tried first.
    for data_format in ("int32", "int16"):
        raw = mne.io.read_raw_cnt(path, data_format=data_format, verbose="warning")
        sd = 1e6 * np.median(raw.get_data(picks="eeg", stop=10_000).std(axis=1))
        if LOWEST_SD <= sd <= HIGHEST_SD:
            notes.append(
                f"the header does not say how many bits a sample has; read as {data_format}"
            )
            return raw
    raise UnusableError("implausible unit: neither as 16-bit nor as 32-bit numbers are these EEG")


def _line_freq(job: Job, info: mne.Info, notes: list[str]) -> float | None:
    if job.line_freq is None or isinstance(job.line_freq, float):
        return job.line_freq
    found = info["line_freq"] or job.known_line_freq
    if not found and info["lowpass"] > LOWEST_LINE_FREQ:
        notes.append("no notch, because the line frequency is unknown; give it with --line-freq")
    return float(found) if found else None


def _annotations(raw: mne.io.BaseRaw) -> tuple[tuple[float, float, str], ...]:
    """Return onset in seconds from the first sample, duration and description, in order."""
    notes = raw.annotations
    found: list[tuple[float, float, str]] = [
        # onsets count from the start of the acquisition, where a cropped recording does not begin
        (float(onset) - raw.first_time, float(duration), str(description))
        for onset, duration, description in zip(
            notes.onset, notes.duration, notes.description, strict=True
        )
    ]
    end = raw.n_times / raw.info["sfreq"]
    return tuple(sorted(a for a in found if a[0] < end and a[0] + a[1] >= 0))
