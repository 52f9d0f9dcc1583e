"""What all figures share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Colours of Okabe and Ito (2008), told apart with any kind of colour vision.
BLUE, VERMILION, GREY = "#0072B2", "#D55E00", "#BBBBBB"


def get_axes(
    axes: Axes | None,
    figsize: tuple[float, float],
    layout: Literal["constrained", "compressed"] = "constrained",
) -> tuple[Figure, Axes]:
    """Return the given axes with their figure, or new ones with a tight layout."""
    if axes is not None:
        figure = axes.figure
        if figure is None:
            raise ValueError(
                "axes belong to no figure any more; make new ones with plt.subplots()."
            )
        return figure.figure, axes  # that of a subfigure is the figure around it
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=figsize, layout=layout)


def picked_rows(ch_names: Sequence[str], picks: Sequence[str] | None) -> list[int]:
    """Return which channels to show, by position."""
    if picks is None:
        return list(range(len(ch_names)))
    unknown = [name for name in picks if name not in ch_names]
    if unknown or not len(picks):
        raise ValueError(
            f"picks must name one or more of the channels {list(ch_names)}; {unknown} are not "
            "among them."
        )
    return [ch_names.index(name) for name in picks]


def finish(fig: Figure, show: bool) -> Figure:
    """Show the figure if asked to, as MNE's plotting functions do."""
    from mne.viz.utils import plt_show

    plt_show(show)
    return fig
