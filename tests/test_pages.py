"""Pages of the user guide do what they say: their code runs, and prints what stands below it."""

from __future__ import annotations

import numpy as np
import pages
import pytest
from pages import read_blocks, run_page

# Blocks of Python of each page, and those of which the page shows what they print.
SIZES = {"signal_path": (9, 8), "tokens": (8, 8), "tasks": (9, 8), "models": (3, 3)}


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
    names, _ = run_page("models")
    assert names["again"].model_ is not names["tuned"].model_
    assert (tmp_path / "tuned" / "model.safetensors").exists()
