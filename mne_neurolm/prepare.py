"""Prepare recordings for pretraining: ``python -m mne_neurolm.prepare``."""

from __future__ import annotations

import argparse
import errno
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .datasets.leakage import HeldOut

_EPILOG = """\
commands on a store that is there:
  python -m mne_neurolm.prepare inspect STORE   show what is in it
  python -m mne_neurolm.prepare verify STORE    read all of it and compare checksums
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    argv : sequence of str | None
        Arguments; None takes those of the process.

    Returns
    -------
    code : int
        0 if the store holds at least one recording, and for ``verify`` if nothing is wrong with
        it; 1 otherwise, with the reason on standard error; 130 after Ctrl-C.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    commands = {"inspect": _inspect, "verify": _verify}
    run = commands.get(arguments[0]) if arguments else None
    try:
        return run(arguments[1:]) if run else _prepare(arguments)
    except (ValueError, OSError, ImportError, re.error) as error:
        advice = ""
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EFBIG):
            advice = (
                ". The store can be read as it was a moment ago. Make room, and run the same "
                "command again: it goes on there."
            )
        kind = "the pattern is no regular expression: " if isinstance(error, re.error) else ""
        sys.stderr.write(f"error: {kind}{error}{advice}\n")
        return 1


def _prepare(argv: list[str]) -> int:
    from .datasets.catalog import ALIASES, DATASETS

    parser = argparse.ArgumentParser(
        prog="python -m mne_neurolm.prepare",
        description="Filter recordings to 0.1-75 Hz without line noise, resample them to 200 Hz "
        "and write them as int16 into a store that pretraining reads. Run it again to continue "
        "where it stopped, or to add what is new.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "source",
        nargs="+",
        metavar="SOURCE",
        help="folder or file that MNE reads (EDF, BDF, GDF, CNT, SET, VHDR, FIF, ..., mixed); or, "
        f"with --root, the name of a known data set: {', '.join([*DATASETS, *ALIASES])}",
    )
    parser.add_argument("--output", type=Path, required=True, metavar="STORE", help="folder")
    parser.add_argument("--root", type=Path, metavar="DIR", help="folder of the known data set")
    parser.add_argument(
        "--line-freq",
        type=_line_freq,
        default="auto",
        metavar="HZ",
        help="power line frequency to remove with its harmonics: 50, 60, none, or auto (default) "
        "for what the file or the known data set says",
    )
    parser.add_argument(
        "--dataset", metavar="NAME", help="default: that of the known data set or folder"
    )
    parser.add_argument(
        "--subject-pattern",
        metavar="REGEX",
        help="finds the subject in the path below SOURCE: its group 'subject', else its first "
        "group, else all of the match (default: names of known data sets, BIDS names, else the "
        "first folder, else the file)",
    )
    parser.add_argument(
        "--split",
        choices=("train", "val", "test"),
        default="",
        help="part of a split that these recordings are in (default: that of the known data set, "
        "else none: by subject in training)",
    )
    parser.add_argument(
        "--held-out",
        nargs="+",
        type=_name_and_folder,
        default=[],
        metavar="NAME=DIR",
        help="folders of downstream data sets that were taken from the corpus tueg (tuab, tusl): "
        "subjects of their test sets are kept out, with all sessions, beside those of TUAB v2.0.0 "
        "and TUSL v1.0.1 that the package knows",
    )
    parser.add_argument(
        "--allow-overlap",
        action="store_true",
        help="do not keep the subjects of these test sets out of tueg",
    )
    parser.add_argument(
        "--linked-ears",
        choices=("skip", "keep"),
        default="skip",
        help="recordings of tueg against linked ears (channels like FP1-LE): skip them, as the "
        "released code does (default), or keep them",
    )
    parser.add_argument(
        "--n-jobs",
        type=_positive_int,
        metavar="N",
        help="processes, one thread each (default: one per core)",
    )
    parser.add_argument(
        "--shard-gb",
        type=_positive_float,
        default=2.0,
        metavar="G",
        help="largest size of a shard in 1e9 bytes (default: 2)",
    )
    parser.add_argument(
        "--min-seconds",
        type=_positive_float,
        default=4.0,
        metavar="S",
        help="skip shorter recordings (default: 4)",
    )
    parser.add_argument(
        "--segment-minutes",
        type=_positive_float,
        default=15.0,
        metavar="M",
        help="process longer recordings in segments of this length, to bound memory (default: 15)",
    )
    parser.add_argument(
        "--repair",
        action="store_true",
        help="read all of the store and prepare recordings again whose samples are damaged",
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    arguments = parser.parse_args(argv)

    from .store.check import inspect
    from .store.preparation import prepare
    from .store.sources import find_source, list_jobs

    held_out = _held_out(arguments)
    sources = [
        find_source(source, root=arguments.root, dataset=arguments.dataset)
        for source in arguments.source
    ]
    jobs = list_jobs(
        sources,
        line_freq=arguments.line_freq,
        subject_pattern=arguments.subject_pattern,
        split=arguments.split,
        min_seconds=arguments.min_seconds,
        segment_minutes=arguments.segment_minutes,
        held_out=held_out,
        linked_ears=arguments.linked_ears == "keep",
    )
    done = prepare(
        jobs,
        arguments.output,
        n_jobs=min(arguments.n_jobs or _n_cores(), len(jobs)),
        shard_bytes=round(arguments.shard_gb * 1e9),
        repair=arguments.repair,
        progress=not arguments.quiet,
    )
    repaired = f", {done.repaired} damaged dropped" if done.repaired else ""
    sys.stdout.write(
        f"this run      {done.seen} files: {done.stored} stored, {done.unchanged} unchanged since "
        f"an earlier run{repaired}\n{inspect(arguments.output)}"
    )
    if done.interrupted:
        sys.stderr.write("interrupted; run the same command again to continue\n")
        return 130
    if not done.n_recordings:
        sys.stderr.write(
            f"error: no recording could be stored; {arguments.output / 'report.tsv'} lists the "
            "reasons\n"
        )
        return 1
    return 0


def _held_out(arguments: argparse.Namespace) -> HeldOut | None:
    """Return what to keep out of a corpus that downstream data sets were taken from."""
    from .datasets.catalog import get_spec
    from .datasets.leakage import CONTAINS, HeldOut

    roots = dict(arguments.held_out)
    named = [get_spec(source).name for source in arguments.source] if arguments.root else []
    corpora = [name for name in named if name in CONTAINS]
    if not corpora:
        if roots:
            raise ValueError(
                "--held-out is for corpora that downstream data sets were taken from: "
                f"{', '.join(CONTAINS)}, named with --root."
            )
        return None
    if len(arguments.source) > 1:
        raise ValueError(f"Prepare {corpora[0]} in a command of its own: its options are its own.")
    corpus = corpora[0]
    if arguments.allow_overlap:
        if roots:
            raise ValueError("Give --held-out or --allow-overlap, not both.")
        return None
    held_out = HeldOut(corpus, roots)
    sys.stdout.write(
        f"held out      {len(held_out.subjects)} subjects of the test sets of "
        f"{', '.join(name for name in CONTAINS[corpus] if name not in held_out.unknown)}\n"
    )
    for name in held_out.unknown:
        sys.stdout.write(
            f"              the files of {name} do not tell which recordings of {corpus} they are, "
            "so those of its test set are not held out\n"
        )
    return held_out


def _inspect(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m mne_neurolm.prepare inspect", description="Show what is in a store."
    )
    parser.add_argument("store", metavar="STORE", help="folder, or URL that fsspec knows")
    arguments = parser.parse_args(argv)

    from .store.check import inspect

    sys.stdout.write(inspect(arguments.store))
    return 0


def _verify(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m mne_neurolm.prepare verify",
        description="Read all of a store and compare it with its index, checksums and manifest.",
    )
    parser.add_argument("store", type=Path, metavar="STORE", help="folder")
    arguments = parser.parse_args(argv)

    from .store.check import verify

    verdict = verify(arguments.store)
    for remark in verdict.remarks:
        sys.stdout.write(f"note: {remark}\n")
    if verdict.problems:
        sys.stdout.write("".join(f"{problem}\n" for problem in verdict.problems))
        sys.stderr.write(
            f"error: {len(verdict.problems)} problem(s) in {arguments.store}. Restore the damaged "
            "files from a copy, or run prepare on the sources again with --repair.\n"
        )
        return 1
    sys.stdout.write(
        f"{verdict.n_recordings} recordings, {verdict.n_bytes} bytes: all as when they were "
        "written\n"
    )
    return 0


def _name_and_folder(text: str) -> tuple[str, Path]:
    name, equals, folder = text.partition("=")
    if not (name and equals and folder):
        raise argparse.ArgumentTypeError(f"must be like tuab=FOLDER, got {text!r}")
    return name, Path(folder)


def _line_freq(text: str) -> float | str | None:
    if text in ("auto", "none"):
        return None if text == "none" else text
    return _positive_float(text)


def _positive_float(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a positive number, got {text!r}")
    return value


def _positive_int(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more, got {text!r}")
    return value


def _n_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


if __name__ == "__main__":
    sys.exit(main())
