"""Which samples of a fit are held out for validation."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold, StratifiedShuffleSplit


def hold_out(
    labels: NDArray[np.int64], groups: Any, fraction: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Split samples into a part to train on and a part to validate with.

    Parameters
    ----------
    labels : ndarray of int, shape (n,)
        Classes, of which both parts get about the same shares.
    groups : array-like, shape (n,) | None
        Groups, such as subjects, that are never in both parts; the second gets as near to the
        fraction as whole groups allow. None: every sample is its own.
    fraction : float
        Share of the second part.
    seed : int
        What the choice depends on.

    Returns
    -------
    train, validation : ndarray of int
        Rows of the samples, ascending.

    Raises
    ------
    ValueError
        If the fraction is not between 0 and 1, groups and labels differ in length, there are too
        few samples or groups, or a class would not be left to train on.
    """
    if not 0 < fraction < 1:
        raise ValueError(f"validation_fraction must be between 0 and 1; got {fraction}.")
    n_classes = len(np.unique(labels))
    nothing = np.zeros((len(labels), 0))
    splitter: Any
    if groups is None:
        smallest = int(np.bincount(labels).min())
        n_held_out = round(fraction * len(labels))
        if smallest < 2 or not n_classes <= n_held_out <= len(labels) - n_classes:
            raise ValueError(
                f"{fraction:g} of {len(labels)} epochs, of which the rarest class has {smallest}, "
                "can't be held out with every class in both parts. Give more epochs, another "
                "validation_fraction, or leave out patience and calibration."
            )
        splitter = StratifiedShuffleSplit(1, test_size=n_held_out, random_state=seed)
    else:
        groups = np.asarray(groups)
        if groups.shape != labels.shape:
            raise ValueError(f"There are {len(labels)} labels, but groups of {groups.shape}.")
        n_groups = len(np.unique(groups))
        if n_groups < 2:
            raise ValueError(
                f"groups name {n_groups} group; validation needs one to hold out and one to train "
                "on. Leave groups out to hold out single epochs."
            )
        n_parts = min(n_groups, max(2, round(1 / fraction)))
        splitter = StratifiedGroupKFold(n_parts, shuffle=True, random_state=seed)
    # Of the parts that k-fold makes, the first with all classes in both, or else in training.
    second_best = None
    for train, validation in splitter.split(nothing, labels, groups):
        if len(np.unique(labels[train])) < n_classes or not len(validation):
            continue
        if len(np.unique(labels[validation])) == n_classes:
            return np.sort(train), np.sort(validation)
        second_best = second_best or (np.sort(train), np.sort(validation))
    if second_best is not None:
        return second_best
    raise ValueError(
        "No groups can be held out with every class left to train on: some class is of a single "
        "group. Leave groups out to hold out single epochs, or leave out patience and calibration."
    )
