"""Hidden states of the frozen encoder on disk: computed once, read by every fit.

An entry is a folder named by a hash of what the states depend on. It is written aside and renamed
when complete, so several processes may share a cache: who comes second uses, or throws away its
copy of, what the first has written. The arrays are plain ``.npy`` files that are mapped into
memory; nothing in them is executed on loading.
"""

from __future__ import annotations

import errno
import hashlib
import math
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from mne import BaseEpochs
from mne.utils import logger
from numpy.typing import NDArray

from ..models.inference import as_tokens, encode_patches
from ..models.neurolm import NeuroLM
from ..patches import Patches, make_patches
from ..tokens import EEGTokens
from ..utils.device import resolve_dtype

FORMAT = 1  # part of every key: to be raised when entries change
_UNFINISHED = ".unfinished-"
DTYPES = ("float32", "float16")
# A full disk, a user's full share of it; and file systems that can't give a file its blocks.
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_NOT_OFFERED = (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)

Arrays = dict[str, NDArray[Any]]


class HiddenCache:
    """A folder of hidden states, keyed by content.

    Parameters
    ----------
    folder : str | pathlib.Path
        The folder; it is made when the first entry is written. It may be removed at any time that
        nobody uses it.
    dtype : "float32" | "float16"
        How states are kept. float32 (default) gives the same results as no cache; float16 takes
        half the space and rounds to 3 digits.

    Raises
    ------
    ValueError
        If the dtype is another one, or there is a file in place of the folder.

    Examples
    --------
    >>> import tempfile
    >>> from mne_neurolm import NeuroLMClassifier
    >>> from mne_neurolm.datasets import simulate_epochs
    >>> from mne_neurolm.training.hidden_cache import HiddenCache
    >>> epochs = simulate_epochs(n_subjects=1, n_epochs_per_subject=4, random_state=0)
    >>> y = epochs.metadata["state"].map({"rest": "No", "active": "Yes"})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     cache = HiddenCache(folder, dtype="float16")
    ...     classifier = NeuroLMClassifier("workload", cache=cache, max_epochs=1, random_state=0)
    ...     for _ in range(2):  # the encoder runs once
    ...         proba = classifier.fit(epochs, y).predict_proba(epochs)
    >>> proba.shape
    (4, 2)
    """

    def __init__(self, folder: str | Path, dtype: str = "float32") -> None:
        self.folder = Path(folder).expanduser()
        if dtype not in DTYPES:
            raise ValueError(f"Hidden states are cached as one of {DTYPES}; got {dtype!r}.")
        if self.folder.exists() and not self.folder.is_dir():
            raise ValueError(f"{self.folder} is a file; the cache is a folder. Name another one.")
        self.dtype = dtype

    def __repr__(self) -> str:
        return f"HiddenCache({str(self.folder)!r}, dtype={self.dtype!r})"

    def tokens(
        self,
        model: NeuroLM,
        patches: Patches,
        *,
        batch_size: int = 64,
        dtype: str = "auto",
        progress: bool = False,
    ) -> EEGTokens:
        """Return the tokens of patches, from the cache if they are there.

        Parameters
        ----------
        model, patches, batch_size, dtype, progress
            As for ``encode_patches`` in ``mne_neurolm.models.inference``.

        Returns
        -------
        tokens : EEGTokens
            Their hidden states and codes lie on disk, mapped into memory; writing into them
            changes a copy.
        """
        encoder_id = model.encoder_id()
        facts = (encoder_id, precision_of(dtype, model), fingerprint_of(patches))
        n, n_tokens = patches.data.shape[:2]

        def compute(arrays: Arrays) -> None:
            made = encode_patches(
                model, patches, batch_size=batch_size, dtype=dtype, progress=progress
            )
            arrays["hidden"][:] = made.hidden
            arrays["codes"][:] = made.codes

        found = self.get(
            facts,
            {
                "hidden": ((n, n_tokens, model.config.n_embd), self.dtype),
                "codes": ((n, n_tokens), "int64"),
            },
            compute,
        )
        return EEGTokens(
            found["codes"],
            found["hidden"],
            patches.channels,
            patches.times,
            patches.ch_names,
            encoder_id,
        )

    def get(
        self,
        facts: tuple[str, ...],
        shapes: Mapping[str, tuple[tuple[int, ...], str]],
        compute: Callable[[Arrays], None],
    ) -> Arrays:
        """Return the arrays of an entry, computed if they are not there.

        Parameters
        ----------
        facts : tuple of str
            All that the arrays depend on.
        shapes : mapping of str to (shape, dtype)
            The arrays.
        compute : callable
            ``compute(arrays)`` fills arrays on disk.

        Returns
        -------
        arrays : dict of ndarray
            Memory maps; writing into them changes a copy.

        Raises
        ------
        OSError
            If the folder can't be written to, or the disk has no room for the entry.
        """
        layout = [f"{name} {shape} {dtype}" for name, (shape, dtype) in sorted(shapes.items())]
        digest = hashlib.sha256("\n".join([str(FORMAT), *facts, *layout]).encode()).hexdigest()
        place = self.folder / digest[:2] / digest[:32]
        found = _read(place, shapes)
        if found is not None:
            return found
        place.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=place.name + _UNFINISHED, dir=place.parent))
        try:
            arrays = self._reserve(aside, shapes)
            compute(arrays)
            for array in arrays.values():
                if isinstance(array, np.memmap):
                    array.flush()
            for name, array in arrays.items():
                if not isinstance(array, np.memmap):  # empty ones can't be mapped
                    np.save(aside / f"{name}.npy", array, allow_pickle=False)
            _publish(aside, place, shapes)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
        found = _read(place, shapes)
        if found is None:
            raise OSError(f"Hidden states written to {place} can't be read back; is the disk full?")
        return found

    def _reserve(self, aside: Path, shapes: Mapping[str, tuple[tuple[int, ...], str]]) -> Arrays:
        """Make the arrays of an entry with all the room that they need."""
        needed = sum(
            math.prod(shape) * np.dtype(dtype).itemsize for shape, dtype in shapes.values()
        )
        arrays: Arrays = {}
        try:
            for name, (shape, dtype) in shapes.items():
                arrays[name] = _new(aside / f"{name}.npy", shape, dtype)
            allocated = [_allocate(path) for path in aside.iterdir()]
            if not all(allocated) and shutil.disk_usage(aside).free < needed:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return arrays
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise
            # What it took counts as free, once no map holds it.
            arrays.clear()
            shutil.rmtree(aside, ignore_errors=True)
            free = shutil.disk_usage(self.folder).free
            smaller = (
                ""
                if self.dtype == "float16"
                else ", keep half the bytes with HiddenCache(..., dtype='float16')"
            )
            raise OSError(
                error.errno,
                f"The next hidden states need {_megabytes(needed)} in {self.folder}, which has "
                f"{_megabytes(free)} free ({error.strerror}). Make room, name a folder on another "
                f"disk{smaller}, or use no cache.",
            ) from error


def as_cache(cache: str | Path | HiddenCache | None) -> HiddenCache | None:
    """Return a cache of a folder; None and caches are returned as they are."""
    return cache if cache is None or isinstance(cache, HiddenCache) else HiddenCache(cache)


def cached_tokens(
    X: Any,
    model: NeuroLM,
    encoder_id: str | None,
    *,
    cache: str | Path | HiddenCache | None = None,
    batch_size: int = 64,
    dtype: str = "auto",
    progress: bool = False,
    **array_parameters: Any,
) -> EEGTokens:
    """Return tokens for a model: check them, or make them from EEG unless a cache has them.

    Parameters
    ----------
    X, model, encoder_id, batch_size, dtype, progress, **array_parameters
        As for :func:`~mne_neurolm.models.inference.as_tokens`.
    cache : str | pathlib.Path | HiddenCache | None
        The cache. None (default): no cache.

    Returns
    -------
    tokens : EEGTokens
        The tokens.
    """
    store = as_cache(cache)
    is_eeg = isinstance(X, (BaseEpochs, list)) or (isinstance(X, np.ndarray) and X.ndim == 3)
    settings: Any = {"batch_size": batch_size, "dtype": dtype, "progress": progress}
    if store is None or encoder_id is None or not is_eeg:
        return as_tokens(X, model, encoder_id, **settings, **array_parameters)
    return store.tokens(model, make_patches(X, **array_parameters), **settings)


def fingerprint_of(patches: Patches) -> str:
    """Return a hash of the values and positions of patches, 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for array in (patches.data, patches.channels, patches.times):
        digest.update(f"{array.shape} {array.dtype}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def precision_of(dtype: str, model: NeuroLM) -> str:
    """Return what matrix products are computed in, which the states depend on."""
    return str(resolve_dtype(dtype, model.device)).removeprefix("torch.")


def _new(path: Path, shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
    if 0 in shape:
        return np.empty(shape, dtype)
    return np.lib.format.open_memmap(path, mode="w+", dtype=np.dtype(dtype), shape=shape)


def _allocate(path: Path) -> bool:
    """Give a file of holes its blocks: on a full disk, writing to its map ends in a bus error.

    Returns False where that can't be done: on the systems of Apple and Microsoft, and on some file
    systems.
    """
    if not hasattr(os, "posix_fallocate"):
        return False
    with path.open("r+b") as file:
        try:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
        except OSError as error:
            if error.errno in _NOT_OFFERED:
                return False
            raise
    return True


def _megabytes(n_bytes: float) -> str:
    return f"{n_bytes / 1e6:,.1f} MB"


def _read(
    place: Path, shapes: Mapping[str, tuple[tuple[int, ...], str]]
) -> dict[str, NDArray[Any]] | None:
    """Return the arrays of an entry, or None if there is none or it is damaged."""
    if not place.is_dir():
        return None
    arrays: Arrays = {}
    for name, (shape, dtype) in shapes.items():
        path = place / f"{name}.npy"
        try:
            # "c": what reads them may want to write (torch does not take arrays that it can't);
            # the file stays as it is.
            array = np.load(path, mmap_mode=None if 0 in shape else "c", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            logger.info(f"Cached hidden states in {path} can't be read ({error}): computed again.")
            return None
        if array.shape != shape or array.dtype != np.dtype(dtype):
            return None
        arrays[name] = array
    return arrays


def _publish(aside: Path, place: Path, shapes: Mapping[str, Any]) -> None:
    """Rename what is complete to where it is looked for."""
    try:
        os.rename(aside, place)
    except OSError:
        if _read(place, shapes) is not None:
            return  # another process was faster; both wrote the same
        # Damaged. In its place comes what is complete; if another process does the same just now,
        # whoever is first has won.
        shutil.rmtree(place, ignore_errors=True)
        with suppress(OSError):
            os.rename(aside, place)
