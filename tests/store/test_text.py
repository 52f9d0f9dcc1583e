"""The text corpus: what is written is read, and nothing half-done passes for whole."""

from __future__ import annotations

import json
import pickle
import shutil
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from mne_neurolm.models.text import encode_text, load_text_tokenizer
from mne_neurolm.store.text import TextCorpus, TextWriter, tokenizer_fingerprint

TINY = files("mne_neurolm") / "assets" / "tiny"


@pytest.fixture(scope="module")
def tokenizer():
    return load_text_tokenizer(str(TINY))


@pytest.fixture
def corpus(tokenizer, tmp_path: Path) -> TextCorpus:
    with TextWriter(tmp_path / "corpus", tokenizer) as writer:
        writer.add([3, 4, 5, 1022], 1)
        writer.add(np.array([1023, 0, 1022]), 1)
        return writer.finish(sources=[{"name": "a"}])


def test_what_is_written_is_read(corpus: TextCorpus) -> None:
    assert corpus.tokens.tolist() == [3, 4, 5, 1022, 1023, 0, 1022]
    assert corpus.tokens.dtype == np.uint16 and isinstance(corpus.tokens, np.memmap)
    assert not corpus.tokens.flags.writeable
    assert (len(corpus), corpus.info["n_documents"]) == (7, 2)
    assert corpus.info["sources"] == [{"name": "a"}]
    assert "7 tokens, 2 documents" in repr(corpus)
    assert len((corpus.path / "tokens.bin").read_bytes()) == 14
    assert sorted(p.name for p in corpus.path.iterdir()) == [
        "text.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "tokens.bin",
    ]
    corpus.verify()


def test_a_large_vocabulary_takes_32_bits(tmp_path: Path) -> None:
    tokenizer = load_text_tokenizer(str(TINY))
    tokenizer.add_tokens([f"word{k}" for k in range((1 << 16) - len(tokenizer))])
    assert len(tokenizer) == 1 << 16
    with TextWriter(tmp_path / "fits", tokenizer) as writer:
        writer.add([65535])
        assert writer.finish().tokens.dtype == np.uint16
    tokenizer.add_tokens(["one more"])
    with TextWriter(tmp_path / "larger", tokenizer) as writer:
        writer.add([65536])
        corpus = writer.finish()
    assert corpus.tokens.dtype == np.uint32 and corpus.tokens.tolist() == [65536]


def test_an_id_that_does_not_fit_is_refused(tokenizer, tmp_path: Path) -> None:
    with TextWriter(tmp_path, tokenizer) as writer, pytest.raises(OverflowError):
        writer.add([65536])


def test_the_tokenizer_comes_back(corpus: TextCorpus, tokenizer) -> None:
    text = "To be, or not to be: [SEP] that is the question.\n\n<|endoftext|>"
    assert encode_text(corpus.load_tokenizer(), text) == encode_text(tokenizer, text)


def test_a_pickled_corpus_maps_its_file_again(corpus: TextCorpus) -> None:
    n_bytes = len(pickle.dumps(corpus))
    assert corpus.tokens[0] == 3
    content = pickle.dumps(corpus)
    assert len(content) == n_bytes  # no tokens in it
    assert pickle.loads(content).tokens.tolist() == corpus.tokens.tolist()


def test_the_fingerprint_follows_tokens_and_tokenizer_only(
    corpus: TextCorpus, tokenizer, tmp_path: Path
) -> None:
    def write(name: str, ids: list[int], of=tokenizer) -> str:
        with TextWriter(tmp_path / name, of) as writer:
            writer.add(ids, 1)
            return writer.finish(sources=[name]).fingerprint

    ids = corpus.tokens.tolist()
    assert len(corpus.fingerprint) == 16
    assert write("same", ids) == corpus.fingerprint
    assert write("other", [*ids[:-1], 7]) != corpus.fingerprint
    changed = load_text_tokenizer(str(TINY))
    changed.add_tokens(["neuro"])
    assert tokenizer_fingerprint(changed) != tokenizer_fingerprint(tokenizer)
    assert write("tokenizer", ids, changed) != corpus.fingerprint


def test_rewind_drops_what_came_after_the_mark(tokenizer, tmp_path: Path) -> None:
    with TextWriter(tmp_path, tokenizer) as writer:
        writer.add([1, 2], 1)
        mark = writer.mark()
        for _ in range(2):  # a mark serves more than once
            writer.add([7] * 5000, 3)
            writer.rewind(mark)
        writer.add([3], 1)
        corpus = writer.finish()
    assert corpus.tokens.tolist() == [1, 2, 3] and corpus.info["n_documents"] == 2
    corpus.verify()


def test_an_interrupted_writer_leaves_no_corpus(tokenizer, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), TextWriter(tmp_path, tokenizer) as writer:
        writer.add([1])
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())
    # After a kill, nobody tidies up.
    (tmp_path / "tokens.bin.partial").write_bytes(b"12")
    with pytest.raises(FileNotFoundError, match="holds an unfinished corpus"):
        TextCorpus(tmp_path)
    with TextWriter(tmp_path, tokenizer) as writer:
        writer.add([1])
        assert writer.finish().tokens.tolist() == [1]


def test_nothing_to_write(tokenizer, tmp_path: Path) -> None:
    with TextWriter(tmp_path, tokenizer) as writer, pytest.raises(ValueError, match="no text"):
        writer.finish()
    assert not list(tmp_path.iterdir())


def test_a_full_disk(tokenizer, tmp_path: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full")
    with (
        pytest.raises(OSError, match="No space left on device.*Make space"),
        TextWriter(tmp_path, tokenizer) as writer,
    ):
        writer._file.close()
        writer._file = full.open("wb")
        writer.add(np.zeros(1 << 20, dtype=np.uint16))
        writer.finish()
    assert not list(tmp_path.iterdir())


def test_the_folder_must_be_free(corpus: TextCorpus, tokenizer, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds a text corpus already"):
        TextWriter(corpus.path, tokenizer)
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text("{}")
    with pytest.raises(ValueError, match=r"holds other files \(config.json\)"):
        TextWriter(model, tokenizer)
    with pytest.raises(ValueError, match="is a file"):
        TextWriter(model / "config.json", tokenizer)
    assert [p.name for p in model.iterdir()] == ["config.json"]


def test_what_is_no_corpus(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"does not exist.*prepare_text SOURCE"):
        TextCorpus(tmp_path / "none")
    with pytest.raises(FileNotFoundError, match=r"has no text.json"):
        TextCorpus(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_tokens": 8}, "has 14 bytes; text.json says 8 tokens of uint16, 16 bytes"),
        ({"n_tokens": "7"}, r"wrong or missing: n_tokens\)"),
        ({"dtype": "float32"}, r"wrong or missing: dtype\)"),
        ({"format": 2}, "of format 2; this version reads up to 1. Update"),
    ],
)
def test_a_wrong_header(corpus: TextCorpus, change: dict, message: str) -> None:
    path = corpus.path / "text.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ValueError, match=message):
        TextCorpus(corpus.path)


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff\xfe"])
def test_a_damaged_header(corpus: TextCorpus, content: bytes) -> None:
    (corpus.path / "text.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"can't be read as JSON|is not that of a text corpus"):
        TextCorpus(corpus.path)


def test_damaged_tokens_and_tokenizer(corpus: TextCorpus) -> None:
    tokens = corpus.path / "tokens.bin"
    content = tokens.read_bytes()
    tokens.write_bytes(content[:-2] + b"\x00\x00")
    with pytest.raises(ValueError, match="was changed after it was written"):
        TextCorpus(corpus.path).verify()
    tokens.write_bytes(content[:-1])
    with pytest.raises(ValueError, match="has 13 bytes"):
        TextCorpus(corpus.path)
    tokens.unlink()
    with pytest.raises(FileNotFoundError, match=r"tokens.bin is missing"):
        TextCorpus(corpus.path)


def test_another_tokenizer_beside_the_tokens(corpus: TextCorpus, tmp_path: Path) -> None:
    other = load_text_tokenizer(str(TINY))
    other.add_tokens(["neuro"])
    other.save_pretrained(tmp_path / "other")
    shutil.copy(tmp_path / "other" / "tokenizer.json", corpus.path)
    with pytest.raises(ValueError, match="is not the one that made the ids"):
        corpus.load_tokenizer()


def test_two_writers_do_not_mix(tmp_path: Path, tokenizer) -> None:
    with TextWriter(tmp_path / "corpus", tokenizer) as writer:
        writer.add([1, 2, 3], 1)
        with pytest.raises(BlockingIOError, match="Another process is writing"):
            TextWriter(tmp_path / "corpus", tokenizer)
        corpus = writer.finish()
    assert corpus.tokens.tolist() == [1, 2, 3]
