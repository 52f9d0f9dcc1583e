"""The figures in the report of a pipeline, each with its title and caption."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

import mne
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import recall_score

from mne_neurolm.patches import make_patches
from mne_neurolm.tokens import EEGTokens

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from mne_neurolm import NeuroLMClassifier, NeuroLMTokenizer

#: What the pipeline is called beside baselines.
PIPELINE = "pipeline"
_NO_MAP = "electrode positions; give epochs a montage (set_montage)."
_MOST_ROWS = 24  # channels in a figure that has a row for each


def predictions_figures(
    positions: NDArray[np.int64],
    probas: Mapping[str, NDArray[np.float64]],
    classes: list,
    people: NDArray[Any] | None,
) -> Iterator[tuple[Figure, str, str]]:
    """Draw what was predicted: for every method where it is compared, else for the pipeline."""
    from mne_neurolm.viz import plot_calibration, plot_confusion, plot_subject_scores

    proba = probas[PIPELINE]
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
    for (name, of_all), subject in product(probas.items(), np.unique(people)):
        own, said = positions[people == subject], of_all[people == subject].argmax(axis=1)
        recall = recall_score(own, said, labels=np.unique(own), average="macro")
        rows.append(("test", name, name, str(subject), len(own), float(recall)))
    columns = ["problem", "method", "title", "subject", "n_epochs", "balanced_accuracy"]
    yield (
        plot_subject_scores(pd.DataFrame(rows, columns=columns), show=False),
        "Subjects",
        "Balanced accuracy of every subject; for one with a single class, the share that is right.",
    )


def codes_figures(
    tokenizer: NeuroLMTokenizer,
    tokens: EEGTokens,
    epochs: mne.BaseEpochs,
    truth: NDArray[Any],
    classes: list,
    people: NDArray[Any] | None,
) -> Iterator[tuple[Figure, str, str]]:
    """Draw what codes stand for, and what the decoder makes of them."""
    from mne_neurolm.viz import plot_codebook, plot_codes, plot_embedding, plot_reconstruction
    from mne_neurolm.viz._scalp import positions

    codebook = tokenizer.model_.vq.codebook.weight.float().cpu().numpy()
    first = {k: int(np.flatnonzero(truth == k)[0]) for k in classes if (truth == k).any()}
    picks, which = _some(tokens.ch_names)
    for label, row in list(first.items())[:4]:
        own = tokens.codes[row]
        title = f"Epoch {row}, {label}" + ("" if people is None else f", subject {people[row]}")
        title += f"\n{len(np.unique(own))} different codes in {own.size} tokens"
        yield (
            plot_codes(tokens, row, codebook=codebook, picks=picks, title=title, show=False),
            f"Codes of an epoch: {label}",
            "Similar colours are similar codes: their order along the first principal component of "
            f"all tokens' codes.{which}",
        )
    map_or_not = "the share of each channel's tokens."
    if positions(epochs.info, tokens.ch_names) is None:
        map_or_not = f"no map for want of {_NO_MAP}"
    patches = make_patches(epochs, on_missing=tokenizer.on_missing, verbose="error")
    patches = patches.reorder(tokens.channels[: tokens.n_channels])
    yield (
        plot_codebook(tokens, patches, len(codebook), info=epochs.info, show=False),
        "Codebook",
        "How often codes occur in the test epochs, and the EEG where the five most frequent ones "
        "do: mean and quartiles of the waveform, spectrum beside that of all patches, and "
        f"{map_or_not}",
    )
    lively = np.flatnonzero(np.ptp(patches.data, axis=(1, 2)) > 0)
    if len(lively):
        row = int(lively[0])
        decoded = tokenizer.inverse_transform(tokens[row])[0]
        waves = patches.data[row].reshape(tokens.n_seconds, tokens.n_channels, -1)
        original = waves.transpose(1, 0, 2).reshape(tokens.n_channels, -1)
        yield (
            plot_reconstruction(original, decoded, list(tokens.ch_names), picks=picks, show=False),
            "Reconstruction",
            "The decoder's waveform from the codes of an epoch, z-scored over the epoch, and the "
            "original, z-scored. A code stands for many patches: expect slow waves to survive, and "
            f"little of the rest.{which}",
        )
    states = tokens.hidden.mean(axis=1)
    groups = {str(k): states[truth == k] for k in classes if (truth == k).any()}
    if len(groups) <= 7 and len(states) >= 4 and np.ptp(states, axis=0).any():
        yield (
            plot_embedding(groups, show=False),
            "Hidden states",
            "Mean hidden state of each test epoch, coloured by its class.",
        )


def _some(ch_names: Sequence[str]) -> tuple[list[str], str]:
    """Return the channels of figures that have a row for each, and a sentence if not all."""
    if len(ch_names) <= _MOST_ROWS:
        return list(ch_names), ""
    rows = np.linspace(0, len(ch_names) - 1, _MOST_ROWS).round().astype(int)
    return [ch_names[k] for k in rows], f" Shown are {_MOST_ROWS} of {len(ch_names)} channels."


def answers_figures(
    classifier: NeuroLMClassifier,
    tokens: EEGTokens,
    rows: NDArray[np.int64],
    info: mne.Info,
    progress: bool,
) -> Iterator[tuple[Figure, str, str]]:
    """Draw where the model looks when it answers, and what speaks for its answers."""
    from mne_neurolm.explain import answer_attention, answer_attribution
    from mne_neurolm.viz import plot_attention, plot_attribution
    from mne_neurolm.viz._scalp import positions

    no_map = "" if positions(info, tokens.ch_names) is not None else f" Bars for want of {_NO_MAP}"
    attention = answer_attention(classifier, tokens[rows], progress=progress)
    yield (
        plot_attention(attention, info, show=False),
        "Attention",
        f"What the token that the answer is read off attends to, mean over {len(rows)} epochs "
        "drawn at random. It says where information may have come from, not what the answer "
        "depends on. Every map has a scale of its own; if it is narrow, the model looks everywhere "
        f"alike. [SEP] separates EEG and question.{no_map}",
    )
    attribution = answer_attribution(classifier, tokens[rows], reference=tokens, progress=progress)
    explained = attribution.labels.tolist()
    labels = [label for label in classifier.classes_.tolist() if label in explained]
    yield (
        plot_attribution(attribution, info, labels=labels, show=False),
        "Attribution",
        "Integrated gradients of the predicted class's log-odds, from the mean hidden state of "
        "each channel; mean over the epochs predicted as that class. A channel's hidden state "
        f"knows of others, so this is the share of the token in its place.{no_map}",
    )
