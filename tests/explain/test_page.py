"""The page "Looking inside" does what it says."""

from __future__ import annotations

import re
from pathlib import Path
from textwrap import dedent

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest

PAGE = Path(__file__).resolve().parents[2] / "doc" / "explaining.rst"


def test_every_block_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    """One after the other, as a reader copies them."""
    matplotlib.use("Agg", force=True)
    monkeypatch.chdir(tmp_path)
    text = PAGE.read_text(encoding="utf-8")
    blocks = re.findall(r"^\.\. code-block:: python\n\n((?:   .*\n|\n)+)", text, re.MULTILINE)
    assert len(blocks) == 5
    names: dict = {}
    for block in blocks:
        exec(compile(dedent(block), str(PAGE), "exec"), names)
    n_figures = len(plt.get_fignums())
    plt.close("all")
    assert n_figures == 5 and (tmp_path / "report.html").stat().st_size > 1e5
    attribution = names["attribution"]
    missed = attribution.values.sum(axis=(1, 2))
    missed -= attribution.log_odds - attribution.baseline_log_odds
    assert np.abs(missed).max() < 0.01
    assert capsys.readouterr().out.endswith("]\n")
