"""Methods that are quick, for tests of evaluations."""

from __future__ import annotations

import mne
import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression

from mne_neurolm.evaluation import Method, chance_classifier


class Loudness(ClassifierMixin, BaseEstimator):
    """Logistic regression on how loud each channel is: quick, and not deterministic.

    With ``log`` each fit leaves a line in that file.
    """

    def __init__(self, noise: float = 0.0, random_state: int = 0, log: str = "") -> None:
        self.noise = noise
        self.random_state = random_state
        self.log = log

    def _features(self, X: mne.BaseEpochs) -> np.ndarray:
        return np.log(X.get_data(copy=False).std(axis=2))

    def fit(self, X: mne.BaseEpochs, y: np.ndarray, groups: np.ndarray | None = None) -> Loudness:
        assert groups is not None and len(groups) == len(y)
        if self.log:
            with open(self.log, "a") as file:
                file.write("fit\n")
        rng = np.random.default_rng(self.random_state)
        features = self._features(X)
        features = features + self.noise * rng.standard_normal(features.shape)
        self.model_ = LogisticRegression().fit(features, y)
        self.classes_ = self.model_.classes_
        self.temperature_ = 2.0
        return self

    def predict_proba(self, X: mne.BaseEpochs) -> np.ndarray:
        return self.model_.predict_proba(self._features(X))


class Broken(Loudness):
    """Fails where a subject is tested: the one called ``fails_on`` is not there to train on."""

    def __init__(self, fails_on: int = 0) -> None:
        super().__init__()
        self.fails_on = fails_on

    def fit(self, X: mne.BaseEpochs, y: np.ndarray, groups: np.ndarray | None = None) -> Broken:
        if self.fails_on not in groups:
            raise RuntimeError("out of order")
        return super().fit(X, y, groups)


CHANCE = Method("chance", "Chance", "simple", lambda problem, seed, settings: chance_classifier())


def loudness(**parameters: object) -> Method:
    """Return a method that depends on the seed."""
    return Method(
        "loudness",
        "Loudness",
        "simple",
        lambda problem, seed, settings: Loudness(random_state=seed, **parameters),
        seeded=True,
    )


BROKEN = Method("broken", "Broken", "simple", lambda problem, seed, settings: Broken())
