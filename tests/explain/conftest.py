"""A classifier to explain."""

from __future__ import annotations

import mne
import pytest

from mne_neurolm import EEGTokens, NeuroLMClassifier, NeuroLMTokenizer
from mne_neurolm.datasets import simulate_epochs


@pytest.fixture(scope="package")
def epochs() -> mne.BaseEpochs:
    """Return four epochs of three channels and four seconds."""
    made = simulate_epochs(n_subjects=1, n_epochs_per_subject=4, random_state=0)
    return made.pick(["Fz", "Cz", "Pz"])


@pytest.fixture(scope="package")
def classifier(epochs) -> NeuroLMClassifier:
    """Return the bundled tuned model, asked about workload."""
    y = epochs.metadata["state"].map({"rest": "No", "active": "Yes"}).to_numpy()
    asked = NeuroLMClassifier("workload", "tiny-joint", tune=None, dtype="float32", device="cpu")
    return asked.fit(epochs, y)


@pytest.fixture(scope="package")
def tokens(classifier, epochs) -> EEGTokens:
    """Return the epochs' tokens."""
    return NeuroLMTokenizer(classifier.model_, dtype="float32").fit_transform(epochs)
