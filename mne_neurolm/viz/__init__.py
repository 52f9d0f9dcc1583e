"""Figures of codes, reconstructions, masks and predictions."""

from mne_neurolm.viz.predictions import plot_confusion
from mne_neurolm.viz.reconstructions import plot_reconstruction, plot_spectra
from mne_neurolm.viz.tokens import plot_code_usage, plot_mask

__all__ = ["plot_code_usage", "plot_confusion", "plot_mask", "plot_reconstruction", "plot_spectra"]
