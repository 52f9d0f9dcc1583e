"""One call from a fitted pipeline and test epochs to what a paper's supplement needs."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import mne
import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import recall_score
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from mne_neurolm._version import __version__
from mne_neurolm.evaluation.calibration import expected_calibration_error
from mne_neurolm.evaluation.comparison import html_table
from mne_neurolm.evaluation.intervals import Unit, subject_bootstrap
from mne_neurolm.evaluation.metrics import METRICS, score_predictions
from mne_neurolm.patches import make_patches
from mne_neurolm.tokens import EEGTokens

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from mne_neurolm import NeuroLMClassifier, NeuroLMTokenizer

_PACKAGES = ("mne", "numpy", "scikit-learn", "torch", "transformers")


def pipe_report(
    pipe: Pipeline,
    epochs: mne.BaseEpochs,
    y: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    n_explained: int = 32,
    random_state: int = 0,
    title: str = "NeuroLM pipeline",
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
    n_explained : int
        Epochs, drawn at random, of which attention and attributions are computed; an epoch takes
        about as long as 30 of tuning. Default 32; 0 leaves both out.
    random_state : int
        Seed of that choice. Default 0.
    title : str
        Title of the report. Default ``"NeuroLM pipeline"``.

    Returns
    -------
    report : mne.Report
        Scores, settings and versions; confusion matrix, reliability diagram, scores by subject;
        codes of an epoch of each of up to four classes, usage and meaning of codes, a
        reconstruction, hidden states of up to seven classes; where the model looks, and what
        channels and seconds add to its answers. ``report.save("report.html")`` writes it.

    Raises
    ------
    TypeError
        If the pipeline is made of other steps, or ``epochs`` are no Epochs.
    ValueError
        If labels or groups do not fit, a group is missing, or ``n_explained`` is below 0.

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
    import matplotlib.pyplot as plt

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
    proba = classifier.predict_proba(tokens)
    report = mne.Report(title=title, verbose="error")
    positions = np.array([classes.index(label) for label in truth.tolist()])
    report.add_html(_scores(positions, proba, classes, people), title="Scores", tags=("scores",))
    settings = _settings(tokenizer, classifier, tokens)
    report.add_html(settings, title="Settings and versions", tags=("settings",))
    parts = [
        ("predictions", _predictions(positions, proba, classes, people)),
        ("codes", _codes(tokenizer, tokens, epochs, truth, classes)),
    ]
    if n_explained:
        rng = np.random.default_rng(random_state)
        n = min(n_explained, len(tokens))
        rows = np.sort(rng.choice(len(tokens), n, replace=False))
        parts.append(("answers", _answers(classifier, tokens, rows, epochs.info)))
    for tag, figures in parts:
        for fig, name, caption in figures:
            report.add_figure(fig, title=name, caption=caption, image_format="png", tags=(tag,))
            plt.close(fig)
    return report


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
    proba: NDArray[np.float64],
    classes: list,
    people: NDArray[Any] | None,
) -> str:
    scores = score_predictions([classes[k] for k in positions], proba, classes)
    lines = [["metric", "score", "95% interval"]]
    n_people = 0 if people is None else len(np.unique(people))
    intervals = {}
    if people is not None and n_people > 1:
        intervals = subject_bootstrap([Unit(positions, [proba], people)])
    for metric in METRICS:
        ends = intervals.get(metric)
        text = "–"
        if ends is not None and np.isfinite(ends.low):
            text = f"{ends.low:.3f} to {ends.high:.3f}"
        lines.append([metric.replace("_", " "), f"{scores[metric]:.3f}", text])
    error = expected_calibration_error(positions, proba)
    lines.append(["expected calibration error", f"{error:.3f}", "–"])
    counts = ", ".join(f"{np.sum(positions == k)} {label}" for k, label in enumerate(classes))
    who = f" of {n_people} subject{'s' * (n_people > 1)}" if n_people else ""
    text = f"<p>{len(positions)} test epochs{who}: {escape(counts)}. Chance is "
    text += f"{1 / len(classes):.3f} in balanced accuracy.</p>{html_table(lines)}"
    if intervals:
        text += (
            "<p>Intervals are of the bootstrap over subjects: what other test subjects would "
            "change. The model stays as it was trained.</p>"
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


def _predictions(
    positions: NDArray[np.int64],
    proba: NDArray[np.float64],
    classes: list,
    people: NDArray[Any] | None,
) -> Iterator[tuple[Figure, str, str]]:
    from mne_neurolm.viz import plot_calibration, plot_confusion, plot_subject_scores

    predicted, numbers = proba.argmax(axis=1), list(range(len(classes)))
    names = [str(label) for label in classes]
    yield (
        plot_confusion(positions, predicted, numbers, names=names, show=False),
        "Confusion matrix",
        "Colour and percentage are the share of the true class.",
    )
    yield (
        plot_calibration(positions, proba, show=False),
        "Reliability",
        "On the diagonal predictions are as often right as they are confident, below it they are "
        "overconfident.",
    )
    if people is None or len(np.unique(people)) < 2:
        return
    rows = []
    for subject in np.unique(people):
        own, said = positions[people == subject], predicted[people == subject]
        recall = recall_score(own, said, labels=np.unique(own), average="macro")
        rows.append(("test", "pipeline", "pipeline", str(subject), len(own), float(recall)))
    columns = ["problem", "method", "title", "subject", "n_epochs", "balanced_accuracy"]
    yield (
        plot_subject_scores(pd.DataFrame(rows, columns=columns), show=False),
        "Subjects",
        "Balanced accuracy of every subject; for one with a single class, the share that is right.",
    )


def _codes(
    tokenizer: NeuroLMTokenizer,
    tokens: EEGTokens,
    epochs: mne.BaseEpochs,
    truth: NDArray[Any],
    classes: list,
) -> Iterator[tuple[Figure, str, str]]:
    from mne_neurolm.viz import plot_codebook, plot_codes, plot_embedding, plot_reconstruction

    codebook = tokenizer.model_.vq.codebook.weight.float().cpu().numpy()
    first = {k: int(np.flatnonzero(truth == k)[0]) for k in classes if (truth == k).any()}
    for label, row in list(first.items())[:4]:
        yield (
            plot_codes(tokens, row, codebook=codebook, show=False),
            f"Codes of an epoch: {label}",
            "Similar colours are similar codes: their order along the first principal component of "
            "all tokens' codes.",
        )
    patches = make_patches(epochs, on_missing=tokenizer.on_missing, verbose="error")
    patches = patches.reorder(tokens.channels[: tokens.n_channels])
    yield (
        plot_codebook(tokens, patches, len(codebook), info=epochs.info, show=False),
        "Codebook",
        "How often codes occur in the test epochs, and the EEG where the five most frequent ones "
        "do: mean and quartiles of the waveform, spectrum beside that of all patches, and the "
        "share of each channel's tokens.",
    )
    lively = np.flatnonzero(np.ptp(patches.data, axis=(1, 2)) > 0)
    if len(lively):
        row = int(lively[0])
        decoded = tokenizer.inverse_transform(tokens[row])[0]
        waves = patches.data[row].reshape(tokens.n_seconds, tokens.n_channels, -1)
        original = waves.transpose(1, 0, 2).reshape(tokens.n_channels, -1)
        yield (
            plot_reconstruction(original, decoded, list(tokens.ch_names), show=False),
            "Reconstruction",
            "The decoder's waveform from the codes of an epoch, z-scored over the epoch, and the "
            "original, z-scored.",
        )
    states = tokens.hidden.mean(axis=1)
    groups = {str(k): states[truth == k] for k in classes if (truth == k).any()}
    if len(groups) <= 7 and len(states) >= 4 and np.ptp(states, axis=0).any():
        yield (
            plot_embedding(groups, show=False),
            "Hidden states",
            "Mean hidden state of each test epoch, coloured by its class.",
        )


def _answers(
    classifier: NeuroLMClassifier, tokens: EEGTokens, rows: NDArray[np.int64], info: mne.Info
) -> Iterator[tuple[Figure, str, str]]:
    from mne_neurolm.explain import answer_attention, answer_attribution
    from mne_neurolm.viz import plot_attention, plot_attribution

    attention = answer_attention(classifier, tokens[rows])
    yield (
        plot_attention(attention, info, show=False),
        "Attention",
        f"What the token that the answer is read off attends to, mean over {len(rows)} epochs "
        "drawn at random. It says where information may have come from, not what the answer "
        "depends on.",
    )
    yield (
        plot_attribution(
            answer_attribution(classifier, tokens[rows], reference=tokens), info, show=False
        ),
        "Attribution",
        "Integrated gradients of the predicted class's log-odds, from the mean hidden state of "
        "each channel; mean over the epochs predicted as that class. A channel's hidden state "
        "knows of others, so this is the share of the token in its place.",
    )
