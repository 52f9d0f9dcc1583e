"""Train and test sets that share neither a subject nor a moment."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.model_selection import GroupShuffleSplit

_TRIES = 100


def split_by_subject(
    y: ArrayLike, subjects: ArrayLike, *, test_size: float = 0.3, random_state: int = 0
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Hold out whole subjects, such that both sets hold all classes.

    Parameters
    ----------
    y : array-like, shape (n_epochs,)
        Labels.
    subjects : array-like, shape (n_epochs,)
        Subject of each epoch.
    test_size : float
        Share of the subjects to hold out, rounded up. Default 0.3.
    random_state : int
        Seed of the draw. Default 0.

    Returns
    -------
    train, test : arrays of int64
        Indices of the epochs, ascending.

    Raises
    ------
    ValueError
        If no draw leaves all classes in both sets.
    """
    labels, groups = np.asarray(y), np.asarray(subjects)
    names = sorted(set(groups.tolist()))
    classes = set(labels.tolist())
    if len(names) > 1:
        draws = GroupShuffleSplit(_TRIES, test_size=test_size, random_state=random_state)
        for train, test in draws.split(labels, groups=groups):
            if set(labels[train].tolist()) == classes == set(labels[test].tolist()):
                return train, test
    raise ValueError(
        f"{len(names)} subjects {names[:20]} cannot be split so that all classes "
        f"{sorted(map(str, classes))} are in both the train and the test set. Classes must occur "
        "in several subjects: add recordings, or leave out rare classes."
    )


def split_by_time(
    y: ArrayLike, starts: ArrayLike, duration: float, *, test_size: float = 0.3, gap: float = 0.0
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Hold out the last windows of every class within one recording.

    Classes are cut one by one, since conditions often follow each other in blocks. Training windows
    that overlap a test window, or lie closer to one than ``gap``, are left out.

    Parameters
    ----------
    y : array-like, shape (n_epochs,)
        Labels.
    starts : array-like of float, shape (n_epochs,)
        When each window starts, in seconds.
    duration : float
        Length of a window in seconds.
    test_size : float
        Share of each class's windows to hold out. Default 0.3.
    gap : float
        Seconds between the end of a window of one set and the start of one of the other. Default 0.

    Returns
    -------
    train, test : arrays of int64
        Indices of the epochs, ascending.

    Raises
    ------
    ValueError
        If a class has no window left in one of the sets.
    """
    labels, begin = np.asarray(y), np.asarray(starts, dtype=np.float64)
    held_out = np.zeros(len(labels), dtype=bool)
    classes = sorted(set(labels.tolist()))
    for label in classes:
        members = np.flatnonzero(labels == label)
        n_test = int(np.ceil(test_size * len(members)))
        held_out[members[np.argsort(begin[members], kind="stable")][len(members) - n_test :]] = True
    test = np.flatnonzero(held_out)
    # A hair less, since starts are rounded to samples.
    distance = np.abs(begin[:, None] - begin[None, test]).min(axis=1)
    train = np.flatnonzero(~held_out & (distance > duration + gap - 1e-3))
    for label in classes:
        if label not in labels[train] or label not in labels[test]:
            raise ValueError(
                f"Class {label!r} has {(labels == label).sum()} windows of {duration:g} s, of "
                f"which none is left to train on at a distance of {gap:g} s from the test windows. "
                "Add recordings, leave the class out, or take shorter windows."
            )
    return train, test


def draw_part(name: str, shares: Mapping[str, float]) -> str:
    """Return the part of a split that a name falls into.

    It depends on the name alone, not on which others there are, so a subject stays where it is when
    recordings are added or some are missing.

    Parameters
    ----------
    name : str
        Name of a subject.
    shares : mapping of str to float
        Share of each part; they add up to 1.

    Returns
    -------
    part : str
        One of the parts.
    """
    place = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2**64
    for part, share in shares.items():
        if place < share:
            return part
        place -= share
    return list(shares)[-1]
