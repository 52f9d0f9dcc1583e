"""Reading text: cuts that no token crosses, and files of every kind and state."""

from __future__ import annotations

import gzip
import hashlib
import json
from importlib.resources import files
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mne_neurolm.models.text import encode_text, load_text_tokenizer
from mne_neurolm.store.text_sources import (
    HubCorpus,
    TextFile,
    find_sources,
    read_pieces,
    split_text,
)


def documents(path: Path, column: str = "text", problems: list[str] | None = None) -> list[str]:
    """Read a file's documents."""
    found, text, position = [], "", 0
    for piece in read_pieces(TextFile(path.name, path, ""), column, problems):
        assert position <= piece.position <= path.stat().st_size
        position = piece.position
        text += piece.text
        if piece.ends:
            found.append(text)
            text = ""
    assert not text
    return found


# What a cut could get wrong: runs of white space of all kinds, special tokens, contractions.
PARTS = [*"\n\n  \t aB1.é<[\r中", "\n\n", "\u00a0", "\u2028", "\x1c", "\x85", "\u3000"]
PARTS += ["'s", "don't ", " word", "\nword", "<|endoftext|>", "[SEP]", "x\u0301"]


def test_no_token_crosses_a_cut() -> None:
    tokenizer = load_text_tokenizer(str(files("mne_neurolm") / "assets" / "tiny"))
    rng = np.random.default_rng(0)
    n_cuts = 0
    for _ in range(600):
        text = "".join(rng.choice(PARTS, size=rng.integers(1, 60)))
        pieces = list(split_text(text, 16))
        assert "".join(pieces) == text and all(0 < len(p) <= 16 for p in pieces[:-1])
        # Cuts where nothing suits, at the limit, may split a token.
        if any(len(p) == 16 for p in pieces[:-1]):
            continue
        n_cuts += len(pieces) - 1
        assert [i for p in pieces for i in encode_text(tokenizer, p)] == encode_text(
            tokenizer, text
        )
    assert n_cuts > 100


def test_cuts_prefer_line_ends_and_visible_text_after_them() -> None:
    assert list(split_text("one two\nthree four", 14)) == ["one two", "\nthree four"]
    assert list(split_text("one\n\n\nthree four", 9)) == ["one\n\n", "\nthree", " four"]
    assert list(split_text("one two\n<three four", 12)) == ["one", " two\n<three", " four"]
    assert list(split_text("abcdefgh", 3)) == ["abc", "def", "gh"]
    assert list(split_text("", 3)) == [""]


@pytest.mark.parametrize("packed", [False, True])
def test_a_text_file_is_one_document(tmp_path: Path, packed: bool) -> None:
    text = "Ein Wörtchen, 中文, and more.\n" * 50_000  # longer than what is read at a time
    path = tmp_path / ("a.txt.gz" if packed else "a.txt")
    content = b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode()
    path.write_bytes(gzip.compress(content) if packed else content)
    assert documents(path) == [text]


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.jsonl.gz"])
def test_lines_are_documents(tmp_path: Path, name: str) -> None:
    texts = ["first\nof two lines", "", "  ", "third " * 5000, "中"]
    lines = [json.dumps({"id": k, "body": text}) for k, text in enumerate(texts)]
    content = "\n\n".join([*lines, '{"body": null}']).encode()
    path = tmp_path / name
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    problems: list[str] = []
    assert documents(path, "body", problems) == [texts[0], texts[3], texts[4]]
    assert not problems


def test_bad_lines_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    lines = ['{"text": "good"}', '{"text": "torn', "[1]", '{"body": "x"}', '{"text": 5}', "\xff"]
    path.write_bytes("\n".join(lines).encode("latin-1"))
    problems: list[str] = []
    assert documents(path, problems=problems) == ["good"]
    (problem,) = problems
    assert problem.startswith("5 of 6 lines left out; the first is line 2: not JSON (")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"body": "x", "id": 1}', r"line 1: no 'text' among 'body', 'id'; name one with --column"),
        ("[\n1,\n2]", "line 1: not JSON .*; needed is one object per line"),
        ('[{"text": "x"}]', "a JSON list; needed is one object per line"),
        ('{"text": ["x"]}', "'text' is of type list, not text"),
        ('{"text": ""}', "^it holds no text$"),
        ("", "^it holds no text$"),
    ],
)
def test_lines_without_text(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(content)
    with pytest.raises(ValueError, match=message):
        documents(path)


@pytest.mark.parametrize("kind", ["string", "large_string", "dictionary"])
def test_parquet_rows_are_documents(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.parquet"
    column = pa.array(["one", None, "two\n" * 3000, ""] * 200)
    if kind != "string":
        column = column.dictionary_encode() if kind == "dictionary" else column.cast(kind)
    pq.write_table(pa.table({"text": column, "n": range(800)}), path, row_group_size=300)
    assert documents(path) == ["one", "two\n" * 3000] * 200
    with pytest.raises(ValueError, match="no 'body' among 'text', 'n'"):
        documents(path, "body")
    with pytest.raises(ValueError, match="'n' is of type int, not text"):
        documents(path, "n")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"abc \xff\xfe", r"it is not UTF-8 text \(invalid start byte, before byte 6\)"),
        ("a.txt", b" \n\n", "it holds no text"),
        ("a.txt", b"", "it holds no text"),
        ("a.txt.gz", b"abc", "Not a gzipped file"),
        ("a.txt.gz", gzip.compress(b"abc" * 99, mtime=0)[:-9], "ended before"),
        ("a.parquet", b"PAR1abc", "Parquet"),
    ],
    # Names of their own: gzip's bytes differ between versions of zlib, and pytest-xdist asks every
    # process for the same names.
    ids=["not UTF-8", "blank", "empty", "not gzip", "cut gzip", "not parquet"],
)
def test_damaged_files(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises((ValueError, OSError, EOFError), match=message):
        documents(path)


def test_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "b.txt",
        "a/c.jsonl.gz",
        "a/.hidden.txt",
        ".git/a.txt",
        "notes.md",
        "t.parquet.gz",
    ):
        path = tmp_path / "corpus" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    monkeypatch.chdir(tmp_path)
    found = find_sources(["corpus/b.txt", "corpus", "corpus", "user/name:en", "user/name:en"])
    assert [source.name for source in found] == [
        "b.txt",
        "corpus/a/c.jsonl.gz",
        "user/name:en (train)",
    ]
    assert found[0].sha256 == hashlib.sha256(b"b.txt").hexdigest()
    assert found[-1] == HubCorpus("user/name:en (train)", "user/name", "en", "train")
    monkeypatch.chdir("corpus")
    assert [source.name for source in find_sources(["."])][0] == "corpus/a/c.jsonl.gz"


def test_a_path_goes_before_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "user" / "name").mkdir(parents=True)
    with pytest.raises(ValueError, match=r"user/name holds no text: no file ends in .txt"):
        find_sources(["user/name"])
    (tmp_path / "name.md").write_text("x")
    with pytest.raises(ValueError, match="not a kind of file that is read here"):
        find_sources(["name.md"])


@pytest.mark.parametrize("name", ["missing.txt", "/no/where", "./corpus", "a/b/c", "b.jsonl.gz"])
def test_what_can_only_be_a_path_is_no_name(name: str) -> None:
    with pytest.raises(FileNotFoundError, match="There is no file or folder"):
        find_sources([name])


def test_a_named_corpus_is_streamed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A corpus in memory stands in for the hub; all else is the real thing."""
    calls = []

    def load_dataset(*args, **kwargs):
        calls.append((args, kwargs))
        rows = {"text": ["one", "", "two"], "n": [1, 2, 3]}
        return datasets.Dataset.from_dict(rows).to_iterable_dataset()

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    (corpus,) = find_sources(["user/name:en"], split="validation")
    assert [(p.text, p.ends) for p in read_pieces(corpus)] == [("one", True), ("two", True)]
    assert calls == [(("user/name", "en"), {"split": "validation", "streaming": True})]
    with pytest.raises(ValueError, match="no 'body' among 'text', 'n'"):
        list(read_pieces(corpus, "body"))


def test_a_named_corpus_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    def load_dataset(*args, **kwargs):
        raise datasets.exceptions.DatasetNotFoundError("It doesn't exist on the Hub.")

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    with pytest.raises(OSError, match="no file or folder 'no-such-corpus' here.*exist on the Hub"):
        list(read_pieces(find_sources(["no-such-corpus"])[0]))
