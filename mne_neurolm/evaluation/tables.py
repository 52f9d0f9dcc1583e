"""Tables of an evaluation: by method, by cell and by subject."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mne_neurolm.evaluation.calibration import expected_calibration_error, undo_temperature
from mne_neurolm.evaluation.cells import Cell, Failure
from mne_neurolm.evaluation.intervals import N_DRAWS, Unit, subject_bootstrap
from mne_neurolm.evaluation.metrics import METRICS, score_predictions
from mne_neurolm.evaluation.problem import Problem
from mne_neurolm.evaluation.published import SOURCES, published_results

if TYPE_CHECKING:
    import pandas as pd

    from mne_neurolm.evaluation.runner import Results


def summarize(results: Results, *, n_draws: int = N_DRAWS) -> pd.DataFrame:
    """Score every method on every problem.

    Parameters
    ----------
    results : Results
        As of :func:`run_evaluation`.
    n_draws : int
        Draws of the bootstrap over subjects. Default 2000.

    Returns
    -------
    table : pandas.DataFrame
        One row per problem and method, with ``problem``, ``method``, ``title``, ``kind``,
        ``n_cells`` (those that were computed), ``n_missing`` (those that failed) and ``n_seeds``;
        for each metric of :func:`score_predictions` its mean over folds and seeds,
        ``<metric>_std_seeds`` (sample standard deviation of the means over folds),
        ``<metric>_std_folds`` (of the means over seeds), ``<metric>_low`` and ``<metric>_high``
        (95% interval of :func:`subject_bootstrap`), and ``<metric>_published`` and
        ``<metric>_published_std`` where the same method has a published result on the paper's test
        split; ``ece`` and ``ece_uncalibrated``, the expected calibration error with and without the
        temperature;
        ``seconds``, of a cell on average. Where a method lacks cells, the row is of the others and
        has no interval.

    See Also
    --------
    mne_neurolm.viz.plot_comparison : The figure of these scores.

    Notes
    -----
    Scores are of every fold, or of all test epochs of a repetition together where the test set of
    some fold lacks a class (:attr:`Problem.pooled`). With two classes the task's second answer is
    the positive one.

    Examples
    --------
    >>> import mne
    >>> from mne_neurolm import Task
    >>> from mne_neurolm.datasets import simulate_epochs
    >>> from mne_neurolm.evaluation import Problem, make_folds, run_evaluation, summarize
    >>> epochs = simulate_epochs(n_subjects=3, random_state=0)
    >>> y, subjects = epochs.metadata["state"], epochs.metadata["subject"]
    >>> task = Task("state", "Is this active?", {"rest": "No", "active": "Yes"})
    >>> folds = make_folds("leave-one-subject-out", y, subjects)
    >>> problem = Problem("state", task, epochs, y, subjects, folds)
    >>> with mne.use_log_level("warning"):
    ...     results = run_evaluation([problem], methods=["chance", "band-power"], n_jobs=1)
    >>> table = summarize(results)
    >>> print(table[["method", "n_cells", "balanced_accuracy"]].round(2).to_string(index=False))
        method  n_cells  balanced_accuracy
        chance        3               0.50
    band-power        3               0.87
    """
    import pandas as pd

    rows: list[dict[str, Any]] = []
    for problem in results.problems.values():
        known = {result.method: result for result in published_results(problem.dataset)}
        for method in results.methods.values():
            cells = cells_of(results, problem.name, method.name)
            missing = sum(
                (f.problem, f.method) == (problem.name, method.name) for f in results.failures
            )
            row: dict[str, Any] = {
                "problem": problem.name,
                "method": method.name,
                "title": method.title,
                "kind": method.kind,
                "n_cells": len(cells),
                "n_missing": missing,
                "n_seeds": len({cell.seed for cell in cells}),
            }
            if cells:
                row |= _score(problem, cells, n_draws if not missing else 0)
            published = known.get(_published_name(method.name, results.model))
            for metric, value in (published.scores if published else {}).items():
                row[f"{metric}_published"] = value.mean
                row[f"{metric}_published_std"] = value.std
            rows.append(row)
    return pd.DataFrame(rows)


def published_table(results: Results) -> pd.DataFrame:
    """Return the published results on the data sets that were evaluated.

    Parameters
    ----------
    results : Results
        As of :func:`run_evaluation`.

    Returns
    -------
    table : pandas.DataFrame
        One row per problem and published method: ``problem``, ``method``, ``title``, the metrics
        with ``_std`` over seeds, and ``source``. All are of the paper's test split, whatever the
        folds of the problem are.
    """
    import pandas as pd

    rows = []
    for problem in results.problems.values():
        for result in published_results(problem.dataset):
            row: dict[str, Any] = {
                "problem": problem.name,
                "method": result.method,
                "title": result.title,
            }
            for metric, value in result.scores.items():
                row |= {metric: value.mean, f"{metric}_std": value.std}
            rows.append(row | {"source": SOURCES[result.source]})
    return pd.DataFrame(rows)


def cell_scores(results: Results) -> pd.DataFrame:
    """Score every cell by itself.

    Parameters
    ----------
    results : Results
        As of :func:`run_evaluation`.

    Returns
    -------
    table : pandas.DataFrame
        One row per cell: ``problem``, ``method``, ``fold`` (its name), ``repeat``, ``seed``,
        ``n_train``, ``n_test``, the metrics, ``temperature``, ``seconds``, ``warnings`` and
        ``error`` (of cells that failed).
    """
    import pandas as pd

    rows: list[dict[str, Any]] = []
    everything: list[Cell | Failure] = [*results.cells, *results.failures]
    for one in everything:
        problem = results.problems[one.problem]
        fold = problem.folds[one.fold]
        row: dict[str, Any] = {
            "problem": one.problem,
            "method": one.method,
            "fold": fold.name,
            "repeat": fold.repeat,
            "seed": one.seed,
            "n_train": len(fold.train),
            "n_test": len(fold.test),
        }
        if isinstance(one, Cell):
            row |= _metrics(problem, fold.test, one.proba)
            row |= {"temperature": one.temperature, "seconds": one.seconds}
            row |= {"warnings": " | ".join(one.warnings), "error": ""}
        else:
            row |= {"warnings": "", "error": one.error}
        rows.append(row)
    return pd.DataFrame(rows)


def subject_scores(results: Results) -> pd.DataFrame:
    """Score every method on every subject's test epochs.

    Parameters
    ----------
    results : Results
        As of :func:`run_evaluation`.

    Returns
    -------
    table : pandas.DataFrame
        One row per problem, method and subject: ``problem``, ``method``, ``title``, ``subject``,
        ``n_epochs`` (tested in one repetition), and the metrics, averaged over seeds and
        repetitions; those that need several classes are NaN for a subject who has one.

    See Also
    --------
    mne_neurolm.viz.plot_subject_scores : The figure of these scores.

    Examples
    --------
    >>> import mne
    >>> from mne_neurolm import Task
    >>> from mne_neurolm.datasets import simulate_epochs
    >>> from mne_neurolm.evaluation import Problem, make_folds, run_evaluation, subject_scores
    >>> epochs = simulate_epochs(n_subjects=3, random_state=0)
    >>> y, subjects = epochs.metadata["state"], epochs.metadata["subject"]
    >>> task = Task("state", "Is this active?", {"rest": "No", "active": "Yes"})
    >>> folds = make_folds("leave-one-subject-out", y, subjects)
    >>> problem = Problem("state", task, epochs, y, subjects, folds)
    >>> with mne.use_log_level("warning"):
    ...     results = run_evaluation([problem], methods=["band-power"], n_jobs=1)
    >>> table = subject_scores(results)
    >>> print(table[["subject", "n_epochs", "balanced_accuracy"]].round(2).to_string(index=False))
     subject  n_epochs  balanced_accuracy
           0        20               0.95
           1        20               0.95
           2        20               0.70
    """
    import pandas as pd

    rows: list[dict[str, Any]] = []
    for problem in results.problems.values():
        for method in results.methods.values():
            cells = cells_of(results, problem.name, method.name)
            scores: dict[str, list[dict[str, float]]] = {}
            sizes: dict[str, int] = {}
            for test, proba in _pooled(problem, cells):
                for subject in np.unique(problem.subjects[test]).tolist():
                    own = problem.subjects[test] == subject
                    scores.setdefault(subject, []).append(_metrics(problem, test[own], proba[own]))
                    sizes[subject] = int(own.sum())
            for subject, values in sorted(scores.items()):
                row: dict[str, Any] = {
                    "problem": problem.name,
                    "method": method.name,
                    "title": method.title,
                    "subject": subject,
                    "n_epochs": sizes[subject],
                }
                rows.append(row | {m: _mean([v[m] for v in values]) for m in METRICS})
    return pd.DataFrame(rows)


def cells_of(results: Results, problem: str, method: str) -> list[Cell]:
    """Return the cells of a method on a problem.

    Parameters
    ----------
    results : Results
        As of :func:`run_evaluation`.
    problem, method : str
        Names.

    Returns
    -------
    cells : list of Cell
        By seed and fold.
    """
    return [cell for cell in results.cells if (cell.problem, cell.method) == (problem, method)]


def pooled_predictions(
    problem: Problem, cells: Sequence[Cell]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return all test predictions of the first seed.

    Parameters
    ----------
    problem : Problem
        The problem.
    cells : sequence of Cell
        Of one method on it, one or more.

    Returns
    -------
    truth : ndarray of int64, shape (n_predictions,)
        Position of the true class among the task's labels. An epoch occurs once per repetition in
        which it was tested.
    proba : ndarray of float64, shape (n_predictions, n_labels)
        Predicted probabilities.
    """
    first = min(cell.seed for cell in cells)
    own = [cell for cell in cells if cell.seed == first]
    test = np.concatenate([problem.folds[cell.fold].test for cell in own])
    return problem.positions[test], np.concatenate([cell.proba for cell in own])


def _score(problem: Problem, cells: list[Cell], n_draws: int) -> dict[str, Any]:
    """Return the columns of a method that has cells."""
    seeds = sorted({cell.seed for cell in cells})
    units = _units(problem, cells)
    row: dict[str, Any] = {}
    # (n_units, n_seeds) of each metric; NaN where a seed's cell is missing
    scores: dict[str, NDArray[np.float64]] = {
        metric: np.full((len(units), len(seeds)), np.nan) for metric in METRICS
    }
    for i, by_seed in enumerate(units):
        for seed, (test, proba) in by_seed.items():
            for metric, value in _metrics(problem, test, proba).items():
                scores[metric][i, seeds.index(seed)] = value
    intervals = {}
    if n_draws:
        tests = [next(iter(by_seed.values()))[0] for by_seed in units]
        intervals = subject_bootstrap(
            [
                Unit(
                    problem.positions[test],
                    [proba for _, proba in by_seed.values()],
                    problem.subjects[test],
                )
                for test, by_seed in zip(tests, units, strict=True)
            ],
            n_draws=n_draws,
        )
    for metric, values in scores.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # means of nothing are NaN
            row[metric] = float(np.nanmean(values))
            row[f"{metric}_std_seeds"] = _std(np.nanmean(values, axis=0))
            row[f"{metric}_std_folds"] = _std(np.nanmean(values, axis=1))
        interval = intervals.get(metric, (np.nan, np.nan))
        row[f"{metric}_low"], row[f"{metric}_high"] = interval
    errors = []
    for seed in seeds:
        own = [cell for cell in cells if cell.seed == seed]
        truth, proba = pooled_predictions(problem, own)
        plain = np.concatenate([undo_temperature(c.proba, c.temperature) for c in own])
        errors.append(
            (expected_calibration_error(truth, proba), expected_calibration_error(truth, plain))
        )
    row["ece"], row["ece_uncalibrated"] = (float(v) for v in np.mean(errors, axis=0))
    row["seconds"] = float(np.mean([cell.seconds for cell in cells]))
    return row


def _units(
    problem: Problem, cells: Sequence[Cell]
) -> list[dict[int, tuple[NDArray[np.int64], NDArray[np.float64]]]]:
    """Return test epochs and probabilities by seed, of each fold or of each repetition."""
    units: dict[int, dict[int, list[Cell]]] = {}
    for cell in cells:
        unit = problem.folds[cell.fold].repeat if problem.pooled else cell.fold
        units.setdefault(unit, {}).setdefault(cell.seed, []).append(cell)
    return [
        {
            seed: (
                np.concatenate([problem.folds[cell.fold].test for cell in own]),
                np.concatenate([cell.proba for cell in own]),
            )
            for seed, own in by_seed.items()
        }
        for _, by_seed in sorted(units.items())
    ]


def _pooled(
    problem: Problem, cells: Sequence[Cell]
) -> list[tuple[NDArray[np.int64], NDArray[np.float64]]]:
    """Return test epochs and probabilities of each repetition and seed."""
    groups: dict[tuple[int, int], list[Cell]] = {}
    for cell in cells:
        groups.setdefault((problem.folds[cell.fold].repeat, cell.seed), []).append(cell)
    return [
        (
            np.concatenate([problem.folds[cell.fold].test for cell in own]),
            np.concatenate([cell.proba for cell in own]),
        )
        for own in groups.values()
    ]


def _metrics(
    problem: Problem, test: NDArray[np.int64], proba: NDArray[np.float64]
) -> dict[str, float]:
    """Return the scores of some epochs; those that are not defined are NaN."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return score_predictions(problem.positions[test], proba, range(proba.shape[1]))


def _mean(values: Sequence[float]) -> float:
    there = [value for value in values if np.isfinite(value)]
    return float(np.mean(there)) if there else float("nan")


def _std(values: NDArray[np.float64]) -> float:
    """Return the standard deviation of a sample; NaN of a single value."""
    there = values[np.isfinite(values)]
    return float(np.std(there, ddof=1)) if len(there) > 1 else float("nan")


def _published_name(method: str, model: str) -> str:
    """Return the name under which a method is published."""
    return model.lower() if method == "neurolm" else method
