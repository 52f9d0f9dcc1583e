"""Print the oldest versions that pyproject.toml allows, as pip constraints.

Used by ``make lowest``; takes the names of the extras to include. Standard library only, because
it runs before anything is installed.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

_REQUIREMENT = re.compile(
    r"(?P<name>[\w.-]+)(\[(?P<extras>[\w,\s-]+)\])?\s*(>=\s*(?P<low>[\w.]+))?"
)


def lowest_versions(pyproject: Path, extras: tuple[str, ...] = ()) -> dict[str, str]:
    """Return the lower bound of every direct requirement.

    Parameters
    ----------
    pyproject : Path
        A ``pyproject.toml`` with a ``[project]`` table.
    extras : tuple of str
        Optional dependency groups to include; a group may refer to others of the same project.

    Returns
    -------
    versions : dict of str
        Distribution name to version, sorted by name.

    Raises
    ------
    ValueError
        If a requirement has no lower bound.
    """
    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    versions: dict[str, str] = {}
    pending = list(project["dependencies"])
    for extra in extras:
        pending += project["optional-dependencies"][extra]
    while pending:
        requirement = pending.pop()
        match = _REQUIREMENT.match(requirement)
        if match is None or not (match["low"] or match["name"] == project["name"]):
            raise ValueError(
                f"pyproject.toml: the requirement {requirement!r} has no lower bound; write it as "
                "'name>=version', so that the oldest versions can be tested."
            )
        if match["name"] == project["name"]:
            for extra in re.split(r"\s*,\s*", match["extras"]):
                pending += project["optional-dependencies"][extra]
        else:
            versions[match["name"]] = match["low"]
    return dict(sorted(versions.items()))


def main() -> int:
    """Write the constraints to the standard output."""
    pyproject = Path(__file__).resolve().parent.parent / "pyproject.toml"
    for name, version in lowest_versions(pyproject, tuple(sys.argv[1:])).items():
        sys.stdout.write(f"{name}=={version}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
