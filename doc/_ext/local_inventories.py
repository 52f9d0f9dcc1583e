"""Links to other projects' documentation without a network.

Sphinx asks every project for its inventory, a large file on the project's web site. Here the few
names that our pages mention stand in a table, ``inventories.toml``, and become inventories on disk.
"""

from __future__ import annotations

import tomllib
import zlib
from pathlib import Path

_HEADER = "# Sphinx inventory version 2\n# Project: {}\n# Version: \n"
_HEADER += "# The remainder of this file is compressed using zlib.\n"
_PYTHON = ("class", "function", "method", "exception", "module", "attribute", "data")
_ROLES = {**dict.fromkeys(_PYTHON, "py"), "label": "std", "term": "std"}


def make_inventories(table: Path, folder: Path) -> dict[str, tuple[str, str]]:
    """Write one inventory per project; return ``intersphinx_mapping``.

    Parameters
    ----------
    table : pathlib.Path
        TOML, a section per project: ``url``; ``page``, with ``{name}``, where most names are; a
        list of names for each role; and ``elsewhere``, the page of any other name.
    folder : pathlib.Path
        Where the inventories go.
    """
    folder.mkdir(parents=True, exist_ok=True)
    mapping = {}
    for project, entry in tomllib.loads(table.read_text(encoding="utf-8")).items():
        unknown = set(entry) - {*_ROLES, "url", "page", "elsewhere"}
        if unknown:
            raise ValueError(f"{table.name} has {sorted(unknown)} in [{project}].")
        elsewhere = entry.get("elsewhere", {})
        lines = []
        for role, domain in _ROLES.items():
            for name in entry.get(role, []):
                page = elsewhere.get(name) or entry["page"].format(name=name)
                lines.append(f"{name} {domain}:{role} 1 {page} -\n")
        path = folder / f"{project}.inv"
        body = zlib.compress("".join(lines).encode())
        path.write_bytes(_HEADER.format(project).encode() + body)
        mapping[project] = (entry["url"], str(path))
    return mapping


def linked_names(table: Path) -> list[str]:
    """Return the dotted names of classes in the table: types that docstrings may state.

    Parameters
    ----------
    table : pathlib.Path
        As for :func:`make_inventories`.
    """
    entries = tomllib.loads(table.read_text(encoding="utf-8")).values()
    return [name for entry in entries for name in entry.get("class", []) if "." in name]
