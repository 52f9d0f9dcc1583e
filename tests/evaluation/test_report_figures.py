"""Figures in reports are as they were drawn."""

from __future__ import annotations

import base64
import io
import re

import matplotlib
import matplotlib.pyplot as plt
import mne
import numpy as np
import pytest
from PIL import Image

from mne_neurolm.evaluation.report_figures import add_figure


@pytest.mark.parametrize("dpi", [100, 150])
@pytest.mark.parametrize("size", [(8.2, 4.6), (16.4, 5.0), (6.33, 2.01), (3.0, 0.7)])
def test_pixels_are_those_of_the_figure(size: tuple[float, float], dpi: int, monkeypatch) -> None:
    """MNE alone shears figures of 8.2 inches, and fails on what is cut to what is drawn."""
    matplotlib.use("Agg", force=True)
    monkeypatch.setitem(matplotlib.rcParams, "savefig.bbox", "tight")
    fig = plt.figure(figsize=size, dpi=dpi)
    fig.add_axes((0.25, 0, 0.5, 1)).set(facecolor="red", xticks=[], yticks=[])
    report = mne.Report(title="Title", verbose="error")
    add_figure(report, fig, title="Figure", caption="Words", tags=("some",))
    assert not plt.get_fignums() and report.title == "Title" and report.tags == ("some",)
    encoded = re.search(r'base64,([^"]+)"', report.html[0])[1]
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(encoded))).convert("RGB"))
    height, width = picture.shape[:2]
    assert (width, height) == tuple(np.round(dpi * np.array(size)).astype(int))
    red = (picture == (255, 0, 0)).all(axis=-1)
    edges = red.argmax(axis=1)[2:-2]
    assert red.any() and edges.max() - edges.min() <= 1, "an upright edge is upright"
