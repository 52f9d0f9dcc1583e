"""What training costs, from formulas: arithmetic, memory, disk and time.

Symbols: n = tokens of a sequence, D = width of a transformer. Arithmetic counts matrix products,
attention and convolutions, two operations per multiplication and addition; norms, activations,
Fourier transforms and the optimiser are left out, as usual. So is the description of the scalp
(``scalp_components``): of a step of the tiny model its products are 0.1% with 19 channels and 0.4%
with five. A backward pass costs twice its forward pass, except where no gradient of an input is
needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

from ..models.config import NeuroLMConfig
from ..models.scalp import description_size
from ..models.targets import target_sizes
from ..patches import MAX_SECONDS, PATCH_SIZE
from .config import ALL_STAGES, TrainingConfig
from .peak import measured_peak, peak_flops
from .sizes import network_sizes

__all__ = [
    "Memory",
    "measured_peak",
    "peak_flops",
    "run_flops",
    "run_hours",
    "step_flops",
    "store_bytes",
    "training_memory",
    "window_seconds",
]

_SFREQ = 200  # Hz, of a store
_BYTES_PER_SAMPLE = 2  # int16
_ASSIGNED_AT_A_TIME = 16384  # rows that the codebook compares with all codes
# Tokens of "[SEP]Question: Is this EEG segment abnormal? Answer:", and of its two answers.
_PROMPT_LENGTH, _ANSWER_LENGTHS = 11, (3, 3)


def step_flops(
    config: NeuroLMConfig,
    stage: str,
    n_windows: float,
    n_channels: int,
    n_seconds: int,
    text_rows: float = 0,
    text_length: int = 0,
    *,
    prompt_length: int = _PROMPT_LENGTH,
    answer_lengths: Sequence[int] = _ANSWER_LENGTHS,
) -> float:
    """Return the arithmetic of a step, forward and backward.

    Parameters
    ----------
    config : NeuroLMConfig
        The model.
    stage : "tokenizer" | "masked" | "autoregressive" | "instruct"
        The stage.
    n_windows : float
        EEG windows of the step.
    n_channels, n_seconds : int
        Shape of a window.
    text_rows, text_length : float, int
        Rows of text of the step, and tokens per row. Default none.
    prompt_length, answer_lengths : int, sequence of int
        Stage 3: tokens of the question and of each allowed answer. Defaults 11 and (3, 3), those
        of the first question of Table 5.

    Returns
    -------
    flops : float
        Floating-point operations. What activation checkpointing computes again is not counted, so
        that a rate per second compares with other code.

    Raises
    ------
    ValueError
        If there is no such stage, or it needs a language model that is not there.
    """
    _check_stage(config, stage)
    net = network_sizes(config)
    n = n_channels * n_seconds
    encoding = net.encoder.flops(n_windows, n)
    coding = net.to_code.flops(n_windows, n)
    assigning = net.assign.flops(n_windows, n)
    if stage == "tokenizer":
        words = text_rows * text_length
        trained = encoding + coding + net.decoders.flops(n_windows, n)
        # Neither patches nor word embeddings have a gradient.
        spared = 2.0 * net.encoder.first * n_windows * n
        if words:
            trained += net.domain.flops(n_windows * n + words, 1)
            spared += 2.0 * net.domain.first * words
        return 3 * trained - spared + assigning
    if stage == "masked":
        # Two views through a trained encoder; together they hide every patch once. Patches have no
        # gradient.
        trained = 2 * encoding + net.predictor.flops(n_windows, n)
        spared = 2 * 2.0 * net.encoder.first * n_windows * n
        return encoding + coding + assigning + 3 * trained - spared
    if stage == "autoregressive":
        frozen = net.n_encoders * encoding + coding + assigning
    else:
        frozen = encoding
    n_read, n_predicted = _rows(stage, n_channels, n_seconds, prompt_length, answer_lengths)
    trained = net.blocks.flops(n_windows, n_read) + net.head.flops(n_windows, n_predicted)
    # The last token of a row is predicted, not read.
    n_text = max(0, text_length - 1)
    trained += net.blocks.flops(text_rows, n_text) + net.head.flops(text_rows, n_text)
    # Hidden states have no gradient.
    return frozen + 3 * trained + 2 * net.projection.flops(n_windows, n)


def _rows(
    stage: str,
    n_channels: int,
    n_seconds: int,
    prompt_length: int = _PROMPT_LENGTH,
    answer_lengths: Sequence[int] = _ANSWER_LENGTHS,
) -> tuple[int, int]:
    """Return how many tokens the language model reads of a window, and how many it predicts."""
    n = n_channels * n_seconds
    if stage == "autoregressive":
        return n, n - n_channels
    n_answers = sum(answer_lengths) - len(answer_lengths)  # last tokens are not fed
    return n + prompt_length + n_answers, 1 + n_answers


def window_seconds(n_channels: int, max_tokens: int = 1024) -> int:
    """Return the length of a training window in seconds: ⌊1024 / C⌋, at most 64 (paper, 2.3)."""
    return min(max_tokens // n_channels, MAX_SECONDS)


def run_flops(
    config: NeuroLMConfig,
    stage: str,
    training: TrainingConfig,
    hours: float,
    n_channels: int,
    n_seconds: int | None = None,
) -> float:
    """Return the arithmetic of all epochs of a stage.

    Parameters
    ----------
    config : NeuroLMConfig
        The model.
    stage : "tokenizer" | "masked" | "autoregressive" | "instruct"
        The stage.
    training : TrainingConfig
        Epochs, and text per window.
    hours : float
        EEG.
    n_channels : int
        Channels of all of it.
    n_seconds : int | None
        Length of a window. None (default): :func:`window_seconds`.

    Returns
    -------
    flops : float
        Floating-point operations.
    """
    n_seconds = n_seconds or window_seconds(n_channels)
    n_steps = training.max_epochs * hours * 3600 / n_seconds / training.batch_size
    return n_steps * step_flops(
        config,
        stage,
        training.batch_size,
        n_channels,
        n_seconds,
        training.text_batch_size,
        training.text_length,
    )


def run_hours(flops: float, n_devices: int, peak: float, mfu: float) -> float:
    """Return hours for an amount of arithmetic.

    Parameters
    ----------
    flops : float
        Floating-point operations.
    n_devices : int
        Devices that share them.
    peak : float
        Operations per second of each, see :func:`peak_flops`.
    mfu : float
        Share of the peak that training reaches, 0 to 1.

    Returns
    -------
    hours : float
        Wall-clock time.
    """
    return flops / (n_devices * peak * mfu) / 3600


def store_bytes(hours: float, n_channels: int) -> float:
    """Return the bytes of a store: 2 per sample, 200 samples per second and channel."""
    return hours * 3600 * _SFREQ * _BYTES_PER_SAMPLE * n_channels


@dataclass(kw_only=True, slots=True, frozen=True)
class Memory:
    """Bytes on one device. Libraries and the allocator's reserve add one to two gigabytes.

    Attributes
    ----------
    weights : float
        Parameters in float32, trained or frozen.
    gradients : float
        Gradients in float32.
    moments : float
        AdamW's two averages.
    copies : float
        Copies of weights in bfloat16, gradients on their way to other processes, gathered weights
        with FSDP2.
    activations : float
        What the backward pass needs.
    transient : float
        The largest tensors that come and go: similarities to codes, gradients of logits.
    """

    weights: float
    gradients: float
    moments: float
    copies: float
    activations: float
    transient: float

    @property
    def total(self) -> float:
        """Return the sum."""
        return sum(getattr(self, field.name) for field in fields(self))


def training_memory(
    config: NeuroLMConfig,
    stage: str,
    n_windows: int,
    n_channels: int,
    n_seconds: int,
    text_rows: float = 0,
    text_length: int = 0,
    *,
    n_processes: int = 1,
    strategy: str = "ddp",
    activation_checkpointing: bool = False,
    precision: str = "bfloat16",
) -> Memory:
    """Return an estimate of the memory of one device.

    Parameters
    ----------
    config : NeuroLMConfig
        The model.
    stage : "tokenizer" | "masked" | "autoregressive" | "instruct"
        The stage.
    n_windows : int
        Windows that one process puts through the network at a time.
    n_channels, n_seconds : int
        Shape of a window.
    text_rows, text_length : float, int
        Rows of text that come with them, and tokens per row. Default none.
    n_processes : int
        Processes, one device each. Default 1.
    strategy : "ddp" | "fsdp"
        Replicate (default) or shard weights, gradients and moments.
    activation_checkpointing : bool
        Keep only the inputs of transformer blocks. Default False.
    precision : "float32" | "bfloat16"
        Precision of matrix products. Default ``"bfloat16"``.

    Returns
    -------
    memory : Memory
        The estimate, for a language model of GPT-2's architecture.

    Raises
    ------
    ValueError
        If there is no such stage, strategy or precision, or no language model to train.

    Notes
    -----
    A block keeps, per token, its two inputs to layer norms in float32 (8 D bytes) and 14 D values
    in the precision of products: two normalised inputs, queries, keys, values and what attention
    returns, and twice 4 D inside the MLP. Fused attention keeps no n x n matrix;
    on CPUs in bfloat16 a layer may keep up to 64 MiB of its weights.
    """
    _check_stage(config, stage)
    if strategy not in ("ddp", "fsdp") or precision not in ("float32", "bfloat16"):
        raise ValueError(
            "strategy must be 'ddp' or 'fsdp' and precision 'float32' or 'bfloat16'; got "
            f"{strategy!r} and {precision!r}."
        )
    net = network_sizes(config)
    size, cast = (2, 2) if precision == "bfloat16" else (4, 0)
    if stage == "tokenizer":
        trained, matrices = net.n_vq, net.n_matrices_vq
    elif stage == "masked":
        trained = net.n_encoder + net.n_predictor
        matrices = net.n_matrices_encoder + net.predictor.weights
    else:
        trained, matrices = net.n_language, net.n_matrices_language
    if strategy == "fsdp" and n_processes > 1:
        shards = n_processes
        outside, block = net.n_outside_blocks, net.n_largest_block
        # What lies outside blocks stays gathered; of blocks, one computes and one is on its way.
        copies = 4.0 * outside + (4 + cast) * min(outside, trained) + 2 * block * (size + 4)
    else:
        shards = 1
        copies = 4.0 * trained if n_processes > 1 else 0.0  # DDP's buckets
        copies += cast * matrices
    if stage == "tokenizer":
        n = n_windows * n_channels * n_seconds
        activations = _tokenizer_activations(config, n, size, activation_checkpointing)
        transient = 4.0 * min(n, _ASSIGNED_AT_A_TIME) * config.codebook_size
    elif stage == "masked":
        n = n_windows * n_channels * n_seconds
        activations = 2 * _encoder_activations(config, n, size, activation_checkpointing)
        # Rows that are predicted, once each, and the log-softmax over their codes.
        activations += n * (size * config.n_embd + 4 * config.codebook_size)
        transient = (8 + cast) * n * config.codebook_size / 2
    else:
        language = config.text_config
        vocabulary = language.vocab_size + config.codebook_size
        activations = longest = 0.0
        n_text = max(0, text_length - 1)
        n_read, n_predicted = _rows(stage, n_channels, n_seconds)
        for rows, read, predicted in (
            (n_windows, n_read, n_predicted),
            (text_rows, n_text, n_text),
        ):
            activations += _transformer_activations(
                rows * read,
                language.num_hidden_layers,
                language.hidden_size,
                size,
                activation_checkpointing,
            )
            # A mask per layer, the same for all rows; inputs, log-softmax of the head.
            n_masks = 1 if activation_checkpointing else language.num_hidden_layers
            activations += size * n_masks * read**2 if rows else 0
            activations += rows * predicted * (size * language.hidden_size + 4 * vocabulary)
            longest = max(longest, rows * predicted)
        # The gradients of the log-softmax and of the logits, which are cast to bfloat16.
        transient = (8 + cast) * longest * vocabulary
    return Memory(
        weights=4.0 * net.n_total / shards,
        gradients=4.0 * trained / shards,
        moments=8.0 * trained / shards,
        copies=copies,
        activations=activations,
        transient=transient,
    )


def _tokenizer_activations(
    config: NeuroLMConfig, n: float, size: int, checkpointing: bool
) -> float:
    """Return the bytes that stage 1 keeps of n patches for the backward pass."""
    width, decoder_width = config.n_embd, config.decoder_n_embd
    n_decoders = network_sizes(config).n_decoders
    kept = _encoder_activations(config, n, size, checkpointing)
    kept += n_decoders * _transformer_activations(
        n, config.decoder_n_layer, decoder_width, size, checkpointing
    )
    # The two layers of the heads, which are float32 for codes; targets and what is predicted.
    kept += n * (width * 8 + n_decoders * 2 * size * decoder_width)
    targets = target_sizes(config.reconstruction, config.frequency_target)
    n_values = sum(targets.values())
    kept += n * 8 * n_values
    if config.hidden_target_weight:
        # The same targets predicted again, and the scalp's, of which the encoder keeps a copy if it
        # casts it; and a copy of hidden states for each layer that casts them.
        n_scalp = description_size(config.scalp_components)
        n_layers = len(targets) + (n_scalp > 0)
        kept += n * 4 * (n_values + n_scalp)
        if size < 4:
            kept += n * (n_layers * size * width + 4 * n_scalp)
    return kept


def _encoder_activations(config: NeuroLMConfig, n: float, size: int, checkpointing: bool) -> float:
    """Return the bytes that an encoder keeps of n patches for the backward pass."""
    kept = _transformer_activations(n, config.n_layer, config.n_embd, size, checkpointing)
    # Of three convolutions the outputs, their norms and those' GELUs; the patches, and the
    # embedding before its GELU.
    maps = PATCH_SIZE // 8 * config.conv_channels
    kept += n * (3 * maps * (8 + size) + config.n_embd * size + 4 * PATCH_SIZE)
    return kept + n * description_size(config.scalp_components) * size


def _transformer_activations(
    n: float, n_layer: int, width: int, size: int, checkpointing: bool
) -> float:
    """Return the bytes that a transformer of n tokens keeps for the backward pass."""
    block = width * (8 + 14 * size)
    # With checkpointing the inputs of blocks, and one block that is being computed again.
    per_token = n_layer * 4 * width + block if checkpointing else n_layer * block
    return n * (per_token + 4 * width)  # input of the final norm


def _check_stage(config: NeuroLMConfig, stage: str) -> None:
    if stage not in ALL_STAGES:
        raise ValueError(f"Unknown stage {stage!r}; choose one of {', '.join(ALL_STAGES)}.")
    if stage not in ("tokenizer", "masked") and config.text_config is None:
        raise ValueError(
            f"Stage {stage!r} trains a language model, which the configuration lacks; set its "
            "text_config, or take a preset."
        )
