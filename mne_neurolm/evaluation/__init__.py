"""Metrics, baselines, evaluations of many methods, and reports."""

from mne_neurolm.evaluation.baselines import BandPower, band_power_classifier
from mne_neurolm.evaluation.benchmark import BenchmarkResults
from mne_neurolm.evaluation.calibration import expected_calibration_error, reliability_curve
from mne_neurolm.evaluation.comparison import evaluation_report, write_tables
from mne_neurolm.evaluation.intervals import subject_bootstrap
from mne_neurolm.evaluation.methods import Method, linear_probe
from mne_neurolm.evaluation.metrics import METRICS, score_predictions
from mne_neurolm.evaluation.moabb_files import moabb_contexts, moabb_pipelines
from mne_neurolm.evaluation.pipeline_report import pipe_report
from mne_neurolm.evaluation.problem import Fold, Problem, make_folds
from mne_neurolm.evaluation.published import published_results
from mne_neurolm.evaluation.report import demo_report
from mne_neurolm.evaluation.runner import Results, run_evaluation
from mne_neurolm.evaluation.simple import (
    band_tangent_space_classifier,
    chance_classifier,
    csp_classifier,
    evoked_classifier,
    tangent_space_classifier,
)
from mne_neurolm.evaluation.sources import load_problems, read_problem
from mne_neurolm.evaluation.tables import subject_scores, summarize

__all__ = [
    "METRICS",
    "BandPower",
    "BenchmarkResults",
    "Fold",
    "Method",
    "Problem",
    "Results",
    "band_power_classifier",
    "band_tangent_space_classifier",
    "chance_classifier",
    "csp_classifier",
    "demo_report",
    "evaluation_report",
    "evoked_classifier",
    "expected_calibration_error",
    "linear_probe",
    "load_problems",
    "make_folds",
    "moabb_contexts",
    "moabb_pipelines",
    "pipe_report",
    "published_results",
    "read_problem",
    "reliability_curve",
    "run_evaluation",
    "score_predictions",
    "subject_bootstrap",
    "subject_scores",
    "summarize",
    "tangent_space_classifier",
    "write_tables",
]
