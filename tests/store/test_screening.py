"""Broken channels are found, also when a recording comes in parts."""

from __future__ import annotations

import numpy as np
import pytest

from mne_neurolm.store.screening import (
    RawScreen,
    UnusableError,
    check_broken,
    find_too_large,
)

SFREQ = 100.0


def broken(data: np.ndarray, n_parts: int = 1) -> dict[int, str]:
    screen = RawScreen(len(data), SFREQ)
    for part in np.array_split(data, n_parts, axis=1):
        screen.update(part.copy())
    return screen.broken()


@pytest.fixture
def data() -> np.ndarray:
    """Return six channels of a minute in volts."""
    return 2e-5 * np.random.default_rng(0).standard_normal((6, 6000))


@pytest.mark.parametrize("n_parts", [1, 2, 7])
def test_each_kind(data: np.ndarray, n_parts: int) -> None:
    data[1, 2000:] = 3e-3  # flat for two thirds, at an offset
    data[2] = np.clip(data[2], -1.5e-5, 1.5e-5)
    data[3, 17] = np.nan
    data[4, 5000] = -np.inf
    assert broken(data, n_parts) == {
        1: "flat",
        2: "clipped",
        3: "NaN or infinite",
        4: "NaN or infinite",
    }


def test_what_is_tolerated(data: np.ndarray) -> None:
    data[0, 1000:3500] = 0.0  # less than half
    data[1] = np.clip(data[1], -4.5e-5, 4.5e-5)  # the largest percent
    data[2] = 1e-6 * np.round(data[2] * 1e6)  # a coarse amplifier
    data[3] += np.linspace(0, 0.1, 6000)  # drift
    assert broken(data) == {}


def test_clipping_at_a_value_that_is_exceeded_later(data: np.ndarray) -> None:
    data[0] = np.clip(data[0], -1e-5, 1e-5)
    assert broken(data, 3) == {0: "clipped"}
    data[0, -1] = 1.0  # so it was not the limit of the amplifier above, but still below
    data[0, -2] = -1.0
    assert broken(data, 3) == broken(data, 1) == {}


def test_very_short(data: np.ndarray) -> None:
    assert broken(data[:, :50]) == {}
    flat = np.zeros((1, 50))
    assert broken(flat) == {0: "flat"}
    screen = RawScreen(1, SFREQ)
    screen.update(np.zeros((1, 0)))
    assert screen.broken() == {}


def test_most_channels_broken() -> None:
    check_broken({0: "flat", 1: "clipped"}, 4)
    with pytest.raises(UnusableError, match="^flat: of 5 channels, 1 clipped, 2 flat$"):
        check_broken({0: "flat", 1: "clipped", 3: "flat"}, 5)
    with pytest.raises(UnusableError):
        check_broken({0: "flat"}, 1)


def test_units() -> None:
    sd = np.full(4, 2e-5)
    assert find_too_large(sd, 5 * sd, {}) == {}
    for factor in (1e6, 1e3, 1e-3):
        with pytest.raises(UnusableError, match="^implausible unit: the median standard"):
            find_too_large(sd * factor, 5 * sd * factor, {})


def test_artefacts_that_cost_resolution() -> None:
    """A step of 5 % of 20 µV is 1 µV: a peak of 32.767 mV."""
    sd = np.array([2e-5, 2e-5, 2e-5, 3e-5])
    peak = np.array([1e-4, 1e-4, 0.0327, 1e-4])
    assert find_too_large(sd, peak, {}) == {}
    peak[2] = 0.0329
    assert find_too_large(sd, peak, {}) == {2: "artefacts too large for int16"}
    assert find_too_large(sd, peak, {0: "flat"}) == {0: "flat", 2: "artefacts too large for int16"}
    with pytest.raises(UnusableError, match="^artefacts too large for int16: of 4 channels, 3"):
        find_too_large(sd, np.array([1.0, 1.0, 1.0, 1e-4]), {})
