"""Draw the picture of the README: ``python tools/overview_picture.py [doc/_static/overview.png]``.

Simulated EEG, the bundled model tuned on it, and its answers about people whom it has not seen.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import matplotlib as mpl
import matplotlib.pyplot as plt
import mne
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mne_neurolm import EEGTokens, NeuroLMClassifier, NeuroLMTokenizer, Task
from mne_neurolm.datasets import simulate_epochs
from mne_neurolm.explain import answer_attribution
from mne_neurolm.viz import plot_codes

_SHOWN = ["Fp1", "F7", "Fz", "F8", "T3", "Cz", "T4", "Pz", "O1", "O2"]  # front to back
_TASK = Task(
    "state", "Is this person at rest or active?", answers={"rest": "Rest", "active": "Active"}
)


def draw_eeg(ax: Axes, epoch: mne.BaseEpochs) -> None:
    """Draw ten channels of an epoch, and where patches begin."""
    microvolts = 1e6 * epoch.get_data(picks=_SHOWN)[0]
    step = 6 * microvolts.std()
    for row, signal in enumerate(microvolts):
        ax.plot(epoch.times, signal - row * step, color="#222222", linewidth=0.6)
    for second in range(1, round(epoch.times[-1])):
        ax.axvline(second, color="#bbbbbb", linewidth=0.8, zorder=0)
    ax.set_yticks([-row * step for row in range(len(_SHOWN))], _SHOWN)
    ax.set_xticks(range(round(epoch.times[-1]) + 1))
    ax.set(
        xlabel="Second", xlim=(0, epoch.times[-1]), ylim=(-step * len(_SHOWN) + 0.3 * step, step)
    )
    ax.spines[["top", "right"]].set_visible(False)
    ax.set_title("EEG, cut into patches of one second", loc="left", fontsize="medium")


def draw_answers(ax: Axes, probabilities: NDArray[np.float64], y: NDArray[np.str_]) -> None:
    """Draw the probability of the second answer for every epoch, coloured by the true state."""
    for (label, text), colour in zip(_TASK.answers.items(), ("#0072b2", "#d55e00"), strict=True):
        epochs = np.flatnonzero(y == label)
        ax.plot(
            epochs, probabilities[epochs], "o", color=colour, ms=4.5, label=f"is {text.lower()}"
        )
    ax.axhline(0.5, color="#999999", linewidth=0.8, zorder=0)
    ax.set(xlabel="Epoch of two people not trained on", ylim=(-0.04, 1.04))
    ax.set_ylabel('Probability of "Active"')
    ax.legend(frameon=False, loc="center right", handletextpad=0.1, fontsize="small")
    ax.spines[["top", "right"]].set_visible(False)
    ax.set_title("Answers", loc="left", fontsize="medium")


def draw() -> Figure:
    """Tune on ten people, answer about two others, and draw one epoch of theirs at rest."""
    epochs = simulate_epochs(n_subjects=12, n_epochs_per_subject=24, random_state=3, effect=1.5)
    y = epochs.metadata["state"].to_numpy(dtype=str)
    train = (epochs.metadata["subject"] < 10).to_numpy()
    tokenizer, classifier = (
        NeuroLMTokenizer(),
        NeuroLMClassifier(_TASK, max_epochs=8, random_state=0),
    )
    classifier.fit(tokenizer.fit_transform(epochs[train]), y[train])
    unseen, truth = epochs[~train], y[~train]
    tokens = tokenizer.transform(unseen)
    assert isinstance(tokens, EEGTokens)
    active = classifier.predict_proba(tokens)[:, list(classifier.classes_).index("active")]
    resting = np.flatnonzero((truth == "rest") & (active < 0.5))
    shown = resting[np.argsort(active[resting])[len(resting) // 2]]  # neither best nor worst
    attribution = answer_attribution(classifier, tokens)
    speaks = attribution.values[attribution.labels == "rest"].sum(axis=1).mean(axis=0)

    fig = plt.figure(figsize=(13, 4.6), layout="constrained")
    left, middle, right = fig.subfigures(1, 3, width_ratios=[1.0, 1.1, 1.0], squeeze=False)[0]
    draw_eeg(left.subplots(), unseen[shown])
    codebook = tokenizer.model_.vq.codebook.weight.detach().numpy()
    ax, title = middle.subplots(), "Codes of its tokens: like colours, like codes"
    plot_codes(tokens, shown, codebook=codebook, picks=_SHOWN, title=title, axes=ax, show=False)
    top, bottom = right.subplots(2, 1, height_ratios=[1.15, 1])
    draw_answers(top, active, truth)
    image, _ = mne.viz.plot_topomap(speaks, unseen.info, axes=bottom, cmap="cividis", show=False)
    right.colorbar(image, ax=bottom, label="Log-odds (nats)")
    bottom.set_title('Channels for "Rest"', loc="left", fontsize="medium")
    return fig


def main(argv: Sequence[str] | None = None) -> None:
    """Write the picture."""
    mpl.use("Agg")
    mne.set_log_level("warning")
    arguments = sys.argv[1:] if argv is None else argv
    path = arguments[0] if arguments else "doc/_static/overview.png"
    draw().savefig(path, dpi=110, pil_kwargs={"optimize": True})


if __name__ == "__main__":
    main()
