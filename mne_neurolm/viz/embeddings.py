"""Figures of vectors in two dimensions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mne_neurolm.viz._figure import finish, get_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito (2008) without yellow, which is hardly seen on white; markers tell groups apart in
# print without colours.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
_MARKERS = ("o", "^", "s", "D", "v", "P", "X")


def plot_embedding(
    vectors: Mapping[str, ArrayLike],
    *,
    method: Literal["pca", "tsne"] = "pca",
    max_points: int = 500,
    random_state: int = 0,
    title: str | None = None,
    axes: Axes | None = None,
    show: bool = True,
) -> Figure:
    """Plot groups of vectors in the plane, such as hidden states of EEG beside words.

    Parameters
    ----------
    vectors : mapping of str to array-like, shape (..., n_embd)
        Vectors by the name of their group, such as ``{"EEG": tokens.hidden, "text": words}`` with
        ``words = model.backbone.get_input_embeddings().weight`` (paper, Figure 11), or hidden
        states by class or subject.
    method : "pca" | "tsne"
        The two directions with most variance (default), in which distances mean as much as the
        plane holds of the variance; or t-SNE (van der Maaten and Hinton 2008), which keeps
        neighbours together and nothing else: neither sizes of clusters nor distances between them
        mean anything.
    max_points : int
        At most as many vectors of each group are drawn at random and shown, so that large groups do
        not outweigh small ones. Default 500.
    random_state : int
        Seed of that choice and of t-SNE. Default 0.
    title : str | None
        Title of the axes. Default: method and, of PCA, the variance that the plane holds.
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
        If there are no groups or more than seven, vectors differ in length, have fewer than two
        dimensions, are not finite or all the same, there are fewer than four, or the method is
        unknown.
    TypeError
        If ``vectors`` is no mapping.

    Examples
    --------
    >>> from mne_neurolm import NeuroLMTokenizer
    >>> from mne_neurolm.datasets import simulate_epochs
    >>> from mne_neurolm.viz import plot_embedding
    >>> epochs = simulate_epochs(n_subjects=1, random_state=0)
    >>> tokens = NeuroLMTokenizer().fit_transform(epochs)
    >>> state = epochs.metadata["state"].to_numpy()
    >>> groups = {name: tokens.hidden[state == name] for name in ("rest", "active")}
    >>> fig = plot_embedding(groups, show=False)
    >>> [text.get_text() for text in fig.axes[0].get_legend().get_texts()]
    ['rest (500)', 'active (500)']
    """
    if method not in ("pca", "tsne"):
        raise ValueError(f"method must be 'pca' or 'tsne'; got {method!r}.")
    if max_points < 1:
        raise ValueError(f"max_points must be 1 or more; got {max_points}.")
    if not isinstance(vectors, Mapping):
        raise TypeError(
            f"vectors must be a mapping of names to vectors, such as {{'EEG': tokens.hidden}}; got "
            f"{type(vectors).__name__}."
        )
    rng = np.random.default_rng(random_state)
    groups = {name: _some(name, values, max_points, rng) for name, values in vectors.items()}
    lengths = {name: array.shape[1] for name, array in groups.items()}
    if not 1 <= len(groups) <= len(_COLOURS) or len(set(lengths.values())) > 1:
        raise ValueError(
            f"vectors must hold 1 to {len(_COLOURS)} groups of vectors of one length; got lengths "
            f"{lengths}."
        )
    points = np.concatenate(list(groups.values()))
    if len(points) < 4:
        raise ValueError(f"There must be four vectors or more; got {len(points)}.")
    if not np.ptp(points, axis=0).any():
        raise ValueError("All vectors are the same; there is nothing to plot.")
    plane, labels, default = _project(points, method, random_state)

    fig, ax = get_axes(axes, (6.2, 5.0))
    ends = np.cumsum([len(array) for array in groups.values()])
    for k, (name, part) in enumerate(zip(groups, np.split(plane, ends[:-1]), strict=True)):
        ax.scatter(
            part[:, 0],
            part[:, 1],
            s=14,
            color=_COLOURS[k],
            marker=_MARKERS[k],
            alpha=0.6,
            linewidths=0,
            label=f"{name} ({len(part)})",
            rasterized=True,
        )
    ax.set(xlabel=labels[0], ylabel=labels[1], xmargin=0.04, ymargin=0.04)
    if method == "tsne":
        ax.set(xticks=[], yticks=[])
    ax.set_title(default if title is None else title, fontsize="medium", loc="left")
    legend = ax.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize="small")
    for handle in legend.legend_handles:
        if handle is not None:
            handle.set_alpha(1)
    ax.spines[["top", "right"]].set_visible(False)
    return finish(fig, show)


def _some(name: str, values: Any, max_points: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return at most so many of a group's vectors, (n, n_embd)."""
    if hasattr(values, "detach"):
        values = values.detach().float().cpu().numpy()
    array = np.asarray(values)
    if array.ndim < 2 or array.shape[-1] < 2 or not array.size:
        raise ValueError(
            f"{name!r} must hold one or more vectors of two or more dimensions, shape (..., "
            f"n_embd); got {array.shape}."
        )
    array = array.reshape(-1, array.shape[-1])
    if len(array) > max_points:
        array = array[np.sort(rng.choice(len(array), max_points, replace=False))]
    array = array.astype(np.float64)
    if not np.isfinite(array).all():
        raise ValueError(f"{name!r} holds NaN or infinite values.")
    return array


def _project(
    points: NDArray[np.float64], method: str, random_state: int
) -> tuple[NDArray[np.float64], tuple[str, str], str]:
    """Return coordinates, labels of the axes, and a title."""
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    if method == "pca":
        pca = PCA(2, svd_solver="full")
        plane = pca.fit_transform(points)
        share = pca.explained_variance_ratio_
        labels = tuple(f"Component {k + 1} ({share[k]:.0%} of the variance)" for k in range(2))
        return plane, (labels[0], labels[1]), f"PCA, {share.sum():.0%} of the variance"
    perplexity = min(30.0, (len(points) - 1) / 3)
    tsne = TSNE(2, init="pca", perplexity=perplexity, random_state=random_state)
    return tsne.fit_transform(points), ("t-SNE 1", "t-SNE 2"), f"t-SNE, perplexity {perplexity:.3g}"
