"""Results of MOABB side by side."""

from __future__ import annotations

import re
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.pipeline import make_pipeline

from mne_neurolm import NeuroLMClassifier, NeuroLMTokenizer
from mne_neurolm.evaluation import BenchmarkResults, band_power_classifier
from mne_neurolm.evaluation.benchmark import find_models
from mne_neurolm.models.revision import model_revision

pytest.importorskip("moabb", reason="MOABB is not installed")

OURS, THEIRS = "NeuroLM tiny, tuned", "Tangent <space> + LR"


def make_results(scores: dict[str, list[list[float]]], **columns: object) -> pd.DataFrame:
    """Return rows as MOABB's: for each pipeline the scores of subjects in sessions."""
    rows = [
        {
            "score": score,
            "time": 2.0,
            "samples": 100.0,
            "samples_test": 20.0,
            "n_classes": 2.0,
            "subject": str(subject),
            "session": str(session),
            "channels": 22,
            "n_sessions": len(sessions),
            "dataset": "BNCI2014-001",
            "pipeline": name,
            "paradigm": "LeftRightImagery",
            "evaluation": "WithinSession",
        }
        for name, people in scores.items()
        for subject, sessions in enumerate(people, start=1)
        for session, score in enumerate(sessions)
    ]
    return pd.DataFrame(rows).assign(**columns)


@pytest.fixture
def results() -> pd.DataFrame:
    """Return the results of four subjects and two sessions."""
    theirs = [[0.8, 0.6], [0.7, 0.7], [0.9, 0.7], [0.5, 0.7]]  # means 0.7, 0.7, 0.8, 0.6
    ours = [[0.9, 0.7], [0.8, 0.8], [0.9, 0.9], [0.6, 0.6]]  # 0.1, 0.1, 0.1 and 0 better
    return make_results({THEIRS: theirs, OURS: ours, "Chance": [[0.5, 0.5]] * 4})


def test_table(results) -> None:
    table = BenchmarkResults(results).table()
    assert table["pipeline"].tolist() == [OURS, THEIRS, "Chance"]
    first = table.iloc[0]
    expected = results.loc[results["pipeline"] == OURS, "score"]
    assert first["score"] == pytest.approx(0.775) == expected.mean()
    assert first["std"] == pytest.approx(expected.std())  # over subjects and sessions
    assert first[["metric", "chance", "n_subjects", "n_rows", "time"]].tolist() == [
        "roc_auc", 0.5, 4, 8, 2.0,
    ]  # fmt: skip
    assert "carbon_emission" not in table


def test_metric_and_chance_follow_the_classes(results) -> None:
    table = BenchmarkResults(results.assign(n_classes=4.0)).table()
    assert set(table["metric"]) == {"accuracy"} and set(table["chance"]) == {0.25}
    table = BenchmarkResults(results, metric="balanced_accuracy").table()
    assert set(table["metric"]) == {"balanced_accuracy"}
    for unknown in (results.drop(columns="n_classes"), results.assign(n_classes=np.nan)):
        table = BenchmarkResults(unknown).table()
        assert set(table["metric"]) == {"score"} and table["chance"].isna().all()


def test_carbon(results) -> None:
    emissions = np.where(results["pipeline"] == OURS, 0.25, np.nan)
    table = BenchmarkResults(results.assign(carbon_emission=emissions)).table()
    assert table["carbon_emission"].tolist()[0] == 8 * 0.25
    assert table["carbon_emission"].isna().tolist() == [False, True, True]


def test_differences(results) -> None:
    table = BenchmarkResults(results).compare()
    assert table["difference"].is_monotonic_decreasing and (table["dataset"] != "all").all()
    row = table[(table["pipeline"] == OURS) & (table["other"] == THEIRS)].iloc[0]
    assert row["difference"] == pytest.approx(0.075) and row["n_subjects"] == 4
    assert row["effect"] == pytest.approx(0.075 / np.std([0.1, 0.1, 0.1, 0.0], ddof=1))
    # Of the 16 ways to give the four differences signs, two are as large: one of them is zero.
    assert row["p"] == pytest.approx(2 / 16)
    assert not ((table["pipeline"] == THEIRS) & (table["other"] == OURS)).any()


def test_differences_over_datasets(results) -> None:
    second = results.assign(dataset="Zhou2016")
    table = BenchmarkResults([results, second]).compare()
    pair = table[(table["pipeline"] == OURS) & (table["other"] == THEIRS)].set_index("dataset")
    together = pair.loc["all datasets"]
    assert together["n_subjects"] == 8 and together["difference"] == pytest.approx(0.075)
    assert together["effect"] == pytest.approx(pair.loc["Zhou2016", "effect"])
    assert together["p"] < pair.loc["Zhou2016", "p"]
    # A dataset with one subject tells a difference, and nothing about chance.
    one = BenchmarkResults([results, second[second["subject"] == "1"]]).compare()
    pair = one[(one["pipeline"] == OURS) & (one["other"] == THEIRS)].set_index("dataset")
    assert set(pair.index) == {"BNCI2014-001", "Zhou2016"}
    assert pair.loc["Zhou2016", "n_subjects"] == 1
    assert pair.loc["Zhou2016", "difference"] == pytest.approx(0.1)
    assert np.isnan(pair.loc["Zhou2016", ["effect", "p"]].to_numpy(dtype=float)).all()


def test_only_shared_subjects_are_compared(results) -> None:
    part = results[(results["pipeline"] != OURS) | (results["subject"] != "4")]
    table = BenchmarkResults(part).compare()
    row = table[(table["pipeline"] == OURS) & (table["other"] == THEIRS)].iloc[0]
    assert row["n_subjects"] == 3 and row["difference"] == pytest.approx(0.1)
    alone = [results[results["pipeline"] == OURS], results[results["pipeline"] != OURS]]
    alone[1] = alone[1].assign(subject="9")
    compared = BenchmarkResults([alone[0], alone[1].drop_duplicates(["pipeline", "session"])])
    assert OURS not in set(compared.compare()["pipeline"]) | set(compared.compare()["other"])


def test_evaluations_are_kept_apart(results) -> None:
    other = results.assign(evaluation="CrossSubject", score=results["score"] - 0.1)
    both = BenchmarkResults([results, other])
    assert len(both.table()) == 6
    assert "all datasets" not in set(both.compare()["dataset"])


def test_results_of_process_have_no_paradigm(results) -> None:
    found = BenchmarkResults(results.drop(columns=["paradigm", "evaluation"]))
    assert set(found.table()["paradigm"]) == {""} and len(found.compare()) == 3
    assert [e.name for e in found.report()._content][-3] == "BNCI2014-001: scores"


def test_rows_that_are_there_twice(results) -> None:
    assert len(BenchmarkResults([results, results.iloc[:3]]).results) == len(results)
    again = results[results["pipeline"] == OURS].assign(score=0.5)
    with pytest.raises(ValueError, match=f"several scores of one subject.*{OURS}.*Rename"):
        BenchmarkResults([results, again])


def test_failed_rows(results) -> None:
    results.loc[results["pipeline"] == "Chance", "score"] = np.nan
    found = BenchmarkResults(results)
    assert found.n_failed == 8 and set(found.table()["pipeline"]) == {OURS, THEIRS}
    with pytest.raises(ValueError, match="no score: all of 24 rows have failed"):
        BenchmarkResults(results.assign(score=np.nan))


def test_failed_rows_that_were_run_again(results) -> None:
    failed = results.assign(score=results["score"].where(results["pipeline"] != OURS))
    found = BenchmarkResults([failed, results])
    assert found.n_failed == 0 and len(found.results) == len(results)


def test_wrong_results(results) -> None:
    with pytest.raises(ValueError, match="session, score; session are missing among"):
        BenchmarkResults(results.drop(columns="session"))
    for empty in (pd.DataFrame(), []):
        with pytest.raises(ValueError, match="no results: the data frames are empty"):
            BenchmarkResults(empty)


def test_models() -> None:
    ours = make_pipeline(NeuroLMTokenizer("tiny"), NeuroLMClassifier("workload", "tiny-joint"))
    named = {"a": ours, "b": band_power_classifier(), "c": DummyClassifier()}
    expected = {"a": f"tiny ({model_revision('tiny')})"}
    assert find_models(named) == expected
    assert find_models([{"name": "a", "pipeline": ours, "paradigms": []}]) == expected
    assert find_models({"a": NeuroLMClassifier("workload", "user/model")}) == {"a": "user/model"}


def test_page(results, tmp_path: Path) -> None:
    before = plt.get_fignums()
    results.loc[results.index[-1], "score"] = np.nan
    page = BenchmarkResults([results, results.assign(dataset="Zhou2016")])
    titles = [element.name for element in page.report()._content]
    place = "WithinSession, LeftRightImagery"
    parts = [
        f"{name}, {place}: {part}"
        for name in ("BNCI2014-001", "Zhou2016")
        for part in ("scores", "people", "differences")
    ]
    assert titles == ["Models", *parts, f"all datasets, {place}: differences"]
    path = page.to_html(tmp_path / "new" / "page.html", title="Hands")
    assert plt.get_fignums() == before
    html = path.read_text(encoding="utf-8")
    assert "<title>Hands</title>" in html and html.count("data:image/png;base64,") >= 2
    assert f"<td>{OURS}</td><td>tiny ({model_revision('tiny')})</td>" in html
    own = results.loc[results["pipeline"] == OURS, "score"]
    assert f"<td>{OURS}</td><td>0.775 ± {own.std():.3f}</td><td>0.500</td><td>4</td>" in html
    them = "Tangent &lt;space&gt; + LR"
    square = [
        f"<th>{them}</th><th>Chance</th></tr></thead><tbody>",
        f"<tr><td>{OURS}</td><td>0.075 (p = 0.125)</td><td>0.275 (p = 0.062)</td></tr>",
        f"<tr><td>{them}</td><td></td><td>0.200 (p = 0.062)</td></tr>",
        "</tbody></table><p>People: 4.</p>",
    ]
    assert "".join(square) in html and "<space>" not in html
    assert "2 rows of all results had no score" in html
    assert "<th>s per fit</th></tr>" in html  # no column for what nobody measured
    assert page.to_html(path) == path  # replaced


def test_page_of_one_subject(results, tmp_path: Path) -> None:
    one = results[(results["subject"] == "1") & (results["session"] == "0")]
    page = BenchmarkResults(one.assign(carbon_emission=0.5), pipelines={})
    html = page.to_html(tmp_path / "page.html").read_text(encoding="utf-8")
    assert "Models" not in [element.name for element in page.report()._content]
    assert "<td>0.900</td><td>0.500</td><td>1</td><td>1</td><td>2</td><td>0.5</td>" in html
    assert f"<td>{OURS}</td><td>0.100</td><td>0.400</td>" in html and "(p = " not in html


def test_page_of_different_people(results, tmp_path: Path) -> None:
    """Who wins need not follow one order, nor need all have met."""
    scores = {"a": [0.9, 0.1, 0.2], "b": [0.8, 0.9, 0.2], "c": [0.3, 0.8, 0.9]}
    rows = make_results({name: [[score] for score in own] for name, own in scores.items()})
    met = {"a": ("1", "3"), "b": ("1", "2"), "c": ("2", "3")}
    some = rows[[s in met[p] for p, s in zip(rows["pipeline"], rows["subject"], strict=True)]]
    html = BenchmarkResults(some).to_html(tmp_path / "page.html").read_text(encoding="utf-8")
    # a beats b, b beats c, c beats a, each over the one person in common.
    found = re.findall(r"<td>(\u2212?0\.\d00)</td>", html)
    assert found[-3:] == ["0.700", "\u22120.100", "0.100"]
    apart = rows[(rows["pipeline"] != "a") | (rows["subject"] == "1")]
    apart = apart[(apart["pipeline"] != "b") | (apart["subject"] != "1")]
    html = BenchmarkResults(apart).to_html(tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<td>–</td>" in html and "<p>People: 1 to 2, those in common.</p>" in html
