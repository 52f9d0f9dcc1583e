"""A text corpus on disk: one long row of token ids, read through a memory map.

A corpus is a folder that holds

* ``tokens.bin``: the ids of all documents, one after the other, each followed by the tokenizer's
  end-of-text token; little-endian unsigned integers of 16 bits, or 32 if the vocabulary needs them;
* the text tokenizer's own files, so that the ids can be read as text again;
* ``text.json``: type, counts, checksums and sources. It is written last, so a folder without it is
  not a corpus.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .lock import lock

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

TOKENS, HEADER = "tokens.bin", "text.json"
FORMAT_VERSION = 1
_PARTIAL = f"{TOKENS}.partial"
# What a folder may hold that a corpus is written to; anything else is somebody's.
_OWN_FILES = {
    TOKENS,
    _PARTIAL,
    f"{HEADER}.partial",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
}
_ADVICE = "Make one with: python -m mne_neurolm.prepare_text SOURCE --output FOLDER"


class TextCorpus:
    """Read a text corpus.

    Parameters
    ----------
    path : str | pathlib.Path
        Folder that ``python -m mne_neurolm.prepare_text`` wrote. A leading ``~`` is the home
        directory.

    Attributes
    ----------
    path : pathlib.Path
        The folder.
    info : dict
        What ``text.json`` says: ``dtype``, ``n_tokens``, ``n_documents``, ``sources``, ...

    Raises
    ------
    FileNotFoundError
        If the folder holds no finished corpus.
    ValueError
        If ``text.json`` is damaged, of a newer format, or does not fit ``tokens.bin``.

    Notes
    -----
    ``len(corpus)`` is the number of tokens, ``corpus.tokens`` an array of all of them, uint16 or
    uint32, shape (n_tokens,), read-only. The corpus can be pickled; the file is mapped anew in
    every process, on first use.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from mne_neurolm.prepare_text import prepare_text
    >>> from mne_neurolm.store import TextCorpus
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "one.txt").write_text("An electrode on the scalp.")
    ...     _ = prepare_text([folder], f"{folder}/text", n_jobs=1, verbose="warning")
    ...     corpus = TextCorpus(f"{folder}/text")
    ...     ids, tokenizer = corpus.tokens.tolist(), corpus.load_tokenizer()
    >>> corpus.info["n_documents"], corpus.info["dtype"]
    (1, 'uint16')
    >>> tokenizer.decode(ids[:-1])  # the last one ends the document
    'An electrode on the scalp.'
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).expanduser()
        self.info = _read_header(self.path)
        file = self.path / TOKENS
        if not file.is_file():
            raise FileNotFoundError(f"{file} is missing. Restore it, or write the corpus again.")
        expected = self.info["n_tokens"] * np.dtype(self.info["dtype"]).itemsize
        if file.stat().st_size != expected:
            raise ValueError(
                f"{file} has {file.stat().st_size} bytes; {HEADER} says {self.info['n_tokens']} "
                f"tokens of {self.info['dtype']}, {expected} bytes. The file was cut or replaced: "
                "restore it, or write the corpus again to another folder."
            )

    def __repr__(self) -> str:
        documents = self.info["n_documents"]
        return f"<TextCorpus | {len(self):,} tokens, {documents:,} documents, {self.path}>"

    def __len__(self) -> int:
        return self.info["n_tokens"]

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "tokens"}

    @cached_property
    def tokens(self) -> np.memmap:
        """All ids, shape (n_tokens,), uint16 or uint32, read-only."""
        # Little-endian on disk, whatever the machine.
        dtype = np.dtype(self.info["dtype"]).newbyteorder("<")
        return np.memmap(self.path / TOKENS, dtype=dtype, mode="r")

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that change when a token or the text tokenizer does."""
        parts = (self.info["sha256"], self.info["dtype"], self.info["tokenizer"])
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]

    def load_tokenizer(self) -> PreTrainedTokenizerFast:
        """Load the text tokenizer that made the ids.

        Returns
        -------
        tokenizer : transformers.PreTrainedTokenizerFast
            The tokenizer.

        Raises
        ------
        FileNotFoundError
            If its files are missing.
        ValueError
            If they are damaged, or not those of the tokenizer that made the ids.
        """
        from mne_neurolm.models.text import load_text_tokenizer

        tokenizer = load_text_tokenizer(self.path)
        found = tokenizer_fingerprint(tokenizer)
        if found != self.info["tokenizer"]:
            raise ValueError(
                f"The tokenizer in {self.path} (fingerprint {found}) is not the one that made the "
                f"ids ({self.info['tokenizer']}). Restore its files, or write the corpus again."
            )
        return tokenizer

    def verify(self) -> None:
        """Read all tokens and compare them with the checksum.

        Raises
        ------
        ValueError
            If they differ from what was written.
        """
        with open(self.path / TOKENS, "rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != self.info["sha256"]:
            raise ValueError(
                f"{self.path / TOKENS} was changed after it was written: its SHA-256 is {found}, "
                f"{HEADER} says {self.info['sha256']}. Restore it, or write the corpus again."
            )


class TextWriter:
    """Write a corpus token by token; nothing that looks complete exists before the end.

    Parameters
    ----------
    path : str | pathlib.Path
        Folder to write to; made if needed. It may hold what an interrupted run left.
    tokenizer : transformers.PreTrainedTokenizerFast
        The text tokenizer; its files are saved with the tokens.

    Raises
    ------
    ValueError
        If the folder holds other files, or a corpus, or the path is a file.

    Notes
    -----
    Used as a context manager. Leaving it without :meth:`finish` removes what was written; after a
    kill, ``tokens.bin.partial`` remains, which the next run overwrites.
    """

    def __init__(self, path: str | Path, tokenizer: PreTrainedTokenizerFast) -> None:
        self.path = check_folder(path)
        self._tokenizer = tokenizer
        # 65536 ids, 0 to 65535, fit in 16 bits.
        self.dtype = np.dtype("<u2" if len(tokenizer) <= 1 << 16 else "<u4")
        self.n_tokens = 0
        self.n_documents = 0
        self._digest = hashlib.sha256()
        with self._says_what_to_do():
            self.path.mkdir(parents=True, exist_ok=True)
        self._lock = ExitStack()
        self._lock.enter_context(lock(self.path / _PARTIAL))
        with self._says_what_to_do():
            self._file = open(self.path / _PARTIAL, "wb")  # not what a killed run left

    def __enter__(self) -> TextWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._file.close()
        except OSError:  # a full disk again, now at the last buffer; the first error says it
            if error is None:
                raise
        finally:
            (self.path / _PARTIAL).unlink(missing_ok=True)
            self._lock.close()

    def add(self, ids: ArrayLike, n_documents: int = 0) -> None:
        """Append ids.

        Parameters
        ----------
        ids : array-like of int, shape (n_ids,)
            Ids of the tokenizer, end-of-text tokens included.
        n_documents : int
            How many documents end in them. Default 0.
        """
        block: NDArray[Any] = np.asarray(ids, dtype=self.dtype)
        content = block.tobytes()
        with self._says_what_to_do():
            self._file.write(content)
        self._digest.update(content)
        self.n_tokens += len(block)
        self.n_documents += n_documents

    def mark(self) -> tuple[int, int, Any]:
        """Return the state that :meth:`rewind` comes back to."""
        return self.n_tokens, self.n_documents, self._digest.copy()

    def rewind(self, mark: tuple[int, int, Any]) -> None:
        """Drop everything that was added after a mark."""
        self.n_tokens, self.n_documents, self._digest = mark
        self._digest = self._digest.copy()  # a mark may be used again
        self._file.flush()
        self._file.seek(self.n_tokens * self.dtype.itemsize)
        self._file.truncate()

    def finish(self, **details: Any) -> TextCorpus:
        """Make the corpus complete.

        Parameters
        ----------
        **details
            What ``text.json`` shall hold beside counts and checksums; JSON values.

        Returns
        -------
        corpus : TextCorpus
            The corpus.

        Raises
        ------
        ValueError
            If no token was added.
        """
        if not self.n_tokens:
            raise ValueError("There is no text to write: no document has a token.")
        with self._says_what_to_do():
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            self._tokenizer.save_pretrained(self.path)
            os.replace(self.path / _PARTIAL, self.path / TOKENS)
            header = {
                "format": FORMAT_VERSION,
                "dtype": self.dtype.name,
                "n_tokens": self.n_tokens,
                "n_documents": self.n_documents,
                "sha256": self._digest.hexdigest(),
                "tokenizer": tokenizer_fingerprint(self._tokenizer),
                "vocabulary": len(self._tokenizer),
                **details,
            }
            partial = self.path / f"{HEADER}.partial"
            with open(partial, "w", encoding="utf-8") as file:
                json.dump(header, file, indent=2, ensure_ascii=False)
                file.write("\n")
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, self.path / HEADER)
        return TextCorpus(self.path)

    @contextmanager
    def _says_what_to_do(self) -> Iterator[None]:
        """Put the folder and a way out into the error of a full or read-only disk."""
        try:
            yield
        except OSError as error:
            raise OSError(
                f"Writing a text corpus to {self.path} failed ({error.strerror or error}), and "
                "nothing of it was kept. Make space or name a folder on another disk, and start "
                "again."
            ) from error


def check_folder(path: str | Path) -> Path:
    """Return a folder that a corpus may be written to.

    Parameters
    ----------
    path : str | pathlib.Path
        A folder that does not exist, is empty, or holds what an interrupted run left.

    Returns
    -------
    folder : pathlib.Path
        The folder. It is not made.

    Raises
    ------
    ValueError
        If it is a file, holds a corpus, or holds files of another kind.
    """
    folder = Path(path).expanduser()
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file; a corpus is written to a folder. Name another one.")
    if (folder / HEADER).exists():
        raise ValueError(f"{folder} holds a text corpus already. Name another folder.")
    if folder.is_dir():
        foreign = sorted({entry.name for entry in folder.iterdir()} - _OWN_FILES)
        if foreign:
            raise ValueError(
                f"{folder} holds other files ({', '.join(foreign[:5])}"
                f"{', ...' if len(foreign) > 5 else ''}); a corpus is written to an empty or new "
                "folder. Name another one."
            )
    return folder


def tokenizer_fingerprint(tokenizer: PreTrainedTokenizerFast) -> str:
    """Return 16 hexadecimal digits that tell text tokenizers apart.

    Parameters
    ----------
    tokenizer : transformers.PreTrainedTokenizerFast
        A text tokenizer.

    Returns
    -------
    digits : str
        They depend on the vocabulary with its ids, added tokens included, and on the merges, and
        not on the version of a library that wrote the files.
    """
    model = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    # Older files keep a merge as "a b", newer ones as ["a", "b"].
    merges = [m if isinstance(m, str) else " ".join(m) for m in model.get("merges", ())]
    vocabulary = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    content = json.dumps([model["type"], vocabulary, merges], ensure_ascii=True)
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def _read_header(folder: Path) -> dict[str, Any]:
    """Return the contents of ``text.json``, checked."""
    path = folder / HEADER
    if not path.is_file():
        state = "does not exist" if not folder.exists() else f"has no {HEADER}"
        if (folder / _PARTIAL).exists() or (folder / TOKENS).exists():
            state = f"holds an unfinished corpus: it {state}"
        raise FileNotFoundError(f"There is no text corpus at {folder}, which {state}. {_ADVICE}")
    try:
        header = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # no JSON, or no text
        raise ValueError(
            f"{path} can't be read as JSON ({error}). Restore it, or write the corpus again."
        ) from error
    kinds = {"format": int, "n_tokens": int, "n_documents": int, "sha256": str, "tokenizer": str}
    wrong = _wrong(header, kinds)
    if wrong or header.get("dtype") not in ("uint16", "uint32"):
        raise ValueError(
            f"{path} is not that of a text corpus (wrong or missing: "
            f"{', '.join(wrong) or 'dtype'}). Restore it, or write the corpus again."
        )
    if header["format"] > FORMAT_VERSION:
        raise ValueError(
            f"{path} is of format {header['format']}; this version reads up to {FORMAT_VERSION}. "
            "Update mne-neurolm."
        )
    return header


def _wrong(header: Any, kinds: Mapping[str, type]) -> list[str]:
    """Return which entries of a header are missing or of another type."""
    if not isinstance(header, dict):
        return list(kinds)
    return [name for name, kind in kinds.items() if not isinstance(header.get(name), kind)]
