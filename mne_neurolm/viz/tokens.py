"""Figures of codes and of how the language model may look at tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from mne_neurolm.viz._figure import BLUE, GREY, VERMILION, finish, get_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plot_code_usage(
    codes: ArrayLike,
    codebook_size: int,
    *,
    title: str | None = None,
    axes: Axes | None = None,
    show: bool = True,
) -> Figure:
    """Plot how often the codes of a codebook are used, the most frequent first.

    Parameters
    ----------
    codes : array-like of int, shape (n_epochs, n_tokens) or any other
        The codes.
    codebook_size : int
        Number of codes in the codebook.
    title : str | None
        Title of the axes. Default: how many codes are used, and their perplexity: the number of
        equally frequent codes with the same entropy.
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
        If there are no codes, or some lie outside the codebook.

    Examples
    --------
    >>> from mne_neurolm.viz import plot_code_usage
    >>> fig = plot_code_usage([[3, 3, 1], [3, 2, 1]], 8, show=False)
    >>> fig.axes[0].get_title()
    '3 of 8 codes used by 6 tokens, perplexity 3'
    """
    flat = np.asarray(codes).ravel()
    if flat.size == 0 or flat.dtype.kind not in "iu":
        raise ValueError(
            f"codes must be integers, one or more; got {flat.size} of type {flat.dtype}. Pass "
            "tokens.codes, or the tokenizer's output='codes'."
        )
    if flat.min() < 0 or flat.max() >= codebook_size:
        raise ValueError(
            f"codes from {flat.min()} to {flat.max()} lie outside a codebook of {codebook_size}; "
            "pass the size of the tokenizer that made them."
        )
    counts = np.bincount(flat.astype(np.int64), minlength=codebook_size)
    ranked = np.sort(counts[counts > 0])[::-1]
    frequency = ranked / ranked.sum()
    perplexity = np.exp(-(frequency * np.log(frequency)).sum())

    fig, ax = get_axes(axes, (6.5, 3.6))
    edges = np.arange(len(ranked) + 1) + 0.5
    # Both axes logarithmic: a few frequent codes and a long tail are visible together.
    even = flat.size / codebook_size
    bottom = min(0.5, 0.5 * even)
    ax.stairs(ranked, edges, baseline=bottom, fill=True, color=BLUE)
    ax.axhline(even, color=VERMILION, lw=1.2, ls="--", label="all codes equally often")
    ax.set(
        xscale="log",
        yscale="log",
        xlim=(0.5, codebook_size + 0.5),
        ylim=(bottom, 2 * max(ranked[0], even)),
        xlabel=f"Rank of the code (of {codebook_size})",
        ylabel="Tokens with this code",
    )
    ax.set_title(
        title
        or f"{len(ranked)} of {codebook_size} codes used by {flat.size} tokens, "
        f"perplexity {perplexity:.0f}",
        fontsize="medium",
    )
    ax.legend(frameon=False)
    ax.spines[["top", "right"]].set_visible(False)
    return finish(fig, show)


def plot_mask(
    times: ArrayLike,
    n_text: int = 0,
    *,
    title: str | None = None,
    axes: Axes | None = None,
    show: bool = True,
) -> Figure:
    """Plot the stair-step mask: which tokens a token may attend to.

    Parameters
    ----------
    times : array-like of int, shape (n_tokens,)
        Second of each EEG token, as in ``tokens.times``, ascending.
    n_text : int
        Text tokens that follow the EEG. Default 0.
    title : str | None
        Title of the axes. Default: ``"Stair-step mask"``.
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
        If ``times`` is empty or descends.

    Examples
    --------
    >>> from mne_neurolm.viz import plot_mask
    >>> fig = plot_mask([0, 0, 1, 1], n_text=3, show=False)  # two channels, two seconds
    >>> fig.axes[0].images[0].get_array().shape  # 4 tokens of EEG, 3 of text
    (7, 7)
    """
    import torch
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Patch

    from mne_neurolm.models.masks import stair_step_mask

    seconds = np.asarray(times)
    ascending = seconds.ndim == 1 and len(seconds) > 0 and (np.diff(seconds) >= 0).all()
    if not ascending or seconds.dtype.kind not in "iu" or n_text < 0:
        raise ValueError(
            "times must be the ascending seconds of one or more tokens, shape (n_tokens,) of int, "
            f"and n_text 0 or more; got shape {seconds.shape} of {seconds.dtype} and {n_text}."
        )
    # Text counts on after the last second, one step per token.
    steps = np.concatenate([seconds, seconds[-1] + 1 + np.arange(n_text)]).astype(np.int64)
    mask = stair_step_mask(torch.from_numpy(steps)).numpy()

    fig, ax = get_axes(axes, (5.6, 5.4))
    ax.imshow(mask, cmap=ListedColormap(["white", BLUE]), vmin=0, vmax=1, interpolation="nearest")
    first = np.flatnonzero(np.diff(seconds, prepend=seconds[0] - 1))
    ticks = list((first + np.append(first[1:], len(seconds)) - 1) / 2)
    names = [f"{second} s" for second in seconds[first]]
    edges = list(first[1:])
    if n_text:
        ticks.append(len(seconds) + (n_text - 1) / 2)
        names.append("text")
        edges.append(len(seconds))
    # Many seconds get a label every few only.
    every = max(1, int(np.ceil(len(ticks) / 12)))
    keep = [k for k in range(len(ticks)) if k % every == 0 or names[k] == "text"]
    for edge in edges:
        ax.axhline(edge - 0.5, color=GREY, lw=0.5)
        ax.axvline(edge - 0.5, color=GREY, lw=0.5)
    labels = [names[k] for k in keep]
    at = [ticks[k] for k in keep]
    ax.set(xticks=at, yticks=at, xticklabels=labels, yticklabels=labels)
    ax.set(xlabel="Attended token (key)", ylabel="Attending token (query)")
    ax.set_title(title or "Stair-step mask", fontsize="medium", loc="left")
    ax.legend(
        handles=[
            Patch(facecolor=BLUE, label="attends"),
            Patch(facecolor="white", edgecolor=GREY, label="masked"),
        ],
        loc="lower right",
        bbox_to_anchor=(1.0, 1.0),
        ncols=2,
        frameon=False,
        fontsize="small",
    )
    return finish(fig, show)
