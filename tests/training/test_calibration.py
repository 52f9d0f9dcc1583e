"""The temperature: found, within bounds, and without a say in what is predicted."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import log_softmax

from mne_neurolm.training.calibration import RANGE, calibrated, fit_temperature


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_the_temperature_that_made_the_labels_is_found(temperature: float) -> None:
    rng = np.random.default_rng(0)
    scores = 2 * rng.standard_normal((20000, 3))
    labels = (calibrated(scores, temperature).cumsum(axis=1) > rng.random((20000, 1))).argmax(
        axis=1
    )
    found = fit_temperature(log_softmax(scores, axis=1), labels)
    assert found == pytest.approx(temperature, rel=0.05)
    # What is added to all scores of a sample does not matter.
    assert fit_temperature(scores + rng.standard_normal((20000, 1)), labels) == pytest.approx(found)


def test_by_hand() -> None:
    """Log-odds ln 99, right in 3 of 4: the likeliest probability is 3/4, so T = ln 99 / ln 3."""
    scores = np.log([[0.99, 0.01]] * 4)
    assert fit_temperature(scores, [0, 0, 0, 1]) == pytest.approx(np.log(99) / np.log(3), rel=1e-3)


def test_nothing_to_learn_from_stays_in_bounds() -> None:
    right = np.log([[0.9, 0.1]] * 5)
    assert RANGE[0] <= fit_temperature(right, [0] * 5) < 0.1
    assert fit_temperature(right, [1] * 5) == pytest.approx(RANGE[1], rel=0.01)


def test_predictions_stay() -> None:
    scores = np.random.default_rng(0).standard_normal((50, 4))
    for temperature in RANGE:
        proba = calibrated(scores, temperature)
        np.testing.assert_allclose(proba.sum(axis=1), 1)
        np.testing.assert_array_equal(proba.argmax(axis=1), scores.argmax(axis=1))


@pytest.mark.parametrize(
    ("scores", "labels", "message"),
    [
        (np.zeros((0, 2)), np.zeros(0, int), "got none"),
        (np.zeros((2, 2)), [0], "must be"),
        (np.zeros(2), [0, 1], "must be"),
        ([[np.nan, 0.0]], [0], "must be finite"),
        (np.zeros((2, 2)), [0, 2], "Labels must be 0 to 1; got 0 to 2"),
    ],
)
def test_refused(scores, labels, message) -> None:
    with pytest.raises(ValueError, match=message):
        fit_temperature(scores, labels)
