"""Variables of MATLAB files, with errors in words for files that are cut off or something else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_SIGNATURE_AT = (0, 512)  # MATLAB 7.3 puts a header of 512 bytes of its own before it


def read_matlab(path: Path, *names: str, needed: int | None = None) -> dict[str, Any]:
    """Read variables of a MATLAB file of version 7.2 or older.

    Parameters
    ----------
    path : Path
        The file.
    *names : str
        Variables to read; no other is loaded.
    needed : int | None
        How many of the names, from the first, have to be there. None (default): all.

    Returns
    -------
    variables : dict of str to object
        Those that are there. Structures have their fields as attributes, cells are arrays of
        objects, and axes of length 1 are removed.

    Raises
    ------
    ValueError
        If the file cannot be read, or lacks a variable.
    OSError
        If the disk cannot be read.
    """
    from scipy.io import loadmat

    if is_hdf5(path):
        raise ValueError("is a MATLAB file of version 7.3; save it with -v7")
    try:
        variables = loadmat(
            path, variable_names=names, squeeze_me=True, struct_as_record=False, appendmat=False
        )
    except Exception as error:  # of a damaged file scipy and zlib raise anything
        if isinstance(error, MemoryError) or getattr(error, "errno", None) is not None:
            raise  # the machine, not the file
        raise ValueError(f"is no MATLAB file that can be read: {error}") from error
    there = {name: variables[name] for name in names if name in variables}
    missing = [name for name in names[:needed] if name not in there]
    if missing:
        raise ValueError(f"has no variable {', '.join(missing)}")
    return there


def read_matlab_array(path: Path, name: str) -> NDArray[Any]:
    """Read one numeric array of a MATLAB file of any version.

    Parameters
    ----------
    path : Path
        The file.
    name : str
        The variable.

    Returns
    -------
    array : ndarray, as MATLAB shows it
        The variable.

    Raises
    ------
    ValueError
        If the file cannot be read, or has no such variable of numbers.
    """
    if is_hdf5(path):
        import h5py  # type: ignore[import-untyped]

        try:
            with h5py.File(path) as file:
                value = file[name][()].T  # MATLAB's axes are in the order of Fortran
        except (OSError, KeyError, AttributeError, TypeError) as error:
            raise ValueError(f"no array {name} can be read: {error}") from error
    else:
        value = read_matlab(path, name)[name]
    array = np.asarray(value)
    if array.dtype.kind not in "iuf":
        raise ValueError(f"the variable {name} is no array of numbers")
    return array


def is_hdf5(path: Path) -> bool:
    """Tell whether a file is an HDF5 file, which MATLAB files are from version 7.3 on."""
    with open(path, "rb") as file:
        for place in _SIGNATURE_AT:
            file.seek(place)
            if file.read(len(_SIGNATURE)) == _SIGNATURE:
                return True
    return False
