"""Show how time grows with windows and with their size: ``python benchmarks/linear_cost.py``.

The time to encode and to answer is measured for 1 to 64 windows of 19 channels and 4 s, and for
windows of 16 to 1024 patches, 8 at a time. It is printed and drawn on logarithmic axes, where a
slope of 1 means that twice as much takes twice as long.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from timing import run_times
from tqdm import tqdm
from workloads import DTYPES, among_many, prepared, random_eeg, random_model

from mne_neurolm import NeuroLM
from mne_neurolm.utils.device import resolve_device

WORKS = ("encode", "answer")
N_WINDOWS = (1, 2, 4, 8, 16, 32, 64)
WINDOW = (19, 4)  # channels, seconds
BATCH = 8
SHAPES = ((4, 4), (8, 4), (16, 4), (16, 8), (32, 8), (64, 8), (64, 16))  # 16 to 1024 patches
_COLORS = {"encode": "#2a6f97", "answer": "#c8553d"}
_INK = "#333333"


class Series(NamedTuple):
    """Times of one kind of work.

    Attributes
    ----------
    work : str
        Kind of work.
    sizes : list of int
        Windows, or patches per window.
    seconds : list of float
        Time of each.
    """

    work: str
    sizes: list[int]
    seconds: list[float]

    @property
    def slope(self) -> float:
        """Return the slope of a straight line through the logarithms."""
        return float(np.polyfit(np.log(self.sizes), np.log(self.seconds), 1)[0])


def main(argv: list[str] | None = None) -> int:
    """Measure, print and draw."""
    args = _parser().parse_args(argv)
    model = random_model(args.preset, resolve_device(args.device))
    by_windows = [(n, *WINDOW) for n in N_WINDOWS if n <= args.most_windows]
    by_patches = [(BATCH, *shape) for shape in SHAPES if np.prod(shape) <= args.most_patches]
    with tqdm(total=len(WORKS) * (len(by_windows) + len(by_patches))) as bar:

        def times(work: str, batches: Sequence[tuple[int, int, int]]) -> list[float]:
            seconds = []
            for batch in batches:
                bar.set_description_str(f"{work}, {batch[0]} windows of {batch[1]}x{batch[2]}")
                seconds.append(fastest_run(model, work, batch, args.dtype, args.seconds))
                bar.update()
            return seconds

        windows = [
            Series(work, [n for n, _, _ in by_windows], times(work, by_windows)) for work in WORKS
        ]
        patches = [
            Series(work, [c * s for _, c, s in by_patches], times(work, by_patches))
            for work in WORKS
        ]
    # Of a window, not of the batch.
    patches = [s._replace(seconds=[t / BATCH for t in s.seconds]) for s in patches]
    sys.stdout.write(as_text("windows", windows, "all of them") + "\n")
    sys.stdout.write(as_text("patches", patches, "a window"))
    if args.out:
        draw(
            windows,
            patches,
            args.out,
            f"Time to encode and to answer: preset {args.preset}, {args.dtype}",
        )
    return 0


def fastest_run(
    model: NeuroLM, work: str, batch: tuple[int, int, int], dtype: str, seconds: float
) -> float:
    """Return the seconds that a batch takes: windows, channels, seconds."""
    eeg = random_eeg(*batch, model.device)
    with among_many(model, work, dtype), prepared(model, work, eeg, dtype) as function:
        return min(run_times(function, seconds, model.device, at_least=2))


def as_text(name: str, series: Sequence[Series], of_what: str) -> str:
    """Return times and slopes as lines of text."""
    lines = [f"{name:>8}  " + "  ".join(f"{s.work:>8}" for s in series) + f"  (ms, {of_what})"]
    for i, size in enumerate(series[0].sizes):
        lines.append(f"{size:>8}  " + "  ".join(f"{1e3 * s.seconds[i]:8.2f}" for s in series))
    lines.append("   slope  " + "  ".join(f"{s.slope:8.2f}" for s in series))
    return "\n".join(lines) + "\n"


def draw(windows: Sequence[Series], patches: Sequence[Series], out: Path, title: str) -> None:
    """Write a picture of both, on logarithmic axes.

    Parameters
    ----------
    windows, patches : sequence of Series
        Times by number of windows, and of a window by number of patches.
    out : Path
        File, of a kind that its name tells.
    title : str
        What was measured.
    """
    from matplotlib.figure import Figure

    style: dict[str, Any] = {"color": _INK}
    figure = Figure(figsize=(9.6, 4.3), dpi=160, layout="constrained")
    left, right = figure.subplots(1, 2)
    channels, seconds = WINDOW
    panels = (
        (left, windows, f"windows of {channels} channels, {seconds} s", "time of all of them (ms)"),
        (right, patches, "channels × seconds of a window", "time of a window (ms)"),
    )
    for axes, series, along, up in panels:
        _draw_panel(axes, series)
        axes.set_xlabel(along, **style)
        axes.set_ylabel(up, **style)
    figure.suptitle(title, x=0.01, ha="left", fontsize=11, **style)
    figure.savefig(out)


def _draw_panel(axes: Any, series: Sequence[Series]) -> None:
    from matplotlib.ticker import LogLocator

    sizes = np.array(series[0].sizes)
    # From the bottom up; what is next to each other at the end is told apart.
    for i, one in enumerate(sorted(series, key=lambda s: s.seconds[-1])):
        milliseconds = 1e3 * np.array(one.seconds)
        color = _COLORS[one.work]
        axes.plot(sizes, milliseconds, "o-", color=color, lw=2, ms=5.5, mec="white", mew=0.8)
        label = f"{one.work}\nslope {one.slope:.2f}"
        _label_end(axes, label, sizes[-1], milliseconds[-1], -6 + 14 * i, color, weight="bold")
    guide = 0.6e3 * sizes * min(np.min(np.array(s.seconds) / sizes) for s in series)
    axes.plot(sizes, guide, "--", color="#999999", lw=1)
    _label_end(axes, "slope 1", sizes[-1], guide[-1], -6, "#777777")
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.set_xlim(sizes[0] / 1.25, sizes[-1] * 1.25)
    axes.minorticks_off()
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.grid(True, color="#e6e6e6", lw=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=_INK, length=0)
    for side in axes.spines.values():
        side.set_visible(False)


def _label_end(
    axes: Any, text: str, x: float, y: float, up: float, color: str, weight: str = "normal"
) -> None:
    """Write to the right of a line's end, ``up`` points above it."""
    axes.annotate(
        text,
        (x, y),
        xytext=(9, up),
        textcoords="offset points",
        va="center",
        color=color,
        fontweight=weight,
        fontsize=9.5,
        annotation_clip=False,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="tiny")
    parser.add_argument("--dtype", choices=DTYPES, default="float32")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--seconds", type=float, default=0.5, help="time for each point")
    parser.add_argument("--most-windows", type=int, default=N_WINDOWS[-1])
    parser.add_argument("--most-patches", type=int, default=1024)
    parser.add_argument("--out", type=Path, help="picture to write, such as cost.png")
    return parser


if __name__ == "__main__":
    torch.manual_seed(0)
    raise SystemExit(main())
