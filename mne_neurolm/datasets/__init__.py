"""Recordings for the estimators: the data sets of the paper, simulated EEG, or your own."""

from mne_neurolm.datasets.bids import load_bids
from mne_neurolm.datasets.braindecode import to_braindecode
from mne_neurolm.datasets.eegmat import load_eegmat
from mne_neurolm.datasets.epochs import to_epochs
from mne_neurolm.datasets.folder import load_folder
from mne_neurolm.datasets.loading import load
from mne_neurolm.datasets.members import read_recording
from mne_neurolm.datasets.moabb import from_moabb, to_moabb, window_paradigm
from mne_neurolm.datasets.simulated import simulate_epochs
from mne_neurolm.datasets.table import load_table

__all__ = [
    "from_moabb",
    "load",
    "load_bids",
    "load_eegmat",
    "load_folder",
    "load_table",
    "read_recording",
    "simulate_epochs",
    "to_braindecode",
    "to_epochs",
    "to_moabb",
    "window_paradigm",
]
