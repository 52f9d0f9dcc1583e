"""Figures of epochs and what the two decoders make of their codes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import mne
import numpy as np
from numpy.typing import ArrayLike, NDArray

from mne_neurolm.viz._figure import GREY, VERMILION, finish, get_axes, picked_rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: What the values of spectra are, by the model's ``frequency_target``.
_SPECTRUM_LABELS = {
    "magnitude": "z-scored magnitude",
    "log_magnitude": "standardised log-magnitude",
    "amplitude_phase": "z-scored magnitude",
}
_MAX_PANELS = 6


def plot_reconstruction(
    original: ArrayLike,
    reconstruction: ArrayLike,
    info_or_ch_names: mne.Info | Sequence[str],
    *,
    sfreq: float | None = None,
    picks: Sequence[str] | None = None,
    title: str | None = None,
    axes: Axes | None = None,
    show: bool = True,
) -> Figure:
    """Plot one epoch over its reconstruction from codes.

    The decoder predicts waveforms that are z-scored over the whole epoch, all channels together, so
    their amplitude in volts is lost (paper, section 2.2). The original is z-scored like that here;
    the reconstruction is drawn as it is, so that a flat one looks flat. The correlation of each
    channel is written beside it.

    Parameters
    ----------
    original : array-like, shape (n_chans, n_times)
        The epoch, in any unit.
    reconstruction : array-like, shape (n_chans, n_times)
        Its reconstruction in z-scores of the epoch, as the tokenizer's ``inverse_transform`` gives
        it.
    info_or_ch_names : mne.Info | sequence of str
        Names of the channels, and with an Info also the sampling rate.
    sfreq : float | None
        Sampling rate in Hz. ``None`` (default) takes that of the Info, or 200 Hz.
    picks : sequence of str | None
        Channels to show. ``None`` (default) shows all.
    title : str | None
        Title of the axes. Default: the mean correlation over all channels, and the explained
        variance of the epoch: 1 minus the mean squared error over the variance of the z-scored
        original. It is 1 at best, 0 for a reconstruction that is zero everywhere, negative for a
        worse one.
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
        If shapes or names do not match, a value is not finite, or the original is constant.

    Examples
    --------
    >>> from mne_neurolm import NeuroLMTokenizer
    >>> from mne_neurolm.datasets import simulate_epochs
    >>> from mne_neurolm.viz import plot_reconstruction
    >>> epochs = simulate_epochs(n_subjects=1, n_epochs_per_subject=2, random_state=0)
    >>> tokenizer = NeuroLMTokenizer()
    >>> decoded = tokenizer.inverse_transform(tokenizer.fit_transform(epochs))
    >>> fig = plot_reconstruction(epochs.get_data()[0], decoded[0], epochs.info, show=False)
    >>> len(fig.axes[0].get_yticks())  # channels
    19
    """
    if isinstance(info_or_ch_names, mne.Info):
        ch_names = list(info_or_ch_names["ch_names"])
        sfreq = info_or_ch_names["sfreq"] if sfreq is None else sfreq
    else:
        ch_names = list(info_or_ch_names)
    rate = 200.0 if sfreq is None else float(sfreq)
    before, after = _finite(original, reconstruction)
    if before.ndim != 2 or before.shape != after.shape or len(before) != len(ch_names):
        raise ValueError(
            "original and reconstruction must both have shape (n_chans, n_times) with one channel "
            f"per name; got {before.shape}, {after.shape} and {len(ch_names)} names. Give one "
            "epoch."
        )
    spread = before.std(ddof=1)
    if not spread > 0:
        raise ValueError("original is constant; there is no waveform to plot.")
    before = (before - before.mean()) / spread
    shown = picked_rows(ch_names, picks)
    correlations = [_correlation(x, y) for x, y in zip(before, after, strict=True)]
    explained = 1.0 - np.square(after - before).mean() / before.var()
    times = np.arange(before.shape[1]) / rate
    # Rows as far apart as the signals are wide, outliers aside.
    spacing = 1.2 * np.quantile(np.abs(before[shown]), 0.995) + 1.0

    fig, ax = get_axes(axes, (9.0, max(2.4, 1.4 + 0.38 * len(shown))))
    offsets = -spacing * np.arange(len(shown))
    for offset, k in zip(offsets, shown, strict=True):
        ax.plot(times, before[k] + offset, color="black", lw=0.8, label="original")
        ax.plot(times, after[k] + offset, color=VERMILION, lw=1.1, label="reconstruction")
        ax.annotate(
            f"r = {_number(correlations[k])}",
            (1.01, offset),
            xycoords=("axes fraction", "data"),
            va="center",
            fontsize="small",
        )
    ax.set(
        yticks=offsets,
        yticklabels=[ch_names[k] for k in shown],
        xlim=(0, before.shape[1] / rate),
        ylim=(offsets[-1] - spacing, spacing),
        xlabel="Time (s)",
        ylabel="Channel (z-scored)",
    )
    for second in np.arange(1, before.shape[1] / rate):
        ax.axvline(second, color=GREY, lw=0.5, zorder=0)
    default = f"Mean correlation {_number(_mean(correlations))}, "
    default += f"explained variance {_number(explained)}"
    ax.set_title(default if title is None else title, fontsize="medium", loc="left")
    ax.legend(
        *(handles[:2] for handles in ax.get_legend_handles_labels()),
        loc="lower right",
        bbox_to_anchor=(1.0, 1.0),
        ncols=2,
        frameon=False,
        fontsize="small",
    )
    ax.spines[["top", "right"]].set_visible(False)
    return finish(fig, show)


def plot_spectra(
    original: ArrayLike,
    reconstruction: ArrayLike,
    ch_names: Sequence[str],
    *,
    frequencies: ArrayLike | None = None,
    picks: Sequence[str] | None = None,
    target: str = "magnitude",
    title: str | None = None,
    axes: Axes | Sequence[Axes] | None = None,
    show: bool = True,
) -> Figure:
    """Plot the spectra of one epoch over those decoded from its codes, one panel per channel.

    The frequency decoder predicts the magnitudes of the discrete Fourier transform of every patch
    (paper, section 2.2). A patch lasts one second, so its bins are 1 Hz apart. Each panel shows the
    mean over the epoch's seconds, and the correlation of the two means over frequencies.

    Parameters
    ----------
    original : array-like, shape (n_tokens, n_frequencies)
        What the decoder should predict for one epoch, ``model.vq.targets(patches)[0]`` of it.
        Tokens are time-major: all channels of the first second, then of the next.
    reconstruction : array-like, shape (n_tokens, n_frequencies)
        What it predicts from the codes, ``model.vq.decode_codes(codes, channels, times)[0]``.
    ch_names : sequence of str, length n_chans
        Names of the channels; ``n_tokens`` is a multiple of ``n_chans``.
    frequencies : array-like, shape (n_frequencies,) | None
        Frequencies in Hz. ``None`` (default): 0, 1, 2 and so on.
    picks : sequence of str | None
        Channels to show. ``None`` (default) shows all up to six, or else six spread evenly over the
        list of channels.
    target : "magnitude" | "log_magnitude" | "amplitude_phase"
        What the values are, the model's ``frequency_target``: magnitudes z-scored over the epoch
        (default, and those of ``"amplitude_phase"``), or log-magnitudes standardised per frequency
        over the training data.
    title : str | None
        Title of the figure. ``None`` (default): mean over all channels of the correlation of the
        means over seconds, and of that of single tokens; with ``axes`` no title.
    axes : matplotlib.axes.Axes | sequence of Axes | None
        Where to plot, one per channel that is shown. ``None`` (default) makes a figure.
    show : bool
        Whether to show the figure. Default True.

    Returns
    -------
    fig : matplotlib.figure.Figure
        The figure.

    Raises
    ------
    ValueError
        If shapes, names or axes do not match, a value is not finite, or the target is unknown.

    Examples
    --------
    >>> import torch
    >>> from mne_neurolm import NeuroLMTokenizer
    >>> from mne_neurolm.datasets import simulate_epochs
    >>> from mne_neurolm.patches import make_patches
    >>> from mne_neurolm.viz import plot_spectra
    >>> epochs = simulate_epochs(n_subjects=1, n_epochs_per_subject=2, random_state=0)
    >>> tokenizer = NeuroLMTokenizer().fit(epochs)
    >>> vq, patches = tokenizer.model_.vq, make_patches(epochs)
    >>> data, *where = map(torch.from_numpy, (patches.data, patches.channels, patches.times))
    >>> with torch.no_grad():
    ...     original, _ = vq.targets(data)
    ...     decoded, _ = vq.decode_codes(vq.codes(vq.encode(data, *where)), *where)
    >>> names, target = patches.ch_names, vq.frequency_target
    >>> fig = plot_spectra(
    ...     original[0], decoded[0], names, picks=["Cz", "O1"], target=target, show=False
    ... )
    >>> [ax.get_title(loc="left").split(",")[0] for ax in fig.axes]
    ['Cz', 'O1']
    """
    if target not in _SPECTRUM_LABELS:
        raise ValueError(f"target must be one of {tuple(_SPECTRUM_LABELS)}; got {target!r}.")
    names = list(ch_names)
    before, after = _finite(original, reconstruction)
    hertz = np.arange(before.shape[-1]) if frequencies is None else np.asarray(frequencies)
    wrong = before.ndim != 2 or before.shape != after.shape or hertz.shape != before.shape[1:]
    if wrong or not names or not len(before) or len(before) % len(names):
        raise ValueError(
            "original and reconstruction must both have shape (n_tokens, n_frequencies), where "
            "n_tokens is a multiple of the number of channels, with one value of frequencies per "
            f"column; got {before.shape}, {after.shape}, {len(names)} channel names and "
            f"frequencies of shape {hertz.shape}. Give one epoch."
        )
    shown = picked_rows(names, picks)
    if picks is None and len(names) > _MAX_PANELS:
        shown = np.linspace(0, len(names) - 1, _MAX_PANELS).round().astype(int).tolist()
    of_tokens = _mean([_correlation(x, y) for x, y in zip(before, after, strict=True)])
    n_seconds = len(before) // len(names)
    before, after = (a.reshape(n_seconds, len(names), -1).mean(axis=0) for a in (before, after))
    correlations = [_correlation(x, y) for x, y in zip(before, after, strict=True)]

    fig, panels = _get_panels(axes, len(shown))
    for ax, k in zip(panels, shown, strict=True):
        # Zero is the mean: of the epoch's magnitudes, or of the training data at each frequency.
        ax.axhline(0, color=GREY, lw=0.5, zorder=0)
        ax.plot(hertz, before[k], color="black", lw=1.0, label="original")
        ax.plot(hertz, after[k], color=VERMILION, lw=1.3, label="reconstruction")
        ax.set_title(f"{names[k]}, r = {_number(correlations[k])}", fontsize="small", loc="left")
        ax.set(xlim=(hertz[0], hertz[-1]))
        ax.spines[["top", "right"]].set_visible(False)
    label = _SPECTRUM_LABELS[target].capitalize()
    if axes is not None:
        for ax in panels:
            ax.set(xlabel="Frequency (Hz)", ylabel=label)
        panels[0].legend(frameon=False, fontsize="small")
        if title is not None:
            fig.suptitle(title, fontsize="medium")
        return finish(fig, show)
    if title is None:
        title = f"Mean correlation {_number(_mean(correlations))}"
        if n_seconds > 1:
            title += f" of means over {n_seconds} s, {_number(of_tokens)} of single tokens"
    fig.supxlabel("Frequency (Hz)", fontsize="medium")
    fig.supylabel(label, fontsize="medium")
    # Side by side above the panels, where the legend covers no line.
    fig.suptitle(title, fontsize="medium", x=0.01, ha="left")
    fig.legend(
        *(handles[:2] for handles in panels[0].get_legend_handles_labels()),
        loc="upper right",
        ncols=2,
        frameon=False,
        fontsize="small",
        borderaxespad=0.2,
    )
    return finish(fig, show)


def _get_panels(axes: Axes | Sequence[Axes] | None, n: int) -> tuple[Figure, list[Axes]]:
    """Return the given axes with their figure, or a new grid with common scales."""
    if axes is not None:
        given = np.asarray(axes, dtype=object).ravel().tolist()
        if len(given) != n:
            raise ValueError(
                f"{n} channels are shown, so axes must hold {n}; got {len(given)}. Choose channels "
                "with picks."
            )
        return get_axes(given[0], (0, 0))[0], given
    import matplotlib.pyplot as plt

    n_columns = min(n, 3)
    n_rows = -(-n // n_columns)
    fig, grid = plt.subplots(
        n_rows,
        n_columns,
        figsize=(max(7.0, 3.0 * n_columns), 0.9 + 1.9 * n_rows),
        layout="constrained",
        sharex=True,
        sharey=True,
        squeeze=False,
    )
    for ax in grid.ravel()[n:]:
        ax.remove()
    # Nothing may be left below the last panel of a column to carry its tick labels.
    for ax in grid.ravel()[max(0, n - n_columns) : n]:
        ax.tick_params(labelbottom=True)
    return fig, grid.ravel()[:n].tolist()


def _finite(
    original: ArrayLike, reconstruction: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return both as arrays, or raise if they hold what can't be drawn."""
    before = np.asarray(original, dtype=np.float64)
    after = np.asarray(reconstruction, dtype=np.float64)
    for name, array in (("original", before), ("reconstruction", after)):
        if not np.isfinite(array).all():
            raise ValueError(f"{name} holds NaN or infinite values; plot an epoch without them.")
    return before, after


def _correlation(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """Return the correlation of two channels, NaN if one is constant."""
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return float("nan")
    x, y = x - x.mean(), y - y.mean()
    scale = np.linalg.norm(x) * np.linalg.norm(y)
    return float(x @ y / scale) if scale > 0 else float("nan")


def _mean(correlations: Sequence[float]) -> float:
    """Return the mean of the correlations that exist, NaN if none does."""
    exist = [r for r in correlations if np.isfinite(r)]
    return float(np.mean(exist)) if exist else float("nan")


def _number(value: float) -> str:
    """Return a value with two decimals, a dash where it does not exist."""
    return f"{value:z.2f}" if np.isfinite(value) else "–"
