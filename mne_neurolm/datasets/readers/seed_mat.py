"""The MATLAB files of SEED and SEED-IV: one variable for every trial, cut out by the authors."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import mne
import numpy as np
from numpy.typing import NDArray

from ._matlab import is_hdf5

SFREQ = 200.0  # Hz; downsampled by the authors
_TRIAL = re.compile(r"[a-z]+_eeg(\d+)", re.IGNORECASE)  # initials of the subject, number


def read_trials(path: Path, ch_names: Sequence[str], labels: Sequence[str]) -> mne.io.RawArray:
    """Read the trials of a session and put them one after the other.

    Parameters
    ----------
    path : Path
        MATLAB file with the variables ``<initials>_eeg1`` to ``<initials>_eeg<n>``, in any order,
        each of shape (n_chans, n_times) in microvolts at 200 Hz.
    ch_names : sequence of str, length n_chans
        What the rows are.
    labels : sequence of str, length n
        Descriptions of the trials.

    Returns
    -------
    raw : mne.io.RawArray
        The trials in volts, in the order of their numbers, each with an annotation. Where one ends
        and the next begins, there are MNE's annotations of joined recordings, by which its filters
        treat them one by one.

    Raises
    ------
    ValueError
        If trials are missing, more than there should be, or not of that shape.
    """
    if is_hdf5(path):
        raise ValueError("is a MATLAB file of version 7.3; save it with -v7")
    try:
        data, lengths = _read(path, len(ch_names), len(labels))
    except Exception as error:  # of a damaged file scipy and zlib raise anything
        if isinstance(error, (ValueError, MemoryError)) or getattr(error, "errno", None):
            raise  # says what is wrong, or is the machine's
        raise ValueError(f"is no MATLAB file that can be read: {error}") from error
    stops = np.cumsum(lengths)
    info = mne.create_info(list(ch_names), SFREQ, "eeg")
    raw = mne.io.RawArray(data, info, copy=None, verbose="error")
    joins = stops[:-1] / SFREQ
    notes = mne.Annotations((stops - lengths) / SFREQ, lengths / SFREQ, list(labels))
    for description in ("BAD boundary", "EDGE boundary"):
        notes.append(joins, 0.0, description)
    return raw.set_annotations(notes, verbose="error")


def _read(path: Path, n_chans: int, n_trials: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the signals of all trials (n_chans, n_times) in volts, and the length of each."""
    from scipy.io import loadmat, whosmat

    names, lengths = _find_trials(whosmat(path), n_chans, n_trials)
    stops = np.cumsum(lengths)
    data = np.empty((n_chans, stops[-1]))
    for name, length, stop in zip(names, lengths, stops, strict=True):
        # Read one by one, since a session takes 0.3 GB. The check of the compressed bytes is left
        # out as in TorchEEG's reader: scipy refuses files that MATLAB reads.
        content = loadmat(path, variable_names=[name], verify_compressed_data_integrity=False)
        np.multiply(content[name], 1e-6, out=data[:, stop - length : stop])
    return data, lengths


def _find_trials(
    variables: Sequence[tuple[str, tuple[int, ...], str]], n_chans: int, n_trials: int
) -> tuple[list[str], NDArray[np.int64]]:
    """Return names and lengths of the variables of trials 1 to n, from scipy's list of all."""
    found: dict[int, tuple[str, tuple[int, ...]]] = {}
    for name, shape, _ in variables:
        match = _TRIAL.fullmatch(name)
        if match is None:
            continue
        number = int(match[1])
        if number in found:
            raise ValueError(f"has two variables for trial {number}: {found[number][0]} and {name}")
        found[number] = name, shape
    if sorted(found) != list(range(1, n_trials + 1)):
        there = ", ".join(map(str, sorted(found))) or "none"
        raise ValueError(
            f"must have the trials 1 to {n_trials} as variables <initials>_eeg1 to "
            f"<initials>_eeg{n_trials}; it has {there}"
        )
    names, shapes = zip(*(found[number] for number in sorted(found)), strict=True)
    for name, shape in zip(names, shapes, strict=True):
        if len(shape) != 2 or shape[0] != n_chans or shape[1] == 0:
            raise ValueError(f"{name} has the shape {shape}, not ({n_chans}, number of samples)")
    return list(names), np.array([shape[1] for shape in shapes])
