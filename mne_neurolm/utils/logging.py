"""Verbosity, as MNE-Python counts it."""

from __future__ import annotations

import logging

from mne.utils import logger, use_log_level


def shows_progress(verbose: bool | str | int | None) -> bool:
    """Whether progress bars belong to this verbosity: from INFO on, as for MNE's own.

    Parameters
    ----------
    verbose : bool | str | int | None
        ``True`` is INFO, ``False`` WARNING, ``None`` the level set by :func:`mne.set_log_level`.

    Returns
    -------
    shows : bool
        The answer.
    """
    if verbose is None:
        return logger.getEffectiveLevel() <= logging.INFO
    with use_log_level(verbose):
        return logger.getEffectiveLevel() <= logging.INFO
