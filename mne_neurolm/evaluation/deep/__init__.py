"""Deep baselines: the networks of the paper's tables and two more, trained on the same windows."""

from mne_neurolm.evaluation.deep.classifier import DeepClassifier
from mne_neurolm.evaluation.deep.table import DEEP, DeepModel

__all__ = ["DEEP", "DeepClassifier", "DeepModel"]
