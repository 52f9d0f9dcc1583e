"""Reports of MNE-Python, with figures as they were drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import mne
import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def new_report(title: str) -> mne.Report:
    """Return an empty report that leaves figures in their resolution.

    Parameters
    ----------
    title : str
        Its title.

    Returns
    -------
    report : mne.Report
        The report. By default MNE makes figures of more than 850 pixels smaller, and what is
        written in them.
    """
    return mne.Report(title=title, img_max_width=None, img_max_res=None, verbose="error")


def add_figure(
    report: mne.Report, fig: Figure, *, title: str, caption: str, tags: Sequence[str] = ()
) -> None:
    """Add a figure to a report, and close it.

    Parameters
    ----------
    report : mne.Report
        The report.
    fig : matplotlib.figure.Figure
        The figure, of any size.
    title, caption : str
        What stands above and below it.
    tags : sequence of str
        Of the report. Default: none.

    Notes
    -----
    MNE 1.13 rounds the number of pixels of a row down and matplotlib rounds 819.9999, which 8.2
    inches are, to 820: every row is then shifted against the one before. Between two whole numbers
    both round the same way.
    """
    import matplotlib.pyplot as plt

    width, height = (np.round(fig.bbox.size) + 0.25) / fig.dpi
    fig.set_size_inches(width, height)
    report.add_figure(fig, title=title, caption=caption, image_format="png", tags=tuple(tags))
    plt.close(fig)
