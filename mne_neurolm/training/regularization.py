"""What keeps tuning from learning by heart: fewer channels, mixed windows, softer answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .objectives import answer_loss


def kept_channels(
    n_channels: int, channel_dropout: float, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Draw which channels a batch keeps.

    Parameters
    ----------
    n_channels : int
        Number of channels.
    channel_dropout : float
        Probability that a channel is left out, on its own.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    kept : ndarray of bool, shape (n_channels,)
        At least one is True.
    """
    kept = rng.random(n_channels) >= channel_dropout
    if not kept.any():
        kept[rng.integers(n_channels)] = True
    return kept


def drop_channels(
    hidden: Tensor, channels: Tensor, times: Tensor, kept: NDArray[np.bool_]
) -> tuple[Tensor, Tensor, Tensor]:
    """Leave out the tokens of some channels, the same for all samples of a batch.

    Parameters
    ----------
    hidden : Tensor, shape (B, N, n_embd)
        Hidden states, time-major.
    channels, times : Tensor of int64, shape (N,)
        Vocabulary row and second of each token.
    kept : ndarray of bool, shape (n_channels,)
        Channels that stay, in the order of the tokens of one second.

    Returns
    -------
    hidden, channels, times : Tensor
        What is left. The encoder has seen all channels, so the states of those that stay know of
        the others: this trains the language model for montages that lack some, not the encoder.
    """
    if kept.all():
        return hidden, channels, times
    seconds = len(times) // len(kept)
    index = torch.from_numpy(np.flatnonzero(np.tile(kept, seconds))).to(hidden.device)
    return hidden.index_select(1, index), channels[index], times[index]


class Mixture(NamedTuple):
    """Windows of which each has a share of another.

    Attributes
    ----------
    hidden : Tensor, shape (B, N, n_embd)
        Mixed hidden states.
    partner : Tensor of int64, shape (B,)
        Which window of the batch is mixed into each; a permutation.
    weight : float
        Share of the window itself, 0.5 to 1; its partner has the rest.
    """

    hidden: Tensor
    partner: Tensor
    weight: float

    def loss(self, loss_of: Callable[[Tensor], Tensor], labels: Tensor) -> Tensor:
        """Return the loss of both windows' answers in the mixture's shares.

        Parameters
        ----------
        loss_of : callable
            Maps right answers (B,) to a loss.
        labels : Tensor of int64, shape (B,)
            Right answers.

        Returns
        -------
        loss : Tensor, shape ()
            The loss.
        """
        theirs = loss_of(labels[self.partner])
        return self.weight * loss_of(labels) + (1 - self.weight) * theirs


def mix_windows(hidden: Tensor, mixup: float, rng: np.random.Generator) -> Mixture:
    """Mix each window of a batch with another one.

    Parameters
    ----------
    hidden : Tensor, shape (B, N, n_embd)
        Hidden states of windows of one montage and length.
    mixup : float
        Parameter α of the distribution of shares, Beta(α, α), above 0 (Zhang et al. 2018, mixup:
        Beyond empirical risk minimization, section 2; of hidden states: Verma et al. 2019, Manifold
        mixup). 1 draws shares evenly, small values mix most batches hardly at all.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    mixture : Mixture
        One share for the whole batch, and another window of it for each; a single window stays as
        it is. Every window is the partner of one, so all answers' tokens add up to as many.
    """
    share = float(rng.beta(mixup, mixup))
    weight = max(share, 1 - share)
    order = rng.permutation(len(hidden))
    partners = np.empty_like(order)
    partners[order] = np.roll(order, 1)
    partner = torch.from_numpy(partners).to(hidden.device)
    return Mixture(weight * hidden + (1 - weight) * hidden[partner], partner, weight)


def tuning_loss(
    log_probs: Tensor,
    labels: Tensor,
    lengths: Sequence[int] | Tensor,
    label_smoothing: float = 0.0,
    contrast: float = 0.0,
) -> Tensor:
    """Negative log-probability per token of the right answers, as text and among the answers.

    Parameters
    ----------
    log_probs : Tensor, shape (B, K)
        Log-probability of each answer.
    labels : Tensor of int64, shape (B,)
        Right answers.
    lengths : sequence of int | Tensor, shape (K,)
        Number of tokens of each answer.
    label_smoothing : float
        Weight ε that is spread evenly over all K answers, the right one among them (Szegedy et al.
        2016, Rethinking the inception architecture, section 7, there over classes). Default 0.
    contrast : float
        Weight c of the right answer's negative log-probability among the task's answers, which is
        what predictions are made of. A model that has not yet learnt to write the answers' words
        learns from it which one is right. Default 0, as in the paper (Eq. 10).

    Returns
    -------
    loss : Tensor, shape ()
        -Σ ((1 - ε) (log p_right + c log q_right) + ε mean_k (log p_k + c log q_k)) / Σ tokens of
        the right answers, where q_k = p_k / Σ p over the answers.

    Examples
    --------
    >>> import torch
    >>> from mne_neurolm.training.regularization import tuning_loss
    >>> log_probs = torch.log(torch.tensor([[0.2, 0.1], [0.1, 0.3]]))
    >>> tuning_loss(log_probs, torch.tensor([0, 1]), [1, 1]).round(decimals=3)
    tensor(1.4070)
    """
    counts = torch.as_tensor(lengths, device=labels.device)
    if contrast:
        log_probs = log_probs + contrast * log_probs.log_softmax(dim=1)
    loss = answer_loss(log_probs, labels, counts)
    if not label_smoothing:
        return loss
    even = -log_probs.mean(dim=1).sum() / counts[labels].sum()
    return (1 - label_smoothing) * loss + label_smoothing * even


def check_regularization(
    channel_dropout: float, label_smoothing: float, contrast: float, mixup: float = 0.0
) -> None:
    """Refuse shares that are not 0 (off) or between 0 and 1, and negative weights."""
    for name, value in (("contrast", contrast), ("mixup", mixup)):
        if not 0 <= value < float("inf"):
            raise ValueError(f"{name} must be 0 (off) or above, and finite; got {value}.")
    for name, value in (("channel_dropout", channel_dropout), ("label_smoothing", label_smoothing)):
        if not 0 <= value < 1:
            raise ValueError(f"{name} must be 0 (off) or above, and below 1; got {value}.")
