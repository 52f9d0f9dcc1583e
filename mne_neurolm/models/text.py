"""The language model's text tokenizer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

SEP = "[SEP]"


def load_text_tokenizer(
    directory: str | Path, *, revision: str | None = None, **hub_options: Any
) -> PreTrainedTokenizerFast:
    """Load a text tokenizer and give it the ``[SEP]`` token.

    Parameters
    ----------
    directory : str | pathlib.Path
        A folder (or hub id) with ``tokenizer.json``, or with GPT-2's ``vocab.json`` and
        ``merges.txt``.
    revision : str | None
        Revision of a hub id.
    **hub_options
        More of what :meth:`transformers.PreTrainedModel.from_pretrained` takes for a hub id.

    Returns
    -------
    tokenizer : transformers.PreTrainedTokenizerFast
        ``[SEP]`` is the first id after GPT-2's own 50257, as in the released code.

    Raises
    ------
    FileNotFoundError
        If a folder holds neither kind of files.
    ValueError
        If the files are damaged.
    """
    from transformers import GPT2TokenizerFast, PreTrainedTokenizerFast

    path = Path(directory).expanduser()
    kind, source = PreTrainedTokenizerFast, str(directory)
    if path.is_dir():
        source, hub_options, revision = str(path), {}, None
        if not (path / "tokenizer.json").exists():
            kind = GPT2TokenizerFast
            if not ((path / "vocab.json").exists() and (path / "merges.txt").exists()):
                raise FileNotFoundError(
                    f"{path} holds no text tokenizer: got "
                    f"{sorted(p.name for p in path.iterdir())[:20]}, need tokenizer.json, or "
                    "vocab.json and merges.txt of GPT-2's byte-pair encoding."
                )
    try:
        tokenizer = kind.from_pretrained(source, revision=revision, **hub_options)
    except OSError:
        raise
    except Exception as error:  # the tokenizers library raises plain Exception
        raise ValueError(
            f"The text tokenizer in {source} can't be read ({type(error).__name__}: {error}); get "
            "its files again."
        ) from error
    if SEP not in tokenizer.get_vocab():
        tokenizer.add_special_tokens({"sep_token": SEP})
    return tokenizer


def find_text_tokenizer(
    directory: str | Path, **hub_options: Any
) -> PreTrainedTokenizerFast | None:
    """Return the text tokenizer of a model, or None if nothing of the kind was saved with it.

    Parameters
    ----------
    directory : str | pathlib.Path
        A folder or hub id.
    **hub_options
        As for :func:`load_text_tokenizer`.

    Returns
    -------
    tokenizer : transformers.PreTrainedTokenizerFast | None
        The tokenizer.
    """
    from transformers.utils import cached_file

    path = Path(directory)
    if path.is_dir():
        found = (path / "tokenizer.json").exists() or (path / "vocab.json").exists()
    else:
        try:
            found = cached_file(str(directory), "tokenizer.json", **hub_options) is not None
        except OSError:  # the repository was reached a moment ago, for the weights
            found = False
    return load_text_tokenizer(directory, **hub_options) if found else None


def encode_text(tokenizer: PreTrainedTokenizerFast, text: str) -> list[int]:
    """Return the ids of ``text``, nothing added before or after."""
    return tokenizer.encode(text, add_special_tokens=False)
