"""Reading text of any size piece by piece: files, folders, and corpora by name."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple

from mne.utils import logger

from mne_neurolm.utils.optional import import_optional

# File endings, after a .gz is taken off, and what is read from such files.
KINDS = {".txt": "text", ".jsonl": "lines", ".json": "lines", ".parquet": "parquet"}

# Characters that are encoded at a time; short pieces are faster than long ones.
PIECE_LENGTH = 8192
_READ_LENGTH = 1 << 20  # characters of a .txt file
_ROWS = 256  # of a Parquet file

#: What reading a damaged file raises, whatever its kind.
DAMAGED = (OSError, EOFError, ValueError, zlib.error)


@dataclass(frozen=True, slots=True)
class TextFile:
    """One local file."""

    name: str  # for messages and text.json: the source's last part, and what follows it
    path: Path
    sha256: str

    def size(self) -> int:
        """Return the number of bytes on disk."""
        return self.path.stat().st_size


@dataclass(frozen=True, slots=True)
class HubCorpus:
    """One corpus of the Hugging Face hub, by name."""

    name: str  # "NAME" or "NAME:CONFIGURATION", and the split
    repository: str
    configuration: str | None
    split: str
    sha256: None = None


class Piece(NamedTuple):
    """A stretch of text that is encoded at once."""

    text: str
    #: Whether a document ends here.
    ends: bool
    #: Bytes of the source that have been read.
    position: int


class _Row(NamedTuple):
    """One row of a file of many documents."""

    #: The text; None where it is empty; the reason if it can't be used.
    value: str | ValueError | None
    position: int


def find_sources(
    sources: Sequence[str | Path], *, split: str = "train"
) -> list[TextFile | HubCorpus]:
    """Return the files and named corpora that sources stand for.

    Parameters
    ----------
    sources : sequence of str | pathlib.Path
        As for :func:`mne_neurolm.prepare_text.prepare_text`.
    split : str
        Split of named corpora. Default ``"train"``.

    Returns
    -------
    found : list of TextFile | HubCorpus
        Files in the order of the sources, those of a folder by name, every file once and none that
        is hidden; then named corpora.

    Raises
    ------
    FileNotFoundError
        If a source is neither a path nor can be a name.
    ValueError
        If a file is of another kind, or a folder holds no text.
    """
    paths: dict[Path, str] = {}
    corpora = []
    for source in sources:
        path = Path(source).expanduser()
        if path.is_dir():
            inside = [p for p in sorted(path.rglob("*")) if _kind(p) and p.is_file()]
            inside = [p for p in inside if "/." not in f"/{p.relative_to(path).as_posix()}"]
            if not inside:
                raise ValueError(f"{path} holds no text: no file ends in {endings()}.")
            top = path.resolve().name
            for p in inside:
                paths.setdefault(p.resolve(), f"{top}/{p.relative_to(path).as_posix()}")
        elif path.exists():
            if _kind(path) is None:
                raise ValueError(
                    f"{path} is not a kind of file that is read here: its name must end in "
                    f"{endings()}."
                )
            paths.setdefault(path.resolve(), path.name)
        else:
            corpora.append(_named_corpus(str(source), split))
    files = [TextFile(name, path, _sha256(path)) for path, name in paths.items()]
    return [*files, *dict.fromkeys(corpora)]


def read_pieces(
    source: TextFile | HubCorpus, column: str = "text", problems: list[str] | None = None
) -> Iterator[Piece]:
    """Read a source piece by piece.

    Parameters
    ----------
    source : TextFile | HubCorpus
        What to read.
    column : str
        Entry or column with the text. Default ``"text"``.
    problems : list of str | None
        Gets a line if some rows could not be used.

    Yields
    ------
    piece : Piece
        Text, in order.

    Raises
    ------
    ValueError
        If the source holds no text, or none in this column.
    OSError, EOFError, zlib.error
        If it can't be read.
    """
    if isinstance(source, HubCorpus):
        yield from _pieces_of_rows(_hub_rows(source, column), "row", problems)
    elif _kind(source.path) == "parquet":
        yield from _pieces_of_rows(_parquet_rows(source.path, column), "row", problems)
    elif _kind(source.path) == "lines":
        yield from _pieces_of_rows(_json_rows(source.path, column), "line", problems)
    else:
        yield from _text_pieces(source.path)


def split_text(text: str, length: int = PIECE_LENGTH) -> Iterator[str]:
    """Cut a text at places across which GPT-2's byte-pair encoding never joins characters.

    The notes of :func:`mne_neurolm.prepare_text.prepare_text` say where these are.

    Parameters
    ----------
    text : str
        Any text.
    length : int
        Largest number of characters in a piece. Default 8192.

    Yields
    ------
    piece : str
        The pieces; together they are the text.
    """
    start = 0
    while len(text) - start > length:
        end = _cut(text, start, start + length)
        yield text[start:end]
        start = end
    yield text[start:]


def _cut(text: str, start: int, limit: int) -> int:
    """Return where to cut ``text[start:]``, at most ``limit``, which lies inside the text."""
    for separator in "\n ":
        at = text.rfind(separator, start + 1, limit)
        while at > start:
            # Not before "<" and "[": special tokens such as <|endoftext|> and [SEP] may begin
            # there, and white space before those is split in another way.
            if not text[at + 1].isspace() and text[at + 1] not in "<[":
                return at
            at = text.rfind(separator, start + 1, at)
    return limit


def _text_pieces(path: Path) -> Iterator[Piece]:
    """Read a file that is one document."""
    with open(path, "rb") as raw:
        # utf-8-sig drops the mark that some Windows programs put first; line ends become "\n".
        file = io.TextIOWrapper(_unpacked(raw, path), encoding="utf-8-sig")
        buffer, visible = "", False
        try:
            while chunk := file.read(_READ_LENGTH):
                visible = visible or not chunk.isspace()
                *pieces, buffer = split_text(buffer + chunk)
                # The last piece may go on in the next chunk.
                for text in pieces:
                    yield Piece(text, False, raw.tell())
        except UnicodeDecodeError as error:
            raise ValueError(
                f"it is not UTF-8 text ({error.reason}, before byte {raw.tell()}). Save it as UTF-8"
            ) from error
        if not visible:
            raise ValueError("it holds no text")
        yield Piece(buffer, True, raw.tell())


def _pieces_of_rows(rows: Iterator[_Row], unit: str, problems: list[str] | None) -> Iterator[Piece]:
    """Cut every row's text into pieces; count the rows that hold none."""
    n_good = n_bad = 0
    first = ""
    for number, row in enumerate(rows, start=1):
        if isinstance(row.value, ValueError):
            n_bad += 1
            first = first or f"{unit} {number}: {row.value}"
        elif row.value is not None and not row.value.isspace() and row.value:
            n_good += 1
            *parts, last = split_text(row.value)
            for text in parts:
                yield Piece(text, False, row.position)
            yield Piece(last, True, row.position)
    if not n_good:
        raise ValueError(f"it holds no text ({first})" if first else "it holds no text")
    if n_bad and problems is not None:
        problems.append(f"{n_bad} of {number} {unit}s left out; the first is {first}")


def _json_rows(path: Path, column: str) -> Iterator[_Row]:
    with open(path, "rb") as raw:
        for line in _unpacked(raw, path):
            if line.isspace():
                continue
            value: str | ValueError | None
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:  # no JSON, no text, or nested too deep
                value = ValueError(f"not JSON ({error}); needed is one object per line")
            else:
                value = (
                    _checked(row, column)
                    if isinstance(row, dict)
                    else ValueError(f"a JSON {type(row).__name__}; needed is one object per line")
                )
            yield _Row(value, raw.tell())


def _parquet_rows(path: Path, column: str) -> Iterator[_Row]:
    parquet = import_optional("pyarrow.parquet", extra="train", purpose="Reading Parquet files")
    size = path.stat().st_size
    with parquet.ParquetFile(path) as table:
        names, n_rows = table.schema_arrow.names, table.metadata.num_rows
        if column not in names:
            raise ValueError(_no_column(column, names))
        done = 0
        for batch in table.iter_batches(batch_size=_ROWS, columns=[column]):
            done += batch.num_rows
            for value in batch.column(0).to_pylist():
                yield _Row(_checked({column: value}, column), size * done // n_rows)


def _hub_rows(corpus: HubCorpus, column: str) -> Iterator[_Row]:
    datasets = import_optional("datasets", extra="corpora", purpose="Text by the name of a dataset")
    position = 0
    try:
        stream = datasets.load_dataset(
            corpus.repository, corpus.configuration, split=corpus.split, streaming=True
        )
        for row in stream:
            value = _checked(row, column)
            position += len(value) if isinstance(value, str) else 0
            yield _Row(value, position)
    except (OSError, ValueError, RuntimeError) as error:
        raise OSError(
            f"There is no file or folder {corpus.repository!r} here, and no dataset of that name "
            f"could be read from the Hugging Face hub (configuration {corpus.configuration}, split "
            f"{corpus.split!r}): {reason(error)}"
        ) from error


def _checked(row: dict[str, Any], column: str) -> str | ValueError | None:
    """Return the text of a row, None where it is empty, or why it can't be used."""
    if column not in row:
        return ValueError(_no_column(column, list(row)))
    value = row[column]
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError as error:  # half a pair of surrogates, which JSON can hold
            return ValueError(f"{column!r} is not Unicode text ({error.reason})")
    if value is None or isinstance(value, str):
        return value
    return ValueError(f"{column!r} is of type {type(value).__name__}, not text")


def _no_column(column: str, names: Sequence[str]) -> str:
    return f"no {column!r} among {', '.join(map(repr, names))}; name one with --column"


def _unpacked(raw: IO[bytes], path: Path) -> Any:
    return gzip.GzipFile(fileobj=raw) if path.suffix == ".gz" else raw


def _kind(path: Path) -> str | None:
    """Return how a file is read, None if it is not."""
    packed = path.suffix == ".gz"
    kind = KINDS.get(Path(path.stem).suffix if packed else path.suffix)
    return None if packed and kind == "parquet" else kind


def endings() -> str:
    """Return the endings of files that are read, for messages."""
    return ", ".join(KINDS) + " (the first three also with .gz)"


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _named_corpus(source: str, split: str) -> HubCorpus:
    """Take a source that is no path for a name, if it can be one."""
    repository, _, configuration = source.partition(":")
    is_name = re.fullmatch(r"[\w-][\w.-]*(/[\w.-]+)?", repository) is not None
    if not is_name or _kind(Path(source)) is not None:
        raise FileNotFoundError(f"There is no file or folder {source}.")
    logger.info(f"There is no file or folder {source} here; it is taken for a dataset's name.")
    return HubCorpus(f"{source} ({split})", repository, configuration or None, split)


def reason(error: BaseException) -> str:
    """Return what an error says, in one line."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
