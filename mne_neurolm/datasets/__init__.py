"""Recordings for the estimators: the data sets of the paper, simulated EEG, or your own."""

from mne_neurolm.datasets.eegmat import load_eegmat
from mne_neurolm.datasets.epochs import to_epochs
from mne_neurolm.datasets.folder import load_folder
from mne_neurolm.datasets.loading import load
from mne_neurolm.datasets.members import read_recording
from mne_neurolm.datasets.simulated import simulate_epochs

__all__ = [
    "load",
    "load_eegmat",
    "load_folder",
    "read_recording",
    "simulate_epochs",
    "to_epochs",
]
