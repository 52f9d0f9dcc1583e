"""Figures that compare methods."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from mne_neurolm.viz import plot_calibration, plot_comparison, plot_subject_scores


@pytest.fixture
def summary() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "problem": "p",
            "method": ["neurolm", "chance", "sparcnet", "failed"],
            "title": ["NeuroLM", "Chance", "SPaRCNet", "Failed"],
            "kind": ["neurolm", "simple", "deep", "deep"],
            "auroc": [0.8, 0.5, 0.7, np.nan],
            "auroc_low": [0.7, 0.5, np.nan, np.nan],
            "auroc_high": [0.9, 0.5, np.nan, np.nan],
            "auroc_published": [np.nan, np.nan, 0.75, np.nan],
            "cohen_kappa": [0.4, 0.0, 0.6, np.nan],
        }
    )


def test_comparison(summary: pd.DataFrame) -> None:
    fig = plot_comparison(summary, ["auroc", "cohen_kappa"], title="All", show=False)
    first, second = fig.axes
    # The best at the top; a method without scores is not there.
    assert [t.get_text() for t in first.get_yticklabels()] == ["Chance", "SPaRCNet", "NeuroLM"]
    drawn = [line.get_xdata() for line in first.lines]
    assert [0.7, 0.9] in [list(x) for x in drawn] and [0.75] in [list(x) for x in drawn]
    assert second.get_xlabel() == "Cohen's kappa"
    legend = [text.get_text() for text in fig.legends[0].get_texts()]
    assert legend == ["NeuroLM", "simple methods", "deep networks", "published", "chance"]


def test_comparison_on_given_axes(summary: pd.DataFrame) -> None:
    fig, ax = plt.subplots()
    assert plot_comparison(summary, ["auroc"], axes=[ax], show=False) is fig
    with pytest.raises(ValueError, match="one for each of 2 metrics; got 1"):
        plot_comparison(summary, ["auroc", "cohen_kappa"], axes=[ax], show=False)


def test_comparison_of_wrong_tables(summary: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match="columns of the table"):
        plot_comparison(summary, ["accuracy"], show=False)
    with pytest.raises(ValueError, match="No method has a score"):
        plot_comparison(summary.iloc[3:], ["auroc"], show=False)
    two = summary.assign(problem=["p", "p", "q", "q"])
    with pytest.raises(ValueError, match="several problems, p, q"):
        plot_comparison(two, ["auroc"], show=False)


def test_subjects() -> None:
    table = pd.DataFrame(
        {
            "problem": "p",
            "title": ["good"] * 3 + ["bad"] * 3,
            "subject": ["a", "b", "c"] * 2,
            "balanced_accuracy": [0.7, 0.9, 0.8, 0.5, 0.6, np.nan],
        }
    )
    fig = plot_subject_scores(table, title="People", show=False)
    ax = fig.axes[0]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["good", "bad"]
    assert [t.get_text() for t in ax.get_xticklabels()] == ["c", "b", "a"]
    shown = np.ma.filled(ax.images[0].get_array(), np.nan)
    assert np.allclose(shown, [[0.8, 0.9, 0.7], [np.nan, 0.6, 0.5]], equal_nan=True)
    # Numbers where there are some, legible on their colour.
    written = {text.get_position(): (text.get_text(), text.get_color()) for text in ax.texts}
    assert len(written) == 5 and (0, 1) not in written
    assert written[1, 0] == ("0.90", "black") and written[2, 1] == ("0.50", "white")
    with pytest.raises(ValueError, match="column 'auroc'"):
        plot_subject_scores(table, "auroc", show=False)
    with pytest.raises(ValueError, match="0 rows of 0"):
        plot_subject_scores(table.iloc[:0], show=False)


def test_many_subjects_have_a_label_every_few() -> None:
    names = [f"subject {k:03d}" for k in range(100)]
    table = pd.DataFrame({"problem": "p", "title": "m", "subject": names, "balanced_accuracy": 0.5})
    ax = plot_subject_scores(table, show=False).axes[0]
    assert len(ax.get_xticks()) == 34
    assert not ax.texts


def test_reliability() -> None:
    proba = np.array([[0.6, 0.4], [0.3, 0.7], [0.1, 0.9], [0.95, 0.05]])
    fig = plot_calibration([0, 0, 1, 0], proba, n_bins=5, show=False)
    upper, lower = fig.axes
    assert upper.get_title() == "Expected calibration error 0.312"
    points = upper.collections[-1].get_offsets()
    assert np.allclose(points, [[0.6, 1.0], [0.7, 0.0], [0.925, 1.0]])
    assert np.allclose(lower.patches[0].get_data().values, [0, 0, 25, 25, 50])
    assert upper.get_xlim()[0] < 0.5  # of two classes
    fig.canvas.draw()
    (legend,) = fig.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "a bin's epochs",
        "error",
        "calibrated",
    ]
    assert legend.get_window_extent().y1 <= lower.get_tightbbox().y0 + 1


def test_reliability_on_given_axes() -> None:
    fig, axes = plt.subplots(2)
    assert plot_calibration([0, 1], np.eye(2), axes=tuple(axes), title="T", show=False) is fig
    assert axes[0].get_title() == "T" and not fig.legends
    with pytest.raises(ValueError, match="must be positions"):
        plot_calibration(["a"], np.eye(1), show=False)
