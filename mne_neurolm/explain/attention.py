"""Where the language model looks when it answers (paper, Figure 9)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import index
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted
from tqdm.auto import tqdm

from mne_neurolm.models.scoring import check_text

if TYPE_CHECKING:
    from mne_neurolm.classifier import NeuroLMClassifier


@dataclass(frozen=True, eq=False)
class AnswerAttention:
    """Attention of the token that an answer is read off: the last one of the question.

    Attributes
    ----------
    weights : ndarray of float32, shape (n_epochs, n_layers, n_tokens + n_words)
        How much it attends to each token of EEG (time-major: all channels of the first second, then
        of the next) and of the question, mean over heads. They add up to 1.
    ch_names : tuple of str
        Channels.
    n_seconds : int
        Seconds per epoch.
    words : tuple of str
        Tokens of the question; the last is the one that attends.

    See Also
    --------
    mne_neurolm.explain.answer_attention : Computes it.
    mne_neurolm.viz.plot_attention : Draws it.

    Examples
    --------
    >>> from mne_neurolm import NeuroLMClassifier
    >>> from mne_neurolm.datasets import simulate_epochs
    >>> from mne_neurolm.explain import answer_attention
    >>> epochs = simulate_epochs(n_subjects=1, n_epochs_per_subject=4, random_state=0)
    >>> y = epochs.metadata["state"].map({"rest": "No", "active": "Yes"})
    >>> classifier = NeuroLMClassifier("workload", "tiny-joint", tune=None).fit(epochs, y)
    >>> attention = answer_attention(classifier, epochs)
    >>> attention.words[-1]  # of "... Answer:", the token that attends
    ':'
    >>> of_seconds = attention.eeg.sum(axis=3)
    >>> of_seconds.shape  # epochs, layers, seconds
    (4, 4, 4)
    >>> bool(abs(of_seconds.sum(axis=2) + attention.text.sum(axis=2) - 1).max() < 1e-5)
    True
    """

    weights: NDArray[np.float32]
    ch_names: tuple[str, ...]
    n_seconds: int
    words: tuple[str, ...]

    def __len__(self) -> int:
        """Return the number of epochs."""
        return len(self.weights)

    @property
    def eeg(self) -> NDArray[np.float32]:
        """Attention to EEG, shape (n_epochs, n_layers, n_seconds, n_channels)."""
        n_epochs, n_layers, _ = self.weights.shape
        eeg = self.weights[..., : -len(self.words)]
        return eeg.reshape(n_epochs, n_layers, self.n_seconds, len(self.ch_names))

    @property
    def text(self) -> NDArray[np.float32]:
        """Attention to the question, shape (n_epochs, n_layers, n_words)."""
        return self.weights[..., -len(self.words) :]


@torch.no_grad()
def answer_attention(
    classifier: NeuroLMClassifier, X: Any, *, batch_size: int = 8, progress: bool = False
) -> AnswerAttention:
    """Return where a classifier's language model looks when it answers.

    Parameters
    ----------
    classifier : NeuroLMClassifier
        A fitted classifier.
    X : EEGTokens | mne.BaseEpochs | list of mne.BaseEpochs | ndarray
        As for its ``predict_proba``.
    batch_size : int
        Epochs at a time; memory grows with it and with the square of the tokens. Default 8.
    progress : bool
        Show a progress bar with the time left. Default False.

    Returns
    -------
    attention : AnswerAttention
        Weights in float32, of hidden states in the precision that the classifier encodes with. The
        model is in evaluation mode afterwards.

    Raises
    ------
    ValueError
        If there are no epochs, or they do not suit the classifier, or ``batch_size`` is below 1.

    Notes
    -----
    Attention says where information may have come from, not what the answer depends on: hidden
    states of EEG know of other channels and seconds already, and later layers attend to tokens that
    have gathered what others hold (Jain and Wallace 2019, Attention is not explanation).

    Examples
    --------
    >>> from mne_neurolm import NeuroLMClassifier
    >>> from mne_neurolm.datasets import simulate_epochs
    >>> from mne_neurolm.explain import answer_attention
    >>> epochs = simulate_epochs(n_subjects=1, n_epochs_per_subject=4, random_state=0)
    >>> y = epochs.metadata["state"].map({"rest": "No", "active": "Yes"})
    >>> classifier = NeuroLMClassifier("workload", "tiny-joint", tune=None).fit(epochs, y)
    >>> attention = answer_attention(classifier, epochs)
    >>> attention.eeg.shape  # epochs, layers, seconds, channels
    (4, 4, 4, 19)
    """
    check_is_fitted(classifier, "net_")
    model = classifier.model_
    tokens = classifier._as_tokens(X, model, classifier._encoder_id)
    if not len(tokens):
        raise ValueError("X has no epochs; pass one or more.")
    if index(batch_size) < 1:
        raise ValueError(f"batch_size must be 1 or more; got {batch_size}.")
    prompt = list(classifier.net_.module_.prompt)
    device = model.device
    channels = torch.from_numpy(tokens.channels).to(device)
    times = torch.from_numpy(tokens.times).to(device)
    check_text(model, times, prompt, 0)
    ids = torch.tensor(prompt, device=device)
    text_tokenizer = model.text_tokenizer
    assert text_tokenizer is not None, "it has encoded the question"
    model.eval()
    found = []
    starts = range(0, len(tokens), batch_size)
    for start in tqdm(starts, desc="attention", disable=not progress, leave=False):
        hidden = torch.from_numpy(tokens.hidden[start : start + batch_size]).float().to(device)
        out = model(hidden, channels, times, ids, output_attentions=True)
        of_layers = [weights[:, :, -1].float().mean(dim=1) for weights in out.attentions]
        found.append(torch.stack(of_layers, dim=1).cpu().numpy())
    words = _words([text_tokenizer.decode([token]) for token in prompt])
    return AnswerAttention(np.concatenate(found), tokens.ch_names, tokens.n_seconds, words)


def _words(decoded: Sequence[str]) -> tuple[str, ...]:
    """Return what tokens are called: a part of a character, which is no text alone, is a dot."""
    return tuple(
        word.replace("\n", "\\n").replace("\N{REPLACEMENT CHARACTER}", "·") for word in decoded
    )
