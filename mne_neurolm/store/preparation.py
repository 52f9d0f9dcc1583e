"""Many recordings, in parallel, into a store."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from .format import Row, printable
from .parallel import run_jobs
from .recordings import Job, prepare_file
from .report import File
from .writer import GIGABYTE, PARTS, StoreWriter

# A kill costs at most this much work. Waiting for the disk after each of many short recordings
# costs more: network file systems take a tenth of a second.
_COMMIT_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Progress:
    """What a run of :func:`prepare` did.

    Attributes
    ----------
    seen : int
        Files of the sources.
    unchanged : int
        Files that were looked at in an earlier run and have not changed.
    stored : int
        Recordings added or replaced.
    repaired : int
        Recordings that were dropped because their samples were damaged.
    n_recordings : int
        Recordings in the store.
    interrupted : bool
        Whether the user stopped it.
    """

    seen: int
    unchanged: int
    stored: int
    repaired: int
    n_recordings: int
    interrupted: bool


def prepare(
    jobs: Sequence[Job],
    output: str | Path,
    *,
    n_jobs: int = 1,
    shard_bytes: int = 2 * GIGABYTE,
    repair: bool = False,
    progress: bool = False,
) -> Progress:
    """Bring a store up to date with files.

    Files that an earlier run has looked at and that have not changed since are left alone; changed
    ones are prepared again. Of files with the same content the first by name is kept.

    Parameters
    ----------
    jobs : sequence of Job
        The files, see :func:`mne_neurolm.store.sources.list_jobs`.
    output : str | Path
        Folder of the store.
    n_jobs : int
        Number of processes, each with one thread. Default 1: this one.
    shard_bytes : int
        Largest size of a shard. Default 2e9.
    repair : bool
        Whether to read all samples and prepare damaged recordings again. Default False.
    progress : bool
        Whether to show a progress bar on standard error. Default False.

    Returns
    -------
    done : Progress
        What was done. What became of each file is in ``report.tsv``.

    Raises
    ------
    BlockingIOError
        If another process is writing to the store.
    OSError
        If the disk is full; what was committed is in the store.
    ValueError
        See :class:`mne_neurolm.store.StoreWriter`.
    """
    with StoreWriter(output, shard_bytes=shard_bytes, repair=repair) as writer:
        update = _Update(writer, jobs)
        interrupted = False
        try:
            update.run(n_jobs, progress)
        except KeyboardInterrupt:
            interrupted = True
        return Progress(
            seen=len(jobs),
            unchanged=len(jobs) - len(update.todo),
            stored=update.stored,
            repaired=len(writer.repaired),
            n_recordings=len(writer.rows),
            interrupted=interrupted,
        )


class _Update:
    """The state of a run."""

    def __init__(self, writer: StoreWriter, jobs: Sequence[Job]) -> None:
        self.writer = writer
        self.stored = 0
        same = {job.name for job in jobs if self._is_unchanged(job)}
        names = {job.name for job in jobs}
        # Content that is in the store to stay, which a file may be a duplicate of: not that of
        # files that are looked at again. Also by the size of the source, to be found quickly.
        self.by_content: dict[str, str] = {}
        self.by_size: dict[int, dict[str, str]] = {}
        for name, row in writer.rows.items():
            if name in same or name not in names:
                self._claim(row.recording.sha256, row.source_bytes, name)
        self.todo = [job for job in jobs if job.name not in same and not self._is_settled(job)]
        for job in jobs:
            if job.name in same:
                self._relabel(job)

    def run(self, n_jobs: int, progress: bool) -> None:
        """Prepare what is to do, and commit results as they come."""
        from tqdm import tqdm

        hours, committed = 0.0, time.monotonic()
        with tqdm(total=len(self.todo), unit="file", desc="Preparing", disable=not progress) as bar:
            for batch in run_jobs(prepare_file, self._submit(), n_jobs, died=_process_died):
                for job, part, result in batch:
                    self._take(job, part, result)
                    part.unlink(missing_ok=True)
                    if isinstance(result, Row):
                        hours += result.recording.seconds / 3600.0
                if time.monotonic() - committed > _COMMIT_SECONDS:
                    self.writer.commit()
                    committed = time.monotonic()
                bar.set_postfix_str(f"{hours:.2f} h", refresh=False)
                bar.update(len(batch))

    def _is_unchanged(self, job: Job) -> bool:
        """Tell whether the store holds what preparing the file would give."""
        row = self.writer.rows.get(job.name)
        if row is None:
            return False
        earlier = Path(row.source)
        if row.source and earlier != job.path and earlier.exists():
            if not earlier.samefile(job.path):
                raise ValueError(
                    f"{job.path} would be called {job.name!r}, as {row.source} is in the store "
                    f"{self.writer.path}. Give one of them another name with --dataset."
                )
        size, changed = row.source_bytes, row.source_mtime_ns
        return (size, changed, row.settings) == (
            job.source_bytes,
            job.source_mtime_ns,
            job.settings,
        )

    def _is_settled(self, job: Job) -> bool:
        """Tell whether a file that is not in the store would stay out of it."""
        file = self.writer.others.get(job.name)
        if file is None or file.status == "failed":
            return False  # what could not be read is tried again: a library may have been missing
        if (file.source_bytes, file.source_mtime_ns) != (job.source_bytes, job.source_mtime_ns):
            return False
        if file.status == "duplicate":
            twin = self.by_content.get(file.sha256)
            return twin is not None and twin < job.name
        return file.settings == job.screening_settings

    def _submit(self) -> Iterator[tuple[Job, Path]]:
        """Yield the jobs as they are asked for, with what is known by then."""
        for number, job in enumerate(self.todo):
            twins = self.by_size.get(job.source_bytes, {})
            known = [sha256 for sha256, name in twins.items() if name < job.name]
            row = self.writer.rows.get(job.name)
            if row is not None and row.settings == job.settings:
                known.append(row.recording.sha256)  # only touched, perhaps
            yield replace(job, known=tuple(known)), self.writer.path / PARTS / f"{number:07d}.bin"

    def _take(self, job: Job, part: Path, result: Row | File) -> None:
        """Put a result into the store."""
        if isinstance(result, File) and result.status != "duplicate":
            self.writer.set_aside(result)
            return
        sha256 = result.sha256 if isinstance(result, File) else result.recording.sha256
        twin = self.by_content.get(sha256)
        if twin is not None and twin < job.name:
            self.writer.set_aside(_duplicate(job, sha256, twin))
            return
        if isinstance(result, File):
            self._relabel(job)
        else:
            self.writer.append(result, part)
            self.stored += 1
        if twin is not None:  # it was ready first, and comes last by name
            self.writer.set_aside(
                replace(
                    File.stored(self.writer.rows[twin]),
                    status="duplicate",
                    reason=f"same content as {job.name}",
                    notes="",
                )
            )
            self.stored -= 1
        self._claim(sha256, job.source_bytes, job.name)

    def _claim(self, sha256: str, source_bytes: int, name: str) -> None:
        self.by_content[sha256] = name
        self.by_size.setdefault(source_bytes, {})[sha256] = name

    def _relabel(self, job: Job) -> None:
        """Bring what does not concern the samples up to date."""
        row = self.writer.rows[job.name]
        recording = replace(row.recording, subject=job.subject, split=job.split)
        new = replace(
            row,
            recording=recording,
            source=printable(str(job.path)),
            source_bytes=job.source_bytes,
            source_mtime_ns=job.source_mtime_ns,
        )
        if new != row:
            self.writer.relabel(new)


def _duplicate(job: Job, sha256: str, twin: str) -> File:
    return File(
        name=job.name,
        status="duplicate",
        reason=f"same content as {twin}",
        source=printable(str(job.path)),
        source_bytes=job.source_bytes,
        source_mtime_ns=job.source_mtime_ns,
        settings=job.settings,
        sha256=sha256,
    )


def _process_died(job: Job) -> File:
    return File(
        name=job.name,
        status="failed",
        reason="cannot be read: the process died, perhaps for want of memory; try a smaller "
        "--segment-minutes or --n-jobs",
        source=printable(str(job.path)),
        source_bytes=job.source_bytes,
        source_mtime_ns=job.source_mtime_ns,
        settings=job.screening_settings,
    )
