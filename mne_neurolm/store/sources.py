"""Which recordings are meant, and what they are called."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mne.utils import warn

from ..datasets._files import find_recordings
from ..datasets.catalog import ALIASES, DATASETS, find_subject, get_spec, match_subject
from ..datasets.leakage import CONTAINS, HeldOut
from ..datasets.members import find_members
from ..datasets.specs import DatasetSpec
from .format import printable
from .recordings import Job, stat_source


@dataclass(frozen=True, slots=True)
class Source:
    """Where recordings come from.

    Attributes
    ----------
    files : list of Path
        The recordings.
    root : Path
        Folder that their names are relative to.
    dataset : str
        Name of the data set.
    spec : DatasetSpec | None
        What is known about it.
    """

    files: list[Path]
    root: Path
    dataset: str
    spec: DatasetSpec | None


def find_source(text: str, *, root: Path | None, dataset: str | None) -> Source:
    """Return the recordings that a word on the command line stands for.

    Parameters
    ----------
    text : str
        A file or folder, or with ``root`` the name of a known data set.
    root : Path | None
        Folder of the known data set.
    dataset : str | None
        Name to use instead of the known one, or that of the folder.

    Returns
    -------
    source : Source
        At least one file.

    Raises
    ------
    FileNotFoundError
        If there is nothing.
    ValueError
        If ``text`` is no known data set and ``root`` is given.
    """
    if root is not None:
        try:
            spec = get_spec(text)
        except ValueError as error:
            raise ValueError(
                f"With --root, SOURCE is the name of a known data set. {error} Leave --root out "
                "for a file or folder."
            ) from error
        folder = root.expanduser().resolve()
        members = find_members(text, folder)
        return Source([member.path for member in members], folder, dataset or spec.name, spec)
    path = Path(text).expanduser()
    if not path.exists() and text in (*DATASETS, *ALIASES):
        raise FileNotFoundError(f"Say where the recordings of {text!r} are, with --root FOLDER.")
    # The folder is made absolute, files below it are not followed: links may lead anywhere.
    alone = path.is_file() or path.suffix.lower() == ".mff"
    folder = (path.parent if alone else path).resolve()
    files = find_recordings(folder / path.name if alone else folder)
    _hint(text, files)
    return Source(files, folder, dataset or folder.name, None)


def _hint(text: str, files: list[Path]) -> None:
    """Warn if a plain folder holds recordings that other data sets test on."""
    for name in CONTAINS:
        n = sum(DATASETS[name].member(file) is not None for file in files)
        if n:
            warn(
                f"{n} of {len(files)} files in {text} are named like those of "
                f"{DATASETS[name].title} and its parts. As a folder they are prepared without a "
                "notch filter and the people whom other data sets test on are not held out. To "
                f"have both, name the data set: prepare {name} --root {text}",
                RuntimeWarning,
            )


def list_jobs(
    sources: Iterable[Source],
    *,
    line_freq: float | str | None = "auto",
    subject_pattern: str | None = None,
    split: str = "",
    min_seconds: float = 4.0,
    segment_minutes: float = 15.0,
    held_out: HeldOut | None = None,
    linked_ears: bool = True,
) -> list[Job]:
    """Return what to do about every file.

    Parameters
    ----------
    sources : iterable of Source
        The recordings.
    line_freq : float | "auto" | None
        Power line frequency in Hz, see :class:`mne_neurolm.store.recordings.Job`.
    subject_pattern : str | None
        Regular expression that is looked for in the path below the source; its group ``subject``,
        else its first group, else the whole match is the subject.
    split : "" | "train" | "val" | "test"
        Part of a split that all recordings are in.
    min_seconds, segment_minutes : float
        See :class:`mne_neurolm.store.recordings.Job`.
    held_out : HeldOut | None
        Recordings of known data sets to keep out.
    linked_ears : bool
        Whether recordings of the TUH EEG Corpus against linked ears are kept. Default True.

    Returns
    -------
    jobs : list of Job
        Sorted by name.

    Raises
    ------
    ValueError
        If two files would have the same name, or the pattern is not found in a path.
    """
    jobs: dict[str, Job] = {}
    for source in sources:
        known_by_file = _facts(source, held_out, linked_ears)
        for file in source.files:
            below = printable(file.relative_to(source.root).as_posix())
            name = f"{source.dataset}/{below}"
            known = known_by_file.get(file, {})
            part, subject = known.pop("split", ""), known.pop("subject", "")
            n_bytes, changed = stat_source(file, known.get("companions", ()))
            job = Job(
                path=file,
                name=name,
                dataset=source.dataset,
                subject=match_subject(subject_pattern, below) or subject or find_subject(below),
                split=split or part,
                line_freq=line_freq,
                min_seconds=min_seconds,
                segment_minutes=segment_minutes,
                source_bytes=n_bytes,
                source_mtime_ns=changed,
                **known,
            )
            if name in jobs and jobs[name].path != file:
                raise ValueError(
                    f"{jobs[name].path} and {file} would both be called {name!r}. Prepare the "
                    "sources one after the other, each with its own --dataset."
                )
            jobs[name] = job
    return [jobs[name] for name in sorted(jobs)]


def _facts(
    source: Source, held_out: HeldOut | None, linked_ears: bool
) -> dict[Path, dict[str, Any]]:
    """Return what is known about the recordings of a known data set, as fields of jobs."""
    spec = source.spec
    if spec is None:
        return {}
    found = [spec.member(file) for file in source.files]
    members = [member for member in found if member is not None]
    facts = {}
    for member in members:
        part = ""
        if spec.protocol is not None:
            part = spec.protocol.variants["paper"].split(member, -1, members)
        facts[member.path] = {
            "known_line_freq": spec.line_freq,
            "corpus": spec.name,
            "companions": tuple(spec.companions(member)),
            "held_out": held_out.reason(member) if held_out else "",
            "linked_ears": linked_ears or spec.name not in CONTAINS,
            "split": "val" if part == "validation" else part,
            "subject": member.subject,  # folders above the source may say whose it is
        }
    return facts
