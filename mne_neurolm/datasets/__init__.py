"""Recordings as epochs that the estimators take: simulated, EEGMAT, or any that MNE reads."""

from mne_neurolm.datasets.eegmat import load_eegmat
from mne_neurolm.datasets.folder import load_folder
from mne_neurolm.datasets.simulated import simulate_epochs

__all__ = ["load_eegmat", "load_folder", "simulate_epochs"]
