"""Figures: codes, vectors, attention, reconstructions, masks, predictions, scores and runs."""

from mne_neurolm.viz.attention import plot_attention
from mne_neurolm.viz.attribution import plot_attribution
from mne_neurolm.viz.benchmark import plot_benchmark
from mne_neurolm.viz.calibration import plot_calibration
from mne_neurolm.viz.codes import plot_codebook, plot_codes
from mne_neurolm.viz.embeddings import plot_embedding
from mne_neurolm.viz.evaluation import plot_comparison, plot_subject_scores
from mne_neurolm.viz.predictions import plot_confusion
from mne_neurolm.viz.reconstructions import plot_reconstruction, plot_spectra
from mne_neurolm.viz.tokens import plot_code_usage, plot_mask
from mne_neurolm.viz.training import plot_training

__all__ = [
    "plot_attention",
    "plot_attribution",
    "plot_benchmark",
    "plot_calibration",
    "plot_code_usage",
    "plot_codebook",
    "plot_codes",
    "plot_comparison",
    "plot_confusion",
    "plot_embedding",
    "plot_mask",
    "plot_reconstruction",
    "plot_spectra",
    "plot_subject_scores",
    "plot_training",
]
