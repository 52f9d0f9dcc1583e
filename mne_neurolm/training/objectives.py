"""What each stage minimises, as plain functions of a model and a batch.

The objectives return a dictionary of scalar tensors; ``"loss"`` is the one to differentiate, the
others are its parts. Shapes: B = samples, N = patches of a sample, T = text tokens.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ..models.neurolm import NeuroLM
from ..models.vq import VQ

Losses = dict[str, Tensor]

# How much a target of hidden states counts beside the others. The scalp's components compete with
# 300 values of the patch itself for the width of the model: with 1, after 3 epochs of the tiny
# model, a probe of hidden states averaged over channels had a balanced accuracy of 0.72 on Workload
# and 0.61 on SMNI, with 3 of 0.74 and 0.63.
_HIDDEN_WEIGHTS = {"scalp": 3.0}


def vq_objective(
    vq: VQ,
    patches: Tensor,
    channels: Tensor,
    times: Tensor,
    mask: Tensor | None = None,
    *,
    word_embeddings: Tensor | None = None,
    alpha: float = 0.0,
) -> Losses:
    """Stage 1: reconstruction, codebook and alignment with text (paper, Eq. 2 to 6).

    Parameters
    ----------
    vq : VQ
        The neural tokenizer; in training mode its codebook collects the rows that it will move by.
    patches : Tensor, shape (B, N, 200)
        Patches in units of 100 µV.
    channels, times : Tensor of int64, shape (N,) or (B, N)
        Vocabulary row and second of each patch.
    mask : Tensor of bool, shape (B, N) | None
        True for patches that exist; only these count.
    word_embeddings : Tensor, shape (n, D) | None
        Frozen word embeddings of random text, the "text" side of the domain classifier. None:
        no alignment, as in the paper's Figure 11.
    alpha : float
        Strength of the reversed gradient, see :func:`~mne_neurolm.training.optim.alignment_weight`.

    Returns
    -------
    losses : dict of Tensor
        ``loss``, ``frequency``, ``raw``, ``commitment``, ``domain_eeg`` and ``domain_text``. Which
        of ``frequency``, ``phase`` and ``raw`` there are depends on the configuration's targets;
        with ``hidden_target_weight``, each is there also as ``hidden_<name>``, the weight included.
    """
    out = vq(patches, channels, times, mask)
    targets = vq.all_targets(patches, channels, times, mask, scalp=out.scalp)
    valid = slice(None) if mask is None else mask

    def error(name: str, predicted: Tensor) -> Tensor:
        return F.mse_loss(predicted[valid].float(), targets[name][valid])

    losses = {name: error(name, predicted) for name, predicted in out.predictions.items()}
    losses["commitment"] = out.commitment_loss
    for name, predicted in out.hidden_predictions.items():
        weight = vq.hidden_target_weight * _HIDDEN_WEIGHTS.get(name, 1.0)
        losses[f"hidden_{name}"] = weight * error(name, predicted)
    if word_embeddings is not None:
        losses["domain_eeg"] = domain_loss(vq, out.hidden[valid].flatten(0, -2), 0, alpha)
        losses["domain_text"] = domain_loss(vq, word_embeddings.detach(), 1)
    return {"loss": torch.stack(list(losses.values())).sum(), **losses}


def domain_loss(vq: VQ, features: Tensor, domain: int, alpha: float = 0.0) -> Tensor:
    """Cross-entropy of the domain classifier on features (n, D) of EEG (0) or text (1)."""
    logits = vq.domain_logits(features, alpha).float()
    return F.cross_entropy(logits, logits.new_full(logits.shape[:1], domain, dtype=torch.long))


def autoregressive_objective(
    model: NeuroLM, hidden: Tensor, codes: Tensor, channels: Tensor, times: Tensor
) -> Losses:
    """Stage 2, EEG: each channel predicts its own code of the next second (paper, Eq. 8).

    Parameters
    ----------
    model : NeuroLM
        The model.
    hidden : Tensor, shape (B, N, n_embd)
        Encoder hidden states.
    codes : Tensor of int64, shape (B, N)
        Codebook indices of the same patches.
    channels, times : Tensor of int64, shape (N,)
        Vocabulary row and second of each patch, all channels of a second together.

    Returns
    -------
    losses : dict of Tensor
        ``loss`` over the merged vocabulary, and ``accuracy``.

    Raises
    ------
    ValueError
        If there is only one second, which has no next one.
    """
    n_channels = int((times == times[0]).sum())
    if hidden.shape[1] <= n_channels:
        raise ValueError("Autoregression needs at least two seconds of EEG; got one.")
    states = model(hidden, channels, times).last_hidden_state[:, :-n_channels]
    targets = codes[:, n_channels:].flatten() + model.text_vocab_size
    return _next_token(model, states, targets)


def text_objective(model: NeuroLM, tokens: Tensor) -> Losses:
    """Stages 2 and 3, text: next-token prediction over tokens (B, T + 1) (paper, Eq. 9)."""
    states = model(input_ids=tokens[:, :-1]).last_hidden_state
    return _next_token(model, states, tokens[:, 1:].flatten())


def _next_token(model: NeuroLM, states: Tensor, targets: Tensor) -> Losses:
    logits = model.logits(states).flatten(0, 1).float()
    accuracy = (logits.detach().argmax(dim=-1) == targets).float().mean()
    return {"loss": F.cross_entropy(logits, targets), "accuracy": accuracy}


def answer_loss(log_probs: Tensor, labels: Tensor, lengths: Tensor) -> Tensor:
    """Stage 3: negative log-probability per token of the right answers (paper, Eq. 10).

    It is averaged over the answers' tokens, as in the released code. What is trained is
    :func:`~mne_neurolm.training.regularization.tuning_loss`, which starts from it.

    Parameters
    ----------
    log_probs : Tensor, shape (B, K)
        Log-probability of each answer, as
        :func:`~mne_neurolm.models.scoring.answer_log_probs` returns it with ``text_only=False``.
    labels : Tensor of int64, shape (B,)
        Right answers.
    lengths : Tensor of int64, shape (K,)
        Number of tokens of each answer.

    Returns
    -------
    loss : Tensor, shape ()
        The loss.
    """
    return -log_probs.gather(1, labels[:, None]).sum() / lengths[labels].sum()
