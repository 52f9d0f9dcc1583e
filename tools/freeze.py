"""Print constraints.txt: the versions installed beside this script's interpreter.

Only distributions that ``mne-neurolm[all]`` needs are written, as
public ``name==version`` lines; where they were downloaded from is never recorded.
"""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, distribution

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

_PROJECT = "mne-neurolm"
_HEADER = f"""\
# The versions that `make demo`, `make test` and CI install and are tested with: what
# {_PROJECT}[all] needs, on CPython 3.11 and Linux. The package itself accepts wider ranges
# (pyproject.toml); `make lowest` tests their lower ends.
# To move one version: edit its line, then `make test`. To move all: in a new environment
#     python -m pip install -e ".[all]" && python tools/freeze.py > constraints.txt
"""


def installed_versions(project: str, extra: str) -> dict[str, str]:
    """Return name and version of everything that ``project[extra]`` needs and has installed.

    Parameters
    ----------
    project : str
        An installed distribution.
    extra : str
        The optional dependency group to follow.

    Returns
    -------
    versions : dict of str
        Distribution name to version, without the project itself, sorted by name.
    """
    versions: dict[str, str] = {}
    seen: set[tuple[str, str]] = set()
    pending = [(project, ""), (project, extra)]
    while pending:
        name, wanted = pending.pop()
        if (canonicalize_name(name), wanted) in seen:
            continue
        seen.add((canonicalize_name(name), wanted))
        try:
            dist = distribution(name)
        except PackageNotFoundError:  # needed only with another extra or on another system
            continue
        if canonicalize_name(name) != canonicalize_name(project):
            versions[dist.metadata["Name"]] = dist.version
        for line in dist.requires or []:
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": wanted}):
                pending += [(requirement.name, extra) for extra in ("", *requirement.extras)]
    return dict(sorted(versions.items(), key=lambda item: canonicalize_name(item[0])))


def main() -> int:
    """Write the constraints to the standard output."""
    sys.stdout.write(_HEADER)
    for name, version in installed_versions(_PROJECT, "all").items():
        sys.stdout.write(f"{name}=={version}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
