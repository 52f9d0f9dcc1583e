"""The ``mne-neurolm`` command: a table of commands, each the ``main`` of one module."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from typing import NamedTuple

from ._version import __version__


class Command(NamedTuple):
    """One entry of the command table."""

    #: Module with ``main(argv) -> int``; also runs as ``python -m <module>``.
    module: str
    #: What the command does, in one line.
    summary: str


COMMANDS: dict[str, Command] = {
    "convert": Command("mne_neurolm.convert", "convert released .pt weights to a model directory"),
    "demo": Command("mne_neurolm.demo", "run the whole pipeline and write an HTML report"),
    "evaluate": Command("mne_neurolm.evaluate", "compare a model with baselines on tasks"),
    "prepare": Command("mne_neurolm.prepare", "write recordings into a store for pretraining"),
    "prepare-text": Command("mne_neurolm.prepare_text", "encode text for pretraining"),
    "pretrain": Command("mne_neurolm.pretrain", "train one of the stages from a store"),
    "runs": Command("mne_neurolm.runs", "show training runs: table, curves, HTML report"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``mne-neurolm <command> [options]``.

    Parameters
    ----------
    argv : sequence of str | None
        The arguments, without the name of the program. ``None`` takes those of the process.

    Returns
    -------
    status : int
        Exit status: that of the command, 0 after help, 2 if there is no such command.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    name = arguments[0] if arguments else "--help"
    if name in ("-h", "--help"):
        sys.stdout.write(_help())
        return 0
    if name == "--version":
        sys.stdout.write(f"mne-neurolm {__version__}\n")
        return 0
    if name not in COMMANDS:
        near = get_close_matches(name, COMMANDS, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        sys.stderr.write(
            f"mne-neurolm: there is no command {name!r}.{hint} "
            f"The commands are: {', '.join(COMMANDS)}. See mne-neurolm --help.\n"
        )
        return 2
    # Only the chosen command's module is imported: help and errors need not wait for torch.
    return importlib.import_module(COMMANDS[name].module).main(arguments[1:])


def _help() -> str:
    """Return the help text, one line per command."""
    width = max(map(len, COMMANDS))
    table = "\n".join(f"  {name:{width}}  {command.summary}" for name, command in COMMANDS.items())
    return (
        "usage: mne-neurolm [-h] [--version] <command> [options]\n\n"
        "NeuroLM, a foundation model of EEG, for MNE-Python and scikit-learn.\n\n"
        f"commands:\n{table}\n\n"
        "mne-neurolm <command> --help describes the options of a command.\n"
    )


if __name__ == "__main__":
    sys.exit(main())
