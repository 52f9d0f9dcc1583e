"""Calibration against values computed by hand."""

from __future__ import annotations

import numpy as np
import pytest

from mne_neurolm.evaluation import expected_calibration_error, reliability_curve
from mne_neurolm.evaluation.calibration import undo_temperature


def test_by_hand() -> None:
    # Confidences 0.6 (right), 0.7 (wrong), 0.9 (right), 0.95 (right), in 5 bins.
    proba = np.array([[0.6, 0.4], [0.3, 0.7], [0.1, 0.9], [0.95, 0.05]])
    curve = reliability_curve([0, 0, 1, 0], proba, n_bins=5)
    assert curve.counts.tolist() == [0, 0, 1, 1, 2]  # 0.6 is the upper edge of the third
    assert np.allclose(curve.confidence[2:], [0.6, 0.7, 0.925])
    assert np.allclose(curve.accuracy[2:], [1, 0, 1])
    assert np.isnan(curve.accuracy[:2]).all()
    expected = (abs(1 - 0.6) + abs(0 - 0.7) + 2 * abs(1 - 0.925)) / 4
    assert expected_calibration_error([0, 0, 1, 0], proba, n_bins=5) == pytest.approx(expected)


def test_calibrated_by_construction() -> None:
    rng = np.random.default_rng(0)
    p = rng.uniform(size=200_000)
    truth = (rng.uniform(size=len(p)) < p).astype(int)
    proba = np.column_stack([1 - p, p])
    assert expected_calibration_error(truth, proba) < 0.01
    # Sharper probabilities are overconfident.
    assert expected_calibration_error(truth, undo_temperature(proba, 3.0)) > 0.1


def test_certain_and_right() -> None:
    assert expected_calibration_error([0, 1], np.eye(2)) == 0.0
    assert expected_calibration_error([1, 0], np.eye(2)) == 1.0


def test_undo_temperature() -> None:
    logits = np.array([[2.0, -1.0, 0.5], [0.0, 0.0, 9.0]])

    def softmax(z: np.ndarray) -> np.ndarray:
        return np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)

    assert np.allclose(undo_temperature(softmax(logits / 2.5), 2.5), softmax(logits))
    assert np.allclose(undo_temperature([[1.0, 0.0]], 2.5), [[1.0, 0.0]])


@pytest.mark.parametrize(
    ("y", "proba", "options", "message"),
    [
        ([0, 1], [[0.5, 0.5]], {}, "must be positions"),
        (["a"], [[0.5, 0.5]], {}, "must be positions"),
        ([], np.empty((0, 2)), {}, "must be positions"),
        ([0], [[0.5, 0.5]], {"n_bins": 0}, "1 or more; got 0"),
    ],
)
def test_wrong_input(y, proba, options, message) -> None:
    with pytest.raises(ValueError, match=message):
        reliability_curve(np.array(y), proba, **options)
    with pytest.raises(ValueError, match="above 0"):
        undo_temperature([[0.5, 0.5]], 0.0)
