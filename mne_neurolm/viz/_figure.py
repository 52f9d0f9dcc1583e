"""What all figures share."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Colours of Okabe and Ito (2008), told apart with any kind of colour vision.
BLUE, VERMILION, GREY = "#0072B2", "#D55E00", "#BBBBBB"


def get_axes(axes: Axes | None, figsize: tuple[float, float]) -> tuple[Figure, Axes]:
    """Return the given axes with their figure, or new ones with a tight layout."""
    if axes is not None:
        figure = axes.figure
        if figure is None:
            raise ValueError(
                "axes belong to no figure any more; make new ones with plt.subplots()."
            )
        return figure.figure, axes  # that of a subfigure is the figure around it
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=figsize, layout="constrained")


def finish(fig: Figure, show: bool) -> Figure:
    """Show the figure if asked to, as MNE's plotting functions do."""
    from mne.viz.utils import plt_show

    plt_show(show)
    return fig
