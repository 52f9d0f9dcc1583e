"""What tests of figures share."""

from __future__ import annotations

from collections.abc import Iterator

import matplotlib
import matplotlib.pyplot as plt
import mne
import numpy as np
import pytest


@pytest.fixture(autouse=True)
def figures() -> Iterator[None]:
    """Draw without a screen, and leave no figure behind."""
    matplotlib.use("Agg", force=True)
    yield
    plt.close("all")


@pytest.fixture
def topomaps(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, float]]:
    """Return what was drawn where: the value of each electrode, a dictionary for each map."""
    drawn: list[dict[str, float]] = []
    plot = mne.viz.plot_topomap

    def note(data, pos, **arguments):
        values = np.asarray(data, dtype=float).round(3).tolist()
        drawn.append(dict(zip(pos["ch_names"], values, strict=True)))
        return plot(data, pos, **arguments)

    monkeypatch.setattr(mne.viz, "plot_topomap", note)
    return drawn
