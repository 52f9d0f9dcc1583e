"""Run a reader over many files, in order, with a progress bar, and tell once what went wrong."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeVar

from mne.utils import warn

from ..utils.disk import FULL_DISK
from .members import tell

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

MAX_LISTED = 20


class Outcome(NamedTuple):
    """What became of one file."""

    result: object  # what the reader returned, or an Exception
    warnings: list[str]


def attempt(read: Callable[[_Item], _Result], item: _Item) -> Outcome:
    """Call a reader; nothing that is wrong with a file raises.

    Warnings are collected, also in another process, so that each reaches the user once and not once
    per file.

    Parameters
    ----------
    read : callable
        The reader.
    item : object
        What it takes.

    Returns
    -------
    outcome : Outcome
        Its result, or the error.
    """
    result: object
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            result = read(item)
        except MemoryError:
            raise  # not the file's fault
        except Exception as error:  # readers of foreign files raise anything, and one bad file of
            # thousands must not stop the others; every reason reaches the user
            if isinstance(error, OSError) and error.errno in FULL_DISK:
                raise
            # in words: an exception of a library need not survive the way from another process
            result = ValueError(tell(error))
    return Outcome(result, [" ".join(str(w.message).split()) for w in caught])


def load_all(
    read: Callable[[_Item], _Result], items: Sequence[_Item], *, n_jobs: int, progress: bool
) -> list[Outcome]:
    """Return the outcome of ``read(item)`` for every item, computed in ``n_jobs`` processes."""
    return list(iterate(read, items, n_jobs=n_jobs, progress=progress))


def iterate(
    read: Callable[[_Item], _Result], items: Sequence[_Item], *, n_jobs: int, progress: bool
) -> Iterator[Outcome]:
    """Yield the outcome of ``read(item)`` for every item, computed in ``n_jobs`` processes."""
    from joblib import Parallel, delayed
    from tqdm import tqdm

    outcomes: Iterable[Outcome]
    if n_jobs == 1:
        outcomes = (attempt(read, item) for item in items)
    else:
        calls = (delayed(attempt)(read, item) for item in items)
        outcomes = Parallel(n_jobs=n_jobs, return_as="generator")(calls)
    yield from tqdm(outcomes, total=len(items), desc="Loading", unit="file", disable=not progress)


def warn_of(problems: Mapping[str, str], messages: Iterable[Sequence[str]], n_files: int) -> None:
    """Warn once about files that are left out, and once about each thing noticed in the others.

    Parameters
    ----------
    problems : mapping of str to str
        Why a file could not be used, by its name.
    messages : iterable of sequence of str
        Warnings of each file.
    n_files : int
        How many files there are.
    """
    for message, n in Counter(m for told in messages for m in set(told)).items():
        warn(f"{n} of {n_files} files: {message}", RuntimeWarning)
    if problems:
        warn(
            f"{len(problems)} of {n_files} files are left out:\n{listed(problems)}", RuntimeWarning
        )


def listed(problems: Mapping[str, str]) -> str:
    """Return the first problems, one per line."""
    lines = [f"{name}: {reason}" for name, reason in list(problems.items())[:MAX_LISTED]]
    more = len(problems) - len(lines)
    return "\n".join(lines) + (f"\nand {more} more" if more else "")
