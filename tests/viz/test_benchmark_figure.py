"""The figure of a benchmark."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from mne_neurolm.viz import plot_benchmark
from mne_neurolm.viz._figure import BLUE, VERMILION


@pytest.fixture
def results() -> pd.DataFrame:
    rows = [("good", 0.8, "a"), ("good", 0.9, "b"), ("bad", 0.4, "a"), ("bad", 0.6, "b")]
    table = pd.DataFrame(rows, columns=["pipeline", "score", "subject"])
    # A second session, whose scores are averaged with those of the first.
    return pd.concat([table, table.assign(score=table["score"] - 0.2)]).assign(dataset="d")


def test_benchmark(results: pd.DataFrame) -> None:
    fig = plot_benchmark(
        results, highlight=["good"], chance=0.5, label="balanced_accuracy", title="All", show=False
    )
    (ax,) = fig.axes
    assert [t.get_text() for t in ax.get_yticklabels()] == ["bad", "good"]  # from below
    assert ax.get_xlabel() == "Balanced accuracy" and ax.get_title() == "All"
    bad, bad_mean, good, good_mean, chance = ax.lines
    np.testing.assert_allclose(bad.get_xdata(), [0.3, 0.5])
    np.testing.assert_allclose(good.get_xdata(), [0.7, 0.8])
    np.testing.assert_allclose(good_mean.get_xdata(), [0.75, 0.75])
    np.testing.assert_allclose(bad_mean.get_xdata(), [0.4, 0.4])
    assert list(chance.get_xdata()) == [0.5, 0.5]
    # A person has the same height in both rows, the best the lowest.
    assert good.get_ydata()[1] < good.get_ydata()[0]
    np.testing.assert_allclose(np.diff(good.get_ydata()), np.diff(bad.get_ydata()))
    assert good.get_markerfacecolor() == BLUE and bad.get_markerfacecolor() == VERMILION


def test_one_subject_on_given_axes(results: pd.DataFrame) -> None:
    fig, ax = plt.subplots()
    one = results[results["subject"] == "a"].drop(columns="dataset")
    assert plot_benchmark(one, chance=float("nan"), axes=ax, show=False) is fig
    assert [list(line.get_ydata()) for line in ax.lines[::2]] == [[0.0], [1.0]]
    assert len(ax.lines) == 4  # no line for a chance level that is not known


def test_wrong_results(results: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match=r"columns \['subject'\], which are missing"):
        plot_benchmark(results.drop(columns="subject"), show=False)
    with pytest.raises(ValueError, match="several datasets, d, e; select"):
        plot_benchmark(pd.concat([results, results.assign(dataset="e")]), show=False)
    with pytest.raises(ValueError, match="No pipeline has a score"):
        plot_benchmark(results.assign(score=np.nan), show=False)
