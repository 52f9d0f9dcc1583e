"""Metrics, baselines and reports."""

from mne_neurolm.evaluation.baselines import BandPower, band_power_classifier
from mne_neurolm.evaluation.metrics import METRICS, score_predictions
from mne_neurolm.evaluation.report import demo_report

__all__ = ["METRICS", "BandPower", "band_power_classifier", "demo_report", "score_predictions"]
