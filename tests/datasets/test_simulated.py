"""Simulated two-state EEG."""

from __future__ import annotations

import time

import mne
import numpy as np
import pytest

from mne_neurolm.datasets import simulate_epochs
from mne_neurolm.patches import make_patches


@pytest.fixture(scope="module")
def epochs() -> mne.EpochsArray:
    return simulate_epochs(n_subjects=4, n_epochs_per_subject=20, random_state=0)


def band_power(epochs: mne.BaseEpochs, picks: list[str], fmin: float, fmax: float) -> np.ndarray:
    psd = epochs.compute_psd(fmin=fmin, fmax=fmax, picks=picks, verbose="error")
    return psd.get_data().mean(axis=(1, 2))


def test_layout(epochs: mne.EpochsArray) -> None:
    assert epochs.get_data().shape == (80, 19, 800)
    assert epochs.ch_names[7] == "T3"
    assert epochs.event_id == {"rest": 0, "active": 1}
    assert epochs.metadata["subject"].tolist() == np.repeat(range(4), 20).tolist()
    counts = epochs.metadata.groupby("subject")["state"].value_counts().unstack()
    assert (counts["rest"] == 10).all() and (counts["active"] == 10).all()
    codes = [epochs.event_id[state] for state in epochs.metadata["state"]]
    assert codes == epochs.events[:, 2].tolist()
    assert np.isfinite([ch["loc"][:3] for ch in epochs.info["chs"]]).all()


def test_amplitude_is_that_of_eeg(epochs: mne.EpochsArray) -> None:
    rms = np.sqrt((epochs.get_data().reshape(4, 20, 19, 800) ** 2).mean(axis=(1, 3)))
    assert 10e-6 < rms.min() and rms.max() < 40e-6


def test_states_differ_where_they_should(epochs: mne.EpochsArray) -> None:
    for picks, band, direction in (
        (["O1", "O2", "P3", "P4"], (8, 12), -1),
        (["F3", "F4", "C3", "C4"], (16, 24), 1),
    ):
        change = np.log(
            band_power(epochs["active"], picks, *band).mean()
            / band_power(epochs["rest"], picks, *band).mean()
        )
        assert direction * change > 0.5
    # Elsewhere in the spectrum there is nothing to learn from.
    slow = np.log(
        band_power(epochs["active"], ["Cz"], 1, 5).mean()
        / band_power(epochs["rest"], ["Cz"], 1, 5).mean()
    )
    assert abs(slow) < 0.2


def test_alpha_is_posterior(epochs: mne.EpochsArray) -> None:
    back, front = (
        band_power(epochs["rest"], picks, 8, 12).mean() for picks in (["O1", "O2"], ["Fp1", "Fp2"])
    )
    assert back > 5 * front


def test_background_is_pink_and_band_limited(epochs: mne.EpochsArray) -> None:
    psd, freqs = epochs.compute_psd(
        method="welch", n_fft=800, picks=["T3", "Fp1"], verbose="error"
    ).get_data(return_freqs=True)
    mean = psd.mean(axis=(0, 1))
    away = ((freqs > 2) & (freqs < 6)) | ((freqs > 35) & (freqs < 70))
    slope = np.polyfit(np.log(freqs[away]), np.log(mean[away]), 1)[0]
    assert -1.2 < slope < -0.8
    assert mean[freqs > 77].max() < 1e-2 * mean[(freqs > 65) & (freqs < 73)].min()


def test_neighbours_are_correlated(epochs: mne.EpochsArray) -> None:
    data = epochs.get_data().transpose(1, 0, 2).reshape(19, -1)
    correlation = np.corrcoef(data)
    index = {name: k for k, name in enumerate(epochs.ch_names)}
    near = correlation[index["Fp1"], index["Fp2"]]
    far = correlation[index["Fp1"], index["O2"]]
    assert near > 0.5 and abs(far) < 0.3


def test_subjects_differ() -> None:
    epochs = simulate_epochs(n_subjects=6, random_state=1)
    data = epochs["rest"].get_data(picks=["O1"])
    groups = epochs["rest"].metadata["subject"].to_numpy()
    spectra, freqs = mne.time_frequency.psd_array_welch(
        data, 200, 7, 13.5, n_fft=800, verbose="error"
    )
    peaks = [freqs[spectra[groups == s].mean(axis=(0, 1)).argmax()] for s in range(6)]
    assert len(set(peaks)) > 2
    rms = [data[groups == s].std() for s in range(6)]
    assert max(rms) > 1.15 * min(rms)


def test_random_state() -> None:
    first, again, other = (
        simulate_epochs(2, 4, random_state=seed).get_data() for seed in (3, 3, 4)
    )
    assert np.array_equal(first, again)
    assert not np.allclose(first, other)
    drawn = [simulate_epochs(1, 2).get_data() for _ in range(2)]
    assert not np.allclose(*drawn)


def test_effect_zero_makes_equal_states() -> None:
    epochs = simulate_epochs(20, 20, random_state=0, effect=0.0)
    alpha = np.log(band_power(epochs, ["O1", "O2"], 8, 12))
    active = (epochs.metadata["state"] == "active").to_numpy()
    change = alpha[active].mean() - alpha[~active].mean()
    assert abs(change) < 3 * alpha.std() / np.sqrt(100)


def test_other_shapes() -> None:
    epochs = simulate_epochs(1, 3, 2.5, 256.0, ["FCz", "Oz", "T8"], random_state=0)
    assert epochs.get_data().shape == (3, 3, 640)
    assert epochs.metadata["state"].tolist().count("active") == 1
    slow = simulate_epochs(1, 2, sfreq=100.0, random_state=0)
    assert slow.info["lowpass"] == 50.0


def test_tokenizer_takes_them_without_warning(epochs: mne.EpochsArray) -> None:
    patches = make_patches(epochs)
    assert patches.data.shape == (80, 76, 200)
    assert patches.ch_names == tuple(epochs.ch_names)


def test_fast() -> None:
    begin = time.process_time()
    simulate_epochs(n_subjects=8, n_epochs_per_subject=30, random_state=0)
    assert time.process_time() - begin < 3.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(n_subjects=0), "n_subjects=0 is too small"),
        (dict(n_epochs_per_subject=1), "n_epochs_per_subject=1 is too small"),
        (dict(duration=0.5), "shorter than the one second"),
        (dict(effect=-1.0), "effect=-1.0"),
        (dict(ch_names=["Cz", "X9"]), r"\['X9'\] are not electrodes"),
        (dict(ch_names=["Cz", "Cz"]), "different names"),
        (dict(ch_names=[]), "different names"),
    ],
)
def test_wrong_arguments(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        simulate_epochs(**arguments)
