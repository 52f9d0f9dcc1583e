"""Figures of what is encoded where, and of what codes stand for."""

from __future__ import annotations

from collections.abc import Sequence
from operator import index
from typing import TYPE_CHECKING, Any

import mne
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.signal import periodogram

from mne_neurolm.patches import SFREQ, VOLTS_PER_UNIT, Patches, make_patches
from mne_neurolm.tokens import EEGTokens
from mne_neurolm.viz._figure import BLUE, GREY, finish, get_axes, picked_rows
from mne_neurolm.viz._scalp import positions
from mne_neurolm.viz.tokens import plot_code_usage

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MAX_HERTZ = 45.0  # below both power lines
_MICROVOLTS = 1e6 * VOLTS_PER_UNIT
_CHUNK = 8192  # patches at a time


def plot_codes(
    tokens: EEGTokens,
    epoch: int = 0,
    *,
    codebook: ArrayLike | None = None,
    picks: Sequence[str] | None = None,
    title: str | None = None,
    axes: Axes | None = None,
    show: bool = True,
) -> Figure:
    """Plot the codes of one epoch, channels by seconds.

    Parameters
    ----------
    tokens : EEGTokens
        What the tokenizer made of epochs.
    epoch : int
        Which of them; negative numbers count from the end. Default 0.
    codebook : array-like, shape (n_codes, code_dim) | None
        Vectors of the codes, such as ``tokenizer.model_.vq.codebook.weight``. The codes that occur
        in ``tokens`` are then coloured by their order along the first principal component of the
        vectors of all tokens, so that similar colours are similar codes. ``None`` (default) colours
        by how often a code occurs in all of ``tokens``: the number of a code has no meaning.
    picks : sequence of str | None
        Channels to show. ``None`` (default) shows all.
    title : str | None
        Title of the axes. Default: the epoch, and how many different codes it has.
    axes : matplotlib.axes.Axes | None
        Where to plot. ``None`` (default) makes a figure.
    show : bool
        Whether to show the figure. Default True.

    Returns
    -------
    fig : matplotlib.figure.Figure
        The figure. Codes are written into their fields while there is room.

    Raises
    ------
    IndexError
        If there is no such epoch.
    ValueError
        If a channel is unknown, or the codebook has too few vectors.

    Examples
    --------
    >>> from mne_neurolm import NeuroLMTokenizer
    >>> from mne_neurolm.datasets import simulate_epochs
    >>> from mne_neurolm.viz import plot_codes
    >>> tokens = NeuroLMTokenizer().fit_transform(simulate_epochs(n_subjects=1, random_state=0))
    >>> fig = plot_codes(tokens, picks=["Cz", "Pz"], show=False)
    >>> [label.get_text() for label in fig.axes[0].get_yticklabels()]
    ['Cz', 'Pz']
    """
    if not -len(tokens) <= epoch < len(tokens):
        raise IndexError(f"There are {len(tokens)} epochs, got epoch={epoch}.")
    names = list(tokens.ch_names)
    shown = picked_rows(names, picks)
    codes = tokens.codes[epoch].reshape(tokens.n_seconds, tokens.n_channels).T[shown]
    if codebook is None:
        value, label = np.bincount(tokens.codes.ravel()).astype(np.float64), "Tokens with this code"
    else:
        if hasattr(codebook, "detach"):  # a parameter, perhaps of a model on a GPU
            codebook = codebook.detach().float().cpu()
        value = _order(np.asarray(codebook, dtype=np.float64), tokens)
        label = "Place on the codes' first component"
    field = value[codes]

    size = (1.9 + 0.55 * max(codes.shape[1], 6), 1.3 + 0.24 * max(len(shown), 6))
    fig, ax = get_axes(axes, (min(size[0], 12.0), min(size[1], 14.0)))
    image = ax.imshow(
        field,
        cmap="cividis",
        aspect="auto",
        interpolation="nearest",
        vmin=0,
        vmax=max(field.max(), 1) if codebook is None else 1,
    )
    if codes.shape[1] <= 16:
        low, high = image.get_clim()
        for (row, column), code in np.ndenumerate(codes):
            dark = field[row, column] < low + 0.55 * (high - low)
            colour = "white" if dark else "black"
            ax.text(column, row, str(code), ha="center", va="center", color=colour, fontsize=7)
    every = max(1, -(-codes.shape[1] // 16))
    seconds = range(0, codes.shape[1], every)
    ax.set(xticks=seconds, xticklabels=[str(s) for s in seconds], xlabel="Second")
    ax.set_yticks(range(len(shown)), [names[k] for k in shown])
    ax.set_ylabel("Channel")
    number = epoch % len(tokens)
    default = f"Epoch {number}: {len(np.unique(codes))} different codes in {codes.size} tokens"
    ax.set_title(default if title is None else title, fontsize="medium", loc="left")
    fig.colorbar(image, ax=ax, label=label)
    return finish(fig, show)


def plot_codebook(
    tokens: EEGTokens,
    epochs: mne.BaseEpochs | Patches,
    codebook_size: int,
    *,
    codes: Sequence[int] | None = None,
    info: mne.Info | None = None,
    title: str | None = None,
    show: bool = True,
) -> Figure:
    """Plot how often codes are used, and what the EEG looks like where they are.

    Parameters
    ----------
    tokens : EEGTokens
        What the tokenizer made of ``epochs``.
    epochs : mne.BaseEpochs | Patches
        The epochs, or their patches (:func:`mne_neurolm.patches.make_patches`).
    codebook_size : int
        Number of codes in the codebook, ``tokenizer.model_.config.codebook_size``.
    codes : sequence of int | None
        Codes to show, a row each. ``None`` (default): the five most frequent ones.
    info : mne.Info | None
        Where electrodes are. ``None`` (default): that of the epochs. Without a place of its own for
        every channel there is no scalp map.
    title : str | None
        Title of the figure. Default: none.
    show : bool
        Whether to show the figure. Default True.

    Returns
    -------
    fig : matplotlib.figure.Figure
        On top the usage of codes (:func:`plot_code_usage`). For each code the mean waveform of its
        patches in µV, with the range between quartiles; their mean spectrum in decibels (Hann
        window, 1 Hz apart), beside that of all patches in grey; and the share of each channel's
        tokens that have the code.

    Raises
    ------
    ValueError
        If tokens and epochs do not belong together, or a code does not occur or lies outside the
        codebook.
    TypeError
        If ``epochs`` are neither, or codes are no integers.

    Examples
    --------
    >>> from mne_neurolm import NeuroLMTokenizer
    >>> from mne_neurolm.datasets import simulate_epochs
    >>> from mne_neurolm.viz import plot_codebook
    >>> epochs = simulate_epochs(n_subjects=1, random_state=0)
    >>> tokens = NeuroLMTokenizer().fit_transform(epochs)
    >>> fig = plot_codebook(tokens, epochs, 1024, show=False)
    >>> fig.axes[0].get_xlabel()
    'Rank of the code (of 1024)'
    """
    import matplotlib.pyplot as plt

    if isinstance(epochs, Patches):
        patches = epochs
    elif isinstance(epochs, mne.BaseEpochs):
        # The tokens say which channels are meant; others are not missed.
        patches = make_patches(epochs, on_missing="ignore", verbose="error")
    else:
        raise TypeError(
            f"epochs must be mne.Epochs or Patches; got {type(epochs).__name__}. make_patches "
            "makes Patches of lists and arrays."
        )
    patches = patches.reorder(tokens.channels[: tokens.n_channels])
    if patches.data.shape[:2] != tokens.codes.shape or (patches.channels != tokens.channels).any():
        raise ValueError(
            f"tokens ({len(tokens)} epochs of {tokens.n_channels} channels x {tokens.n_seconds} s) "
            f"were not made of these epochs ({len(patches)} of {patches.n_channels} x "
            f"{patches.n_seconds} s). Pass what the tokenizer was given."
        )
    counts = np.bincount(tokens.codes.ravel())
    if len(counts) > codebook_size:
        raise ValueError(
            f"tokens have codes up to {len(counts) - 1}, but codebook_size is {codebook_size}; "
            "pass that of the tokenizer that made them."
        )
    chosen = [
        index(c) for c in (np.argsort(-counts, kind="stable")[:5] if codes is None else codes)
    ]
    chosen = [c for c in chosen if codes is not None or counts[c]]
    absent = [c for c in chosen if not 0 <= c < len(counts) or not counts[c]]
    if absent or not chosen:
        raise ValueError(
            f"codes must be one or more codes that occur in tokens; {absent} do not. "
            "np.unique(tokens.codes) has them."
        )
    if info is None and not isinstance(epochs, Patches):
        info = epochs.info
    where = positions(info, tokens.ch_names)
    hertz, of_all = _decibels(patches.data.reshape(-1, patches.data.shape[-1]))

    n_columns = 2 if where is None else 3  # waveform, spectrum, scalp
    widths = [1.0, 1.0, 0.6][:n_columns]  # maps are square
    size = (3.2 * sum(widths), 2.6 + 1.5 * len(chosen))
    fig = plt.figure(figsize=size, layout="constrained")
    rows: Any = fig.subfigures(2, 1, height_ratios=[2.6, 1.5 * len(chosen)])
    top, below = rows
    plot_code_usage(tokens.codes, codebook_size, axes=top.subplots(), show=False)
    grid = below.subplots(len(chosen), n_columns, squeeze=False, width_ratios=widths)
    for panels, code in zip(grid, chosen, strict=True):
        there = tokens.codes == code
        own = patches.data[there]
        _plot_waveform(panels[0], own, f"code {code}\n{len(own)} token{'s' * (len(own) > 1)}")
        panels[1].plot(hertz, of_all, color=GREY, lw=1.2, label="all patches")
        panels[1].plot(hertz, _decibels(own)[1], color=BLUE, lw=1.4, label="with this code")
        if where is not None:
            shares = there.reshape(len(tokens), tokens.n_seconds, -1).mean(axis=(0, 1))
            _plot_scalp(fig, panels[2], 100 * shares, where)
        for ax in panels[:2]:
            ax.spines[["top", "right"]].set_visible(False)
            ax.margins(x=0)
            ax.tick_params(labelbottom=code == chosen[-1])
    grid[0, 0].set_title("Mean waveform, quartiles (µV)", fontsize="small")
    grid[0, 1].set_title("Spectrum (dB re 1 µV²/Hz)", fontsize="small")
    grid[0, 1].legend(frameon=False, fontsize="x-small")
    if where is not None:
        grid[0, 2].set_title("Share of the\nchannel's tokens (%)", fontsize="small")
    grid[-1, 0].set_xlabel("Time (s)")
    grid[-1, 1].set_xlabel("Frequency (Hz)")
    if title is not None:
        fig.suptitle(title, fontsize="medium")
    return finish(fig, show)


def _order(codebook: NDArray[np.float64], tokens: EEGTokens) -> NDArray[np.float64]:
    """Return the place of each code that occurs on their first principal component, 0 to 1.

    NaN for the others: a codebook holds many codes of what these tokens are not.
    """
    largest = int(tokens.codes.max(initial=0))
    if codebook.ndim != 2 or len(codebook) <= largest:
        raise ValueError(
            f"codebook must have one vector per code, shape (n_codes, code_dim), and tokens have "
            f"codes up to {largest}; got shape {codebook.shape}."
        )
    there, counts = np.unique(tokens.codes, return_counts=True)
    centred = codebook[there] - np.average(codebook[there], axis=0, weights=counts)
    axis = np.linalg.svd(np.sqrt(counts)[:, None] * centred, full_matrices=False)[2][0]
    place = np.full(len(codebook), np.nan)
    place[there] = np.argsort(np.argsort(centred @ axis, kind="stable")) / max(len(there) - 1, 1)
    return place


def _decibels(patches: NDArray[np.float32]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return frequencies, and the mean power of patches (n, 200) as decibels re 1 µV²/Hz."""
    total: Any = 0.0
    for start in range(0, len(patches), _CHUNK):  # all at once would take many times their space
        part = patches[start : start + _CHUNK].astype(np.float64) * _MICROVOLTS
        hertz, power = periodogram(part, SFREQ, window="hann", detrend="constant")
        total = total + power.sum(axis=0)
    low = (hertz >= 1) & (hertz <= _MAX_HERTZ)
    return hertz[low], 10 * np.log10(np.maximum(total[low] / len(patches), 1e-12))


def _plot_waveform(ax: Axes, own: NDArray[np.float32], label: str) -> None:
    microvolts = own.astype(np.float64) * _MICROVOLTS
    times = np.arange(own.shape[1]) / SFREQ
    low, high = np.quantile(microvolts, [0.25, 0.75], axis=0)
    ax.fill_between(times, low, high, color=BLUE, alpha=0.2, lw=0)
    ax.plot(times, microvolts.mean(axis=0), color=BLUE, lw=1.4)
    ax.axhline(0, color=GREY, lw=0.5, zorder=0)
    ax.set_ylabel(label, fontsize="small")


def _plot_scalp(fig: Figure, ax: Axes, percent: NDArray[np.float64], info: mne.Info) -> None:
    image, _ = mne.viz.plot_topomap(
        percent, info, axes=ax, cmap="cividis", vlim=(0, max(percent.max(), 1e-9)), show=False
    )
    fig.colorbar(image, ax=ax, shrink=0.8, format="%.2g")
