"""What every recording of a store has been through, and by which versions."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

#: The preparation of :func:`mne_neurolm.prepare_raw` with its defaults (paper, preprocessing).
RECIPE: dict[str, Any] = {
    "l_freq": 0.1,
    "h_freq": 75.0,
    "notch": "the line frequency and its harmonics below h_freq",
    "sfreq": 200.0,
    "unit": "V",
    "dtype": "int16",
}

_PACKAGES = ("mne-neurolm", "mne", "numpy", "scipy")


def check_recipe(recipe: dict[str, Any], path: Path) -> None:
    """Refuse to mix recordings that were prepared differently.

    Parameters
    ----------
    recipe : dict
        Recipe of the store.
    path : Path
        Its folder, for the message.

    Raises
    ------
    ValueError
        If it is not the recipe of this version.
    """
    differing = sorted(
        key for key in recipe.keys() | RECIPE.keys() if recipe.get(key) != RECIPE.get(key)
    )
    if differing:
        listed = "; ".join(
            f"{key} is {recipe.get(key)!r} there and {RECIPE.get(key)!r} here" for key in differing
        )
        raise ValueError(
            f"The store {path} was prepared by another recipe: {listed}. Give another folder, or "
            "use the version of mne-neurolm that wrote it (see written_by in its manifest)."
        )


def package_versions() -> dict[str, str]:
    """Return the versions of the packages that shape the samples."""
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:  # run from a checkout that is not installed
            versions[package] = "unknown"
    return versions
