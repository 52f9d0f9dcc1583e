"""Windows as the deep baselines read them."""

from __future__ import annotations

import numpy as np
import pytest

from mne_neurolm.evaluation.deep.inputs import SCALINGS, to_network

RNG = np.random.default_rng(0)


def _windows(n: int = 3, n_chans: int = 2, n_times: int = 400) -> np.ndarray:
    return 2e-5 * RNG.standard_normal((n, n_chans, n_times)) + 3e-5


@pytest.mark.parametrize("scaling", SCALINGS)
def test_a_window_does_not_depend_on_others(scaling):
    data = _windows()
    together, rate = to_network(data, 160.0, resamples=True, scaling=scaling)
    alone, _ = to_network(data[1:2], 160.0, resamples=True, scaling=scaling)
    assert together.dtype == np.float32 and together.shape == (3, 2, 500) and rate == 200.0
    np.testing.assert_allclose(together[1:2], alone, rtol=1e-6)


def test_percentile():
    data = _windows()
    inputs, _ = to_network(data, 200.0, resamples=True, scaling="percentile")
    np.testing.assert_allclose(np.quantile(np.abs(inputs), 0.95, axis=-1), 1, rtol=1e-5)
    np.testing.assert_allclose(inputs[0, 0] / inputs[0, 0, 0], data[0, 0] / data[0, 0, 0], 1e-4)


def test_hundred_microvolts():
    inputs, _ = to_network(_windows() * 0 + 5e-5, 200.0, resamples=True, scaling="100 uV")
    np.testing.assert_allclose(inputs, 0.5, rtol=1e-6)


def test_standard():
    inputs, _ = to_network(_windows(), 200.0, resamples=False, scaling="standard")
    np.testing.assert_allclose(inputs.mean(axis=-1), 0, atol=1e-6)
    np.testing.assert_allclose(inputs.std(axis=-1), 1, rtol=1e-5)


@pytest.mark.parametrize("scaling", SCALINGS)
def test_a_flat_channel_is_zero(scaling):
    data = _windows()
    data[:, 1] = 0
    inputs, _ = to_network(data, 200.0, resamples=True, scaling=scaling)
    assert np.isfinite(inputs).all() and not inputs[:, 1].any()


def test_resampling_keeps_a_rhythm_in_its_place():
    at_160, at_200 = (np.sin(2 * np.pi * 10 * np.arange(2 * f) / f) for f in (160, 200))
    inputs, _ = to_network(1e-4 * at_160[None, None], 160.0, resamples=True, scaling="100 uV")
    # away from the edges, which nothing can continue exactly
    np.testing.assert_allclose(inputs[0, 0, 40:-40], at_200[40:-40], atol=0.01)


def test_a_network_that_takes_any_rate_gets_the_samples_as_they_are():
    data = _windows()
    inputs, rate = to_network(data, 160.0, resamples=False, scaling="100 uV")
    assert rate == 160.0
    np.testing.assert_allclose(inputs, data * 1e4, rtol=1e-6)
