"""Figures in reports of MNE-Python, as they were drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import mne
import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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
    try:
        with plt.rc_context({"savefig.bbox": None}):  # MNE counts on the whole figure
            report.add_figure(
                fig, title=title, caption=caption, image_format="png", tags=tuple(tags)
            )
    finally:
        plt.close(fig)
