"""Figures of whether probabilities mean what they say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from mne_neurolm.viz._figure import BLUE, GREY, VERMILION, finish, get_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plot_calibration(
    y_true: ArrayLike,
    proba: ArrayLike,
    *,
    n_bins: int = 15,
    title: str | None = None,
    axes: tuple[Axes, Axes] | None = None,
    show: bool = True,
) -> Figure:
    """Plot how often predictions are right, by how confident they are.

    Above, points on the diagonal are calibrated, points below it overconfident; the area of a point
    grows with the number of epochs, and the line to the diagonal is its part of the error. Below,
    how many epochs have which confidence.

    Parameters
    ----------
    y_true : array-like of int, shape (n_epochs,)
        Position of the true class among the columns of ``proba``.
    proba : array-like, shape (n_epochs, n_classes)
        Predicted probabilities.
    n_bins : int
        Number of equally wide bins of confidence. Default 15 (Guo et al. 2017).
    title : str | None
        Title. Default: the expected calibration error.
    axes : tuple of two matplotlib.axes.Axes | None
        Where to plot the curve and the histogram. ``None`` (default) makes a figure.
    show : bool
        Whether to show the figure. Default True.

    Returns
    -------
    fig : matplotlib.figure.Figure
        The figure.

    Raises
    ------
    ValueError
        If shapes do not match.

    Examples
    --------
    >>> from mne_neurolm.viz import plot_calibration
    >>> fig = plot_calibration([0, 1, 1], [[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]], show=False)
    >>> fig.axes[0].get_title()
    'Expected calibration error 0.300'
    """
    from mne_neurolm.evaluation.calibration import expected_calibration_error, reliability_curve

    curve = reliability_curve(y_true, proba, n_bins=n_bins)
    error = expected_calibration_error(y_true, proba, n_bins=n_bins)
    n_classes = np.asarray(proba).shape[1]
    if axes is None:
        import matplotlib.pyplot as plt

        fig, (upper, lower) = plt.subplots(
            2,
            1,
            figsize=(4.2, 5.2),
            layout="constrained",
            sharex=True,
            height_ratios=(3, 1),
        )
    else:
        upper, lower = axes
        fig, _ = get_axes(upper, (0, 0))
    filled = curve.counts > 0
    share = curve.counts[filled] / curve.counts.sum()
    (diagonal,) = upper.plot([0, 1], [0, 1], color=GREY, lw=1.2, ls="--", zorder=1)
    # In a bin, the gap between confidence and accuracy is what the error sums.
    gaps = upper.vlines(
        curve.confidence[filled],
        curve.confidence[filled],
        curve.accuracy[filled],
        color=VERMILION,
        lw=1.5,
        zorder=2,
    )
    (line,) = upper.plot(
        curve.confidence[filled], curve.accuracy[filled], color=BLUE, lw=0.8, zorder=3
    )
    points = upper.scatter(
        curve.confidence[filled],
        curve.accuracy[filled],
        s=12 + 240 * share,
        color=BLUE,
        edgecolor="white",
        lw=0.6,
        zorder=4,
    )
    # The most probable of n classes cannot be less probable than 1 / n.
    lowest = 1 / n_classes
    upper.set(
        xlim=(lowest - 0.03, 1.03),
        ylim=(-0.03, 1.03),
        ylabel="Share that is right",
    )
    upper.set_title(title or f"Expected calibration error {error:.3f}", fontsize="medium")
    lower.stairs(100 * curve.counts / curve.counts.sum(), curve.edges, fill=True, color=BLUE)
    lower.set(xlabel="Confidence of the prediction", ylabel="Epochs (%)")
    if axes is None:
        handles = {"a bin's epochs": (line, points), "error": gaps, "calibrated": diagonal}
        fig.legend(
            handles.values(),
            handles.keys(),
            loc="outside lower center",
            ncols=len(handles),
            frameon=False,
            fontsize="small",
        )
    else:
        lower.set_xlim(upper.get_xlim())
    for ax in (upper, lower):
        ax.spines[["top", "right"]].set_visible(False)
    return finish(fig, show)
