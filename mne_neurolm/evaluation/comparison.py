"""Files of an evaluation: tables as CSV, a plain text table, and an HTML report with figures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mne
import numpy as np

from mne_neurolm.evaluation.intervals import N_DRAWS
from mne_neurolm.evaluation.problem import Problem
from mne_neurolm.evaluation.published import primary_metrics
from mne_neurolm.evaluation.report_figures import add_figure
from mne_neurolm.evaluation.tables import (
    cell_scores,
    cells_of,
    pooled_predictions,
    published_table,
    subject_scores,
    summarize,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from mne_neurolm.evaluation.runner import Results

_SHORT = {
    "balanced_accuracy": "BA",
    "auroc": "AUROC",
    "auc_pr": "AUC-PR",
    "cohen_kappa": "kappa",
    "f1_weighted": "F1 (w.)",
}


def write_tables(
    results: Results, folder: str | Path, *, n_draws: int = N_DRAWS
) -> dict[str, pd.DataFrame]:
    """Write the tables of an evaluation as CSV files.

    Parameters
    ----------
    results : Results
        As of :func:`run_evaluation`.
    folder : str | pathlib.Path
        Where to write ``methods.csv`` (:func:`summarize`), ``cells.csv`` (a row for every fold and
        seed, with the metrics, sizes of the sets, seconds, warnings and the error of one that
        failed), ``subjects.csv`` (:func:`subject_scores`) and, if there are any,
        ``published.csv``. It is made if needed; files of these names are replaced.
    n_draws : int
        Draws of the bootstrap over subjects. Default 2000.

    Returns
    -------
    tables : dict of pandas.DataFrame
        The same by name, without ``.csv``: ``"methods"``, ``"cells"``, ``"subjects"`` and
        ``"published"``, which may be empty.

    See Also
    --------
    mne_neurolm.evaluation.evaluation_report : The same with figures, on one page.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import mne
    >>> from mne_neurolm import Task
    >>> from mne_neurolm.datasets import simulate_epochs
    >>> from mne_neurolm.evaluation import Problem, make_folds, run_evaluation, write_tables
    >>> epochs = simulate_epochs(n_subjects=2, n_epochs_per_subject=4, random_state=0)
    >>> y, subjects = epochs.metadata["state"], epochs.metadata["subject"]
    >>> task = Task("state", "Is this active?", {"rest": "No", "active": "Yes"})
    >>> folds = make_folds("group-2-fold", y, subjects)
    >>> problem = Problem("state", task, epochs, y, subjects, folds)
    >>> with mne.use_log_level("warning"), tempfile.TemporaryDirectory() as folder:
    ...     results = run_evaluation([problem], methods=["chance"], n_jobs=1)
    ...     tables = write_tables(results, folder)
    ...     print(sorted(file.name for file in Path(folder).iterdir()))
    ['cells.csv', 'methods.csv', 'subjects.csv']
    >>> tables["cells"]["fold"].tolist()
    ['fold 1', 'fold 2']
    """
    place = Path(folder).expanduser()
    place.mkdir(parents=True, exist_ok=True)
    tables = {
        "methods": summarize(results, n_draws=n_draws),
        "cells": cell_scores(results),
        "subjects": subject_scores(results),
        "published": published_table(results),
    }
    for name, table in tables.items():
        if len(table):
            table.to_csv(place / f"{name}.csv", index=False)
    return tables


def format_results(results: Results, summary: pd.DataFrame) -> str:
    """Return the scores as plain text, a table for each problem.

    Parameters
    ----------
    results : Results
        As of :func:`run_evaluation`.
    summary : pandas.DataFrame
        As of :func:`summarize`.

    Returns
    -------
    text : str
        Methods with the best first, by the first of the paper's metrics.
    """
    parts = []
    for problem in results.problems.values():
        parts.append(f"{problem.name}\n{problem.description}\n\n")
        lines = _lines(problem, summary)
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        for line in lines:
            cells = [line[0].ljust(widths[0])]
            cells += [c.ljust(w) for c, w in zip(line[1:], widths[1:], strict=True)]
            parts.append("  ".join(cells).rstrip() + "\n")
        parts.append("\n")
    return "".join(parts) + explain_scores(list(results.problems.values()), summary) + "\n"


def explain_scores(problems: Sequence[Problem], summary: pd.DataFrame) -> str:
    """Say what stands in the tables of scores, and nothing about what does not.

    Parameters
    ----------
    problems : sequence of Problem
        Whose tables they are.
    summary : pandas.DataFrame
        As of :func:`summarize`.

    Returns
    -------
    text : str
        Sentences.
    """
    own = summary[summary["problem"].isin([problem.name for problem in problems])]
    text = _averaged(problems, own)
    if _has_values(own, "_std_seeds"):
        text += " ± standard deviation over seeds"
    if _has_values(own, "_low"):
        text += (
            ", and in brackets the 95% interval if other subjects had been tested (bootstrap over "
            "subjects; the trained models stay)"
        )
    text += ". ECE is the expected calibration error"
    if any("without T" in _ece_text(row) for _, row in own.iterrows()):
        text += ", with and without temperature"
    if _has_values(own, "_published"):
        text += ". Published scores are of other runs, on the paper's test split"
    return f"{text}."


def evaluation_report(
    results: Results,
    *,
    tables: dict[str, pd.DataFrame] | None = None,
    title: str = "Evaluation",
) -> mne.Report:
    """Put the scores and predictions of an evaluation into one HTML report.

    Parameters
    ----------
    results : Results
        As of :func:`run_evaluation`.
    tables : dict of pandas.DataFrame | None
        As of :func:`write_tables`. ``None`` (default) computes them.
    title : str
        Title of the report. Default ``"Evaluation"``.

    Returns
    -------
    report : mne.Report
        For every problem the scores, the comparison of methods with intervals, scores by subject,
        and for every method but chance a confusion matrix and a reliability diagram; then what
        failed. ``report.save("report.html")`` writes it.

    See Also
    --------
    mne_neurolm.evaluation.write_tables : The numbers as CSV files.
    mne_neurolm.evaluation.pipe_report : A report on one fitted pipeline.

    Examples
    --------
    >>> import mne
    >>> from mne_neurolm import Task
    >>> from mne_neurolm.datasets import simulate_epochs
    >>> from mne_neurolm.evaluation import Problem, evaluation_report, make_folds, run_evaluation
    >>> epochs = simulate_epochs(n_subjects=2, n_epochs_per_subject=6, random_state=0)
    >>> y, subjects = epochs.metadata["state"], epochs.metadata["subject"]
    >>> task = Task("state", "Is this active?", {"rest": "No", "active": "Yes"})
    >>> folds = make_folds("group-2-fold", y, subjects)
    >>> problem = Problem("state", task, epochs, y, subjects, folds)
    >>> with mne.use_log_level("warning"):
    ...     results = run_evaluation([problem], methods=["band-power"], n_jobs=1)
    >>> titles, _, _ = evaluation_report(results).get_contents()
    >>> titles[:3]
    ['state: scores', 'state: comparison', 'state: subjects']
    """
    summary = summarize(results) if tables is None else tables["methods"]
    subjects = subject_scores(results) if tables is None else tables["subjects"]
    report = mne.Report(title=title, verbose="error")
    for problem in results.problems.values():
        text = f"<p>{escape(problem.description)}</p>{html_table(_lines(problem, summary))}"
        if problem.pooled:
            text += (
                "<p>The test sets of some folds lack a class, so scores are of all test epochs "
                "together.</p>"
            )
        tags = (problem.name.replace(" ", "-"),)
        report.add_html(
            f"{text}<p>{escape(explain_scores([problem], summary))}</p>",
            title=f"{problem.name}: scores",
            tags=tags,
        )
        for fig, name, caption in _figures(results, problem, summary, subjects):
            add_figure(report, fig, title=f"{problem.name}: {name}", caption=caption, tags=tags)
    if results.failures:
        items = "".join(
            f"<li>{escape(f.problem)}, {escape(f.method)}, fold {f.fold + 1}, seed {f.seed}: "
            f"<pre>{escape(f.traceback)}</pre></li>"
            for f in results.failures
        )
        report.add_html(f"<ul>{items}</ul>", title="What failed", tags=("failures",))
    return report


def _figures(
    results: Results, problem: Problem, summary: pd.DataFrame, subjects: pd.DataFrame
) -> Iterator[tuple[Figure, str, str]]:
    """Draw the figures of a problem, with titles and captions."""
    from mne_neurolm.viz import (
        plot_calibration,
        plot_comparison,
        plot_confusion,
        plot_subject_scores,
    )

    own = summary[(summary["problem"] == problem.name) & (summary["n_cells"] > 0)]
    metrics = primary_metrics(len(problem.task.labels))
    if own.empty:
        return
    caption = _averaged([problem], own)
    if _has_values(own, "_low"):
        caption += "; lines are 95% intervals of the bootstrap over subjects"
    if _has_values(own, "_published"):
        caption += ". Hollow diamonds are published scores, on the paper's test split"
    yield plot_comparison(own, metrics, show=False), "comparison", f"{caption}."
    people = subjects[subjects["problem"] == problem.name]
    if people["subject"].nunique() > 1:
        yield (
            plot_subject_scores(people, show=False),
            "subjects",
            "Balanced accuracy of every subject's test epochs, averaged over seeds; for a subject "
            "with a single class, the share that is right.",
        )
    positions = range(len(problem.task.labels))
    for _, row in own.sort_values(metrics[0], ascending=False, kind="stable").iterrows():
        if row["method"] == "chance":
            continue
        truth, proba = pooled_predictions(problem, cells_of(results, problem.name, row["method"]))
        yield (
            plot_confusion(
                truth, proba.argmax(axis=1), list(positions), names=problem.answers, show=False
            ),
            f"{row['title']}, confusion",
            "Test epochs of all folds and repetitions, first seed. Colour and percentage are the "
            "share of the true class.",
        )
        yield (
            plot_calibration(truth, proba, show=False),
            f"{row['title']}, reliability",
            "The same predictions: on the diagonal they are as often right as they are confident, "
            "below it they are overconfident. Below, how many have which confidence.",
        )


def _averaged(problems: Sequence[Problem], rows: pd.DataFrame) -> str:
    """Return over what a score is a mean; folds that lack a class are scored together."""
    over = []
    if any(not problem.pooled and len(problem.folds) > 1 for problem in problems):
        over.append("folds")
    if any(p.pooled and len({fold.repeat for fold in p.folds}) > 1 for p in problems):
        over.append("repetitions")
    if (rows["n_seeds"] > 1).any():
        over.append("seeds")
    return f"Mean over {' and '.join(over)}" if over else "Scores of the test epochs"


def _has_values(rows: pd.DataFrame, suffix: str) -> bool:
    """Tell whether a score has a column of this suffix with a number in it."""
    columns = [name for name in rows if str(name).endswith(suffix)]
    return bool(rows[columns].notna().any(axis=None))


def _lines(problem: Problem, summary: pd.DataFrame) -> list[list[str]]:
    """Return the cells of a problem's table as text, the header first."""
    metrics = primary_metrics(len(problem.task.labels))
    own = summary[summary["problem"] == problem.name]
    if metrics[0] in own:
        own = own.sort_values(metrics[0], ascending=False, kind="stable", na_position="last")
    shown = [m for m in metrics if f"{m}_published" in own and own[f"{m}_published"].notna().any()]
    header = ["method", *(_SHORT[metric] for metric in metrics), "ECE"]
    lines = [[*header, *(f"{_SHORT[metric]} published" for metric in shown), ""]]
    for _, row in own.iterrows():
        cells = [row["title"], *(_score_text(row, metric) for metric in metrics)]
        cells.append(_ece_text(row))
        for metric in shown:
            value, std = row[f"{metric}_published"], row[f"{metric}_published_std"]
            cells.append(f"{value:.3f} ± {std:.3f}" if np.isfinite(value) else "–")
        note = f"{int(row['n_missing'])} cells failed" if row["n_missing"] else ""
        lines.append([*cells, note])
    # A last column of notes that says nothing is left out.
    if not any(line[-1] for line in lines):
        lines = [line[:-1] for line in lines]
    return lines


def _score_text(row: Any, metric: str) -> str:
    value = row.get(metric, np.nan)
    if not np.isfinite(value):
        return "–"
    text = f"{value:.3f}"
    if np.isfinite(row[f"{metric}_std_seeds"]):
        text += f" ± {row[f'{metric}_std_seeds']:.3f}"
    if np.isfinite(row[f"{metric}_low"]):
        text += f" [{row[f'{metric}_low']:.3f}, {row[f'{metric}_high']:.3f}]"
    return text


def _ece_text(row: Any) -> str:
    error, plain = row.get("ece", np.nan), row.get("ece_uncalibrated", np.nan)
    if not np.isfinite(error):
        return "–"
    # Equal but for rounding where there is no temperature.
    return f"{error:.3f}" if abs(error - plain) < 1e-6 else f"{error:.3f} (without T {plain:.3f})"


def html_table(lines: list[list[str]]) -> str:
    """Return lines of cells, the first of them the header, as a table in HTML."""
    head = "".join(f"<th>{escape(cell)}</th>" for cell in lines[0])
    rows = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in line) + "</tr>"
        for line in lines[1:]
    )
    return (
        f'<table class="table table-striped"><thead><tr>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table>"
    )
