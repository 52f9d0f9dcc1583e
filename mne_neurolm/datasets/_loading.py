"""Run a reader over many files, in order, with a progress bar."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

_Result = TypeVar("_Result")


def load_all(
    read: Callable[[Path], _Result], paths: Sequence[Path], *, n_jobs: int, progress: bool
) -> list[_Result]:
    """Return ``read(path)`` for every path, computed in ``n_jobs`` processes."""
    from joblib import Parallel, delayed
    from tqdm import tqdm

    results: Iterable[_Result]
    if n_jobs == 1:
        results = map(read, paths)
    else:
        results = Parallel(n_jobs=n_jobs, return_as="generator")(delayed(read)(p) for p in paths)
    return list(tqdm(results, total=len(paths), desc="Loading", unit="file", disable=not progress))
