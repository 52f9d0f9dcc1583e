"""What the figures of codes, masks and predictions show."""

from __future__ import annotations

import matplotlib.pyplot as plt
import mne
import numpy as np
import pytest

from mne_neurolm.viz import plot_code_usage, plot_confusion, plot_mask


def test_code_usage() -> None:
    codes = np.array([[5, 5, 5, 5], [7, 7, 2, 0]])
    fig = plot_code_usage(codes, 16, show=False)
    (ax,) = fig.axes
    (stairs,) = ax.patches
    assert stairs.get_data().values.tolist() == [4, 2, 1, 1]
    assert ax.lines[0].get_ydata()[0] == 0.5  # 8 tokens over 16 codes
    p = np.array([4, 2, 1, 1]) / 8
    perplexity = np.exp(-(p * np.log(p)).sum())
    title = f"4 of 16 codes used by 8 tokens, perplexity {perplexity:.0f}"
    assert ax.get_title() == title
    assert ax.get_xlabel() == "Rank of the code (of 16)"
    assert ax.get_ylabel() == "Tokens with this code"
    assert ax.get_xlim() == (0.5, 16.5)


def test_code_usage_wrong_input() -> None:
    with pytest.raises(ValueError, match="from 0 to 16 lie outside a codebook of 16"):
        plot_code_usage([0, 16], 16, show=False)
    with pytest.raises(ValueError, match="must be integers"):
        plot_code_usage([0.5, 1.0], 16, show=False)
    with pytest.raises(ValueError, match="one or more; got 0"):
        plot_code_usage(np.zeros((0, 4), int), 16, show=False)


def test_confusion() -> None:
    y_true = ["a", "a", "a", "a", "b", "b", "c"]
    y_pred = ["a", "a", "a", "b", "b", "b", "a"]
    fig = plot_confusion(y_true, y_pred, ["a", "b", "c"], names=["A", "B", "C"], show=False)
    ax, bar = fig.axes
    expected = np.array([[0.75, 0.25, 0], [0, 1, 0], [1, 0, 0]])
    assert np.allclose(ax.images[0].get_array(), expected)
    texts = np.array([t.get_text() for t in ax.texts]).reshape(3, 3)
    assert texts[0].tolist() == ["75%\n3", "25%\n1", "0%\n0"]
    assert [t.get_text() for t in ax.get_xticklabels()] == ["A", "B", "C"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("Predicted class", "True class")
    assert ax.get_title() == "7 epochs, balanced accuracy 0.58"
    assert bar.get_ylabel() == "Share of the true class"
    assert ax.images[0].get_clim() == (0, 1)


def test_confusion_wrong_input() -> None:
    with pytest.raises(ValueError, match=r"also got \['c'\]"):
        plot_confusion(["a", "c"], ["a", "b"], ["a", "b"], show=False)
    with pytest.raises(ValueError, match="one label per epoch"):
        plot_confusion(["a", "b"], ["a"], ["a", "b"], show=False)
    with pytest.raises(ValueError, match="one entry for each of 2 labels"):
        plot_confusion(["a", "b"], ["a", "b"], ["a", "b"], names=["A"], show=False)


def test_mask() -> None:
    """Two channels, two seconds and two text tokens, written out."""
    fig = plot_mask([0, 0, 1, 1], n_text=2, show=False)
    (ax,) = fig.axes
    assert np.asarray(ax.images[0].get_array()).astype(int).tolist() == [
        [1, 1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0],
        [1, 1, 1, 1, 0, 0],
        [1, 1, 1, 1, 0, 0],
        [1, 1, 1, 1, 1, 0],
        [1, 1, 1, 1, 1, 1],
    ]
    assert [t.get_text() for t in ax.get_xticklabels()] == ["0 s", "1 s", "text"]
    assert ax.get_xticks().tolist() == [0.5, 2.5, 4.5]
    assert ax.get_ylabel() == "Attending token (query)"
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["attends", "masked"]


def test_mask_of_a_long_epoch_keeps_few_labels() -> None:
    fig = plot_mask(np.repeat(np.arange(30), 2), n_text=5, show=False)
    labels = [t.get_text() for t in fig.axes[0].get_xticklabels()]
    assert labels[:2] == ["0 s", "3 s"] and labels[-1] == "text" and len(labels) <= 13


@pytest.mark.parametrize("times", [[1, 0], [], [[0, 1]], [0.0, 1.0]])
def test_mask_wrong_input(times: list) -> None:
    with pytest.raises(ValueError, match="times must be the ascending seconds"):
        plot_mask(times, show=False)


def test_axes_and_show(monkeypatch: pytest.MonkeyPatch) -> None:
    """Given axes are used and no other figure is made; show=True shows."""
    fig, axes = plt.subplots(2)
    assert plot_mask([0, 1], axes=axes[0], show=False) is fig
    assert plot_code_usage([0, 1], 4, axes=axes[1], title="Mine", show=False) is fig
    assert axes[1].get_title() == "Mine" and len(plt.get_fignums()) == 1
    around = plt.figure()
    inner = around.subfigures(1, 2)[1].subplots()
    assert plot_mask([0, 1], axes=inner, show=False) is around
    shown = []
    monkeypatch.setattr(mne.viz.utils, "plt_show", shown.append)
    plot_mask([0, 1])
    assert shown == [True]
