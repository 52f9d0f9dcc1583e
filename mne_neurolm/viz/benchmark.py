"""The figure of a benchmark: every person under every pipeline."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np

from mne_neurolm.viz._figure import BLUE, GREY, VERMILION, finish, get_axes

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SPREAD = 0.28  # of the distance between two rows, to either side


def plot_benchmark(
    results: pd.DataFrame,
    *,
    highlight: Collection[str] = (),
    chance: float | None = None,
    label: str = "Score",
    title: str | None = None,
    axes: Axes | None = None,
    show: bool = True,
) -> Figure:
    """Plot the scores of all subjects on one dataset, the best pipeline at the top.

    Parameters
    ----------
    results : pandas.DataFrame
        Results of MOABB on one dataset: the columns ``pipeline``, ``subject`` and ``score`` are
        used, and sessions of a subject are averaged.
    highlight : collection of str
        Pipelines in the colour of NeuroLM. Default: none.
    chance : float | None
        Where a dotted line goes. ``None`` (default) or NaN: nowhere.
    label : str
        What the scores are. Default ``"Score"``.
    title : str | None
        Title of the axes. ``None`` (default): none.
    axes : matplotlib.axes.Axes | None
        Where to plot. ``None`` (default) makes a figure.
    show : bool
        Whether to show the figure. Default True.

    Returns
    -------
    fig : matplotlib.figure.Figure
        The figure. Bars are means over subjects. A subject has the same height in every row, the
        one with the highest scores at the bottom of it.

    Raises
    ------
    ValueError
        If a column is missing, there is no score, or there are several datasets.

    Examples
    --------
    >>> import pandas as pd
    >>> from mne_neurolm.viz import plot_benchmark
    >>> results = pd.DataFrame(
    ...     {
    ...         "pipeline": ["NeuroLM", "NeuroLM", "CSP", "CSP"],
    ...         "subject": [1, 2, 1, 2],
    ...         "score": [0.8, 0.6, 0.7, 0.6],
    ...     }
    ... )
    >>> fig = plot_benchmark(results, highlight=["NeuroLM"], chance=0.5, show=False)
    >>> [label.get_text() for label in fig.axes[0].get_yticklabels()]  # from below
    ['CSP', 'NeuroLM']
    """
    missing = [name for name in ("pipeline", "subject", "score") if name not in results]
    if missing:
        raise ValueError(f"Results of MOABB have columns {missing}, which are missing here.")
    if "dataset" in results and results["dataset"].nunique() > 1:
        names = ", ".join(map(str, results["dataset"].unique()))
        raise ValueError(f"The results are of several datasets, {names}; select the rows of one.")
    scores = results.pivot_table(index="subject", columns="pipeline", values="score")
    if scores.empty:
        raise ValueError("No pipeline has a score.")
    scores = scores[scores.mean().sort_values(kind="stable").index]
    size = (7.2, 1.2 + 0.42 * max(scores.shape[1], 3))
    fig, ax = get_axes(axes, size)
    # The same place for a person in every row, so that rows can be compared; single ones are in
    # the middle.
    shifts = np.linspace(-_SPREAD, _SPREAD, len(scores)) if len(scores) > 1 else np.zeros(1)
    shifts = shifts[np.argsort(np.argsort(-scores.mean(axis=1).to_numpy(), kind="stable"))]
    for place, (name, own) in enumerate(scores.items()):
        color, marker = (BLUE, "o") if name in highlight else (VERMILION, "s")
        ax.plot(
            own, place + shifts, ls="none", marker=marker, ms=4.5, mfc=color, mec="white", mew=0.5,
            alpha=0.75, zorder=3,
        )  # fmt: skip
        mean = own.mean()
        ax.plot([mean, mean], [place - 0.38, place + 0.38], color=color, lw=2.4, zorder=4)
    if chance is not None and np.isfinite(chance):
        ax.axvline(chance, color=GREY, ls=":", lw=1.3, zorder=1)
    ax.set_yticks(range(scores.shape[1]), scores.columns)
    ax.set_ylim(-0.6, scores.shape[1] - 0.4)
    ax.set_xlabel(label[:1].upper() + label[1:].replace("_", " "))
    ax.grid(axis="y", color="0.93", lw=0.8, zorder=0)
    ax.set_axisbelow(True)
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.tick_params(axis="y", length=0)
    if title is not None:
        ax.set_title(title, fontsize="medium")
    return finish(fig, show)
