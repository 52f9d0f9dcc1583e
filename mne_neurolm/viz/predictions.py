"""Figures of what a classifier predicted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.metrics import confusion_matrix

from mne_neurolm.viz._figure import finish, get_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plot_confusion(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    labels: Sequence[Any],
    *,
    names: Sequence[str] | None = None,
    title: str | None = None,
    axes: Axes | None = None,
    show: bool = True,
) -> Figure:
    """Plot a confusion matrix: colour is the share of the true class, text share and count.

    Parameters
    ----------
    y_true : array-like, shape (n_epochs,)
        True labels.
    y_pred : array-like, shape (n_epochs,)
        Predicted labels.
    labels : sequence, length n_classes
        The labels in the order of rows and columns, as in ``classes_``.
    names : sequence of str | None
        What to call the labels in the figure. ``None`` (default): the labels themselves.
    title : str | None
        Title of the axes. Default: number of epochs and balanced accuracy.
    axes : matplotlib.axes.Axes | None
        Where to plot. ``None`` (default) makes a figure.
    show : bool
        Whether to show the figure. Default True.

    Returns
    -------
    fig : matplotlib.figure.Figure
        The figure.

    Raises
    ------
    ValueError
        If the labels do not match.

    Examples
    --------
    >>> from mne_neurolm.viz import plot_confusion
    >>> fig = plot_confusion(["a", "b", "b"], ["a", "b", "a"], ["a", "b"], show=False)
    >>> fig.axes[0].get_title()
    '3 epochs, balanced accuracy 0.75'
    """
    truth, predicted = np.asarray(y_true), np.asarray(y_pred)
    tick_names = [str(label) for label in (labels if names is None else names)]
    unknown = (set(truth.tolist()) | set(predicted.tolist())) - set(np.asarray(labels).tolist())
    if truth.shape != predicted.shape or truth.ndim != 1 or len(tick_names) != len(labels):
        raise ValueError(
            f"y_true and y_pred need one label per epoch (got shapes {truth.shape} and "
            f"{predicted.shape}), and names one entry for each of {len(labels)} labels."
        )
    if unknown or len(truth) == 0:
        raise ValueError(
            f"y_true and y_pred must hold one epoch or more, all with labels in {list(labels)}; "
            f"also got {sorted(map(str, unknown))}."
        )
    counts = confusion_matrix(truth, predicted, labels=list(labels))
    totals = counts.sum(axis=1, keepdims=True)
    share = np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)
    n = len(labels)
    # Constrained, the square needs several passes to find its place, and labels are cut.
    fig, ax = get_axes(axes, (1.9 + 1.0 * max(n, 3), 1.2 + 0.9 * max(n, 3)), layout="compressed")
    image = ax.imshow(share, cmap="cividis", vmin=0.0, vmax=1.0)
    for row, column in np.ndindex(n, n):
        value = share[row, column]
        ax.text(
            column,
            row,
            f"{value:.0%}\n{counts[row, column]}",
            ha="center",
            va="center",
            color="white" if value < 0.55 else "black",
        )
    ax.set(
        xticks=range(n),
        yticks=range(n),
        xticklabels=tick_names,
        yticklabels=tick_names,
        xlabel="Predicted class",
        ylabel="True class",
    )
    if max(map(len, tick_names)) > 10:
        ax.set_xticks(range(n), tick_names, rotation=30, ha="right", rotation_mode="anchor")
    recall = np.diag(share)[totals[:, 0] > 0].mean()
    ax.set_title(title or f"{len(truth)} epochs, balanced accuracy {recall:.2f}", fontsize="medium")
    fig.colorbar(image, ax=ax, label="Share of the true class", shrink=0.8)
    return finish(fig, show)
