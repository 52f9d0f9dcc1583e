"""What each channel and second adds to an answer, by integrated gradients."""

from __future__ import annotations

from dataclasses import dataclass
from operator import index
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted
from torch import Tensor
from tqdm.auto import tqdm

from mne_neurolm.models.scoring import answer_log_probs

if TYPE_CHECKING:
    from mne_neurolm.classifier import NeuroLMClassifier


@dataclass(frozen=True, eq=False)
class AnswerAttribution:
    """Shares of channels and seconds in an answer's log-odds.

    Attributes
    ----------
    values : ndarray of float64, shape (n_epochs, n_seconds, n_channels)
        What each token adds, in nats: above 0 it speaks for the class, below 0 against it.
    labels : ndarray, shape (n_epochs,)
        The class that is explained.
    log_odds : ndarray of float64, shape (n_epochs,)
        log(p / (1 - p)) of that class among the answers, not calibrated.
    baseline_log_odds : ndarray of float64, shape (n_epochs,)
        The same for the EEG that stands for "nothing special". ``values`` add up to the difference,
        but for what the sum over steps misses of the integral.
    ch_names : tuple of str
        Channels.

    See Also
    --------
    mne_neurolm.explain.answer_attribution : Computes it.
    mne_neurolm.viz.plot_attribution : Draws it.

    Examples
    --------
    >>> from mne_neurolm import NeuroLMClassifier
    >>> from mne_neurolm.datasets import simulate_epochs
    >>> from mne_neurolm.explain import answer_attribution
    >>> epochs = simulate_epochs(n_subjects=1, n_epochs_per_subject=4, random_state=0)
    >>> y = epochs.metadata["state"].map({"rest": "No", "active": "Yes"})
    >>> classifier = NeuroLMClassifier("workload", "tiny-joint", tune=None).fit(epochs, y)
    >>> attribution = answer_attribution(classifier, epochs, ["Yes"] * 4, n_steps=8)
    >>> attribution.values.sum(axis=1).shape  # epochs, channels
    (4, 19)
    >>> whole = attribution.log_odds - attribution.baseline_log_odds
    >>> bool(abs(attribution.values.sum(axis=(1, 2)) - whole).max() < 0.05)
    True
    """

    values: NDArray[np.float64]
    labels: NDArray[Any]
    log_odds: NDArray[np.float64]
    baseline_log_odds: NDArray[np.float64]
    ch_names: tuple[str, ...]

    def __len__(self) -> int:
        """Return the number of epochs."""
        return len(self.values)


def answer_attribution(
    classifier: NeuroLMClassifier,
    X: Any,
    labels: ArrayLike | None = None,
    *,
    reference: Any = None,
    n_steps: int = 32,
    progress: bool = False,
) -> AnswerAttribution:
    """Return what each channel and second adds to a classifier's answer.

    Integrated gradients (Sundararajan, Taly and Yan 2017, Axiomatic attribution for deep networks,
    Eq. 1) of the answer's log-odds with respect to the hidden states that the language model reads,
    on the straight path from the mean hidden state of each channel in ``reference``, summed over
    the dimensions of each token.

    Parameters
    ----------
    classifier : NeuroLMClassifier
        A fitted classifier.
    X : EEGTokens | mne.BaseEpochs | list of mne.BaseEpochs | ndarray
        As for its ``predict_proba``.
    labels : array-like, shape (n_epochs,) | None
        The class to explain for each epoch, as in ``classes_``. ``None`` (default): the likeliest
        one.
    reference : EEGTokens | mne.BaseEpochs | list of mne.BaseEpochs | ndarray | None
        EEG of the same channels whose mean hidden state of each channel stands for nothing special,
        such as the training set. ``None`` (default): ``X`` itself, which then needs two epochs or
        more.
    n_steps : int
        Points on the path. Default 32.
    progress : bool
        Show a progress bar with the time left. Default False.

    Returns
    -------
    attribution : AnswerAttribution
        Computed in float32, of hidden states in the precision that the classifier encodes with:
        where that is bfloat16, ``predict_proba`` differs a little. The model is in evaluation mode
        afterwards.

    Raises
    ------
    ValueError
        If there are too few epochs, channels differ, labels do not fit, or ``n_steps`` is below 1.
    TypeError
        If ``n_steps`` is no integer.

    Notes
    -----
    The hidden state of a channel knows of others: the tokenizer has let them attend to each other,
    and the bundled models add what the whole scalp does in a second. So a channel's share is that
    of the token in its place, not of its electrode alone.

    Examples
    --------
    >>> from mne_neurolm import NeuroLMClassifier
    >>> from mne_neurolm.datasets import simulate_epochs
    >>> from mne_neurolm.explain import answer_attribution
    >>> epochs = simulate_epochs(n_subjects=1, n_epochs_per_subject=4, random_state=0)
    >>> y = epochs.metadata["state"].map({"rest": "No", "active": "Yes"})
    >>> classifier = NeuroLMClassifier("workload", "tiny-joint", tune=None).fit(epochs, y)
    >>> answer_attribution(classifier, epochs, n_steps=4).values.shape
    (4, 4, 19)
    """
    check_is_fitted(classifier, "net_")
    model, module = classifier.model_, classifier.net_.module_
    tokens = classifier._as_tokens(X, model, classifier._encoder_id)
    others = tokens
    if reference is not None:
        others = classifier._as_tokens(reference, model, classifier._encoder_id)
    own = tokens.channels[: tokens.n_channels]
    if not np.array_equal(own, others.channels[: others.n_channels]):
        raise ValueError(
            f"reference has the channels {list(others.ch_names)}, X has {list(tokens.ch_names)}; "
            "pass EEG of the same channels in the same order."
        )
    if index(n_steps) < 1 or not len(tokens) or len(others) < (2 if reference is None else 1):
        raise ValueError(
            f"There must be one epoch or more, two without a reference, and one step or more; got "
            f"{len(tokens)} epochs, {len(others)} of reference and n_steps={n_steps}."
        )
    wanted = _class_numbers(classifier, labels, len(tokens))
    shape = -1, others.n_channels, others.hidden.shape[2]
    means = others.hidden.reshape(shape).mean(axis=0, dtype=np.float64)
    start = torch.from_numpy(np.tile(means, (tokens.n_seconds, 1))).float().to(model.device)
    channels = torch.from_numpy(tokens.channels).to(model.device)
    times = torch.from_numpy(tokens.times).to(model.device)

    def scores(hidden: Tensor) -> Tensor:
        return answer_log_probs(model, hidden, channels, times, module.prompt, module.answers)

    model.eval()
    with torch.no_grad():
        before = _log_odds(scores(start[None]).double().cpu()[0])
    values = np.empty((len(tokens), tokens.n_seconds, tokens.n_channels))
    log_odds, chosen = np.empty(len(tokens)), np.empty(len(tokens), dtype=np.int64)
    # Middles of equal parts of the path.
    share = ((torch.arange(n_steps, device=model.device) + 0.5) / n_steps)[:, None, None]
    for i in tqdm(range(len(tokens)), desc="attribution", disable=not progress, leave=False):
        end = torch.from_numpy(tokens.hidden[i]).float().to(model.device)
        with torch.no_grad():
            after = _log_odds(scores(end[None]).double().cpu()[0])
        k = int(after.argmax()) if wanted is None else int(wanted[i])
        chosen[i], log_odds[i] = k, after[k]
        gradient = torch.zeros_like(end)
        for part in share.split(classifier.batch_size):
            path = (start + part * (end - start)).requires_grad_()
            with torch.enable_grad():
                total = _log_odds(scores(path))[:, k].sum()
            gradient += torch.autograd.grad(total, path)[0].sum(dim=0)
        added = ((end - start) * gradient / n_steps).sum(dim=1)
        values[i] = added.double().cpu().numpy().reshape(tokens.n_seconds, tokens.n_channels)
    return AnswerAttribution(
        values, classifier.classes_[chosen], log_odds, before.numpy()[chosen], tokens.ch_names
    )


def _log_odds(scores: Tensor) -> Tensor:
    """Return log(p / (1 - p)) of each answer, whose unnormalised log-probabilities are given."""
    n = scores.shape[-1]
    away = torch.eye(n, dtype=torch.bool, device=scores.device)
    others = scores.unsqueeze(-2).expand(*scores.shape[:-1], n, n).masked_fill(away, -torch.inf)
    return scores - others.logsumexp(dim=-1)


def _class_numbers(
    classifier: NeuroLMClassifier, labels: ArrayLike | None, n_epochs: int
) -> NDArray[np.int64] | None:
    if labels is None:
        return None
    given, classes = np.asarray(labels), classifier.classes_.tolist()
    unknown = sorted({str(label) for label in given.ravel().tolist() if label not in classes})
    if given.shape != (n_epochs,) or unknown:
        raise ValueError(
            f"labels must hold one of {classes} for each of {n_epochs} epochs; got shape "
            f"{given.shape}, and {unknown} are no classes."
        )
    return np.array([classes.index(label) for label in given.tolist()], dtype=np.int64)
