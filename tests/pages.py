"""Runs the code of a documentation page, block after block, as a reader copies it."""

from __future__ import annotations

import io
import re
from functools import partial
from pathlib import Path
from textwrap import dedent
from typing import Any, NamedTuple

DOC = Path(__file__).resolve().parents[1] / "doc"

_BLOCK = re.compile(r"^\.\. code-block:: (\w+)\n\n((?:   .*\n|\n)+)", re.MULTILINE)


class Block(NamedTuple):
    """A block of Python on a page.

    Attributes
    ----------
    code : str
        The code.
    line : int
        Line of the page at which it starts.
    shown : str | None
        What the page says that it prints, in a block of text right below.
    """

    code: str
    line: int
    shown: str | None


class Run(NamedTuple):
    """What running a page gives.

    Attributes
    ----------
    names : dict
        The namespace afterwards.
    printed : list of str
        What each block printed.
    """

    names: dict[str, Any]
    printed: list[str]


def read_blocks(page: str) -> list[Block]:
    """Return the blocks of Python of ``doc/<page>.rst``."""
    text = (DOC / f"{page}.rst").read_text(encoding="utf-8")
    found = list(_BLOCK.finditer(text))
    blocks = []
    for match, after in zip(found, [*found[1:], None], strict=True):
        if match[1] != "python":
            continue
        follows = after is not None and after[1] == "text" and after.start() == match.end()
        shown = dedent(after[2]).strip() if after is not None and follows else None
        blocks.append(Block(dedent(match[2]), text.count("\n", 0, match.start(2)), shown))
    return blocks


def run_page(page: str) -> Run:
    """Run the blocks of a page in one namespace, and compare what they print with the page.

    Parameters
    ----------
    page : str
        Name of the page, without its ending.

    Returns
    -------
    run : Run
        Its names, and what was printed.
    """
    names: dict[str, Any] = {}
    printed = []
    for block in read_blocks(page):
        # Empty lines before it, so that a traceback names the line of the page.
        code = compile("\n" * block.line + block.code, str(DOC / f"{page}.rst"), "exec")
        # Logs go to standard output too, so only what is printed by the page itself is kept.
        out = io.StringIO()
        names["print"] = partial(print, file=out)
        exec(code, names)
        printed.append(out.getvalue().strip())
        if block.shown is not None:
            assert printed[-1] == block.shown, f"{page}.rst, block at line {block.line}"
    return Run(names, printed)
