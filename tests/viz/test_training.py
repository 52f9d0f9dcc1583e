"""What the figure of a training run shows."""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest

from mne_neurolm.viz import plot_training


def tokenizer_history(n: int = 50) -> list[dict]:
    terms = ("loss", "frequency", "raw", "commitment", "domain_eeg", "domain_text")
    terms += ("codebook_used", "codebook_perplexity")
    return [
        {"step": 2 * k + 1, **{term: 1 + i + 1 / (k + 1) for i, term in enumerate(terms)}}
        for k in range(n)
    ]


def language_history(n: int = 50, of: str = "eeg") -> list[dict]:
    rng = np.random.default_rng(0)
    history = []
    for step in range(1, n + 1):
        loss = 9 - 5 * step / n + 0.1 * rng.standard_normal()
        entry = {"step": step, "loss": loss + 3, of: loss, f"{of}_accuracy": 0.5, "text": 3.0}
        entry |= {"text_accuracy": 0.4, "text_perplexity": 20.0}
        if of == "eeg":
            entry["eeg_perplexity"] = np.exp(loss)
        if step % 25 == 0:
            entry |= {"val_loss": 8.0, f"val_{of}": step / 10}
        history.append(entry)
    return history


def labels(fig) -> list[str]:
    return [ax.get_ylabel() for ax in fig.axes]


def legend(ax) -> list[str]:
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_one_run() -> None:
    history = language_history()
    fig = plot_training(history, smooth=5, show=False)
    fig.canvas.draw()
    assert labels(fig) == ["Loss", "Accuracy", "Perplexity"]
    loss, accuracy, perplexity = fig.axes
    assert legend(loss) == ["total", "EEG", "text"]
    assert legend(accuracy) == legend(perplexity) == ["EEG", "text"]
    assert {ax.get_xlabel() for ax in fig.axes} == {"Step"}
    assert perplexity.get_yscale() == "log" and loss.get_ylim()[0] == 0
    # Of each curve: steps as logged, their moving mean, validation.
    raw, mean, validation = loss.lines[3:6]
    eeg = np.array([entry["eeg"] for entry in history])
    assert raw.get_xdata().tolist() == list(range(1, 51))
    assert np.array_equal(raw.get_ydata(), eeg)
    assert mean.get_ydata()[10] == pytest.approx(eeg[8:13].mean())
    assert mean.get_ydata()[0] == pytest.approx(eeg[:3].mean())
    assert mean.get_ydata()[-1] == pytest.approx(eeg[-3:].mean())
    assert validation.get_xdata().tolist() == [25, 50]
    assert validation.get_ydata().tolist() == [2.5, 5.0]
    assert raw.get_color() == mean.get_color() == validation.get_color()
    assert [t.get_text() for t in fig.legends[0].get_texts()] == [
        "logged steps",
        "moving mean",
        "validation",
    ]


def test_terms_keep_their_colours_over_stages() -> None:
    fig = plot_training([language_history(), language_history(of="answer")], show=False)
    colors = {}
    for ax in fig.axes:
        for handle, name in zip(ax.get_legend().legend_handles, legend(ax), strict=True):
            assert colors.setdefault(name, handle.get_color()) == handle.get_color()
    assert len(set(colors.values())) == len(colors) == 4


def test_stages_stand_side_by_side() -> None:
    runs = [tokenizer_history(), language_history(), language_history(of="answer")]
    fig = plot_training(runs, title="Mine", show=False)
    fig.canvas.draw()
    language = ["Loss", "Accuracy", "Perplexity"]
    tokenizer = ["Loss", "Domain loss", "Codebook perplexity", "Codes used (share)"]
    assert sorted(labels(fig)) == sorted([*tokenizer, *language, *language])
    titles = [ax.get_title() for ax in fig.axes if ax.get_title()]
    assert titles == ["tokenizer", "autoregressive", "instruct"]
    columns = sorted({round(ax.get_position().x0, 2) for ax in fig.axes})
    assert len(columns) == 3
    # The lowest panel of every column names the horizontal axis.
    assert sum(ax.get_xlabel() == "Step" for ax in fig.axes) == 3
    assert fig.get_suptitle() == "Mine"


def test_predictions_from_hidden_states_have_a_panel_of_their_own() -> None:
    terms = ("frequency", "phase", "raw", "scalp")
    history = [
        {**entry, "phase": 2.0, **{f"hidden_{term}": 0.5 + i for i, term in enumerate(terms)}}
        for entry in tokenizer_history()
    ]
    fig = plot_training(history, show=False)
    fig.canvas.draw()
    assert labels(fig)[:3] == ["Loss", "Loss, hidden states", "Domain loss"]
    loss, hidden = fig.axes[:2]
    assert legend(loss) == ["total", "spectrum", "phase", "waveform", "commitment"]
    assert legend(hidden) == ["spectrum", "phase", "waveform", "scalp"]
    assert hidden.lines[-2].get_ydata().tolist() == pytest.approx([3.5] * 50)
    for ax in (loss, hidden):
        colors = [handle.get_color() for handle in ax.get_legend().legend_handles]
        assert len(set(colors)) == len(colors)
        assert ax.get_legend().get_window_extent().x1 <= fig.bbox.x1
    # No legend runs into the panel beside it.
    boxes = [ax.get_legend().get_window_extent() for ax in fig.axes]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_masked_codes() -> None:
    history = [
        {"step": k, "loss": 8.0 / k, "masked": 4.0 / k, "masked_accuracy": 0.1 * k}
        for k in range(1, 8)
    ]
    fig = plot_training([tokenizer_history(), history], show=False)
    assert [ax.get_title() for ax in fig.axes if ax.get_title()] == ["tokenizer", "masked"]
    loss, accuracy = (ax for ax in fig.axes if "masked codes" in legend(ax))
    assert (loss.get_ylabel(), accuracy.get_ylabel()) == ("Loss", "Accuracy")
    assert legend(loss) == ["total", "masked codes"] and legend(accuracy) == ["masked codes"]


def test_folders_files_and_names(tmp_path: Path) -> None:
    paths = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        paths.append(tmp_path / name / "metrics.jsonl")
        lines = [json.dumps(entry) for entry in language_history()]
        paths[-1].write_text("\n".join(lines) + '\n{"step": 51, "lo')
    fig = plot_training([tmp_path / "one", str(paths[1])], show=False)
    titles = [ax.get_title() for ax in fig.axes if ax.get_title()]
    assert titles == ["autoregressive one", "autoregressive two"]
    assert len(fig.axes[0].lines[0].get_xdata()) == 50
    fig = plot_training(paths, names=["a", "b"], show=False)
    assert [ax.get_title() for ax in fig.axes if ax.get_title()] == ["a", "b"]
    assert labels(plot_training(str(tmp_path / "one"), show=False))[0] == "Loss"


def test_absent_terms_and_skipped_steps() -> None:
    history = [{"step": k, "loss": None if k == 3 else float(k)} for k in range(1, 8)]
    fig = plot_training(history, smooth=3, show=False)
    assert labels(fig) == ["Loss"] and legend(fig.axes[0]) == ["total"]
    raw, mean, validation = fig.axes[0].lines
    assert np.isnan(raw.get_ydata()[2]) and np.isfinite(raw.get_ydata()).sum() == 6
    assert mean.get_ydata().tolist() == [1.5, 1.5, 3.0, 4.5, 5.0, 6.0, 6.5]
    assert len(validation.get_xdata()) == 0
    assert [t.get_text() for t in fig.legends[0].get_texts()] == ["logged steps", "moving mean"]


def test_few_steps_are_drawn_as_they_are() -> None:
    fig = plot_training(language_history(5), show=False)
    line, validation = fig.axes[0].lines[:2]
    assert line.get_label() == "total" and line.get_marker() == "None"
    assert len(line.get_xdata()) == 5 and len(validation.get_xdata()) == 0
    (key,) = fig.legends[0].legend_handles
    assert key.get_label() == "logged steps" and key.get_alpha() is None


def test_a_single_step_is_a_visible_point() -> None:
    fig = plot_training(language_history(1), show=False)
    fig.canvas.draw()
    for ax in fig.axes:
        assert ax.lines[0].get_marker() == "."
        (low, high), (bottom, top) = ax.get_xlim(), ax.get_ylim()
        assert low < 1 < high and bottom < ax.lines[0].get_ydata()[0] < top
    assert [t.get_text() for t in fig.legends[0].get_texts()] == ["logged steps"]


def test_legends_lie_outside_the_axes() -> None:
    fig = plot_training([tokenizer_history(), language_history()], show=False)
    fig.canvas.draw()
    for ax in fig.axes:
        box, inside = ax.get_legend().get_window_extent(), ax.get_window_extent()
        assert box.y0 >= inside.y1 - 1 and box.x1 <= fig.bbox.x1


def test_given_axes() -> None:
    fig, axes = plt.subplots(2, 2)
    assert plot_training(language_history(), axes=axes.ravel()[:3], show=False) is fig
    assert [len(ax.lines) > 0 for ax in axes.ravel()] == [True, True, True, False]
    assert len(plt.get_fignums()) == 1 and not fig.legends
    with pytest.raises(ValueError, match=r"axes must hold 3, one for each panel of each run \(3\)"):
        plot_training(language_history(), axes=axes, show=False)


def test_wrong_input(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").touch()
    with pytest.raises(ValueError, match="holds no logged step yet"):
        plot_training(tmp_path, show=False)
    with pytest.raises(FileNotFoundError, match="missing does not exist"):
        plot_training(tmp_path / "missing", show=False)
    with pytest.raises(ValueError, match="no line holds a number for any of loss, frequency"):
        plot_training([{"step": 1, "lr": 1.0}], show=False)
    with pytest.raises(ValueError, match="one name for each; got 1 runs and 2 names"):
        plot_training(language_history(), names=["a", "b"], show=False)
    with pytest.raises(ValueError, match="got 0 runs"):
        plot_training([], show=False)
    with pytest.raises(ValueError, match="1 or more; got 0"):
        plot_training(language_history(), smooth=0, show=False)
    assert not plt.get_fignums()
