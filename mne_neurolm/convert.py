"""Convert released checkpoints: ``python -m mne_neurolm.convert``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import mne


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    argv : sequence of str | None
        Arguments; None takes those of the process.

    Returns
    -------
    code : int
        0 on success, 1 if a file was refused (the reason is on standard error).
    """
    parser = argparse.ArgumentParser(
        prog="python -m mne_neurolm.convert",
        description="Convert checkpoints of the released NeuroLM code into a directory that "
        "NeuroLM.from_pretrained and both estimators load. Nothing in the files is executed.",
    )
    parser.add_argument(
        "checkpoint",
        nargs="?",
        type=Path,
        help="language model, e.g. NeuroLM-B.pt; without it the tokenizer alone is converted",
    )
    parser.add_argument("--tokenizer", type=Path, required=True, help="neural tokenizer, VQ.pt")
    parser.add_argument(
        "--text-tokenizer",
        type=Path,
        metavar="DIR",
        help="folder with GPT-2's vocab.json and merges.txt; needed with a language model",
    )
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="where to write")
    arguments = parser.parse_args(argv)

    from .models.convert import convert_checkpoint

    with mne.utils.use_log_level("INFO"):
        try:
            convert_checkpoint(
                arguments.checkpoint,
                arguments.tokenizer,
                arguments.output,
                text_tokenizer=arguments.text_tokenizer,
            )
        except (ValueError, OSError) as error:
            sys.stderr.write(f"error: {error}\n")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
