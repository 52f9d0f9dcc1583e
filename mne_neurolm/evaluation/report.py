"""An HTML report of one run of the pipeline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import mne
import numpy as np
from numpy.typing import ArrayLike

from mne_neurolm.evaluation.report_figures import add_figure

# The model's frequency_target -> what its spectra are, for captions.
_SPECTRA = {
    "magnitude": "magnitudes of the Fourier transform of each second, z-scored over the epoch. The "
    "decline with frequency that all EEG shares is part of the correlation.",
    "log_magnitude": "logarithms of the magnitudes of the Fourier transform of each second, "
    "standardised at each frequency over the training data. Zero is the training data's mean.",
}
_SPECTRA["amplitude_phase"] = _SPECTRA["magnitude"]


def results_table(results: Mapping[str, Mapping[str, float]]) -> str:
    """Format results as an HTML table.

    Parameters
    ----------
    results : dict of dict of float
        Scores of every method: method -> metric -> value. NaN is shown as a dash, and so is a
        metric that another method has and this one lacks.

    Returns
    -------
    html : str
        The table, one row per method.
    """
    metrics = list(dict.fromkeys(metric for row in results.values() for metric in row))
    head = "".join(f"<th>{escape(metric.replace('_', ' '))}</th>" for metric in metrics)
    rows = ""
    for method, row in results.items():
        values = (row.get(metric, float("nan")) for metric in metrics)
        cells = "".join(f"<td>{'–' if np.isnan(v) else f'{v:.3f}'}</td>" for v in values)
        rows += f"<tr><td>{escape(method)}</td>{cells}</tr>"
    return (
        '<table class="table table-striped"><thead><tr><th>method</th>'
        f"{head}</tr></thead><tbody>{rows}</tbody></table>"
    )


def demo_report(
    *,
    results: Mapping[str, Mapping[str, float]],
    y_true: ArrayLike,
    y_pred: ArrayLike,
    labels: Sequence[Any],
    original: ArrayLike,
    reconstruction: ArrayLike,
    ch_names: Sequence[str],
    codes: ArrayLike,
    codebook_size: int,
    times: ArrayLike,
    spectra: tuple[ArrayLike, ArrayLike] | None = None,
    frequency_target: str = "magnitude",
    n_text: int = 20,
    names: Sequence[str] | None = None,
    sfreq: float = 200.0,
    examples: Mapping[str, int] | None = None,
    description: str = "",
    title: str = "NeuroLM demo",
) -> mne.Report:
    """Put results, predictions, reconstructions, codes and the mask into one HTML report.

    Parameters
    ----------
    results : dict of dict of float
        Scores of every method: method -> metric -> value.
    y_true, y_pred : array-like, shape (n_epochs,)
        True and predicted labels of the test epochs.
    labels : sequence, length n_classes
        The labels in the order of the confusion matrix.
    original : array-like, shape (n_examples, n_chans, n_times)
        Some test epochs, in any unit.
    reconstruction : array-like, shape (n_examples, n_chans, n_times)
        Their reconstructions from codes, in z-scores of the epoch as the decoder predicts them.
    ch_names : sequence of str, length n_chans
        Names of the channels.
    codes : array-like of int, shape (n_epochs, n_tokens)
        Codes of the test epochs.
    codebook_size : int
        Number of codes in the codebook.
    times : array-like of int, shape (n_tokens,)
        Second of each token of an epoch.
    spectra : tuple of two array-like, shape (n_examples, n_tokens, n_frequencies) | None
        Spectra of the same test epochs and those decoded from their codes, as
        :func:`mne_neurolm.viz.plot_spectra` takes them. ``None`` (default) shows none.
    frequency_target : "magnitude" | "log_magnitude" | "amplitude_phase"
        What the spectra are, the model's ``frequency_target``. Default ``"magnitude"``.
    n_text : int
        Text tokens to draw after the EEG in the mask. Default 20.
    names : sequence of str | None
        What to call the labels. ``None`` (default): the labels themselves.
    sfreq : float
        Sampling rate in Hz of the waveforms. Default 200.0.
    examples : dict of int | None
        Reconstructions to show: title -> index into ``original``. ``None`` (default): the first.
    description : str
        Plain text at the top: data, split, settings. Default: none.
    title : str
        Title of the report. Default ``"NeuroLM demo"``.

    Returns
    -------
    report : mne.Report
        The report; ``report.save("report.html")`` writes it.

    Raises
    ------
    ValueError
        If shapes do not match, or values cannot be drawn, such as NaN.
    IndexError
        If ``examples`` names an epoch that is not there.

    Examples
    --------
    >>> import numpy as np
    >>> from mne_neurolm import NeuroLMTokenizer
    >>> from mne_neurolm.datasets import simulate_epochs
    >>> from mne_neurolm.evaluation import demo_report, score_predictions
    >>> epochs = simulate_epochs(n_subjects=1, n_epochs_per_subject=4, random_state=0)
    >>> y, labels = epochs.metadata["state"].to_numpy(), ["rest", "active"]
    >>> tokenizer = NeuroLMTokenizer()
    >>> tokens = tokenizer.fit_transform(epochs)
    >>> report = demo_report(
    ...     results={"chance": score_predictions(y, np.full((4, 2), 0.5), labels)},
    ...     y_true=y,
    ...     y_pred=["rest"] * 4,
    ...     labels=labels,
    ...     original=epochs.get_data()[:1],
    ...     reconstruction=tokenizer.inverse_transform(tokens[:1]),
    ...     ch_names=epochs.ch_names,
    ...     codes=tokens.codes,
    ...     codebook_size=1024,
    ...     times=tokens.times,
    ... )
    >>> titles, _, _ = report.get_contents()
    >>> titles[:3]
    ['Results', 'Confusion matrix', 'Reconstruction: waveforms']
    """
    from mne_neurolm.viz import (
        plot_code_usage,
        plot_confusion,
        plot_mask,
        plot_reconstruction,
        plot_spectra,
    )

    before, after = np.asarray(original), np.asarray(reconstruction)
    if before.shape != after.shape or before.ndim != 3:
        raise ValueError(
            "original and reconstruction must have the same shape (n_examples, n_chans, n_times); "
            f"got {before.shape} and {after.shape}."
        )
    bins = [] if spectra is None else [np.asarray(part) for part in spectra]
    if bins and not len(bins[0]) == len(bins[1]) == len(before):
        raise ValueError(
            f"spectra must be two arrays with one entry for each of {len(before)} examples; got "
            f"{len(bins[0])} and {len(bins[1])}."
        )
    shown = {"Reconstruction": 0} if examples is None else dict(examples)
    report = mne.Report(title=title, verbose="error")
    text = "".join(f"<p>{escape(line)}</p>" for line in description.splitlines() if line.strip())
    report.add_html(text + results_table(results), title="Results", tags=("results",))
    figures = [
        (
            plot_confusion(y_true, y_pred, labels, names=names, show=False),
            "Confusion matrix",
            "Test epochs. Colour and percentage are the share of the true class.",
        ),
    ]
    for name, k in shown.items():
        figures.append(
            (
                plot_reconstruction(before[k], after[k], ch_names, sfreq=sfreq, show=False),
                f"{name}: waveforms",
                "Every channel and second is one code; grey lines separate the tokens. The decoder "
                "predicts waveforms z-scored over the epoch: the original is z-scored, the "
                "reconstruction is drawn as predicted. Explained variance is 1 minus the mean "
                "squared error over the variance of the original, 0 for a flat line.",
            )
        )
    for name, k in shown.items() if bins else ():
        decoded = plot_spectra(
            bins[0][k], bins[1][k], ch_names, target=frequency_target, show=False
        )
        caption = (
            "What the second decoder predicts from the same codes, averaged over the epoch's "
            f"seconds: {_SPECTRA[frequency_target]}"
        )
        figures.append((decoded, f"{name}: spectra", caption))
    figures += [
        (
            plot_code_usage(codes, codebook_size, show=False),
            "Code usage",
            "How often the codes of the codebook occur in the test epochs.",
        ),
        (
            plot_mask(times, n_text, show=False),
            "Stair-step mask",
            "A token attends to all channels of its own and of earlier seconds; the text that "
            "follows sees all EEG and the text before it.",
        ),
    ]
    for fig, name, caption in figures:
        add_figure(report, fig, title=name, caption=caption)
    return report
