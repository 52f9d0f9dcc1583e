"""The HTML report."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest

from mne_neurolm.evaluation import demo_report
from mne_neurolm.evaluation.report import results_table


def make_report(**changes):
    rng = np.random.default_rng(0)
    original = rng.standard_normal((2, 3, 400))
    arguments = dict(
        results={"Model <1>": {"balanced_accuracy": 0.75, "auroc": 0.8125}, "Chance": {}},
        y_true=[0, 1, 1, 0],
        y_pred=[0, 1, 0, 0],
        labels=[0, 1],
        names=["rest", "arithmetic"],
        original=original,
        reconstruction=original + 0.3 * rng.standard_normal(original.shape),
        ch_names=["Cz", "Pz", "Oz"],
        codes=rng.integers(0, 32, (4, 6)),
        codebook_size=32,
        times=np.repeat([0, 1], 3),
        spectra=(rng.standard_normal((2, 6, 100)), rng.standard_normal((2, 6, 100))),
        description="First line\n\nSecond <line>",
    )
    return demo_report(**{**arguments, **changes})


def test_report_holds_everything(tmp_path: Path) -> None:
    before = plt.get_fignums()
    report = make_report(examples={"Example one": 0, "Example two": 1})
    assert plt.get_fignums() == before
    titles = [element.name for element in report._content]
    assert titles == [
        "Results",
        "Confusion matrix",
        "Example one: waveforms",
        "Example two: waveforms",
        "Example one: spectra",
        "Example two: spectra",
        "Code usage",
        "Stair-step mask",
    ]
    path = tmp_path / "report.html"
    report.save(path, open_browser=False, verbose="error")
    html = path.read_text(encoding="utf-8")
    assert html.count("data:image/png;base64,") >= 6
    assert "<p>First line</p><p>Second &lt;line&gt;</p>" in html
    assert "<td>Model &lt;1&gt;</td><td>0.750</td><td>0.812</td>" in html


def test_table() -> None:
    html = results_table({"a": {"auroc": 0.5}, "b": {"auroc": float("nan"), "auc_pr": 1.0}})
    assert "<th>method</th><th>auroc</th><th>auc pr</th>" in html
    assert "<td>a</td><td>0.500</td><td>–</td>" in html
    assert "<td>b</td><td>–</td><td>1.000</td>" in html


def test_spectra_are_optional() -> None:
    titles = [element.name for element in make_report(spectra=None)._content]
    assert "Reconstruction: waveforms" in titles and "Reconstruction: spectra" not in titles


def test_caption_names_the_frequency_target(tmp_path: Path) -> None:
    for target, caption in (("magnitude", "over the epoch"), ("log_magnitude", "training data")):
        report = make_report(frequency_target=target)
        path = tmp_path / f"{target}.html"
        report.save(path, open_browser=False, verbose="error")
        spectra = path.read_text(encoding="utf-8").split("from the same codes, averaged", 1)[1]
        assert caption in spectra[:300]


def test_shapes_must_match() -> None:
    with pytest.raises(ValueError, match="one entry for each of 2 examples; got 1 and 1"):
        make_report(spectra=(np.ones((1, 6, 100)), np.ones((1, 6, 100))))
    with pytest.raises(ValueError, match="must have the same shape"):
        make_report(reconstruction=np.ones((2, 3, 200)))
