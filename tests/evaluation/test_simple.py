"""The simple methods against known values, and where each of them wins."""

from __future__ import annotations

import mne
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from mne_neurolm.datasets import simulate_epochs
from mne_neurolm.evaluation import (
    band_power_classifier,
    band_tangent_space_classifier,
    chance_classifier,
    csp_classifier,
    evoked_classifier,
    tangent_space_classifier,
)
from mne_neurolm.evaluation.simple import Signals, WindowMeans

SFREQ = 100.0


def rhythm(frequency: float) -> np.ndarray:
    """Return one epoch of one channel, 2 s of a sine of 1 µV."""
    times = np.arange(int(2 * SFREQ)) / SFREQ
    return 1e-6 * np.sin(2 * np.pi * frequency * times)[None, None]


@pytest.fixture(scope="module")
def spatial() -> tuple[np.ndarray, np.ndarray]:
    """Return epochs of 4 channels in which the class says where a 12 Hz rhythm is strong."""
    rng = np.random.default_rng(0)
    y = np.arange(40) % 2
    data = rng.standard_normal((40, 4, 200))
    wave = np.sin(2 * np.pi * 12 * np.arange(200) / SFREQ)
    data[y == 0, 1] += 2 * wave
    data[y == 1, 2] += 2 * wave
    return 1e-5 * data, y


def test_signals_are_in_microvolts() -> None:
    data = np.full((2, 3, 200), 2e-6)
    assert np.allclose(Signals(SFREQ).fit_transform(data), 2.0)


def test_band_pass() -> None:
    """What is inside the band stays in phase, what is outside goes."""
    within = Signals(SFREQ, (8.0, 30.0)).fit_transform(rhythm(15.0))
    assert np.allclose(within[0, 0, 50:-50], 1e6 * rhythm(15.0)[0, 0, 50:-50], atol=0.02)
    for frequency in (3.0, 45.0):
        outside = Signals(SFREQ, (8.0, 30.0)).fit_transform(rhythm(frequency))
        assert np.abs(outside[0, 0, 50:-50]).max() < 0.05


def test_window_means_by_hand() -> None:
    data = 1e-6 * np.arange(2 * 11, dtype=float).reshape(1, 2, 11)
    features = WindowMeans(SFREQ, average_reference=False).fit_transform(data)
    # Windows of 5 samples; the eleventh fills none.
    assert np.allclose(features, [[2, 7, 13, 18]])
    # The mean of both channels is 5.5 more than the first and 5.5 less than the second.
    assert np.allclose(WindowMeans(SFREQ).fit_transform(data), [[-5.5, -5.5, 5.5, 5.5]])


def test_chance_knows_frequencies_only() -> None:
    data = np.random.default_rng(0).standard_normal((4, 2, 100))
    chance = chance_classifier().fit(data, ["a", "b", "b", "b"])
    assert np.allclose(chance.predict_proba(data), [[0.25, 0.75]] * 4)


@pytest.mark.parametrize(
    "build", [tangent_space_classifier, band_tangent_space_classifier, csp_classifier]
)
def test_finds_where_a_rhythm_is(build, spatial) -> None:
    data, y = spatial
    method = build(SFREQ).fit(data[:24], y[:24])
    assert np.mean(method.predict(data[24:]) == y[24:]) > 0.9


def test_evoked_finds_a_response() -> None:
    rng = np.random.default_rng(0)
    y = np.arange(40) % 2
    data = 1e-5 * rng.standard_normal((40, 4, 100))
    data[y == 1, 0, 40:60] += 1e-5
    method = evoked_classifier(SFREQ).fit(data[:24], y[:24])
    assert np.mean(method.predict(data[24:]) == y[24:]) > 0.9


def test_shift_of_a_channel_is_nothing_to_the_tangent_space(spatial) -> None:
    """Affine invariance: mixing channels does not change distances at the Riemannian mean."""
    data, y = spatial
    method = tangent_space_classifier(SFREQ, scale=False)
    space = Pipeline(method.steps[:3])
    mixing = np.array([[1.0, 0.3, 0, 0], [0, 1.0, 0, 0.2], [0, 0, 2.0, 0], [0.1, 0, 0, 1.0]])
    # OAS shrinks towards the identity, so that the invariance is that of scaling only.
    one = np.linalg.norm(space.fit_transform(data), axis=1)
    other = np.linalg.norm(space.fit_transform(7 * data), axis=1)
    assert np.allclose(one, other)
    assert not np.allclose(one, np.linalg.norm(space.fit_transform(mixing @ data), axis=1))


def test_three_classes(spatial) -> None:
    data, _ = spatial
    y = np.arange(40) % 3
    assert csp_classifier(SFREQ).fit(data, y).predict_proba(data).shape == (40, 3)


def test_epochs_and_lists_of_epochs() -> None:
    epochs = simulate_epochs(2, 6, random_state=0)
    y = epochs.metadata["state"].to_numpy(dtype=str)
    method = evoked_classifier().fit(epochs, y)
    listed = [epochs[k] for k in range(len(epochs))]
    assert np.array_equal(method.predict_proba(listed), method.predict_proba(epochs))


@pytest.mark.parametrize(
    "build",
    [
        band_power_classifier,
        tangent_space_classifier,
        band_tangent_space_classifier,
        evoked_classifier,
        csp_classifier,
    ],
)
def test_only_good_eeg_channels_are_read(build) -> None:
    """As by the tokenizer: what an EOG, a misc or a bad channel holds changes nothing."""
    epochs = simulate_epochs(2, 6, ch_names=["Fz", "Cz", "C3", "C4", "Pz", "Oz", "O1"])
    y = epochs.metadata["state"].to_numpy(dtype=str)
    epochs.set_channel_types({"Fz": "eog", "C3": "misc"}, verbose="error")
    epochs.info["bads"] = ["Oz"]
    scalp = epochs.copy().pick(["Cz", "C4", "Pz", "O1"])
    with mne.use_log_level("error"):
        expected = build().fit(scalp, y).predict_proba(scalp)
        method = build().fit(epochs, y)
    assert np.array_equal(method.predict_proba(epochs), expected)
    assert np.array_equal(method.predict_proba([epochs[:5], epochs[5:]]), expected)
    assert np.array_equal(method.predict_proba(scalp), expected)


def test_no_good_eeg_channel() -> None:
    epochs = simulate_epochs(1, 2, ch_names=["Fz", "Cz"], random_state=0)
    epochs.set_channel_types({"Fz": "eog"}, verbose="error")
    epochs.info["bads"] = ["Cz"]
    with pytest.raises(ValueError, match="no EEG channel that is not bad.*types eeg, eog"):
        Signals().fit(epochs)


def test_clone_and_parameters() -> None:
    pipeline = clone(tangent_space_classifier(128.0, band=(8.0, 30.0), C=0.5))
    assert pipeline.get_params()["signals__band"] == (8.0, 30.0)
    assert pipeline.get_params()["logisticregression__C"] == 0.5


def test_without_pyriemann(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "pyriemann", None)
    monkeypatch.delitem(sys.modules, "pyriemann.estimation", raising=False)
    with pytest.raises(ImportError, match=r"tangent-space baseline.*mne-neurolm\[moabb\]"):
        tangent_space_classifier()


def test_wrong_input() -> None:
    data = np.ones((2, 3, 100))
    with pytest.raises(ValueError, match="must rise from above 0 to below 50 Hz"):
        Signals(SFREQ, (8.0, 60.0)).fit(data)
    with pytest.raises(ValueError, match=r"at most an epoch \(1 s\)"):
        WindowMeans(SFREQ, duration=2.0).fit(data)
    with pytest.raises(ValueError, match="pass sfreq in Hz"):
        WindowMeans().fit(data)
    with pytest.raises(ValueError, match="Pick, reorder or resample"):
        WindowMeans(SFREQ).fit(data).transform(data[:, :2])
    epochs = mne.EpochsArray(data, mne.create_info(3, SFREQ, "eeg"), verbose="error")
    with pytest.raises(ValueError, match="Pick, reorder or resample"):
        Signals().fit(epochs).transform(epochs.copy().pick([0, 1]))
