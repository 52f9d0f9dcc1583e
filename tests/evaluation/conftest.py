"""What tests of evaluations share."""

from __future__ import annotations

import mne
import numpy as np
import pytest

from mne_neurolm import Task
from mne_neurolm.evaluation import Problem, make_folds


@pytest.fixture(scope="session")
def problem(epochs: mne.EpochsArray, labels: np.ndarray, subjects: np.ndarray) -> Problem:
    """Return a problem of 4 subjects; "active", the answer Yes, is the first in the alphabet."""
    return Problem(
        "state",
        Task("state", "Is this active?", {"rest": "No", "active": "Yes"}),
        epochs,
        labels,
        subjects,
        make_folds("leave-one-subject-out", labels, subjects),
        description="Simulated <EEG>.",
        dataset="workload",
    )
