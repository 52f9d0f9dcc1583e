"""Figures of what channels and seconds add to an answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import mne
import numpy as np
from numpy.typing import NDArray

from mne_neurolm.viz._figure import BLUE, GREY, VERMILION, finish, get_axes
from mne_neurolm.viz._scalp import MOST_CHANNELS, positions, what_bars_show

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from mne_neurolm.explain import AnswerAttribution


def plot_attribution(
    attribution: AnswerAttribution,
    info: mne.Info | None = None,
    *,
    labels: Sequence[Any] | None = None,
    title: str | None = None,
    axes: Sequence[Axes] | None = None,
    show: bool = True,
) -> Figure:
    """Plot what channels and seconds add to the log-odds of answers, for each class.

    Parameters
    ----------
    attribution : AnswerAttribution
        From :func:`mne_neurolm.explain.answer_attribution`. For each class the mean is shown over
        the epochs of which it is explained.
    info : mne.Info | None
        Where electrodes are. Without it (default), or without a place of its own for every channel,
        bars of the channels take the place of scalp maps, the twelve with the largest shares.
    labels : sequence | None
        Classes to show, a column each. ``None`` (default): all that are explained.
    title : str | None
        Title of the figure. Default: none.
    axes : sequence of matplotlib.axes.Axes | None
        Where to plot: one for the channels of each class, then one for the seconds of each where
        epochs last more than one. ``None`` (default) makes a figure.
    show : bool
        Whether to show the figure. Default True.

    Returns
    -------
    fig : matplotlib.figure.Figure
        In each column the shares of channels, summed over seconds, and below, where there are
        several, those of seconds, summed over channels. What speaks for the class is red, what
        speaks against it blue.

    Raises
    ------
    ValueError
        If a class is explained for no epoch, or axes are too many or too few.

    Examples
    --------
    >>> from mne_neurolm import NeuroLMClassifier
    >>> from mne_neurolm.datasets import simulate_epochs
    >>> from mne_neurolm.explain import answer_attribution
    >>> from mne_neurolm.viz import plot_attribution
    >>> epochs = simulate_epochs(n_subjects=1, n_epochs_per_subject=4, random_state=0)
    >>> y = epochs.metadata["state"].map({"rest": "No", "active": "Yes"})
    >>> classifier = NeuroLMClassifier("workload", "tiny-joint", tune=None).fit(epochs, y)
    >>> fig = plot_attribution(answer_attribution(classifier, epochs), epochs.info, show=False)
    >>> fig.axes[2].get_ylabel()
    'Log-odds (nats)'
    """
    explained = attribution.labels.tolist()
    shown = sorted(set(explained), key=explained.index) if labels is None else list(labels)
    missing = [label for label in shown if label not in explained]
    if missing or not shown:
        raise ValueError(
            f"labels must be one or more of {sorted(set(explained), key=str)}, which are explained;"
            f" got {shown}."
        )
    where = positions(info, attribution.ch_names)
    means = [attribution.values[attribution.labels == label].mean(axis=0) for label in shown]
    # One scale for all columns, so that they can be compared.
    of_channels = [mean.sum(axis=0) for mean in means]
    of_seconds = [mean.sum(axis=1) for mean in means]
    limit = max(float(np.abs(values).max()) for values in of_channels) or 1.0
    n_channels, n_seconds = len(attribution.ch_names), len(of_seconds[0])
    n_rows = 1 + (n_seconds > 1)  # a single second has all there is
    fig, grid = _make_axes(axes, n_rows, len(shown), n_channels, shared=where is None)
    for k, label in enumerate(shown):
        chosen = attribution.labels == label
        n = int(chosen.sum())
        change = float((attribution.log_odds - attribution.baseline_log_odds)[chosen].mean())
        name = f"{label} ({n} epoch{'s' * (n > 1)}, {change:+z.2f} in all)"
        if where is not None:
            image, _ = mne.viz.plot_topomap(
                of_channels[k],
                where,
                axes=grid[0, k],
                cmap="RdBu_r",
                vlim=(-limit, limit),
                show=False,
            )
        else:
            order = np.argsort(-np.abs(of_channels[k]), kind="stable")[:MOST_CHANNELS]
            _bars(grid[0, k], of_channels[k][order], [attribution.ch_names[c] for c in order])
            grid[0, k].set_xlabel(what_bars_show(n_channels))
        grid[0, k].set_title(name, fontsize="medium", parse_math=False)
        if n_seconds > 1:
            _bars(grid[1, k], of_seconds[k], [str(second) for second in range(n_seconds)])
            grid[1, k].set_xlabel("Second")
    if n_seconds > 1:
        top = max(float(np.abs(values).max()) for values in of_seconds) or 1.0
        for ax in grid[1]:
            ax.set_ylim(-1.08 * top, 1.08 * top)
        grid[1, 0].set_ylabel("Log-odds (nats)")
    if where is None:
        limits = np.array([ax.get_ylim() for ax in grid[0]])
        for ax in grid[0]:  # given axes share nothing
            ax.set_ylim(limits[:, 0].min(), limits[:, 1].max())
        grid[0, 0].set_ylabel("Log-odds (nats)")
    else:
        grid[0, 0].figure.colorbar(image, ax=grid[0].tolist(), shrink=0.8, label="Log-odds (nats)")
    if title is not None:
        grid[0, 0].figure.suptitle(title, fontsize="medium", x=0.01, ha="left")
    return finish(fig, show)


def _make_axes(
    axes: Sequence[Axes] | None, n_rows: int, n_classes: int, n_channels: int, *, shared: bool
) -> tuple[Figure, NDArray[Any]]:
    """Return the given axes with their figure, or new ones: channels above, seconds below."""
    if axes is not None:
        given = np.asarray(axes, dtype=object).ravel()
        if len(given) != n_rows * n_classes:
            raise ValueError(
                f"axes must be {n_rows} for each of {n_classes} classes; got {len(given)}. Choose "
                "classes with labels."
            )
        return get_axes(given[0], (0, 0))[0], given.reshape(n_rows, n_classes)
    import matplotlib.pyplot as plt

    width = max(2.8, 0.3 * min(n_channels, MOST_CHANNELS))
    return plt.subplots(
        n_rows,
        n_classes,
        figsize=(1.0 + width * n_classes, 3.0 + 1.6 * (n_rows - 1)),
        height_ratios=[1.7, 1.0][:n_rows],
        layout="constrained",
        squeeze=False,
        sharey="row" if shared else False,
    )


def _bars(ax: Any, values: NDArray[np.float64], names: Sequence[str]) -> None:
    """Draw bars around zero, coloured by sign."""
    colours = [VERMILION if value > 0 else BLUE for value in values]
    ax.bar(range(len(values)), values, color=colours)
    ax.axhline(0, color=GREY, lw=0.8)
    ticks = range(0, len(values), max(1, -(-len(values) // 16)))
    turned = len(names) > 8
    ax.set_xticks(ticks, [names[k] for k in ticks], rotation=90 if turned else 0, fontsize="small")
    ax.spines[["top", "right"]].set_visible(False)
