"""One call from a fitted pipeline and test epochs to what a paper's supplement needs."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import mne
import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from mne_neurolm._version import __version__
from mne_neurolm.evaluation.calibration import expected_calibration_error
from mne_neurolm.evaluation.comparison import html_table
from mne_neurolm.evaluation.intervals import Unit, subject_bootstrap
from mne_neurolm.evaluation.metrics import METRICS, score_predictions
from mne_neurolm.evaluation.pipeline_figures import (
    PIPELINE,
    answers_figures,
    codes_figures,
    predictions_figures,
)
from mne_neurolm.evaluation.report_figures import add_figure
from mne_neurolm.tokens import EEGTokens
from mne_neurolm.utils.docs import fill_doc
from mne_neurolm.utils.logging import shows_progress

if TYPE_CHECKING:
    from mne_neurolm import NeuroLMClassifier, NeuroLMTokenizer

_PACKAGES = ("mne", "numpy", "scikit-learn", "torch", "transformers")


@fill_doc
def pipe_report(
    pipe: Pipeline,
    epochs: mne.BaseEpochs,
    y: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    baselines: Mapping[str, Any] | None = None,
    n_explained: int = 32,
    random_state: int = 0,
    title: str = "NeuroLM pipeline",
    verbose: bool | str | int | None = None,
) -> mne.Report:
    """Put what a fitted pipeline does with test epochs into one HTML report.

    Parameters
    ----------
    pipe : sklearn.pipeline.Pipeline
        Fitted, with a :class:`~mne_neurolm.NeuroLMTokenizer` whose output is ``"tokens"`` first and
        a :class:`~mne_neurolm.NeuroLMClassifier` last, as ``make_pipeline`` makes it.
    epochs : mne.BaseEpochs
        Test epochs, which the pipeline was not fitted on.
    y : array-like, shape (n_epochs,)
        Their labels, as in the classifier's ``classes_``.
    groups : array-like, shape (n_epochs,) | None
        Whose epochs they are. With two subjects or more there are intervals of scores (bootstrap
        over subjects) and scores by subject. ``None`` (default): neither.
    baselines : mapping of str to estimator | None
        Classifiers fitted on the same epochs as the pipeline, by what to call them, such as
        ``{"band power": band_power_classifier().fit(epochs_train, y_train)}``. Their scores stand
        beside the pipeline's. ``None`` (default): none.
    n_explained : int
        Epochs, drawn at random, of which attention and attributions are computed; an epoch takes
        about as long as 30 of tuning. Default 32; 0 leaves both out.
    random_state : int
        Seed of that choice. Default 0.
    title : str
        Title of the report. Default ``"NeuroLM pipeline"``.
    %(verbose)s

    Returns
    -------
    report : mne.Report
        Scores, settings and versions; confusion matrix, reliability diagram, scores by subject;
        codes of an epoch of each of up to four classes, usage and meaning of codes, a
        reconstruction, hidden states of up to seven classes; where the model looks, and what
        channels and seconds add to its answers. Figures with a row for every channel show up to 24,
        and maps of the scalp need electrode positions (``epochs.set_montage``).
        ``report.save("report.html")`` writes it.

    Raises
    ------
    TypeError
        If the pipeline is made of other steps, or ``epochs`` are no Epochs.
    ValueError
        If labels or groups do not fit, a group is missing, a baseline is no fitted classifier of
        the same classes or is called ``"pipeline"``, or ``n_explained`` is below 0.

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from mne_neurolm import NeuroLMClassifier, NeuroLMTokenizer
    >>> from mne_neurolm.datasets import simulate_epochs
    >>> from mne_neurolm.evaluation import pipe_report
    >>> epochs = simulate_epochs(n_subjects=1, n_epochs_per_subject=4, random_state=0)
    >>> y = epochs.metadata["state"].map({"rest": "No", "active": "Yes"}).to_numpy()
    >>> pipe = make_pipeline(
    ...     NeuroLMTokenizer(), NeuroLMClassifier("workload", "tiny-joint", tune=None)
    ... )
    >>> report = pipe_report(pipe.fit(epochs, y), epochs, y, n_explained=0)
    >>> sorted(report.tags)
    ['codes', 'predictions', 'scores', 'settings']
    """
    tokenizer, classifier = _steps(pipe)
    if not isinstance(epochs, mne.BaseEpochs):
        raise TypeError(f"epochs must be mne.Epochs, which know their electrodes; got {epochs!r}.")
    if n_explained < 0:
        raise ValueError(f"n_explained must be 0 (none) or more; got {n_explained}.")
    tokens = tokenizer.transform(epochs)
    if not isinstance(tokens, EEGTokens):
        raise TypeError(
            "The tokenizer must give tokens: output='tokens', and set_output(transform='default'); "
            f"got {type(tokens).__name__}."
        )
    truth, classes = np.asarray(y), classifier.classes_.tolist()
    unknown = sorted({str(label) for label in truth.ravel().tolist() if label not in classes})
    if truth.shape != (len(tokens),) or unknown:
        raise ValueError(
            f"y must hold one of {classes} for each of {len(tokens)} epochs; got shape "
            f"{truth.shape}, and the unknown labels {unknown}."
        )
    people = None if groups is None else _people(groups, len(tokens))
    probas = {PIPELINE: classifier.predict_proba(tokens)}
    for name, baseline in (baselines or {}).items():
        probas[name] = _proba_of(name, baseline, epochs, classes)
    report = mne.Report(title=title, verbose="error")
    positions = np.array([classes.index(label) for label in truth.tolist()])
    report.add_html(_scores(positions, probas, classes, people), title="Scores", tags=("scores",))
    settings = _settings(tokenizer, classifier, tokens)
    report.add_html(settings, title="Settings and versions", tags=("settings",))
    parts = [
        ("predictions", predictions_figures(positions, probas, classes, people)),
        ("codes", codes_figures(tokenizer, tokens, epochs, truth, classes, people)),
    ]
    if n_explained:
        rng = np.random.default_rng(random_state)
        n = min(n_explained, len(tokens))
        rows = np.sort(rng.choice(len(tokens), n, replace=False))
        progress = shows_progress(verbose)
        parts.append(("answers", answers_figures(classifier, tokens, rows, epochs.info, progress)))
    for tag, figures in parts:
        for fig, name, caption in figures:
            add_figure(report, fig, title=name, caption=caption, tags=(tag,))
    return report


def _proba_of(
    name: str, baseline: Any, epochs: mne.BaseEpochs, classes: list
) -> NDArray[np.float64]:
    """Return the probabilities of a baseline, in the order of the pipeline's classes."""
    if name == PIPELINE:
        raise ValueError(f"{name!r} is what the pipeline is called; name the baseline otherwise.")
    if not hasattr(baseline, "predict_proba") or not hasattr(baseline, "classes_"):
        raise ValueError(
            f"The baseline {name!r} must be a fitted classifier with predict_proba; got {baseline}."
        )
    own = np.asarray(baseline.classes_).tolist()
    if set(own) != set(classes):
        raise ValueError(
            f"The baseline {name!r} was fitted on the classes {own}, the pipeline on {classes}; "
            "fit both on the same labels."
        )
    proba = np.asarray(baseline.predict_proba(epochs))
    if proba.shape != (len(epochs), len(own)) or not np.isfinite(proba).all():
        raise ValueError(
            f"The baseline {name!r} gives probabilities of shape {proba.shape}, or some that are "
            f"no numbers; expected {(len(epochs), len(own))}."
        )
    return proba[:, [own.index(label) for label in classes]]


def _people(groups: ArrayLike, n_epochs: int) -> NDArray[Any]:
    """Return whose epochs they are, as text, which can be sorted whatever it was."""
    given = np.asarray(groups)
    missing = given.ndim and bool(pd.isna(given).any())
    if given.shape != (n_epochs,) or missing:
        raise ValueError(
            f"groups must hold one subject for each of {n_epochs} epochs; got shape {given.shape}"
            f"{' with missing entries' if missing else ''}."
        )
    return np.array([str(subject) for subject in given.tolist()])


def _steps(pipe: Any) -> tuple[NeuroLMTokenizer, NeuroLMClassifier]:
    """Return the two steps, or say what they must be."""
    from mne_neurolm import NeuroLMClassifier, NeuroLMTokenizer

    steps = [step for _, step in pipe.steps] if isinstance(pipe, Pipeline) else []
    if [type(step) for step in steps] != [NeuroLMTokenizer, NeuroLMClassifier]:
        raise TypeError(
            "pipe must be make_pipeline(NeuroLMTokenizer(...), NeuroLMClassifier(...)), fitted; "
            f"got {type(pipe).__name__} of {[type(step).__name__ for step in steps]}."
        )
    tokenizer, classifier = steps
    check_is_fitted(classifier, "net_")
    return tokenizer, classifier


def _scores(
    positions: NDArray[np.int64],
    probas: Mapping[str, NDArray[np.float64]],
    classes: list,
    people: NDArray[Any] | None,
) -> str:
    truth = [classes[k] for k in positions]
    scores = {name: score_predictions(truth, proba, classes) for name, proba in probas.items()}
    _, *others = probas
    lines = [["metric", "score", "95% interval", *others]]
    n_people = 0 if people is None else len(np.unique(people))
    intervals = {}
    if people is not None and n_people > 1:
        intervals = subject_bootstrap([Unit(positions, [probas[PIPELINE]], people)])
    for metric in METRICS:
        ends = intervals.get(metric)
        text = "–"
        if ends is not None and np.isfinite(ends.low):
            text = f"{ends.low:.3f} to {ends.high:.3f}"
        own, *beside = [f"{score[metric]:.3f}" for score in scores.values()]
        lines.append([metric.replace("_", " "), own, text, *beside])
    own, *beside = [
        f"{expected_calibration_error(positions, proba):.3f}" for proba in probas.values()
    ]
    lines.append(["expected calibration error", own, "–", *beside])
    counts = ", ".join(f"{np.sum(positions == k)} {label}" for k, label in enumerate(classes))
    who = f" of {n_people} subject{'s' * (n_people > 1)}" if n_people else ""
    text = f"<p>{len(positions)} test epochs{who}: {escape(counts)}. Chance is "
    text += f"{1 / len(classes):.3f} in balanced accuracy.</p>{html_table(lines)}"
    if intervals:
        text += (
            "<p>Intervals are of the bootstrap over subjects: what other test subjects would "
            "change. The model stays as it was trained.</p>"
        )
    if not others:
        text += (
            "<p>Nothing stands beside these scores. Simple methods often do as well: give fitted "
            "ones as <code>baselines</code>, or run <code>python -m mne_neurolm.evaluate</code>."
            "</p>"
        )
    return text


def _settings(tokenizer: NeuroLMTokenizer, classifier: NeuroLMClassifier, tokens: EEGTokens) -> str:
    task = classifier.task_
    lines = [["setting", "value"], ["question", task.prompt()]]
    texts = task.answer_texts()
    said = [texts[number].strip() for number in classifier._answers]
    pairs = [f"{label} = {text}" for label, text in zip(classifier.classes_, said, strict=True)]
    lines.append(["classes and their answers", ", ".join(pairs)])
    lines.append(["channels", ", ".join(tokens.ch_names)])
    lines.append(["tokens", f"{tokens.n_channels} channels x {tokens.n_seconds} s"])
    lines.append(["temperature", f"{classifier.temperature_:.3g}"])
    for step in (tokenizer, classifier):
        given = step.get_params(deep=False)
        lines.append([type(step).__name__, ", ".join(f"{k}={v!r}" for k, v in given.items())])
    lines.append(["weights of the tokenizer", tokenizer.model_.encoder_id()])
    lines.append(["mne-neurolm", __version__])
    return html_table(lines + [[name, version(name)] for name in _PACKAGES])
