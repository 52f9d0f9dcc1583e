"""Figures that compare methods: scores with intervals, and subjects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mne_neurolm.viz._figure import BLUE, GREY, VERMILION, finish, get_axes
from mne_neurolm.viz.training import GREEN

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Colour and marker by kind of method, and what the legend calls it.
_KINDS = {
    "neurolm": (BLUE, "o", "NeuroLM"),
    "simple": (VERMILION, "s", "simple methods"),
    "deep": (GREEN, "^", "deep networks"),
}
_MOST_NUMBERED = 15  # subjects whose scores are written into the map
_LABELS = {
    "balanced_accuracy": "Balanced accuracy",
    "auroc": "AUROC",
    "auc_pr": "AUC-PR",
    "cohen_kappa": "Cohen's kappa",
    "f1_weighted": "Weighted F1",
}


def plot_comparison(
    table: pd.DataFrame,
    metrics: Sequence[str],
    *,
    title: str | None = None,
    axes: Sequence[Axes] | None = None,
    show: bool = True,
) -> Figure:
    """Plot the scores of methods with their intervals, the best at the top.

    Parameters
    ----------
    table : pandas.DataFrame
        Rows of :func:`mne_neurolm.evaluation.summarize` of one problem. A dotted line goes through
        the score of the method ``"chance"``, if it is there, and hollow diamonds are published
        scores.
    metrics : sequence of str
        Columns to plot, a panel each; the methods are in the order of the first.
    title : str | None
        Title of the figure. ``None`` (default): none.
    axes : sequence of matplotlib.axes.Axes | None
        Where to plot, one for each metric. ``None`` (default) makes a figure.
    show : bool
        Whether to show the figure. Default True.

    Returns
    -------
    fig : matplotlib.figure.Figure
        The figure.

    Raises
    ------
    ValueError
        If there is no row with a score, a metric is not a column, rows are of several problems, or
        axes do not match.

    Examples
    --------
    >>> import mne
    >>> from mne_neurolm import Task
    >>> from mne_neurolm.datasets import simulate_epochs
    >>> from mne_neurolm.evaluation import Problem, make_folds, run_evaluation, summarize
    >>> from mne_neurolm.viz import plot_comparison
    >>> epochs = simulate_epochs(n_subjects=3, random_state=0)
    >>> y, subjects = epochs.metadata["state"], epochs.metadata["subject"]
    >>> task = Task("state", "Is this active?", {"rest": "No", "active": "Yes"})
    >>> folds = make_folds("leave-one-subject-out", y, subjects)
    >>> problem = Problem("state", task, epochs, y, subjects, folds)
    >>> with mne.use_log_level("warning"):
    ...     results = run_evaluation([problem], methods=["chance", "band-power"], n_jobs=1)
    >>> fig = plot_comparison(summarize(results), ["balanced_accuracy", "auroc"], show=False)
    >>> [label.get_text() for label in fig.axes[0].get_yticklabels()]  # from below
    ['Chance', 'Band power + LR']
    """
    unknown = [metric for metric in metrics if metric not in table]
    if not metrics or unknown:
        raise ValueError(f"metrics must be columns of the table; got {list(metrics)}.")
    if table["problem"].nunique() > 1:
        names = ", ".join(table["problem"].unique())
        raise ValueError(f"The table is of several problems, {names}; select the rows of one.")
    rows = table[table[metrics[0]].notna()].sort_values(metrics[0], kind="stable")
    if rows.empty:
        raise ValueError("No method has a score; see the errors of the cells.")
    fig, panels = _panels(axes, len(metrics), len(rows))
    places = np.arange(len(rows))
    for ax, metric in zip(panels, metrics, strict=True):
        for place, (_, row) in zip(places, rows.iterrows(), strict=True):
            color, marker, _ = _KINDS.get(row["kind"], ("0.3", "D", ""))
            low, high = row.get(f"{metric}_low", np.nan), row.get(f"{metric}_high", np.nan)
            if np.isfinite(low) and np.isfinite(high):
                ax.plot([low, high], [place, place], color=color, lw=2.0, alpha=0.45, zorder=2)
            ax.plot(row[metric], place, color=color, marker=marker, ms=6, mec="white", zorder=3)
            published = row.get(f"{metric}_published", np.nan)
            if np.isfinite(published):
                ax.plot(published, place, marker="D", ms=6, mfc="none", mec="0.2", zorder=4)
        chance = rows.loc[rows["method"] == "chance", metric]
        if len(chance) and np.isfinite(chance.iloc[0]):
            ax.axvline(chance.iloc[0], color=GREY, ls=":", lw=1.3, zorder=1)
        ax.set_xlabel(_LABELS.get(metric, metric.replace("_", " ")))
        ax.set_ylim(-0.6, len(rows) - 0.4)
        ax.set_yticks(places, rows["title"])
        ax.grid(axis="y", color="0.93", lw=0.8, zorder=0)
        ax.set_axisbelow(True)
        ax.spines[["top", "right", "left"]].set_visible(False)
        ax.tick_params(axis="y", length=0)
    for ax in panels[1:] if axes is None else ():
        ax.tick_params(axis="y", labelleft=False)
    if axes is None:
        _add_legend(fig, rows, metrics)
    if title is not None:
        fig.suptitle(title, fontsize="medium")
    return finish(fig, show)


def plot_subject_scores(
    table: pd.DataFrame,
    metric: str = "balanced_accuracy",
    *,
    title: str | None = None,
    axes: Axes | None = None,
    show: bool = True,
) -> Figure:
    """Plot the scores of every subject under every method, as a map.

    Parameters
    ----------
    table : pandas.DataFrame
        Rows of :func:`mne_neurolm.evaluation.subject_scores` of one problem.
    metric : str
        Column to plot. Default ``"balanced_accuracy"``; of a subject with a single class,
        it is the share of epochs that are right.
    title : str | None
        Title of the axes. ``None`` (default): none.
    axes : matplotlib.axes.Axes | None
        Where to plot. ``None`` (default) makes a figure.
    show : bool
        Whether to show the figure. Default True.

    Returns
    -------
    fig : matplotlib.figure.Figure
        The figure. Methods are sorted by their mean, the best at the top, subjects by their mean
        over methods, the easiest at the left. Of 15 subjects or fewer, numbers are written too.

    Raises
    ------
    ValueError
        If the table is empty, of several problems, or lacks the metric.

    Examples
    --------
    >>> import mne
    >>> from mne_neurolm import Task
    >>> from mne_neurolm.datasets import simulate_epochs
    >>> from mne_neurolm.evaluation import Problem, make_folds, run_evaluation, subject_scores
    >>> from mne_neurolm.viz import plot_subject_scores
    >>> epochs = simulate_epochs(n_subjects=3, random_state=0)
    >>> y, subjects = epochs.metadata["state"], epochs.metadata["subject"]
    >>> task = Task("state", "Is this active?", {"rest": "No", "active": "Yes"})
    >>> folds = make_folds("leave-one-subject-out", y, subjects)
    >>> problem = Problem("state", task, epochs, y, subjects, folds)
    >>> with mne.use_log_level("warning"):
    ...     results = run_evaluation([problem], methods=["chance", "band-power"], n_jobs=1)
    >>> fig = plot_subject_scores(subject_scores(results), show=False)
    >>> [label.get_text() for label in fig.axes[0].get_yticklabels()]  # from above
    ['Band power + LR', 'Chance']
    """
    if metric not in table or table.empty or table["problem"].nunique() > 1:
        raise ValueError(
            f"The table must hold rows of one problem with a column {metric!r}; got "
            f"{len(table)} rows of {table['problem'].nunique() if len(table) else 0} problems."
        )
    grid = table.pivot_table(index="title", columns="subject", values=metric, sort=False)
    grid = grid.loc[grid.mean(axis=1).sort_values(ascending=False, kind="stable").index]
    grid = grid[grid.mean(axis=0).sort_values(ascending=False, kind="stable").index]
    n_methods, n_subjects = grid.shape
    size = (2.8 + 0.33 * max(n_subjects, 8), 1.7 + 0.33 * max(n_methods, 5))
    fig, ax = get_axes(axes, (min(size[0], 18.0), size[1]))
    lowest = 0.0 if metric != "cohen_kappa" else min(0.0, float(np.nanmin(grid.to_numpy())))
    image = ax.imshow(grid.to_numpy(), cmap="cividis", vmin=lowest, vmax=1.0, aspect="auto")
    if n_subjects <= _MOST_NUMBERED:
        for (row, column), value in np.ndenumerate(grid.to_numpy()):
            if np.isfinite(value):
                dark = (value - lowest) / (1.0 - lowest) < 0.55
                ax.text(
                    column,
                    row,
                    f"{value:.2f}",
                    ha="center",
                    va="center",
                    fontsize="x-small",
                    color="white" if dark else "black",
                )
    every = max(1, int(np.ceil(n_subjects / 40)))
    names = [str(name) for name in grid.columns[::every]]
    ax.set_yticks(range(n_methods), grid.index)
    upright = max(map(len, names)) > 3
    ax.set_xticks(range(0, n_subjects, every), names, rotation=90 if upright else 0)
    ax.set_xlabel("Subject")
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    if title is not None:
        ax.set_title(title, fontsize="medium")
    fig.colorbar(image, ax=ax, label=_LABELS.get(metric, metric), shrink=0.9, pad=0.02)
    return finish(fig, show)


def _panels(axes: Sequence[Axes] | None, n_panels: int, n_rows: int) -> tuple[Figure, list[Axes]]:
    """Return the given axes with their figure, or new ones side by side."""
    if axes is not None:
        given = list(np.asarray(axes, dtype=object).ravel())
        if len(given) != n_panels:
            raise ValueError(f"axes must be one for each of {n_panels} metrics; got {len(given)}.")
        return get_axes(given[0], (0, 0))[0], given
    import matplotlib.pyplot as plt

    size = (2.6 + 2.6 * n_panels, 1.5 + 0.32 * max(n_rows, 3))
    fig, made = plt.subplots(1, n_panels, figsize=size, layout="constrained", squeeze=False)
    return fig, list(made.ravel())


def _add_legend(fig: Figure, rows: pd.DataFrame, metrics: Sequence[str]) -> None:
    from matplotlib.lines import Line2D

    keys = [
        Line2D([], [], color=color, marker=marker, ms=6, mec="white", lw=2.0, label=label)
        for kind, (color, marker, label) in _KINDS.items()
        if (rows["kind"] == kind).any()
    ]
    columns = [f"{metric}_published" for metric in metrics if f"{metric}_published" in rows]
    if rows[columns].notna().any().any():
        keys.append(
            Line2D([], [], ls="none", marker="D", ms=6, mfc="none", mec="0.2", label="published")
        )
    if (rows["method"] == "chance").any():
        keys.append(Line2D([], [], color=GREY, ls=":", lw=1.3, label="chance"))
    fig.legend(
        handles=keys,
        loc="outside lower center",
        ncols=len(keys),
        frameon=False,
        fontsize="small",
    )
