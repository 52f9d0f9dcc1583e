"""Useful arithmetic of what the benchmark times: what its result depends on, and no more.

Matrix products, convolutions, attention and the search of the codebook, two operations per
multiplication and addition. The encoder attends to all pairs of patches; the language model to
those that the stair-step mask allows. A token is counted, in all layers, if a result depends on it:
in autoregression the last second predicts nothing and no one sees it. The head counts for rows with
a target only. A backward pass counts twice its forward pass, and once where no gradient of an input
is needed, as in :mod:`mne_neurolm.training.cost`.
"""

from __future__ import annotations

from collections.abc import Sequence

from mne_neurolm import NeuroLMConfig
from mne_neurolm.training.cost import step_flops
from mne_neurolm.training.sizes import Network, Part, network_sizes


def allowed_pairs(
    n_channels: int, n_seconds: int, n_prompt: int = 0, n_fed: Sequence[int] = ()
) -> int:
    """Return how many pairs of a query and a key the stair-step mask allows.

    Parameters
    ----------
    n_channels, n_seconds : int
        Shape of the EEG.
    n_prompt : int
        Tokens of the question that follows. Default 0.
    n_fed : sequence of int
        Tokens of each answer that the language model reads. Default none.

    Returns
    -------
    n_pairs : int
        A token sees all channels of its own second and of earlier ones; text sees the EEG and the
        text before it, and an answer no other answer.
    """
    n_eeg = n_channels * n_seconds
    seconds = n_channels**2 * n_seconds * (n_seconds + 1) // 2
    question = sum(n_eeg + i + 1 for i in range(n_prompt))
    answers = sum(n_eeg + n_prompt + i + 1 for n in n_fed for i in range(n))
    return seconds + question + answers


def part_flops(part: Part, n_windows: int, n_tokens: int, n_pairs: int) -> float:
    """Return the operations of a forward pass in which only some pairs attend to each other."""
    return 2.0 * n_windows * (part.weights * n_tokens + 2 * part.width * n_pairs)


def encode_flops(config: NeuroLMConfig, n_windows: int, n_channels: int, n_seconds: int) -> float:
    """Return the operations from patches to hidden states and codes."""
    net, n = network_sizes(config), n_channels * n_seconds
    return (
        net.n_encoders * net.encoder.flops(n_windows, n)
        + net.to_code.flops(n_windows, n)
        + net.assign.flops(n_windows, n)
    )


def answer_flops(
    config: NeuroLMConfig,
    n_windows: int,
    n_channels: int,
    n_seconds: int,
    n_prompt: int,
    answer_lengths: Sequence[int],
    *,
    cached: bool = False,
) -> float:
    """Return the operations from patches to the log-probabilities of answers.

    Parameters
    ----------
    config : NeuroLMConfig
        The model.
    n_windows, n_channels, n_seconds : int
        The batch.
    n_prompt : int
        Tokens of the question.
    answer_lengths : sequence of int
        Tokens of each answer.
    cached : bool
        Whether hidden states are there already. Default False.

    Returns
    -------
    flops : float
        The head is counted for text that may be written, the only part that answers need.
    """
    net = network_sizes(config)
    width = net.head.weights // (config.text_config.vocab_size + config.codebook_size)
    head = 2.0 * n_windows * _n_rows(answer_lengths) * width * config.sep_token_id
    reading = _reading(net, n_windows, n_channels, n_seconds, n_prompt, answer_lengths)
    projecting = net.projection.flops(n_windows, n_channels * n_seconds)
    encoding = 0.0 if cached else net.encoder.flops(n_windows, n_channels * n_seconds)
    return encoding + projecting + reading + head


def vq_step_flops(
    config: NeuroLMConfig, n_windows: int, n_channels: int, n_seconds: int, n_words: int
) -> float:
    """Return the operations of a step of stage 1 with the alignment of ``n_words`` words."""
    return step_flops(config, "tokenizer", n_windows, n_channels, n_seconds, 1, n_words)


def autoregressive_step_flops(
    config: NeuroLMConfig, n_windows: int, n_channels: int, n_seconds: int
) -> float:
    """Return the operations of a step of stage 2, EEG only, with the frozen encoder's."""
    net = network_sizes(config)
    n_seconds_read = n_seconds - 1
    n_read = n_channels * n_seconds_read
    trained = part_flops(net.blocks, n_windows, n_read, allowed_pairs(n_channels, n_seconds_read))
    trained += net.head.flops(n_windows, n_read)
    frozen = encode_flops(config, n_windows, n_channels, n_seconds)
    return frozen + 3 * trained + 2 * net.projection.flops(n_windows, n_read)


def instruction_step_flops(
    config: NeuroLMConfig,
    n_windows: int,
    n_channels: int,
    n_seconds: int,
    n_prompt: int,
    answer_lengths: Sequence[int],
) -> float:
    """Return the operations of a step of stage 3, EEG only, from hidden states."""
    net = network_sizes(config)
    trained = _reading(net, n_windows, n_channels, n_seconds, n_prompt, answer_lengths)
    trained += net.head.flops(n_windows, _n_rows(answer_lengths))
    return 3 * trained + 2 * net.projection.flops(n_windows, n_channels * n_seconds)


def _reading(
    net: Network,
    n_windows: int,
    n_channels: int,
    n_seconds: int,
    n_prompt: int,
    answer_lengths: Sequence[int],
) -> float:
    """Return the operations of the language model's layers on EEG, a question and its answers."""
    n_fed = [length - 1 for length in answer_lengths]  # the last token predicts nothing
    n_tokens = n_channels * n_seconds + n_prompt + sum(n_fed)
    n_pairs = allowed_pairs(n_channels, n_seconds, n_prompt, n_fed)
    return part_flops(net.blocks, n_windows, n_tokens, n_pairs)


def _n_rows(answer_lengths: Sequence[int]) -> int:
    """Return how many rows have a target; first tokens of all answers share one."""
    return 1 + sum(answer_lengths) - len(answer_lengths)
