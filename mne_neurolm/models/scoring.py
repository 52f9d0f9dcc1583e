"""Answers: the log-probability of each allowed one, or free text.

Shapes are written with B = samples, N = EEG tokens, K = answers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from ..tasks import EncodedTask
from .masks import text_times
from .neurolm import NeuroLM

#: Tokens of text that one forward pass takes, if they are of more questions than one.
TEXT_PER_PASS = 512


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
    question = EncodedTask(list(prompt), [list(answer) for answer in answers])
    return question_log_probs(model, hidden, channels, times, [question], text_only=text_only)[0]


def question_log_probs(
    model: NeuroLM,
    hidden: Tensor,
    channels: Tensor,
    times: Tensor,
    questions: Sequence[EncodedTask],
    *,
    text_only: bool = True,
) -> list[Tensor]:
    """Return the log-probability of every answer to several questions about the same EEG.

    The questions hang side by side on the EEG, which is read once, and the answers on their
    question. All questions start at the same position, and none sees another: a question has the
    same answers whatever else is asked.

    Parameters
    ----------
    model, hidden, channels, times
        As for :func:`answer_log_probs`.
    questions : sequence of EncodedTask
        Text ids of the questions and of their answers.
    text_only : bool
        As for :func:`answer_log_probs`.

    Returns
    -------
    log_probs : list of Tensor, shape (B, K)
        One for each question, of K answers.

    Raises
    ------
    ValueError
        As of :func:`answer_log_probs`, for any of the questions.

    Notes
    -----
    A pass takes as many questions as fit into 512 tokens of text, and at least one. Text attends
    to all text of its pass before the mask takes it away, so very long passes cost more than they
    save.
    """
    for question in questions:
        check_question(model, times, question)
    if not len(hidden):  # transformers can't reshape empty batches
        return [hidden.new_zeros((0, len(question.answers))) for question in questions]
    log_probs: list[Tensor] = []
    for some in _passes(questions):
        log_probs += _one_pass(model, hidden, channels, times, some, text_only)
    return log_probs


def _passes(questions: Sequence[EncodedTask]) -> Iterator[list[EncodedTask]]:
    """Divide questions, in their order, into passes of limited length."""
    some: list[EncodedTask] = []
    n_tokens = 0
    for question in questions:
        n_more = len(question.prompt) + sum(len(answer) - 1 for answer in question.answers)
        if some and n_tokens + n_more > TEXT_PER_PASS:
            yield some
            some, n_tokens = [], 0
        some.append(question)
        n_tokens += n_more
    if some:
        yield some


def _one_pass(
    model: NeuroLM,
    hidden: Tensor,
    channels: Tensor,
    times: Tensor,
    questions: Sequence[EncodedTask],
    text_only: bool,
) -> list[Tensor]:
    """Return the log-probabilities of the answers to each question, in one forward pass."""
    n_eeg, n_seconds = hidden.shape[1], int(times.max()) + 1
    ids: list[int] = []
    steps: list[int] = []
    branches = [(0, 0)] * n_eeg  # question and answer, counted from 1
    reads = []
    for number, question in enumerate(questions, 1):
        ids += question.prompt
        after = n_seconds + len(question.prompt)
        steps += range(n_seconds, after)
        branches += [(number, 0)] * len(question.prompt)
        asked = n_eeg + len(ids) - 1
        read = _Read([], [], [], len(question.answers))
        for k, answer in enumerate(question.answers):
            # The last token of an answer predicts nothing, so it is not fed.
            n_fed = len(answer) - 1
            start = n_eeg + len(ids)
            read.rows.extend([asked, *range(start, start + n_fed)])
            read.targets.extend(answer)
            read.owners.extend([k] * len(answer))
            ids += answer[:-1]
            steps += range(after, after + n_fed)
            branches += [(number, k + 1)] * n_fed
        reads.append(read)
    text = (torch.tensor(values, device=hidden.device) for values in (ids, steps, branches))
    states = model(hidden, channels, times, *text).last_hidden_state
    # Question by question, as logits take more memory than all else.
    return [_read_answers(model, states, read, text_only) for read in reads]


class _Read(NamedTuple):
    """Where the answers to a question are read.

    Attributes
    ----------
    rows : list of int
        Position whose output predicts a token.
    targets : list of int
        That token.
    owners : list of int
        The answer that it belongs to.
    n_answers : int
        Number of answers.
    """

    rows: list[int]
    targets: list[int]
    owners: list[int]
    n_answers: int


def _read_answers(model: NeuroLM, states: Tensor, read: _Read, text_only: bool) -> Tensor:
    """Return the log-probabilities (B, K) of the answers to one question."""
    rows, targets, owners = (
        torch.tensor(values, dtype=torch.long, device=states.device) for values in read[:3]
    )
    # The head is applied once to each needed row: the first tokens of all answers share one.
    unique, inverse = torch.unique(rows, return_inverse=True)
    logits = model.logits(states[:, unique]).float()
    log_probs = F.log_softmax(logits[..., : model.n_writable] if text_only else logits, dim=-1)
    of_token = log_probs[:, inverse, targets]
    return of_token.new_zeros(len(states), read.n_answers).index_add(1, owners, of_token)


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


def check_question(model: NeuroLM, times: Tensor, question: EncodedTask) -> None:
    """Refuse a question that does not fit the model.

    Parameters
    ----------
    model : NeuroLM
        The model.
    times : Tensor of int64, shape (N,)
        Second of each EEG token.
    question : EncodedTask
        The question with its answers.

    Raises
    ------
    ValueError
        If text is empty, has ids that are no text, or is longer than the model's positions.
    """
    longest = max(map(len, question.answers), default=1)
    check_text(model, times, question.prompt, longest - 1)
    for answer in question.answers:
        _check_ids(model, answer, "An answer")


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
