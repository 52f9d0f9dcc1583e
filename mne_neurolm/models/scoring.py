"""Answers: the log-probability of each allowed one, or free text.

Shapes are written with B = samples, N = EEG tokens, K = answers.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from .masks import text_times
from .neurolm import NeuroLM


def answer_log_probs(
    model: NeuroLM,
    hidden: Tensor,
    channels: Tensor,
    times: Tensor,
    prompt: Sequence[int],
    answers: Sequence[Sequence[int]],
    *,
    text_only: bool = True,
) -> Tensor:
    """Return the log-probability of every answer in one forward pass.

    The answers hang side by side on the prompt, as branches of a tree: each sees the EEG, the
    prompt and itself, and all start at the same position. Nothing is generated, so nothing has to
    be parsed, and each answer has a probability.

    Parameters
    ----------
    model : NeuroLM
        The model.
    hidden : Tensor, shape (B, N, n_embd)
        Encoder hidden states.
    channels, times : Tensor of int64, shape (N,)
        Vocabulary row and second of each EEG token.
    prompt : sequence of int
        Text ids of ``[SEP]Question: ... Answer:``.
    answers : sequence of sequence of int
        Text ids of each answer, with what closes it.
    text_only : bool
        Normalise over the text tokens that may be written (default), as generation does, or over
        the whole merged vocabulary, as the training loss does.

    Returns
    -------
    log_probs : Tensor, shape (B, K)
        Sum of the log-probabilities of each answer's tokens.

    Raises
    ------
    ValueError
        If text is empty, has ids that are no text, or is longer than the language model's
        positions.
    """
    check_text(model, times, prompt, max(map(len, answers), default=1) - 1)
    for answer in answers:
        _check_ids(model, answer, "An answer")
    if not len(hidden):  # transformers can't reshape empty batches
        return hidden.new_zeros((0, len(answers)))
    device = hidden.device
    n_eeg, n_prompt = hidden.shape[1], len(prompt)
    # The last token of an answer predicts nothing, so it is not fed.
    fed = [list(answer[:-1]) for answer in answers]
    ids = torch.tensor([*prompt, *(token for answer in fed for token in answer)], device=device)
    first = text_times(int(times.max()), n_prompt, device)
    after = int(first[-1]) + 1
    steps = [first, *(torch.arange(after, after + len(a), device=device) for a in fed)]
    branches = torch.zeros(n_eeg + len(ids), dtype=torch.long, device=device)
    start = n_eeg + n_prompt
    rows: list[int] = []  # position whose output predicts a token
    targets: list[int] = []  # that token
    owner: list[int] = []  # the answer it belongs to
    for k, answer in enumerate(answers):
        branches[start : start + len(answer) - 1] = k + 1
        rows += [n_eeg + n_prompt - 1, *range(start, start + len(answer) - 1)]
        targets += list(answer)
        owner += [k] * len(answer)
        start += len(answer) - 1
    states = model(hidden, channels, times, ids, torch.cat(steps), branches).last_hidden_state
    # The head is applied once to each needed row: the first tokens of all answers share one.
    unique, inverse = torch.unique(torch.tensor(rows, device=device), return_inverse=True)
    logits = model.logits(states[:, unique]).float()
    log_probs = F.log_softmax(logits[..., : model.n_writable] if text_only else logits, dim=-1)
    of_token = log_probs[:, inverse, torch.tensor(targets, device=device)]
    scores = of_token.new_zeros(len(hidden), len(answers))
    return scores.index_add(1, torch.tensor(owner, device=device), of_token)


@torch.no_grad()
def generate_text(
    model: NeuroLM,
    hidden: Tensor,
    channels: Tensor,
    times: Tensor,
    prompt: Sequence[int],
    *,
    max_new_tokens: int = 20,
    temperature: float = 0.0,
    top_k: int | None = None,
    generator: torch.Generator | None = None,
) -> list[list[int]]:
    """Let the model write, token by token, with cached keys and values.

    Parameters
    ----------
    model, hidden, channels, times, prompt
        As for :func:`answer_log_probs`.
    max_new_tokens : int
        Longest continuation. Default 20.
    temperature : float
        0 (default) takes the most likely token; above, tokens are sampled.
    top_k : int | None
        Sample among the ``top_k`` most likely tokens only.
    generator : torch.Generator | None
        Source of randomness.

    Returns
    -------
    ids : list of list of int
        Text ids of each sample's continuation, up to and without the end-of-text token. EEG codes
        and ``[SEP]`` are never written.

    Raises
    ------
    ValueError
        If there is no text tokenizer, or the prompt is empty, has ids that are no text, or is, with
        what may be written, longer than the language model's positions.
    """
    tokenizer = model.text_tokenizer
    if tokenizer is None:
        raise ValueError(
            "The model has no text tokenizer, so it cannot write; load one with "
            "mne_neurolm.models.text.load_text_tokenizer and set model.text_tokenizer."
        )
    check_text(model, times, prompt, max_new_tokens - 1)
    if not len(hidden):
        return []
    model.eval()
    eos = tokenizer.eos_token_id
    step = text_times(int(times.max()), len(prompt), hidden.device)
    ids = torch.tensor(list(prompt), device=hidden.device)
    out = model(hidden, channels, times, ids, step, use_cache=True)
    written = torch.full((len(hidden), 0), eos, device=hidden.device)
    alive = torch.ones(len(hidden), dtype=torch.bool, device=hidden.device)
    while written.shape[1] < max_new_tokens:
        logits = model.logits(out.last_hidden_state[:, -1]).float()
        token = _pick(logits[:, : model.n_writable], temperature, top_k, generator)
        token = torch.where(alive, token, eos)
        written = torch.cat([written, token[:, None]], dim=1)
        alive &= token != eos
        if not alive.any() or written.shape[1] == max_new_tokens:
            break
        step = step[-1:] + 1
        out = model(
            input_ids=token[:, None], text_times=step, past=out.past_key_values, use_cache=True
        )
    return [row[: row.index(eos)] if eos in row else row for row in written.tolist()]


def check_text(model: NeuroLM, times: Tensor, prompt: Sequence[int], n_more: int) -> None:
    """Refuse a prompt that, with ``n_more`` tokens fed after it, does not fit the model.

    Parameters
    ----------
    model : NeuroLM
        The model.
    times : Tensor of int64, shape (N,)
        Second of each EEG token.
    prompt : sequence of int
        Text ids, ``[SEP]`` first.
    n_more : int
        Number of tokens.

    Raises
    ------
    ValueError
        If it is empty, has ids that are no text, or is longer than the model's positions.
    """
    _check_ids(model, prompt[1:], "The question")
    if not prompt or not 0 <= prompt[0] < model.text_vocab_size:
        raise ValueError("The prompt is empty or does not start with a text id; start with [SEP].")
    limit = getattr(model.backbone.config, "max_position_embeddings", None)
    needed = int(times.max()) + 1 + len(prompt) + max(0, n_more)
    if limit is not None and needed > limit:
        raise ValueError(
            f"{int(times.max()) + 1} s of EEG, {len(prompt)} tokens of the question and "
            f"{max(0, n_more)} of the answer need {needed} positions; the language model has "
            f"{limit}. Shorten the question, the answers (or max_new_tokens), or the epochs."
        )


def _check_ids(model: NeuroLM, ids: Sequence[int], what: str) -> None:
    outside = sorted({token for token in ids if not 0 <= token < model.n_writable})
    if outside or (not ids and what == "An answer"):
        raise ValueError(
            f"{what} is empty or has the ids {outside}, which are no words: text ends at "
            f"{model.n_writable - 1}. Leave [SEP] and other special tokens out of its text."
        )


def _pick(
    logits: Tensor, temperature: float, top_k: int | None, generator: torch.Generator | None
) -> Tensor:
    if temperature <= 0:
        return logits.argmax(dim=-1)
    if top_k is not None:
        floor = logits.topk(min(top_k, logits.shape[-1])).values[:, -1:]
        logits = logits.masked_fill(logits < floor, -torch.inf)
    probabilities = torch.softmax(logits / temperature, dim=-1)
    return torch.multinomial(probabilities, 1, generator=generator).flatten()
