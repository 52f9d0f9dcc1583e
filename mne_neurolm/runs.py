"""Read training runs and report on them: ``python -m mne_neurolm.runs RUN``.

A run is the folder that ``python -m mne_neurolm.pretrain`` writes to. Its ``metrics.jsonl``, one
JSON object per logged step, is all that is needed, so a run can be looked at while it goes on.
"""

from __future__ import annotations

import argparse
import base64
import math
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from mne.utils import logger, use_log_level

from mne_neurolm._version import __version__
from mne_neurolm.utils.history import (
    NEITHER_IS_BETTER,
    STAGE_LOSSES,
    is_number,
    load_metrics,
    name_stage,
    summarize_speed,
    summarize_values,
)
from mne_neurolm.utils.optional import import_optional

CONFIG = "config.yaml"
_MOST_ROWS = 20

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #222; max-width: 1180px; margin: 2em auto;
       padding: 0 1.5em; }
h1 { font-size: 1.5em; } h2 { font-size: 1.2em; margin-top: 2em; } h3 { font-size: 1em; }
img { max-width: 100%; height: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: 0.2em 0.9em; text-align: right; border-bottom: 1px solid #ddd; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
pre { background: #f6f6f6; padding: 1em; overflow-x: auto; font-size: 13px; }
.note { color: #8a4b00; } footer { margin-top: 3em; color: #777; font-size: 13px; }
"""


def format_history(history: Sequence[Mapping[str, Any]]) -> str:
    """Return a run as a plain text table.

    Parameters
    ----------
    history : sequence of dict
        As :func:`~mne_neurolm.utils.history.load_metrics` returns it.

    Returns
    -------
    table : str
        Step, epoch, losses and validation losses: of the first and last logged step and of the ends
        of epochs, or of steps spread evenly where there is no validation; 20 rows at most.
    """
    stage = name_stage(history)
    losses = ("loss", *(STAGE_LOSSES[stage] if stage else ()))
    minor = ("commitment", *NEITHER_IS_BETTER)
    wanted = [*losses, *(f"val_{name}" for name in losses if name not in minor)]
    columns = [name for name in wanted if any(is_number(entry.get(name)) for entry in history)]
    validated = [k for k, e in enumerate(history) if any(name.startswith("val_") for name in e)]
    rows = sorted({0, *(validated or range(len(history))), len(history) - 1})
    if len(rows) > _MOST_ROWS:
        rows = [rows[round(k * (len(rows) - 1) / (_MOST_ROWS - 1))] for k in range(_MOST_ROWS)]
    cells = [["step", "epoch", *(name.replace("_", " ") for name in columns)]]
    for k in rows:
        entry = history[k]
        numbers = [_short(entry.get(name)) for name in columns]
        cells.append([str(entry["step"]), str(entry.get("epoch", "–")), *numbers])
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "".join(
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) + "\n"
        for row in cells
    )


def write_run_report(run: str | Path) -> Path:
    """Write the curves and the report of a run into its folder.

    Parameters
    ----------
    run : str | pathlib.Path
        The run's folder; the run may still go on.

    Returns
    -------
    report : pathlib.Path
        ``report.html`` in the folder; ``curves.png`` lies beside it. Without matplotlib, the report
        has no curves and, like the log, says what to install.

    Raises
    ------
    FileNotFoundError, ValueError
        As of :func:`~mne_neurolm.utils.history.load_metrics`.
    OSError
        If the files can't be written.
    """
    folder = Path(run).expanduser()
    return write_report([folder], folder / "report.html", curves=folder / "curves.png")


def write_report(
    runs: Sequence[str | Path], report: str | Path, *, curves: str | Path | None = None
) -> Path:
    """Write one HTML file on one or several runs, with everything in it.

    Parameters
    ----------
    runs : sequence of str | pathlib.Path
        Folders of runs, or their ``metrics.jsonl``.
    report : str | pathlib.Path
        The HTML file.
    curves : str | pathlib.Path | None
        Where to write the curves as PNG too. ``None`` (default): beside the report, with its name.

    Returns
    -------
    report : pathlib.Path
        The HTML file.

    Raises
    ------
    FileNotFoundError, ValueError
        As of :func:`~mne_neurolm.utils.history.load_metrics`.
    OSError
        If the files can't be written.
    """
    path = Path(report).expanduser()
    histories = [load_metrics(run) for run in runs]
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Path(curves).expanduser() if curves is not None else path.with_suffix(".png")
    try:
        content = base64.b64encode(_draw(runs, histories, picture)).decode()
        figure = (
            f'<img alt="Curves" src="data:image/png;base64,{content}">'
            "<p>Validation is at the end of an epoch.</p>"
        )
    except (ImportError, ValueError) as error:  # no matplotlib; nothing that could be drawn
        logger.warning(f"The report has no curves: {error}")
        figure = f'<p class="note">No curves: {escape(str(error))}</p>'
    names = [_run_name(run) for run in runs]
    sections = map(_section, runs, names, histories)
    title = escape(", ".join(names))
    html = (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{_STYLE}</style></head><body><h1>Training: {title}</h1>{figure}"
        f"{''.join(sections)}<footer>mne-neurolm {__version__}</footer></body></html>\n"
    )
    _replace(path, lambda aside: aside.write_text(html, encoding="utf-8"))
    return path


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    argv : sequence of str | None
        Arguments. ``None`` (default) takes those of the process.

    Returns
    -------
    status : int
        0 if the report was written, 1 if not (the reason is on standard error).
    """
    parser = argparse.ArgumentParser(
        prog="python -m mne_neurolm.runs",
        description="Print a table of training runs, and write their curves as PNG and a report "
        "as HTML. A run may still go on.",
    )
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folder of a run")
    parser.add_argument(
        "--output",
        type=Path,
        metavar="HTML",
        help="report to write; the curves go beside it (default: report.html and curves.png in "
        "the folder of a single run, runs.html and runs.png in the current folder for several)",
    )
    args = parser.parse_args(argv)
    try:
        for run in args.runs:
            history = load_metrics(run)
            sys.stdout.write(f"{_run_name(run)}\n{_in_words(history)}\n{format_history(history)}\n")
        with use_log_level("INFO"):
            if args.output is None and len(args.runs) == 1 and args.runs[0].is_dir():
                report = write_run_report(args.runs[0])
            else:
                report = write_report(args.runs, args.output or Path("runs.html"))
    except (OSError, ValueError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    sys.stdout.write(f"Report: {report}\n")
    return 0


def _draw(
    runs: Sequence[str | Path], histories: Sequence[list[dict[str, Any]]], picture: Path
) -> bytes:
    """Write the curves and return the PNG."""
    plt = import_optional("matplotlib.pyplot", extra="viz", purpose="Curves of a run")
    from mne_neurolm.viz.training import plot_training

    names = None if len(runs) == 1 else [_run_name(run) for run in runs]
    fig = plot_training(histories, names=names, show=False)
    try:
        _replace(picture, lambda aside: fig.savefig(aside, dpi=150, format="png"))
    finally:
        plt.close(fig)
    return picture.read_bytes()


def _section(run: str | Path, name: str, history: list[dict[str, Any]]) -> str:
    """Return what the report says about one run."""
    folder = Path(run).expanduser()
    folder = folder if folder.is_dir() else folder.parent
    values = {value.term: value for value in summarize_values(history)}
    rows = []
    for term in dict.fromkeys(term.removeprefix("val_") for term in values):
        row = [term.replace("_", " ")]
        for value in (values.get(term), values.get(f"val_{term}")):
            if value is None:
                row += ["–"] * 3
            else:
                row += [_short(value.last), _short(value.best), str(value.step or "–")]
        rows.append(row)
    head = ["", "last", "best", "at step", "validation: last", "best", "at step"]
    if not any(term.startswith("val_") for term in values):
        head, rows = head[:4], [row[:4] for row in rows]
    speed = summarize_speed(history)
    throughput = [
        ["Steps", f"{speed['steps']:,}"],
        ["Steps skipped", _short(speed["skipped"])],
        ["Time", _duration(speed["seconds"])],
        ["Windows per second (median)", _short(speed["windows_per_s"])],
        ["Tokens per second (median)", _short(speed["tokens_per_s"])],
        ["Share of peak arithmetic (MFU, median)", _percent(speed["mfu"])],
    ]
    config = folder / CONFIG
    text = config.read_text(encoding="utf-8", errors="replace") if config.is_file() else None
    return (
        f"<h2>{escape(name)}</h2><p>{escape(_in_words(history))}"
        f"{'' if (folder / 'model').is_dir() else ' There are no final weights yet.'}</p>"
        f"<h3>Values</h3>{_table(head, rows)}"
        f"<h3>Throughput</h3>{_table([], throughput)}<h3>Configuration</h3>"
        + (f"<pre>{escape(text)}</pre>" if text else f"<p>There is no {CONFIG}.</p>")
    )


def _in_words(history: Sequence[Mapping[str, Any]]) -> str:
    speed = summarize_speed(history)
    stage = name_stage(history) or "unknown"
    epoch = "" if math.isnan(speed["epochs"]) else f", in epoch {speed['epochs']:.0f}"
    skipped = "" if not speed["skipped"] > 0 else f", {speed['skipped']:.0f} of them skipped"
    return (
        f"Stage {stage}, {speed['steps']:,} steps{skipped}{epoch}, "
        f"{_duration(speed['seconds'])} of training."
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    top = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f"<table>{f'<thead><tr>{top}</tr></thead>' if head else ''}<tbody>{body}</tbody></table>"


def _run_name(run: str | Path) -> str:
    path = Path(run).expanduser().resolve()
    return path.parent.name if path.suffix == ".jsonl" else path.name


def _short(value: Any) -> str:
    """Return a number with four digits, a dash where there is none."""
    if not is_number(value):
        return "–"
    if abs(value) >= 1000 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.4g}"


def _percent(share: float) -> str:
    return f"{share:.1%}" if math.isfinite(share) else "–"


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min"


def _replace(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file beside its place and move it there, so that nobody reads half of it."""
    aside = path.with_name(f"{path.name}.partial")
    try:
        write(aside)
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(main())
