"""Pages of the user guide do what they say: their code runs, and prints what stands below it."""

from __future__ import annotations

import importlib

import numpy as np
import pages
import pytest
from pages import read_blocks, run_page

# Blocks of Python of each page, and those of which the page shows what they print.
SIZES = {
    "signal_path": (10, 9),
    "tokens": (8, 8),
    "tasks": (10, 9),
    "models": (5, 5),
    "tuning": (6, 0),
}


@pytest.mark.parametrize("page", SIZES)
def test_blocks_of_a_page(page: str) -> None:
    blocks = read_blocks(page)
    assert (len(blocks), sum(block.shown is not None for block in blocks)) == SIZES[page]


def test_a_block_and_what_it_prints(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(pages, "DOC", tmp_path)
    page = tmp_path / "page.rst"
    block = ".. code-block:: python\n\n   n = {}\n\n   print(n)\n\n"
    apart = ".. code-block:: text\n\n   not compared\n"
    shown = ".. code-block:: text\n\n   2\n\n"
    page.write_text(f"Page\n\n{block.format(1)}Words.\n\n{apart}\n{block.format(2)}{shown}")
    assert [block.shown for block in read_blocks("page")] == [None, "2"]
    assert run_page("page").printed == ["1", "2"] and run_page("page").names["n"] == 2
    page.write_text(f"{block.format(3)}{shown}")
    with pytest.raises(AssertionError, match=r"page\.rst, block at line 2"):
        run_page("page")


def test_signal_path() -> None:
    names, _ = run_page("signal_path")
    assert names["raw"].info["sfreq"] == 500.0 and len(names["raw"].ch_names) == 20
    np.testing.assert_allclose(names["patches"].data, names["same"].data, atol=1e-4)


def test_tokens() -> None:
    names, _ = run_page("tokens")
    assert names["rebuilt"].shape == names["epochs"].get_data().shape


def test_tasks() -> None:
    names, _ = run_page("tasks")
    assert all(names["written"]) and len(names["written"]) == 8
    proba = names["calibrated"].predict_proba(names["tokens"])
    np.testing.assert_allclose(proba.sum(axis=1), 1.0)


def test_models(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(pages.DOC.parent / "tools"))
    tiny_data = importlib.import_module("tiny_data")
    names, _ = run_page("models")
    for task in tiny_data.TASKS[1:]:  # the first is known by name
        shown = names[task.name]
        assert (shown.prompt(), shown.answers) == (task.prompt(), task.answers)
    assert names["again"].model_ is not names["tuned"].model_
    assert (tmp_path / "tuned" / "model.safetensors").exists()


def test_tuning(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    names, _ = run_page("tuning")
    assert names["scores"].shape == (2,) and ((names["scores"] >= 0) & (names["scores"] <= 1)).all()
    assert set(names["search"].best_params_) == {"neurolmclassifier__lr"}


def test_quickstart(tmp_path, monkeypatch) -> None:
    """The recording that the reader is asked for is a simulated one here."""
    import mne

    from mne_neurolm.datasets import simulate_epochs

    monkeypatch.chdir(tmp_path)
    epochs = simulate_epochs(n_subjects=1, n_epochs_per_subject=10, random_state=1)
    names = [f"EEG {name.upper()}-REF" for name in epochs.ch_names]
    info = mne.create_info(names, epochs.info["sfreq"], "eeg")
    raw = mne.io.RawArray(np.hstack(epochs.get_data()), info)
    mne.export.export_raw("recording.edf", raw)
    names, printed = run_page("quickstart")
    assert float(printed[3].split()[1]) > 0.7, "NeuroLM is better than chance"
    assert len(names["pipe"].predict(names["mine"])) == 10
    assert (tmp_path / "report.html").stat().st_size > 1e5


def test_pipeline_of_the_readme() -> None:
    text = (pages.DOC.parent / "README.md").read_text(encoding="utf-8")
    code = text.split("## A pipeline\n\n```python\n")[1].split("```")[0]
    assert len([line for line in code.splitlines() if line]) == 8
    names: dict = {}
    exec(code, names)
    assert names["pipe"].classes_.tolist() == ["active", "rest"]
