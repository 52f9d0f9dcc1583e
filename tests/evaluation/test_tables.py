"""Tables of an evaluation against scores computed by hand, and its files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from quick_methods import BROKEN, CHANCE, loudness

from mne_neurolm.evaluation import (
    Fold,
    Problem,
    Results,
    evaluation_report,
    make_folds,
    run_evaluation,
    score_predictions,
    subject_scores,
    summarize,
    write_tables,
)
from mne_neurolm.evaluation.comparison import explain_scores, format_results
from mne_neurolm.evaluation.tables import cell_scores, published_table


@pytest.fixture(scope="module")
def results(problem: Problem) -> Results:
    methods = [loudness(noise=0.5), CHANCE, BROKEN]
    return run_evaluation([problem], methods=methods, seeds=[0, 1], n_jobs=1)


@pytest.fixture(scope="module")
def summary(results: Results) -> pd.DataFrame:
    return summarize(results, n_draws=100).set_index("method")


def test_means_and_deviations(results: Results, summary: pd.DataFrame, problem: Problem) -> None:
    scores = np.array(
        [
            score_predictions(problem.positions[problem.folds[cell.fold].test], cell.proba, [0, 1])[
                "auroc"
            ]
            for cell in results.cells
            if cell.method == "loudness"
        ]
    ).reshape(2, 4)  # seeds, folds
    row = summary.loc["loudness"]
    assert row["auroc"] == pytest.approx(scores.mean())
    assert row["auroc_std_seeds"] == pytest.approx(scores.mean(axis=1).std(ddof=1))
    assert row["auroc_std_folds"] == pytest.approx(scores.mean(axis=0).std(ddof=1))
    assert row["auroc_low"] <= row["auroc"] <= row["auroc_high"]
    assert (row["n_cells"], row["n_seeds"], row["n_missing"]) == (8, 2, 0)


def test_chance(summary: pd.DataFrame) -> None:
    row = summary.loc["chance"]
    assert (row["balanced_accuracy"], row["auroc"]) == (0.5, 0.5)
    assert np.isnan(row["auroc_std_seeds"]) and row["auroc_std_folds"] == 0
    assert row["ece"] == row["ece_uncalibrated"]


def test_temperature_is_undone(summary: pd.DataFrame) -> None:
    row = summary.loc["loudness"]
    assert row["ece"] != row["ece_uncalibrated"]


def test_failed_cells_leave_no_interval(summary: pd.DataFrame) -> None:
    row = summary.loc["broken"]
    assert (row["n_cells"], row["n_missing"]) == (3, 1)
    assert np.isfinite(row["auroc"]) and np.isnan(row["auroc_low"])


def test_label_of_the_person_is_scored_together(problem: Problem) -> None:
    """Each test subject has one class: a fold has no AUROC, all folds together have one."""
    y = np.where(problem.subjects < 2, "rest", "active")
    folds = make_folds("leave-one-subject-out", y, problem.subjects)
    people = replace(problem, y=y, folds=folds, dataset="")
    found = run_evaluation([people], methods=[loudness()], seeds=[0], n_jobs=1)
    assert people.pooled
    row = summarize(found, n_draws=50).iloc[0]
    truth = np.concatenate([people.positions[fold.test] for fold in folds])
    proba = np.concatenate([cell.proba for cell in found.cells])
    expected = score_predictions(truth, proba, [0, 1])
    assert row["auroc"] == pytest.approx(expected["auroc"])
    assert row["balanced_accuracy"] == pytest.approx(expected["balanced_accuracy"])
    assert np.isnan(row["auroc_std_folds"])
    of_subjects = subject_scores(found)
    assert of_subjects["auroc"].isna().all() and of_subjects["balanced_accuracy"].notna().all()


def test_one_subject(problem: Problem) -> None:
    folds = [
        Fold("x", np.arange(12), np.arange(12, 24)),
        Fold("y", np.arange(12, 24), np.arange(12)),
    ]
    alone = replace(problem, subjects=np.zeros(24, int), folds=folds)
    found = run_evaluation([alone], methods=[loudness()], seeds=[0], n_jobs=1)
    row = summarize(found).iloc[0]
    assert np.isfinite(row["auroc"]) and np.isnan(row["auroc_low"])


def test_cells_and_subjects(results: Results, problem: Problem) -> None:
    cells = cell_scores(results)
    assert len(cells) == 8 + 4 + 4
    assert cells["error"].str.contains("out of order").sum() == 1
    assert set(cells.loc[cells["method"] == "chance", "fold"]) == {f.name for f in problem.folds}
    subjects = subject_scores(results).set_index(["method", "subject"])
    own = cells[(cells["method"] == "loudness") & (cells["fold"] == "subject 2")]
    # One fold per subject: the subject's score is the fold's, averaged over seeds.
    assert subjects.loc[("loudness", 2), "auroc"] == pytest.approx(own["auroc"].mean())
    assert subjects.loc[("loudness", 2), "n_epochs"] == 6


def test_published_scores_are_marked(results: Results) -> None:
    table = published_table(results).set_index("method")
    assert table.loc["ffcl", ["balanced_accuracy", "auc_pr", "auroc"]].tolist() == [
        0.7069,
        0.7823,
        0.7857,
    ]
    named = replace(results, methods={"ffcl": replace(CHANCE, name="ffcl")}, cells=[], failures=[])
    row = summarize(named).iloc[0]
    assert (row["auroc_published"], row["auroc_published_std"]) == (0.7857, 0.0234)


def test_files(results: Results, tmp_path: Path) -> None:
    tables = write_tables(results, tmp_path / "new", n_draws=50)
    names = {path.name for path in (tmp_path / "new").iterdir()}
    assert names == {"methods.csv", "cells.csv", "subjects.csv", "published.csv"}
    read = pd.read_csv(tmp_path / "new" / "methods.csv")
    assert read["auroc"].tolist() == pytest.approx(tables["methods"]["auroc"].tolist())


def test_plain_text(results: Results, summary: pd.DataFrame) -> None:
    text = format_results(results, summary.reset_index())
    lines = text.splitlines()
    assert lines[0] == "state" and lines[3].split()[:4] == ["method", "BA", "AUC-PR", "AUROC"]
    (loud,) = [line for line in lines if line.startswith("Loudness")]
    row = summary.loc["loudness"]
    shown = f"{row['auroc']:.3f} ± {row['auroc_std_seeds']:.3f} [{row['auroc_low']:.3f}, "
    assert shown in loud and "without T" in loud
    (broken,) = [line for line in lines if line.startswith("Broken")]
    assert broken.endswith("1 cells failed")


def test_explanation_says_what_there_is(
    results: Results, summary: pd.DataFrame, problem: Problem
) -> None:
    everything = explain_scores([problem], summary.reset_index())
    assert everything.startswith(
        "Mean over folds and seeds ± standard deviation over seeds, and in"
    )
    assert everything.endswith("error, with and without temperature.")
    named = replace(results, methods={"ffcl": replace(CHANCE, name="ffcl")}, cells=[], failures=[])
    assert "Published scores" in explain_scores([problem], summarize(named))
    # One seed, one fold, one subject, no temperature, nothing published.
    alone = replace(problem, subjects=np.zeros(len(problem.y)), folds=problem.folds[:1], dataset="")
    once = run_evaluation([alone], methods=[CHANCE], seeds=[0], n_jobs=1)
    table = summarize(once, n_draws=50)
    short = "Scores of the test epochs. ECE is the expected calibration error."
    assert explain_scores([alone], table) == short
    assert format_results(once, table).endswith(f"\n{short}\n")


def test_explanation_of_scores_together(problem: Problem) -> None:
    """Folds that lack a class are no mean over folds."""
    by_person = replace(problem, y=np.where(problem.subjects < 2, "rest", "active"))
    together = run_evaluation([by_person], methods=[CHANCE], seeds=[0], n_jobs=1)
    text = explain_scores([by_person], summarize(together, n_draws=50))
    assert text.startswith("Scores of the test epochs, and in brackets the 95% interval")


def test_report(results: Results, tmp_path: Path) -> None:
    before = plt.get_fignums()
    report = evaluation_report(results, tables=write_tables(results, tmp_path, n_draws=50))
    assert plt.get_fignums() == before
    titles = [element.name for element in report._content]
    assert titles[:3] == ["state: scores", "state: comparison", "state: subjects"]
    assert "state: Loudness, confusion" in titles and "state: Loudness, reliability" in titles
    assert "state: Chance, confusion" not in titles and titles[-1] == "What failed"
    report.save(tmp_path / "report.html", open_browser=False, verbose="error")
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Simulated &lt;EEG&gt;." in html and "RuntimeError: out of order" in html
