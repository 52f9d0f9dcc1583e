"""The command that turns text into tokens."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mne_neurolm.models.hub import TINY
from mne_neurolm.models.text import encode_text, load_text_tokenizer
from mne_neurolm.prepare_text import main, prepare_text
from mne_neurolm.store.text import TextCorpus

END = 1022  # <|endoftext|> of the bundled tokenizer


@pytest.fixture(scope="module")
def tokenizer():
    return load_text_tokenizer(TINY)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Return a folder with two files and a paragraph that is longer than a piece."""
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "a.txt").write_text("A tale told\n\n by an idiot.\n" * 1000, encoding="utf-8")
    (folder / "b.jsonl").write_text('{"text": "full of sound"}\n{"text": "and fury"}\n')
    return folder


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Undo what the command tells the tokenizers library."""
    for name in ("TOKENIZERS_PARALLELISM", "RAYON_NUM_THREADS"):
        monkeypatch.setenv(name, "1")


def test_ids_are_those_of_whole_documents(source: Path, tokenizer, tmp_path: Path) -> None:
    expected = []
    for text in ((source / "a.txt").read_text(encoding="utf-8"), "full of sound", "and fury"):
        expected += [*encode_text(tokenizer, text), END]
    corpus = prepare_text([source], tmp_path / "out", verbose=False)
    assert corpus.tokens.tolist() == expected
    assert corpus.tokens.dtype == "uint16"
    assert corpus.info["n_documents"] == 3
    assert [e["name"] for e in corpus.info["sources"]] == ["source/a.txt", "source/b.jsonl"]
    assert [e["n_documents"] for e in corpus.info["sources"]] == [1, 2]
    assert sum(e["n_tokens"] for e in corpus.info["sources"]) == len(corpus)
    corpus.verify()


def test_gpt2_and_real_text(shared_data: Path, tmp_path: Path) -> None:
    """The whole of tinyshakespeare, as one string and in pieces."""
    file, bpe = shared_data / "text" / "tinyshakespeare.txt", shared_data / "gpt2_bpe"
    corpus = prepare_text([file], tmp_path / "out", tokenizer=bpe, verbose=False)
    whole = encode_text(corpus.load_tokenizer(), file.read_text(encoding="utf-8"))
    assert corpus.tokens.tolist() == [*whole, 50256]
    assert corpus.load_tokenizer().convert_tokens_to_ids("[SEP]") == 50257


def test_all_kinds_in_the_order_given(source: Path, tokenizer, tmp_path: Path) -> None:
    table = tmp_path / "c.parquet"
    pq.write_table(pa.table({"text": ["signifying", "nothing"]}), table)
    corpus = prepare_text([table, source / "b.jsonl"], tmp_path / "out", n_jobs=1, verbose=False)
    text = tokenizer.decode(corpus.tokens.tolist())
    assert text.split("<|endoftext|>") == ["signifying", "nothing", "full of sound", "and fury", ""]


def test_a_second_run_has_nothing_to_do(source: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "out"
    arguments = [str(source), "--output", str(out)]
    assert main(arguments) == 0
    output = capsys.readouterr().out
    assert "tokens/s" in output and "documents." in output
    before = (out / "tokens.bin").stat()
    assert main(arguments) == 0
    assert "there is nothing to do" in capsys.readouterr().out
    assert (out / "tokens.bin").stat().st_mtime_ns == before.st_mtime_ns
    (source / "b.jsonl").write_text('{"text": "changed"}')
    assert main(arguments) == 1
    assert "holds a corpus of other sources" in capsys.readouterr().err
    assert main([*arguments, "--column", "body"]) == 1
    assert (out / "tokens.bin").stat().st_mtime_ns == before.st_mtime_ns


def test_broken_files_are_left_out_and_named(
    source: Path, tokenizer, tmp_path: Path, capsys
) -> None:
    # Megabytes are written before the end is found to be missing.
    (source / "a.txt").write_bytes(b"word " * 500_000 + b"\xff")
    (source / "c.jsonl").write_text('{"text": "good"}\n{"text": ')
    out = tmp_path / "out"
    assert main([str(source), "--output", str(out)]) == 0
    output = capsys.readouterr().out
    assert "Left out source/a.txt: it is not UTF-8 text" in output
    assert "source/c.jsonl: 1 of 2 lines left out; the first is line 2: not JSON" in output
    assert "Left out, for the reasons in text.json: source/a.txt." in output
    corpus = TextCorpus(out)
    assert tokenizer.decode(corpus.tokens.tolist()).split("<|endoftext|>") == [
        "full of sound",
        "and fury",
        "good",
        "",
    ]
    corpus.verify()
    a, _, c = corpus.info["sources"]
    assert a["n_tokens"] == 0 and a["skipped"].startswith("it is not UTF-8 text")
    assert c["left_out"].startswith("1 of 2 lines")


def test_nothing_is_left(tmp_path: Path, capsys) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xff")
    (tmp_path / "b.jsonl").write_text('{"body": "x"}')
    assert main([str(tmp_path), "--output", str(tmp_path / "out")]) == 1
    error = capsys.readouterr().err
    assert "error: Nothing is left of 2 sources (" in error
    assert "UTF-8" in error and "no 'text' among 'body'; name one with --column" in error
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.txt"], "There is no file or folder missing.txt"),
        (["source", "--tokenizer", "source"], "holds no text tokenizer"),
        (["source", "--n-jobs", "0"], "must be 1 or more; got 0"),
        (["source", "--output", "source"], r"source holds other files (a.txt, b.jsonl)"),
        (["source", "--output", "source/a.txt"], "is a file"),
    ],
)
def test_wrong_arguments(
    source: Path, monkeypatch: pytest.MonkeyPatch, capsys, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(source.parent)
    assert main(["--output", "out", *arguments]) == 1
    assert message in capsys.readouterr().err
    assert not Path("out").exists()
    assert sorted(p.name for p in source.iterdir()) == ["a.txt", "b.jsonl"]


def test_a_tokenizer_without_an_end_of_text(source: Path, tmp_path: Path, capsys) -> None:
    tokenizer = load_text_tokenizer(TINY)
    tokenizer.eos_token = None
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    settings = tmp_path / "tokenizer" / "tokenizer_config.json"
    content = json.loads(settings.read_text())
    content.pop("eos_token", None)
    settings.write_text(json.dumps(content))
    arguments = [str(source), "--output", str(tmp_path / "out")]
    assert main([*arguments, "--tokenizer", str(tmp_path / "tokenizer")]) == 1
    assert "has no end-of-text token" in capsys.readouterr().err


def test_a_streamed_corpus_that_breaks_off_is_no_corpus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    """Half a file is left out; half a download must not look like the whole."""

    def rows():
        yield {"text": "one"}
        raise ConnectionError("the connection was lost")

    def load_dataset(*args, **kwargs):
        return datasets.IterableDataset.from_generator(rows)

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    assert main(["user/name", "--output", str(tmp_path / "out")]) == 1
    assert "the connection was lost" in capsys.readouterr().err
    assert not list((tmp_path / "out").iterdir())


def test_a_killed_run_leaves_nothing_that_looks_complete(tmp_path: Path) -> None:
    # A pipe that is never closed holds the run in the middle of its file.
    out, text = tmp_path / "out", tmp_path / "a.txt"
    text.write_text("word\n" * 400_000)
    code = (
        "import sys, time\n"
        "from mne_neurolm import prepare_text\n"
        "from mne_neurolm.store.text import TextWriter\n"
        "TextWriter.finish = lambda self, **details: time.sleep(60)\n"
        "sys.exit(prepare_text.main(sys.argv[1:]))\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(text), "--output", str(out)])
    partial = out / "tokens.bin.partial"
    deadline = time.monotonic() + 60
    while not (partial.exists() and partial.stat().st_size):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert [p.name for p in out.iterdir()] == [partial.name]
    with pytest.raises(FileNotFoundError, match="unfinished"):
        TextCorpus(out)
    assert main([str(text), "--output", str(out)]) == 0
    assert TextCorpus(out).info["n_documents"] == 1 and not partial.exists()


def test_text_that_is_none_is_reported(tmp_path: Path) -> None:
    """Half a surrogate pair, and JSON nested too deep: the file is left out, the others go on."""
    (tmp_path / "good.txt").write_text("A sentence.")
    (tmp_path / "half.jsonl").write_text('{"text": "x \\ud800"}\n')
    (tmp_path / "deep.jsonl").write_text("[" * 200_000 + "\n")
    assert main([str(tmp_path), "--output", str(tmp_path / "out")]) == 0
    left_out = json.loads((tmp_path / "out" / "text.json").read_text())
    assert "not Unicode text" in str(left_out) and "recursion" in str(left_out)
    assert len(TextCorpus(tmp_path / "out")) > 2
