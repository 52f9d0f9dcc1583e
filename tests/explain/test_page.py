"""The page "Looking inside" does what it says."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
from pages import run_page


def test_every_block_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One after the other, as a reader copies them."""
    matplotlib.use("Agg", force=True)
    monkeypatch.chdir(tmp_path)
    names, printed = run_page("explaining")
    assert len(printed) == 5
    n_figures = len(plt.get_fignums())
    plt.close("all")
    assert n_figures == 5 and (tmp_path / "report.html").stat().st_size > 1e5
    attribution = names["attribution"]
    missed = attribution.values.sum(axis=(1, 2))
    missed -= attribution.log_odds - attribution.baseline_log_odds
    assert np.abs(missed).max() < 0.01
    assert printed[-1].endswith("]")
