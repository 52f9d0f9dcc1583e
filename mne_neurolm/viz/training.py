"""Figures of a training run: losses, accuracies and perplexities over steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mne_neurolm.utils.history import load_metrics, name_stage
from mne_neurolm.viz._figure import BLUE, VERMILION, finish, get_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

#: One run: its folder, its ``metrics.jsonl``, or the lines of that file.
Run = str | Path | Sequence[Mapping[str, Any]]


# Three more of the same palette.
GREEN, PURPLE, ORANGE = "#009E73", "#CC79A7", "#E69F00"


class _Curve(NamedTuple):
    term: str
    label: str
    color: str


class _Panel(NamedTuple):
    label: str
    curves: tuple[_Curve, ...]
    scale: str = "linear"


# The panels of every stage, top to bottom; only those with a term that was logged are drawn. EEG,
# answers and text keep their colours over all panels and stages (paper, figure 7).
_PANELS = (
    _Panel(
        "Loss",
        (
            _Curve("loss", "total", "black"),
            _Curve("frequency", "spectrum", BLUE),
            _Curve("phase", "phase", PURPLE),
            _Curve("raw", "waveform", VERMILION),
            _Curve("commitment", "commitment", GREEN),
            _Curve("masked", "masked codes", BLUE),
            _Curve("eeg", "EEG", BLUE),
            _Curve("answer", "answer", GREEN),
            _Curve("text", "text", VERMILION),
        ),
    ),
    # What is predicted from hidden states, beside the same from codes above.
    _Panel(
        "Loss, hidden states",
        (
            _Curve("hidden_frequency", "spectrum", BLUE),
            _Curve("hidden_phase", "phase", PURPLE),
            _Curve("hidden_raw", "waveform", VERMILION),
            _Curve("hidden_scalp", "scalp", ORANGE),
        ),
    ),
    _Panel(
        "Domain loss",
        (
            _Curve("domain_eeg", "EEG", BLUE),
            _Curve("domain_text", "text", VERMILION),
        ),
    ),
    _Panel(
        "Accuracy",
        (
            _Curve("masked_accuracy", "masked codes", BLUE),
            _Curve("eeg_accuracy", "EEG", BLUE),
            _Curve("answer_accuracy", "answer", GREEN),
            _Curve("text_accuracy", "text", VERMILION),
        ),
    ),
    _Panel(
        "Perplexity",
        (_Curve("eeg_perplexity", "EEG", BLUE), _Curve("text_perplexity", "text", VERMILION)),
        "log",
    ),
    _Panel("Codebook perplexity", (_Curve("codebook_perplexity", "codes", PURPLE),)),
    _Panel("Codes used (share)", (_Curve("codebook_used", "codes", PURPLE),)),
)
# How training steps are drawn, with and without a moving mean, that mean, and validation.
_THIN: dict[str, Any] = {"lw": 0.6, "alpha": 0.35}
_PLAIN: dict[str, Any] = {"lw": 1.2}
_THICK: dict[str, Any] = {"lw": 1.6}
_POINTS: dict[str, Any] = {"ls": "--", "lw": 1.0, "marker": "o", "ms": 4.5, "mec": "white"}
_MOST_COLUMNS = 3
# Points that the smoothed line averages over: this share of all.
_SMOOTHING = 0.04


def plot_training(
    runs: Run | Sequence[Run],
    *,
    names: Sequence[str] | None = None,
    smooth: int | None = None,
    title: str | None = None,
    axes: Axes | Sequence[Axes] | None = None,
    show: bool = True,
) -> Figure:
    """Plot the curves of one or several training runs, as in figure 7 of the paper.

    Thin lines are the logged training steps, thick ones their moving mean, points joined by dashes
    the validation at the end of an epoch. One run fills a row of panels; several runs, for example
    those of all stages, stand side by side, one column each.

    Parameters
    ----------
    runs : str | pathlib.Path | sequence of dict, or a sequence of these
        A run's folder, its ``metrics.jsonl``, or the lines of it as dictionaries; or several.
    names : sequence of str | None
        What to call the runs. ``None`` (default): the stage that the terms belong to, with the name
        of the folder when there are several of a stage.
    smooth : int | None
        Number of logged steps that the moving mean averages over; 1 draws none. ``None`` (default):
        4% of the run's.
    title : str | None
        Title of the figure. ``None`` (default): none.
    axes : matplotlib.axes.Axes | sequence of Axes | None
        Where to plot: one for each panel of the first run, then of the next, and so on. ``None``
        (default) makes a figure.
    show : bool
        Whether to show the figure. Default True.

    Returns
    -------
    fig : matplotlib.figure.Figure
        The figure.

    Raises
    ------
    FileNotFoundError
        If there is no run.
    ValueError
        If a run has no logged step or none of the known terms, or names or axes do not match.

    Notes
    -----
    Steps without a value, such as those that were skipped for a loss that was not finite, leave a
    gap in the thin line. A last line that a kill tore is left out.

    Examples
    --------
    >>> import numpy as np
    >>> from mne_neurolm.viz import plot_training
    >>> lines = [{"step": k, "loss": np.exp(-k / 20), "codebook_used": k / 50} for k in range(50)]
    >>> lines[-1]["val_loss"] = 0.1  # at the end of an epoch
    >>> fig = plot_training(lines, show=False)
    >>> [ax.get_ylabel() for ax in fig.axes]
    ['Loss', 'Codes used (share)']
    """
    listed = _as_list(runs)
    histories = [load_metrics(run) for run in listed]
    if names is None:
        names = _default_names(listed, histories)
    if len(names) != len(histories) or not histories:
        raise ValueError(
            f"There must be one run or more and one name for each; got {len(histories)} runs and "
            f"{len(names)} names."
        )
    if smooth is not None and smooth < 1:
        raise ValueError(f"smooth must be a number of steps, 1 or more; got {smooth}.")
    columns = [[panel for panel in _PANELS if _logged(panel, history)] for history in histories]
    for name, panels in zip(names, columns, strict=True):
        if not panels:
            terms = ", ".join(curve.term for panel in _PANELS for curve in panel.curves)
            raise ValueError(f"{name}: no line holds a number for any of {terms}.")
    fig, grid = _make_axes(axes, [len(panels) for panels in columns])
    for name, panels, column, history in zip(names, columns, grid, histories, strict=True):
        for ax, panel in zip(column, panels, strict=True):
            _draw(ax, panel, history, smooth)
        for ax in column if axes is not None or len(columns) == 1 else column[-1:]:
            ax.set_xlabel("Step")
        if len(columns) > 1:
            column[0].set_title(name, fontsize="medium", fontweight="bold", pad=24)
    if axes is None:
        logged = {term for history in histories for entry in history for term in entry}
        smoothed = any(_width(history, smooth) > 1 for history in histories)
        keys = [_key("logged steps", color="0.3", **(_THIN if smoothed else _PLAIN))]
        if smoothed:
            keys.append(_key("moving mean", color="0.3", **_THICK))
        if any(term.startswith("val_") for term in logged):
            keys.append(_key("validation", color="0.3", **_POINTS))
        fig.legend(
            handles=keys,
            loc="outside lower center",
            ncols=len(keys),
            frameon=False,
            fontsize="small",
        )
    if title is not None:
        fig.suptitle(title, fontsize="medium")
    return finish(fig, show)


def _as_list(runs: Any) -> list[Any]:
    """Return a list of runs, whether one or several were given."""
    if isinstance(runs, str | Path):
        return [runs]
    runs = list(runs)
    return [runs] if runs and isinstance(runs[0], Mapping) else runs


def _default_names(runs: Sequence[Any], histories: Sequence[Sequence[Mapping]]) -> list[str]:
    stages = [name_stage(history) for history in histories]
    names = []
    for k, (run, stage) in enumerate(zip(runs, stages, strict=True)):
        folder = f"run {k + 1}"
        if isinstance(run, str | Path):
            path = Path(run)
            folder = path.parent.name if path.suffix == ".jsonl" else path.name
        alone = stage is not None and stages.count(stage) == 1
        names.append(str(stage) if alone else f"{stage or ''} {folder}".strip())
    return names


def _logged(panel: _Panel, history: Sequence[Mapping[str, Any]]) -> list[_Curve]:
    """Return the curves of a panel that have at least one value."""
    return [
        curve
        for curve in panel.curves
        if any(
            np.isfinite(_values(history, prefix + curve.term)[1]).any() for prefix in ("", "val_")
        )
    ]


def _values(
    history: Sequence[Mapping[str, Any]], term: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return steps and values of a term where it was logged; NaN stands for no number."""
    there = [entry for entry in history if term in entry]
    steps = np.array([entry["step"] for entry in there], dtype=np.float64)
    values = [entry[term] for entry in there]
    numbers = [v if isinstance(v, int | float) else np.nan for v in values]
    return steps, np.array(numbers, dtype=np.float64)


def _width(history: Sequence[Mapping[str, Any]], smooth: int | None) -> int:
    """Return how many logged steps the moving mean spans: odd, so that it is centred."""
    if len(history) < 3:
        return 1
    width = max(1, round(_SMOOTHING * len(history))) if smooth is None else smooth
    return width + (width + 1) % 2


def _smoothed(values: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """Return the mean over ``width`` neighbours, fewer at the ends, without those not finite."""
    finite = np.isfinite(values)
    window = np.ones(min(width, len(values)))
    total = np.convolve(np.where(finite, values, 0.0), window, mode="same")
    count = np.convolve(finite.astype(float), window, mode="same")
    return np.divide(total, count, out=np.full(len(values), np.nan), where=count > 0.5)


def _draw(
    ax: Axes, panel: _Panel, history: Sequence[Mapping[str, Any]], smooth: int | None
) -> None:
    from matplotlib.ticker import MaxNLocator

    curves = _logged(panel, history)
    drawn = []
    for curve in curves:
        steps, values = _values(history, curve.term)
        width = _width(history, smooth)
        if width == 1:
            alone = "." if np.isfinite(values).sum() == 1 else None  # a line of one point is none
            ax.plot(steps, values, color=curve.color, label=curve.label, marker=alone, **_PLAIN)
        else:
            ax.plot(steps, values, color=curve.color, **_THIN)
            mean = _smoothed(values, width)
            ax.plot(steps, mean, color=curve.color, label=curve.label, **_THICK)
        drawn.append(values)
        steps, values = _values(history, f"val_{curve.term}")
        there = np.isfinite(values)
        ax.plot(steps[there], values[there], color=curve.color, zorder=3, **_POINTS)
        drawn.append(values[there])
    ax.set_ylabel(panel.label)
    ax.margins(x=0.03)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10], integer=True))
    if panel.scale == "log":
        _use_plain_log(ax, np.concatenate(drawn))
    elif np.nanmin(np.concatenate(drawn)) >= 0:
        ax.set_ylim(0, max(ax.get_ylim()[1], 1.05 * np.nanmax(np.concatenate(drawn))))
    first, last = history[0]["step"], history[-1]["step"]
    if first == last:
        ax.set_xlim(first - 1, last + 1)
    ax.spines[["top", "right"]].set_visible(False)
    # Above the axes, where it covers no curve.
    ax.legend(
        handles=[_key(curve.label, color=curve.color, **_THICK) for curve in curves],
        loc="lower left",
        bbox_to_anchor=(0.0, 1.0),
        ncols=len(curves),
        frameon=False,
        fontsize="small",
        handlelength=1.0,
        columnspacing=0.8,
        handletextpad=0.4,
        borderaxespad=0.3,
        borderpad=0.0,
    )


def _use_plain_log(ax: Axes, values: NDArray[np.float64]) -> None:
    """Scale the vertical axis logarithmically, with plain numbers as labels."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    ax.set_yscale("log")
    positive = values[np.isfinite(values) & (values > 0)]
    decades = np.log10(positive.max() / positive.min()) if positive.size else 0.0
    plain = FuncFormatter(lambda value, _: f"{value:,g}")
    ax.yaxis.set_major_formatter(plain)
    if decades < 2:
        ax.yaxis.set_minor_locator(LogLocator(subs=(2, 5) if decades > 0.5 else (1.5, 2, 3, 5, 7)))
        ax.yaxis.set_minor_formatter(plain)
    else:
        ax.yaxis.set_minor_formatter(NullFormatter())


def _key(label: str, **style: Any) -> Line2D:
    """Return an entry of a legend."""
    from matplotlib.lines import Line2D

    return Line2D([], [], label=label, **style)


def _make_axes(
    axes: Axes | Sequence[Axes] | None, n_panels: Sequence[int]
) -> tuple[Figure, list[list[Axes]]]:
    """Return the axes of every run's panels, given or new."""
    if axes is not None:
        given = np.asarray(axes, dtype=object).ravel().tolist()
        if len(given) != sum(n_panels):
            raise ValueError(
                f"axes must hold {sum(n_panels)}, one for each panel of each run "
                f"({', '.join(map(str, n_panels))}); got {len(given)}."
            )
        ends = np.cumsum(n_panels)
        grid = [given[end - n : end] for n, end in zip(n_panels, ends, strict=True)]
        return get_axes(given[0], (0, 0))[0], grid
    import matplotlib.pyplot as plt

    if len(n_panels) == 1:
        n_columns = 2 if n_panels[0] == 4 else min(n_panels[0], _MOST_COLUMNS)
        n_rows = -(-n_panels[0] // n_columns)
    else:
        n_rows, n_columns = max(n_panels), len(n_panels)
    fig, made = plt.subplots(
        n_rows,
        n_columns,
        figsize=(max(5.0, 4.0 * n_columns), 0.7 + 2.6 * n_rows),
        layout="constrained",
        squeeze=False,
    )
    if len(n_panels) == 1:
        used = made.ravel()[: n_panels[0]].tolist()
        grid = [used]
    else:
        grid = [made[:n, k].tolist() for k, n in enumerate(n_panels)]
        used = [ax for column in grid for ax in column]
    for ax in made.ravel():
        if ax not in used:
            ax.remove()
    return fig, grid
