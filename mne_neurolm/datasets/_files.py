"""Find recordings in a folder, and whose they are."""

from __future__ import annotations

import re
from itertools import count
from pathlib import Path

from mne.utils import warn

# Suffixes by which mne.io.read_raw recognises EEG. A BrainVision recording is its header, a .eeg
# file without one is Nihon Kohden's, and a .mff recording is a folder.
_SUFFIXES = (
    ".ahdr .bdf .cdt .cnt .dat .data .edf .fif .fif.gz .gdf .lay .mff .set .vhdr .eeg".split()
)

# Endings of the files that hold the rest of a recording, by the ending that MNE is given.
_COMPANIONS: dict[str, tuple[str, ...]] = {
    ".set": (".fdt",),
    ".cdt": (".cdt.dpa", ".cdt.dpo", ".cdt.cef", ".cdt.ceo"),
    ".dat": (".dap", ".rs3", ".cef", ".ceo"),
    ".lay": (".dat",),
    ".data": (".head",),
    ".eeg": (".pnt", ".log", ".21e"),
}


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
    warn_of_dangling_links(root)
    if not files:
        raise FileNotFoundError(
            f"{root} and its subfolders hold no recording with one of the endings "
            f"{', '.join(_SUFFIXES)}."
        )
    return files


def warn_of_dangling_links(root: Path) -> None:
    """Warn of recordings that are links to nothing, as in data sets that were not fetched.

    Parameters
    ----------
    root : Path
        Folder; it is searched with its subfolders.

    Warns
    -----
    RuntimeWarning
        If there are any.
    """
    links = [
        file
        for file in sorted(root.rglob("*"))
        if file.name.lower().endswith(tuple(_SUFFIXES)) and file.is_symlink() and not file.exists()
    ]
    if links:
        warn(
            f"{len(links)} recordings in {root} are links to nothing, for example {links[0]}, so "
            "they are left out. If this is a DataLad data set, fetch them: datalad get",
            RuntimeWarning,
        )


def _belongs_to_another(file: Path) -> bool:
    """Tell whether a file is part of a recording whose first file is another one."""
    if any(parent.suffix.lower() == ".mff" for parent in file.parents):
        return True
    if file.suffix.lower() in (".eeg", ".dat"):
        return any(file.with_suffix(header).exists() for header in (".vhdr", ".ahdr", ".lay"))
    part = re.fullmatch(r"(.+)-\d+(\.fif(?:\.gz)?)", file.name)
    if part and file.with_name(part[1] + part[2]).exists():
        return True
    split = re.search(r"_split-(\d+)", file.name)
    return bool(split and int(split[1]) > 1)


def parts_of(file: Path) -> list[Path]:
    """List the files that hold a recording: the one that is named first, then its others, sorted.

    Parameters
    ----------
    file : Path
        File, or folder, that :func:`find_recordings` lists.

    Returns
    -------
    parts : list of Path
        Existing files: with a BrainVision header the data and markers that it names, with an EEGLAB
        file its ``.fdt``, with a split FIF its further parts, of a folder all files, else those
        of the same name whose endings belong to the format.
    """
    if file.is_dir():
        return sorted(part for part in file.rglob("*") if part.is_file())
    suffix = file.suffix.lower()
    stem = file.name.removesuffix(file.suffix)
    if suffix in (".vhdr", ".ahdr"):
        header = file.read_text(encoding="latin-1")
        named = re.findall(r"^(?:DataFile|MarkerFile)\s*=\s*(.+?)\s*$", header, re.MULTILINE)
        others = {name.replace("$b", stem) for name in named}
    elif file.name.lower().endswith((".fif", ".fif.gz")):
        return [file, *_later_parts(file)]
    else:
        endings = _COMPANIONS.get(suffix, ())
        others = {stem + spelled for ending in endings for spelled in (ending, ending.upper())}
    found = {file.with_name(other) for other in others}
    return [file, *sorted(other for other in found - {file} if other.is_file())]


def _later_parts(file: Path) -> list[Path]:
    """Return the further parts of a FIF file, which MNE numbers in one of two ways."""
    ending = "".join(file.suffixes[-2:]) if file.suffix.lower() == ".gz" else file.suffix
    stem = file.name.removesuffix(ending)
    found: list[Path] = []
    for number in count(1):
        if "_split-01" in stem:
            name = stem.replace("_split-01", f"_split-{number + 1:02d}")
        else:
            name = f"{stem}-{number}"
        part = file.with_name(name + ending)
        if not part.is_file():
            return found
        found.append(part)
    return found


def subject_of(name: str) -> str:
    """Return the subject of a file from its path below the root."""
    bids = re.search(r"(?:^|/)sub-([A-Za-z0-9]+)", name)
    if bids:
        return bids[1]
    parts = name.split("/")
    return parts[0] if len(parts) > 1 else re.sub(r"(\.fif\.gz|\.[^.]+)$", "", parts[0])
