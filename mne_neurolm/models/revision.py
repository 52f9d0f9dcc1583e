"""Which revision of its weights a model's name stands for, told without loading them."""

from __future__ import annotations

import hashlib
import json
import zipfile
from functools import lru_cache
from pathlib import Path
from typing import Any

from sklearn.base import BaseEstimator

from .config import NeuroLMConfig
from .hub import BUNDLED, RELEASED_MODELS, cache_directory
from .neurolm import NeuroLM

# What predictions depend on, of the files in a model's folder.
_FILES = ("*.safetensors", "config.json", "tokenizer.json", "vocab.json", "merges.txt")
_N_HASHED = 2**18  # bytes, at either end of a tensor
_CONFIG = "config.json"


def model_revision(model: object, revision: str | None = None) -> str | None:
    """Return what changes when the weights that a model's name stands for do.

    Parameters
    ----------
    model : str | pathlib.Path | NeuroLM | NeuroLMConfig
        As for :class:`mne_neurolm.NeuroLMClassifier`.
    revision : str | None
        Revision of a repository on the hub. Default None: its main branch.

    Returns
    -------
    found : str | None
        ``"weights "`` and 16 hexadecimal digits of the content of a bundled model, of a folder or a
        file on this disk, and of a released model that has been downloaded; ``"commit "`` and the
        hash of a repository on the hub, as far as it is in the hub's cache here. None for a model
        in memory, whose own representation tells its weights, for a configuration, and for what is
        not on this disk (yet).

    Notes
    -----
    Nothing is loaded and nothing touches the network. Of a large tensor the first and last 256 KiB
    are read, which still sees any training, as that moves whole tensors; what was read is
    remembered until the file changes.

    Examples
    --------
    >>> from mne_neurolm.models.revision import model_revision
    >>> model_revision("tiny").split()[0]
    'weights'
    """
    if isinstance(model, NeuroLM | NeuroLMConfig) or not isinstance(model, str | Path):
        return None
    try:
        files = _files_of(model, revision)
        if files:
            return f"weights {_digest(files)}"
        return _commit(model, revision) if isinstance(model, str) else None
    # Removed while it was read, or not for us to read; `~` of nobody; damaged. Loading will tell.
    except (OSError, RuntimeError, ValueError, OverflowError):
        return None


class NamesRevision(BaseEstimator):
    """An estimator whose representation tells the revision of its ``model``'s weights.

    Caches of results, such as MOABB's, tell pipelines apart by what their steps print: other
    weights under the same name must not be taken for the same pipeline.
    """

    model: Any
    revision: str | None

    def __repr__(self, N_CHAR_MAX: int = 700) -> str:
        """Return the representation of scikit-learn, and behind it the revision, if there is one.

        Parameters
        ----------
        N_CHAR_MAX : int
            As in scikit-learn: longer ones are cut in the middle. The revision never is.
        """
        text = super().__repr__(N_CHAR_MAX)
        found = model_revision(self.model, self.revision)
        return text if found is None else f"{text} [{found}]"


def _files_of(model: str | Path, revision: str | None) -> list[Path]:
    """Return the files on this disk that make a model, in the order of :func:`load_model`."""
    if isinstance(model, str) and model in BUNDLED:
        return _in_folder(Path(BUNDLED[model]))
    if isinstance(model, str) and model.lower() in RELEASED_MODELS:
        name = model.lower() if revision is None else f"{model.lower()}-{revision}"
        return _in_folder(cache_directory() / name)
    path = Path(model).expanduser()
    if path.suffix == ".pt" and path.is_file():
        beside = path.with_name("VQ.pt")  # the neural tokenizer that is loaded with it
        return sorted({path, beside} if beside.is_file() else {path})
    return _in_folder(path)


def _in_folder(folder: Path) -> list[Path]:
    if not (folder / _CONFIG).is_file():
        return []
    return sorted(file for pattern in _FILES for file in folder.glob(pattern))


def _commit(name: str, revision: str | None) -> str | None:
    """Return the commit of a repository that the hub's cache on this disk holds."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        cached = try_to_load_from_cache(name, _CONFIG, revision=revision)
    except HFValidationError:  # no name of a repository
        return None
    # .../snapshots/<commit>/config.json
    return f"commit {Path(cached).parent.name}" if isinstance(cached, str) else None


def _digest(files: list[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        state = file.stat()
        part = _digest_file(str(file), state.st_size, state.st_mtime_ns, state.st_ctime_ns)
        digest.update(f"{file.name} {part}\n".encode())
    return digest.hexdigest()[:16]


@lru_cache(maxsize=256)
def _digest_file(path: str, size: int, mtime: int, ctime: int) -> str:
    """Return a fingerprint of a file; size and times are there to notice that it has changed."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        if path.endswith(".safetensors"):
            # Eight bytes with the header's length, the header in JSON, then the tensors.
            length = int.from_bytes(file.read(8), "little")
            header = file.read(min(length, size))
            digest.update(header)
            for start, stop in _places(header):
                ends = {(start, min(start + _N_HASHED, stop)), (max(start, stop - _N_HASHED), stop)}
                for first, last in sorted(ends):
                    file.seek(8 + length + first)
                    digest.update(file.read(last - first))
        elif path.endswith(".pt") and zipfile.is_zipfile(path):
            # A released .pt may have gigabytes; the archive keeps a checksum of every tensor.
            with zipfile.ZipFile(path) as archive:
                for entry in archive.infolist():
                    line = f"{entry.filename} {entry.file_size} {entry.CRC}\n"
                    digest.update(line.encode())
        else:
            while block := file.read(2**20):
                digest.update(block)
    return digest.hexdigest()


def _places(header: bytes) -> list[tuple[int, int]]:
    """Return first and last byte of each tensor, by place; none if the header is damaged."""
    try:
        entries = json.loads(header)
        return sorted(
            (int(entry["data_offsets"][0]), int(entry["data_offsets"][1]))
            for name, entry in entries.items()
            if name != "__metadata__"
        )
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        return []
