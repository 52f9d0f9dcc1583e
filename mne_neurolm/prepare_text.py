"""Turn text into a corpus of tokens: ``python -m mne_neurolm.prepare_text``.

Training mixes text into every step. It reads ids, which this command computes once. Text is
streamed: a corpus larger than memory is fine, and so is a file that is a single document.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from mne.utils import logger, use_log_level

from mne_neurolm.store.text import (
    HEADER,
    TextCorpus,
    TextWriter,
    tokenizer_fingerprint,
)
from mne_neurolm.store.text_sources import (
    DAMAGED,
    HubCorpus,
    Piece,
    TextFile,
    endings,
    find_sources,
    read_pieces,
    reason,
)
from mne_neurolm.utils.logging import shows_progress

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

# Characters that are encoded at a time; what the tokenizers library returns for them takes some
# hundred times their memory.
_BATCH_LENGTH = 1 << 20


def prepare_text(
    sources: Sequence[str | Path],
    output: str | Path,
    *,
    tokenizer: str | Path = "tiny",
    column: str = "text",
    split: str = "train",
    n_jobs: int | None = None,
    verbose: bool | str | int | None = None,
) -> TextCorpus:
    """Encode text and write a corpus.

    Parameters
    ----------
    sources : sequence of str | pathlib.Path
        Files (``.txt``, one document each; ``.jsonl`` or ``.json`` with one object per line;
        ``.parquet``; all but the last also with ``.gz``), folders of such files, or, where there is
        no such path, names of corpora for ``datasets.load_dataset``, as ``"NAME"`` or
        ``"NAME:CONFIGURATION"``.
    output : str | pathlib.Path
        Folder to write to: new, empty, or left by an interrupted run.
    tokenizer : str | pathlib.Path
        The text tokenizer: ``"tiny"`` (default), that of the bundled model; ``"neurolm-b"``, ``-l``
        or ``-xl``, GPT-2's; a folder with ``tokenizer.json``, or ``vocab.json`` and
        ``merges.txt``; or the id of a repository on the Hugging Face hub.
    column : str
        Entry of the objects, or column of the tables, that holds the text. Default ``"text"``.
    split : str
        Split of a named corpus. Default ``"train"``.
    n_jobs : int | None
        Threads that encode; ``None`` (default) takes all cores. The tokenizers library keeps the
        number of its first use in a process.
    verbose : bool | str | int | None
        Level of logging as in MNE-Python; from INFO on, a progress bar is shown.

    Returns
    -------
    corpus : TextCorpus
        The corpus. One that exists already and was made of the same sources with the same
        tokenizer is returned as it is.

    Raises
    ------
    FileNotFoundError
        If a source is neither a path nor can be a name.
    ValueError
        If there is nothing to read, nothing readable, or the output is taken.
    OSError
        If a named corpus or tokenizer can't be had, or the disk is full.

    Notes
    -----
    Long documents are encoded in pieces of about 8000 characters, cut before a line end or, where
    there is none, a space, that something visible follows. GPT-2's byte-pair encoding never joins
    characters across such a place, so the ids equal those of the whole document; this holds for the
    tokenizer of ``"tiny"`` too. Where thousands of characters have no white space the cut falls
    between two characters, and with another kind of tokenizer it may matter anywhere: there, the
    ids are those of the pieces. A file that can't be read is left out and named in a warning and in
    ``text.json``; so is the number of lines that hold no text.
    """
    with nullcontext() if verbose is None else use_log_level(verbose):
        return _prepare(
            find_sources(sources, split=split),
            Path(output).expanduser(),
            _load_tokenizer(tokenizer),
            column=column,
            n_jobs=n_jobs,
            progress=shows_progress(None),
        )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    argv : sequence of str | None
        Arguments. ``None`` (default) takes those of the process.

    Returns
    -------
    status : int
        0 if the corpus is there, 1 if it could not be made (the reason is on standard error).
    """
    args = _parser().parse_args(argv)
    try:
        with use_log_level("INFO"):
            corpus = prepare_text(
                args.sources,
                args.output,
                tokenizer=args.tokenizer,
                column=args.column,
                split=args.split,
                n_jobs=args.n_jobs,
            )
    except (ImportError, OSError, ValueError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    skipped = [entry["name"] for entry in corpus.info["sources"] if "skipped" in entry]
    sys.stdout.write(
        f"{corpus.path}: {len(corpus):,} tokens ({corpus.info['dtype']}) of "
        f"{corpus.info['n_documents']:,} documents.\n"
    )
    if skipped:
        sys.stdout.write(f"Left out, for the reasons in {HEADER}: {', '.join(skipped)}.\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m mne_neurolm.prepare_text",
        description="Encode text into a folder of tokens that pretraining reads.",
    )
    parser.add_argument(
        "sources",
        nargs="+",
        metavar="SOURCE",
        help=f"file or folder of files that end in {endings()}; or, if there is no such path, a "
        "Hugging Face dataset as NAME or NAME:CONFIGURATION, which is streamed",
    )
    parser.add_argument("--output", type=Path, required=True, metavar="TEXT", help="folder to make")
    parser.add_argument(
        "--tokenizer",
        default="tiny",
        help="text tokenizer: tiny (default), a folder with GPT-2's vocab.json and merges.txt or "
        "a tokenizer.json, or a hub id; it must be that of the model to train",
    )
    parser.add_argument("--column", default="text", help="where the text is (default: text)")
    parser.add_argument("--split", default="train", help="of a named dataset (default: train)")
    parser.add_argument("--n-jobs", type=int, metavar="N", help="threads (default: all cores)")
    return parser


def _prepare(
    sources: Sequence[TextFile | HubCorpus],
    folder: Path,
    tokenizer: PreTrainedTokenizerFast,
    *,
    column: str,
    n_jobs: int | None,
    progress: bool,
) -> TextCorpus:
    """Write the corpus, unless the folder holds it."""
    asked = {
        "column": column,
        "sources": [[source.name, source.sha256] for source in sources],
        "tokenizer": tokenizer_fingerprint(tokenizer),
    }
    if (folder / HEADER).exists():
        existing = TextCorpus(folder)
        if existing.info.get("asked") == asked:
            logger.info(f"{folder} holds this corpus already; there is nothing to do.")
            return existing
        raise ValueError(
            f"{folder} holds a corpus of other sources, of another column or with another "
            "tokenizer. Name another --output, or remove that folder."
        )
    _set_threads(n_jobs)
    begin = time.perf_counter()
    with TextWriter(folder, tokenizer) as writer:
        report = _write(writer, sources, tokenizer, column, progress)
        corpus = writer.finish(sources=report, asked=asked)
    seconds = time.perf_counter() - begin
    logger.info(f"Encoded in {seconds:.1f} s, {len(corpus) / seconds:,.0f} tokens/s.")
    return corpus


def _write(
    writer: TextWriter,
    sources: Sequence[TextFile | HubCorpus],
    tokenizer: PreTrainedTokenizerFast,
    column: str,
    progress: bool,
) -> list[dict[str, Any]]:
    """Encode all sources; return what to note about each."""
    from tqdm import tqdm

    sizes = [source.size() for source in sources if isinstance(source, TextFile)]
    total = sum(sizes) if len(sizes) == len(sources) else None  # unknown for a streamed corpus
    report = []
    with tqdm(
        total=total,
        unit="B",
        unit_scale=True,
        desc="Text",
        disable=not progress,
        mininterval=0.2 if sys.stderr.isatty() else 10,  # a log file needs few lines
        smoothing=0.05,
    ) as bar:
        done = 0
        for source in sources:
            mark, problems = writer.mark(), list[str]()
            entry: dict[str, Any] = {"name": source.name, "sha256": source.sha256}
            batches = _encode(read_pieces(source, column, problems), tokenizer)
            while True:
                try:
                    batch = next(batches, None)
                except DAMAGED as error:
                    if isinstance(source, HubCorpus):  # half of a streamed corpus is no corpus
                        raise
                    writer.rewind(mark)
                    entry["skipped"] = reason(error)
                    logger.warning(f"Left out {source.name}: {reason(error)}")
                    break
                if batch is None:
                    break
                ids, n_documents, position = batch
                writer.add(ids, n_documents)
                bar.update(done + position - bar.n)
                bar.set_postfix_str(f"{writer.n_tokens / 1e6:.1f}M tokens", refresh=False)
            for problem in problems:
                entry["left_out"] = problem
                logger.warning(f"{source.name}: {problem}")
            entry["n_tokens"] = writer.n_tokens - mark[0]
            entry["n_documents"] = writer.n_documents - mark[1]
            report.append(entry)
            if isinstance(source, TextFile):
                done += source.size()
                bar.update(done - bar.n)
    if not writer.n_tokens:
        reasons = "; ".join(f"{entry['name']}: {entry['skipped']}" for entry in report[:5])
        raise ValueError(f"Nothing is left of {len(report)} sources ({reasons}).")
    return report


def _encode(
    pieces: Iterator[Piece], tokenizer: PreTrainedTokenizerFast
) -> Iterator[tuple[np.ndarray, int, int]]:
    """Encode pieces in batches; yield ids, documents that end in them, position."""
    end = tokenizer.eos_token_id
    batch: list[Piece] = []
    length = 0

    def encoded() -> tuple[np.ndarray, int, int]:
        results = tokenizer.backend_tokenizer.encode_batch_fast(
            [piece.text for piece in batch], add_special_tokens=False
        )
        parts: list[Any] = []
        for piece, result in zip(batch, results, strict=True):
            parts.append(np.asarray(result.ids, dtype=np.uint32))
            if piece.ends:
                parts.append(np.array([end], dtype=np.uint32))
        return np.concatenate(parts), sum(piece.ends for piece in batch), batch[-1].position

    for piece in pieces:
        batch.append(piece)
        length += len(piece.text)
        # Short documents too are bounded in number: every one costs an object or two.
        if length >= _BATCH_LENGTH or len(batch) >= _BATCH_LENGTH >> 8:
            yield encoded()
            batch, length = [], 0
    if batch:
        yield encoded()


def _load_tokenizer(name: str | Path) -> PreTrainedTokenizerFast:
    from mne_neurolm.models.hub import RELEASED_MODELS, TEXT_REPOSITORY, TINY
    from mne_neurolm.models.text import load_text_tokenizer

    known = {"tiny": TINY, **dict.fromkeys(RELEASED_MODELS, TEXT_REPOSITORY)}
    source = known.get(name.lower(), name) if isinstance(name, str) else name
    try:
        tokenizer = load_text_tokenizer(source)
    except OSError as error:
        if Path(source).expanduser().is_dir():
            raise
        raise OSError(
            f"No text tokenizer {str(name)!r}: there is no such folder, and none could be fetched "
            f"from the Hugging Face hub ({reason(error)}). Name 'tiny', or a folder with GPT-2's "
            "vocab.json and merges.txt."
        ) from error
    if tokenizer.eos_token_id is None:
        raise ValueError(
            f"The text tokenizer {str(name)!r} has no end-of-text token to put after documents; "
            "set its eos_token in tokenizer_config.json."
        )
    return tokenizer


def _set_threads(n_jobs: int | None) -> None:
    """Tell the tokenizers library how many threads to use; it reads the environment."""
    if n_jobs is not None and n_jobs < 1:
        raise ValueError(f"n_jobs (--n-jobs) must be 1 or more; got {n_jobs}.")
    os.environ["TOKENIZERS_PARALLELISM"] = "false" if n_jobs == 1 else "true"
    if n_jobs is not None:
        os.environ["RAYON_NUM_THREADS"] = str(n_jobs)


if __name__ == "__main__":
    sys.exit(main())
