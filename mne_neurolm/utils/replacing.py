"""Files that are the old or the new one at any moment, never half of it."""

from __future__ import annotations

import os
from pathlib import Path


def replace_text(path: Path, text: str) -> None:
    """Write a text file such that a kill leaves the old one or the new one.

    Parameters
    ----------
    path : Path
        The file; ``<name>.unfinished`` beside it is written first and renamed.
    text : str
        The new contents.
    """
    aside = path.with_name(path.name + ".unfinished")
    with aside.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)
