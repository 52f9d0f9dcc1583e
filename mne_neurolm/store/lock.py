"""Let one process at a time write a folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def lock(path: Path) -> Iterator[None]:
    """Hold a lock that the system releases when the process ends, however it ends.

    Parameters
    ----------
    path : Path
        Lock file; it is made if need be and stays.

    Raises
    ------
    BlockingIOError
        If another process holds the lock.
    """
    with open(path, "a+b") as file:
        try:
            _lock_file(file.fileno())
        except (BlockingIOError, PermissionError) as error:
            raise BlockingIOError(
                f"Another process is writing to {path.parent}. Wait until it has finished, or give "
                "another --output."
            ) from error
        yield


if os.name == "nt":

    def _lock_file(descriptor: int) -> None:
        import msvcrt

        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]

else:

    def _lock_file(descriptor: int) -> None:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
