"""Where a store's files are read from: a local folder, or a URL that fsspec knows."""

from __future__ import annotations

import mmap
import os
from collections import OrderedDict
from pathlib import Path
from typing import Any, Protocol

from ..utils.optional import import_optional

_MAX_OPEN = 256  # maps kept at a time: each holds a file descriptor, of which there are often 1024


class Folder(Protocol):
    """What a store reads from."""

    def read(self, name: str) -> bytes:
        """Return a whole file; raise FileNotFoundError."""

    def read_range(self, name: str, begin: int, n_bytes: int) -> bytearray:
        """Return a range of bytes, fewer at the end of the file; raise FileNotFoundError."""


def open_folder(path: str) -> Folder:
    """Return access to a local folder or to a URL.

    Parameters
    ----------
    path : str
        A local path, or a URL with a protocol of fsspec.

    Returns
    -------
    folder : Folder
        Can be pickled, and used after a fork.
    """
    if "://" not in path:
        return LocalFolder(path)
    return RemoteFolder(path)


class LocalFolder:
    """Files of a local folder, through memory maps.

    Parameters
    ----------
    path : str
        The folder.
    """

    def __init__(self, path: str) -> None:
        self.path = Path(path).expanduser()
        self._maps: OrderedDict[str, mmap.mmap] = OrderedDict()

    def __getstate__(self) -> dict[str, Any]:
        """Leave the maps behind: another process makes its own."""
        return {"path": self.path}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["path"])  # type: ignore[misc]

    def read(self, name: str) -> bytes:
        """Return a whole file."""
        return (self.path / name).read_bytes()

    def read_range(self, name: str, begin: int, n_bytes: int) -> bytearray:
        """Return a range of bytes, fewer at the end of the file."""
        mapped = self._maps.get(name)
        if mapped is None:
            if (self.path / name).stat().st_size == 0:
                return bytearray()  # an empty file cannot be mapped
            with open(self.path / name, "rb") as file:
                mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            self._maps[name] = mapped
            if len(self._maps) > _MAX_OPEN:
                self._maps.popitem(last=False)
        if hasattr(mmap, "MADV_WILLNEED"):
            # One request to the disk for the whole window instead of one for each few pages: three
            # times as fast where the file is not in memory, and no slower where it is.
            page = begin - begin % mmap.PAGESIZE
            end = min(begin + n_bytes, len(mapped))
            if end > page:
                mapped.madvise(mmap.MADV_WILLNEED, page, end - page)
        return bytearray(memoryview(mapped)[begin : begin + n_bytes])


class RemoteFolder:
    """Files below a URL, through fsspec.

    Parameters
    ----------
    url : str
        For example ``"s3://bucket/store"``.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._opened: tuple[int, Any, str] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Leave the connection behind: another process makes its own."""
        return {"url": self.url}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["url"])  # type: ignore[misc]

    def read(self, name: str) -> bytes:
        """Return a whole file."""
        files, root = self._open()
        return files.cat_file(f"{root}/{name}")

    def read_range(self, name: str, begin: int, n_bytes: int) -> bytearray:
        """Return a range of bytes, fewer at the end of the file."""
        files, root = self._open()
        return bytearray(files.cat_file(f"{root}/{name}", start=begin, end=begin + n_bytes))

    def _open(self) -> tuple[Any, str]:
        if self._opened is None or self._opened[0] != os.getpid():
            fsspec = import_optional("fsspec.core", extra="train", purpose="Reading from a URL")
            # Connections do not survive a fork, and fsspec would hand out the parent's.
            files, root = fsspec.url_to_fs(self.url.rstrip("/"), skip_instance_cache=True)
            self._opened = os.getpid(), files, root
        return self._opened[1:]
