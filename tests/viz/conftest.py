"""What tests of figures share."""

from __future__ import annotations

from collections.abc import Iterator

import matplotlib
import matplotlib.pyplot as plt
import pytest


@pytest.fixture(autouse=True)
def figures() -> Iterator[None]:
    """Draw without a screen, and leave no figure behind."""
    matplotlib.use("Agg", force=True)
    yield
    plt.close("all")
