"""The band-power baseline on simulated and real EEG."""

from __future__ import annotations

from pathlib import Path

import mne
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GroupKFold, cross_val_predict

from mne_neurolm.datasets import load_eegmat, simulate_epochs
from mne_neurolm.evaluation import BandPower, band_power_classifier, score_predictions
from mne_neurolm.evaluation.baselines import BANDS


@pytest.fixture(scope="module")
def epochs() -> mne.EpochsArray:
    return simulate_epochs(n_subjects=8, n_epochs_per_subject=20, random_state=1)


def scores_of_unseen_subjects(epochs: mne.EpochsArray) -> dict[str, float]:
    y, groups = epochs.metadata["state"], epochs.metadata["subject"]
    proba = cross_val_predict(
        band_power_classifier(),
        epochs,
        y,
        groups=groups,
        cv=GroupKFold(4),
        method="predict_proba",
    )
    return score_predictions(y, proba, ["active", "rest"])


def test_power_of_a_sinusoid() -> None:
    """A sinusoid of amplitude 10 µV has power 50 µV², all of it in its own band."""
    times = np.arange(800) / 200
    rng = np.random.default_rng(0)
    for name, (low, high) in BANDS.items():
        tone = 10 * np.sin(2 * np.pi * (low + high) / 2 * times)
        data = (tone + 1e-3 * rng.standard_normal((1, 1, 800))).astype(float)
        power = np.exp(BandPower(sfreq=200).fit_transform(data)).reshape(len(BANDS))
        widths = np.array([top - bottom for bottom, top in BANDS.values()])
        k = list(BANDS).index(name)
        # Mean density times width is power, but for what Welch's window spills over the edges.
        assert (power * widths)[k] == pytest.approx(50, rel=0.2)
        assert (power * widths)[k] > 0.8 * (power * widths).sum()


def test_features_have_names(epochs: mne.EpochsArray) -> None:
    features = BandPower().fit(epochs)
    names = features.get_feature_names_out()
    values = features.transform(epochs)
    assert values.shape == (160, 19 * 7) and len(names) == 19 * 7
    assert names[:2].tolist() == ["Fp1 delta", "Fp1 theta"]
    # The column of that name is that channel's band.
    column = names.tolist().index("O1 high alpha")
    psd, freqs = epochs.compute_psd(
        "welch", n_fft=400, n_overlap=200, window="hann", picks=["O1"], verbose="error"
    ).get_data(return_freqs=True)
    expected = np.log(psd[:, 0, (freqs >= 10) & (freqs < 13)].mean(axis=-1))
    assert np.corrcoef(values[:, column], expected)[0, 1] > 0.999


def test_all_inputs_agree(epochs: mne.EpochsArray) -> None:
    y = epochs.metadata["state"]
    expected = band_power_classifier().fit(epochs, y).predict_proba(epochs)
    as_list = [epochs[k] for k in range(len(epochs))]
    assert np.allclose(band_power_classifier().fit(as_list, y).predict_proba(epochs), expected)
    # The unit only shifts the logarithm.
    microvolts = 1e6 * epochs.get_data()
    from_array = band_power_classifier(sfreq=200).fit(microvolts, y).predict_proba(microvolts)
    assert np.allclose(from_array, expected, atol=1e-6)


def test_beats_chance_on_unseen_subjects(epochs: mne.EpochsArray) -> None:
    scores = scores_of_unseen_subjects(epochs)
    assert scores["balanced_accuracy"] > 0.75 and scores["auroc"] > 0.85


def test_is_at_chance_without_effect() -> None:
    """Negative control: the simulation leaks nothing but the states' difference."""
    scores = scores_of_unseen_subjects(simulate_epochs(8, 40, random_state=0, effect=0.0))
    assert 0.4 < scores["auroc"] < 0.6


def test_clone_and_parameters() -> None:
    pipeline = clone(band_power_classifier(sfreq=128.0, C=0.5))
    assert pipeline.get_params()["bandpower__sfreq"] == 128.0
    assert pipeline.get_params()["logisticregression__C"] == 0.5
    assert band_power_classifier().get_params()["logisticregression__C"] == 0.01


def test_own_bands(epochs: mne.EpochsArray) -> None:
    features = BandPower(bands={"alpha": (8, 13), "beta": (13, 30)}).fit(epochs)
    assert features.transform(epochs).shape == (160, 38)


def test_wrong_input(epochs: mne.EpochsArray) -> None:
    data = epochs.get_data()
    with pytest.raises(ValueError, match="pass sfreq in Hz"):
        BandPower().fit(data)
    with pytest.raises(TypeError, match=r"shape \(n_epochs, n_chans, n_times\); got ndarray"):
        BandPower(sfreq=200).fit(data[0])
    with pytest.raises(TypeError, match="got str"):
        BandPower(sfreq=200).fit("epochs")
    with pytest.raises(ValueError, match="is empty"):
        BandPower(sfreq=200).fit(data[:0])
    with pytest.raises(ValueError, match="Band 'gamma' of 30 to 45 Hz cannot be measured"):
        BandPower(sfreq=80).fit(data)
    with pytest.raises(ValueError, match="resolve 2 Hz"):
        BandPower(sfreq=200, bands={"narrow": (8, 9)}).fit(data[..., :100])
    fitted = BandPower().fit(epochs)
    with pytest.raises(ValueError, match="Pick, reorder or resample"):
        fitted.transform(epochs.copy().pick(["Cz", "Pz"]))
    with pytest.raises(ValueError, match="share channels and rate"):
        fitted.transform([epochs[0], epochs[1].pick(["Cz"])])
    flat, broken = data.copy(), data.copy()
    flat[3, 5] = 0.0
    broken[3, 5, 7] = np.nan
    with pytest.raises(ValueError, match=r"1 epochs have no power in channels \['ch5'\]"):
        BandPower(sfreq=200).fit(data).transform(flat)
    with pytest.raises(ValueError, match="1 of 160 epochs hold NaN"):
        BandPower(sfreq=200).fit(broken)


def test_eegmat(shared_data: Path) -> None:
    """Real mental arithmetic of subjects that were not trained on is above chance."""
    epochs = load_eegmat(shared_data / "eegmat", [*range(0, 24, 2), 26, 27, 28, 29, 30])
    unseen = (epochs.metadata["subject"] >= 26).to_numpy()
    y = epochs.metadata["label"].to_numpy()
    model = band_power_classifier().fit(epochs[~unseen], y[~unseen])
    scores = score_predictions(y[unseen], model.predict_proba(epochs[unseen]), model.classes_)
    assert scores["auroc"] > 0.65
    assert scores["balanced_accuracy"] > 0.55
