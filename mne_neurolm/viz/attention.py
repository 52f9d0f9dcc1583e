"""Figures of where the language model looks."""

from __future__ import annotations

from collections.abc import Sequence
from operator import index
from typing import TYPE_CHECKING, Any

import mne
import numpy as np

from mne_neurolm.viz._figure import BLUE, GREY, finish
from mne_neurolm.viz._scalp import MOST_CHANNELS, positions, what_bars_show

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from mne_neurolm.explain import AnswerAttention


def plot_attention(
    attention: AnswerAttention,
    info: mne.Info | None = None,
    *,
    layers: Sequence[int] | None = None,
    title: str | None = None,
    show: bool = True,
) -> Figure:
    """Plot where the language model looks when it answers, layer by layer (paper, Figure 9).

    Parameters
    ----------
    attention : AnswerAttention
        From :func:`mne_neurolm.explain.answer_attention`. Means over epochs are shown.
    info : mne.Info | None
        Where electrodes are. Without it (default), or without a place of its own for every channel,
        bars of the channels take the place of scalp maps, the twelve most attended ones.
    layers : sequence of int | None
        Layers to show in rows, counted from 0. ``None`` (default): all up to six, or else six
        spread evenly.
    title : str | None
        Title of the figure. Default: how many epochs there are.
    show : bool
        Whether to show the figure. Default True.

    Returns
    -------
    fig : matplotlib.figure.Figure
        On top the share of EEG and of the question in each layer's attention. Below, for each layer
        that is shown, the share of each channel and, where there are several, of each second in the
        attention to EEG, and the share of each word in that to the question.

    Raises
    ------
    ValueError
        If a layer is not there.

    Examples
    --------
    >>> from mne_neurolm import NeuroLMClassifier
    >>> from mne_neurolm.datasets import simulate_epochs
    >>> from mne_neurolm.explain import answer_attention
    >>> from mne_neurolm.viz import plot_attention
    >>> epochs = simulate_epochs(n_subjects=1, n_epochs_per_subject=4, random_state=0)
    >>> y = epochs.metadata["state"].map({"rest": "No", "active": "Yes"})
    >>> classifier = NeuroLMClassifier("workload", "tiny-joint", tune=None).fit(epochs, y)
    >>> fig = plot_attention(answer_attention(classifier, epochs), epochs.info, show=False)
    >>> [text.get_text() for text in fig.axes[0].get_legend().get_texts()]
    ['EEG', 'question']
    """
    import matplotlib.pyplot as plt

    eeg, text = attention.eeg.mean(axis=0), attention.text.mean(axis=0)
    n_layers = len(eeg)
    if layers is None:
        shown = np.unique(np.linspace(0, n_layers - 1, min(n_layers, 6)).round().astype(int))
    else:
        shown = np.array([index(layer) for layer in layers], dtype=int)
    if not shown.size or shown.min() < 0 or shown.max() >= n_layers:
        raise ValueError(
            f"layers must be one or more of 0 to {n_layers - 1}; got {shown.tolist()}."
        )
    where = positions(info, attention.ch_names)
    fig = plt.figure(figsize=(10.0, 2.4 + 1.9 * len(shown)), layout="constrained")
    parts: Any = fig.subfigures(2, 1, height_ratios=[2.4, 1.9 * len(shown)])
    top = parts[0].subplots()
    share = eeg.sum(axis=(1, 2))
    top.bar(range(n_layers), 100 * share, color=BLUE, label="EEG")
    top.bar(range(n_layers), 100 * (1 - share), bottom=100 * share, color=GREY, label="question")
    top.set(xlabel="Layer", ylabel="Attention (%)", ylim=(0, 100))
    top.xaxis.get_major_locator().set_params(integer=True)
    top.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize="small")
    top.spines[["top", "right"]].set_visible(False)

    # One second takes all of the attention to EEG, which is nothing to show.
    panels = ["Channels", "Seconds", "Words of the question"]
    if attention.n_seconds == 1:
        panels.remove("Seconds")
    grid = parts[1].subplots(len(shown), len(panels), squeeze=False)
    for row, layer in zip(grid, shown, strict=True):
        row[0].set_ylabel(f"layer {layer}", fontsize="small")
        of_eeg = 100 * eeg[layer] / max(float(eeg[layer].sum()), 1e-12)
        of_text = 100 * text[layer] / max(float(text[layer].sum()), 1e-12)
        channels = of_eeg.sum(axis=0)
        if where is not None:
            low, high = channels.min(), channels.max()
            image, _ = mne.viz.plot_topomap(
                channels, where, axes=row[0], cmap="cividis", vlim=(low, high), show=False
            )
            fig.colorbar(image, ax=row[0], shrink=0.8, format="%.1f")
        else:
            _bars(row[0], channels, attention.ch_names, MOST_CHANNELS)
        if attention.n_seconds > 1:
            _bars(row[1], of_eeg.sum(axis=1), [str(s) for s in range(attention.n_seconds)])
        _bars(row[-1], *_whole_words(of_text, attention.words))
    if where is None:
        panels[0] = what_bars_show(len(attention.ch_names))
    for ax, name in zip(grid[0], panels, strict=True):
        what = "question" if name.startswith("Words") else "EEG"
        ax.set_title(f"{name}\n(% of attention to {what})", fontsize="small")
    n_epochs = len(attention)
    default = f"Attention of the answer, mean over {n_epochs} epoch{'s' * (n_epochs > 1)} and heads"
    fig.suptitle(default if title is None else title, fontsize="medium", x=0.01, ha="left")
    return finish(fig, show)


def _whole_words(percent: Any, pieces: Sequence[str]) -> tuple[Any, list[str]]:
    """Put pieces of a word together, and add up what they get."""
    words, sums = [""], [0.0]
    for piece, share in zip(pieces, percent, strict=True):
        goes_on = piece[:1].isalnum() and words[-1][-1:].isalnum()
        if goes_on or not words[-1]:
            words[-1], sums[-1] = words[-1] + piece, sums[-1] + share
        else:
            words.append(piece)
            sums.append(share)
    return np.array(sums), words


def _bars(ax: Any, percent: Any, names: Sequence[str], most: int | None = None) -> None:
    """Draw bars with names below, or of the ``most`` largest only."""
    order = np.arange(len(percent))
    if most is not None and len(percent) > most:
        order = np.argsort(-percent, kind="stable")[:most]
    ax.bar(range(len(order)), percent[order], color=BLUE)
    every = max(1, -(-len(order) // 24))
    ticks = range(0, len(order), every)
    turned = len(order) > 8
    labels = [names[order[k]] for k in ticks]
    ax.set_xticks(ticks, labels, rotation=90 if turned else 0, fontsize="x-small")
    ax.spines[["top", "right"]].set_visible(False)
