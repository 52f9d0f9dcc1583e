"""The language model's text tokenizer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

SEP = "[SEP]"


def load_text_tokenizer(
    directory: str | Path, *, revision: str | None = None
) -> PreTrainedTokenizerFast:
    """Load a text tokenizer and give it the ``[SEP]`` token.

    Parameters
    ----------
    directory : str | pathlib.Path
        A folder (or hub id) with ``tokenizer.json``, or with GPT-2's ``vocab.json`` and
        ``merges.txt``.
    revision : str | None
        Revision of a hub id.

    Returns
    -------
    tokenizer : transformers.PreTrainedTokenizerFast
        ``[SEP]`` is the first id after GPT-2's own 50257, as in the released code.

    Raises
    ------
    FileNotFoundError
        If a folder holds neither kind of files.
    """
    from transformers import GPT2TokenizerFast, PreTrainedTokenizerFast

    path = Path(directory)
    if path.is_dir() and not (path / "tokenizer.json").exists():
        if not ((path / "vocab.json").exists() and (path / "merges.txt").exists()):
            raise FileNotFoundError(
                f"{path} holds no text tokenizer: got {sorted(p.name for p in path.iterdir())[:20]}"
                ", need tokenizer.json, or vocab.json and merges.txt of GPT-2's byte-pair encoding."
            )
        tokenizer = GPT2TokenizerFast.from_pretrained(str(path))
    else:
        tokenizer = PreTrainedTokenizerFast.from_pretrained(str(directory), revision=revision)
    if SEP not in tokenizer.get_vocab():
        tokenizer.add_special_tokens({"sep_token": SEP})
    return tokenizer


def encode_text(tokenizer: PreTrainedTokenizerFast, text: str) -> list[int]:
    """Return the ids of ``text``, nothing added before or after."""
    return tokenizer.encode(text, add_special_tokens=False)
