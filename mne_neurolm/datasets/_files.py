"""Find recordings in a folder, and whose they are."""

from __future__ import annotations

import re
from pathlib import Path

# Suffixes by which mne.io.read_raw recognises EEG. A BrainVision recording is its header, a .eeg
# file without one is Nihon Kohden's, and a .mff recording is a folder.
_SUFFIXES = (
    ".ahdr .bdf .cdt .cnt .dat .data .edf .fif .fif.gz .gdf .lay .mff .set .vhdr .eeg".split()
)


def find_recordings(path: str | Path) -> list[Path]:
    """List the recordings at a path that MNE may be able to read.

    Parameters
    ----------
    path : str | Path
        A file, or a folder that is searched with its subfolders.

    Returns
    -------
    files : list of Path
        Sorted. Files that belong to another one (BrainVision's ``.eeg``, the further parts of a
        split ``.fif``) are not listed.

    Raises
    ------
    FileNotFoundError
        If there is no such path, or no recording in the folder.
    """
    root = Path(path).expanduser()
    if not root.exists():
        raise FileNotFoundError(f"There is no file or folder {root}.")
    if root.is_file() or root.suffix.lower() == ".mff":
        return [root]
    files = [
        file
        for file in sorted(root.rglob("*"))
        if file.name.lower().endswith(tuple(_SUFFIXES))
        and not file.name.startswith(".")
        and (file.is_file() or file.suffix.lower() == ".mff")
        and not _belongs_to_another(file)
    ]
    if not files:
        raise FileNotFoundError(
            f"{root} and its subfolders hold no recording with one of the endings "
            f"{', '.join(_SUFFIXES)}."
        )
    return files


def _belongs_to_another(file: Path) -> bool:
    """Tell whether a file is part of a recording whose first file is another one."""
    if any(parent.suffix.lower() == ".mff" for parent in file.parents):
        return True
    if file.suffix.lower() in (".eeg", ".dat"):
        return any(file.with_suffix(header).exists() for header in (".vhdr", ".ahdr"))
    part = re.fullmatch(r"(.+)-\d+\.fif", file.name)
    if part and file.with_name(f"{part[1]}.fif").exists():
        return True
    split = re.search(r"_split-(\d+)", file.name)
    return bool(split and int(split[1]) > 1)


def subject_of(name: str) -> str:
    """Return the subject of a file from its path below the root."""
    bids = re.search(r"(?:^|/)sub-([A-Za-z0-9]+)", name)
    if bids:
        return bids[1]
    parts = name.split("/")
    return parts[0] if len(parts) > 1 else re.sub(r"(\.fif\.gz|\.[^.]+)$", "", parts[0])
