"""What the benchmark times: kinds of work of a model, each as a function without arguments."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import count
from typing import Any, NamedTuple

import torch
from flops import (
    answer_flops,
    autoregressive_step_flops,
    encode_flops,
    instruction_step_flops,
    vq_step_flops,
)
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import clip_grad_norm_
from transformers.modeling_layers import GradientCheckpointingLayer

from mne_neurolm import NeuroLM, NeuroLMConfig
from mne_neurolm.models.inference import inference
from mne_neurolm.models.scoring import answer_log_probs
from mne_neurolm.training.objectives import autoregressive_objective, vq_objective
from mne_neurolm.training.optim import adamw, parameter_groups
from mne_neurolm.training.regularization import tuning_loss
from mne_neurolm.utils.batches import rows_at_a_time
from mne_neurolm.utils.device import autocast
from mne_neurolm.utils.products import fast_products

PROMPT_LENGTH = 13  # tokens of "[SEP]Question: Is this EEG segment of high workload? Answer:"
ANSWERS = [[11, 1, 2], [12, 1, 2]]  # lengths of " Yes " and " No " with the end-of-text token
WORDS = 1024  # word embeddings of a stage-1 step: 16 rows of 1024 for 64 windows (released code)
DTYPES = ("float32", "bfloat16")
_SHAPES_BEFORE = ((16, 23, 10), (1, 2, 2))  # after the first weights are packed when they are used
_LENGTHS = [len(answer) for answer in ANSWERS]


class EEG(NamedTuple):
    """A batch of windows of one shape.

    Attributes
    ----------
    patches : Tensor, shape (B, N, 200)
        Patches.
    channels, times : Tensor of int64, shape (N,)
        Vocabulary row and second of each patch, time-major.
    """

    patches: Tensor
    channels: Tensor
    times: Tensor


class Work(NamedTuple):
    """A kind of work.

    Attributes
    ----------
    batch_size : int
        Windows at a time.
    prepare : callable
        Maps a model, EEG and a precision to what does the work once.
    flops : callable
        Maps a configuration, windows, channels and seconds to useful operations.
    """

    batch_size: int
    prepare: Callable[[NeuroLM, EEG, str], Callable[[], object]]
    flops: Callable[[NeuroLMConfig, int, int, int], float]


def random_eeg(n_windows: int, n_channels: int, n_seconds: int, device: torch.device) -> EEG:
    """Return windows of noise; speed does not depend on what is in them."""
    return EEG(
        torch.randn(n_windows, n_channels * n_seconds, 200, device=device),
        torch.arange(n_channels, device=device).repeat(n_seconds),
        torch.arange(n_seconds, device=device).repeat_interleave(n_channels),
    )


def random_model(preset: str, device: torch.device) -> NeuroLM:
    """Return a model with random weights and a random codebook, ready for inference."""
    torch.manual_seed(0)
    model = NeuroLM(NeuroLMConfig.preset(preset)).to(device).eval()
    codebook = model.vq.codebook
    codebook.weight.copy_(F.normalize(torch.randn_like(codebook.weight), dim=-1))
    codebook.initialized.fill_(1.0)
    return model


def compile_blocks(model: NeuroLM) -> None:
    """Compile the transformer blocks in place; blocks of a kind share what is compiled."""
    torch.compiler.reset()
    for module in model.modules():
        if isinstance(module, GradientCheckpointingLayer):
            module.compile(dynamic=False)


@contextmanager
def prepared(model: NeuroLM, work: str, eeg: EEG, dtype: str) -> Iterator[Callable[[], object]]:
    """Yield what does the work once, and leave the model without gradients afterwards.

    Parameters
    ----------
    model : NeuroLM
        The model, from :func:`random_model`.
    work : str
        One of :data:`WORKS`.
    eeg : EEG
        The batch.
    dtype : "float32" | "bfloat16"
        Precision of matrix products.

    Yields
    ------
    function : callable
        Without arguments.
    """
    try:
        yield WORKS[work].prepare(model, eeg, dtype)
    finally:
        model.requires_grad_(True).eval()  # as a model that was loaded
        model.zero_grad(set_to_none=True)
        model.vq.codebook.discard()


@contextmanager
def among_many(model: NeuroLM, work: str, dtype: str, *, compiled: bool = False) -> Iterator[None]:
    """Let runs be batches among many: weights are prepared before them, and stay so.

    Parameters
    ----------
    model : NeuroLM
        The model.
    work : str
        One of :data:`WORKS`. Steps of training change the weights, so nothing can stay for them.
    dtype : "float32" | "bfloat16"
        Precision of matrix products.
    compiled : bool
        Whether blocks are compiled: then nothing is run before, as it would be compiled for that.
    """
    if work.endswith("step"):
        yield
        return
    with inference(model, dtype):
        if not compiled:
            for shape in _SHAPES_BEFORE:
                with prepared(model, work, random_eeg(*shape, model.device), dtype) as function:
                    function()
        yield


def prompt_of(model: NeuroLM) -> list[int]:
    """Return text ids of a question, ``[SEP]`` first."""
    return [model.config.sep_token_id, *range(3, 2 + PROMPT_LENGTH)]


def _prepare_encode(model: NeuroLM, eeg: EEG, dtype: str) -> Callable[[], object]:
    _, channels, times = eeg

    def encode(patches: Tensor) -> object:
        return model.tokenize(patches, channels, times)

    return _inference(model, encode, eeg.patches, dtype)


def _prepare_answer(model: NeuroLM, eeg: EEG, dtype: str) -> Callable[[], object]:
    _, channels, times = eeg
    prompt = prompt_of(model)

    def answer(patches: Tensor) -> object:
        hidden = model.encode(patches, channels, times)
        return answer_log_probs(model, hidden, channels, times, prompt, ANSWERS)

    return _inference(model, answer, eeg.patches, dtype)


def _prepare_answer_cached(model: NeuroLM, eeg: EEG, dtype: str) -> Callable[[], object]:
    _, channels, times = eeg
    prompt = prompt_of(model)

    def answer(hidden: Tensor) -> object:
        return answer_log_probs(model, hidden, channels, times, prompt, ANSWERS)

    return _inference(model, answer, _cached_states(model, eeg), dtype)


def _prepare_vq_step(model: NeuroLM, eeg: EEG, dtype: str) -> Callable[[], object]:
    vocabulary = model.config.text_config.vocab_size
    words = torch.arange(WORDS, device=model.device) % vocabulary
    steps = count()

    def loss() -> Tensor:
        embeddings = model.backbone.get_input_embeddings()(words)
        return vq_objective(model.vq, *eeg, word_embeddings=embeddings, alpha=0.5)["loss"]

    def update() -> None:
        model.vq.codebook.update(next(steps))

    return _training_step(model, [model.vq], loss, dtype, after=update)


def _prepare_autoregressive_step(model: NeuroLM, eeg: EEG, dtype: str) -> Callable[[], object]:
    _, channels, times = eeg

    def loss() -> Tensor:
        hidden, codes = model.tokenize(*eeg)
        return autoregressive_objective(model, hidden, codes, channels, times)["loss"]

    return _training_step(model, _language_model(model), loss, dtype)


def _prepare_instruction_step(model: NeuroLM, eeg: EEG, dtype: str) -> Callable[[], object]:
    _, channels, times = eeg
    prompt, hidden = prompt_of(model), _cached_states(model, eeg)
    labels = torch.arange(len(hidden), device=model.device) % len(ANSWERS)

    def loss() -> Tensor:
        log_probs = answer_log_probs(
            model, hidden, channels, times, prompt, ANSWERS, text_only=False
        )
        return tuning_loss(log_probs, labels, _LENGTHS)

    return _training_step(model, _language_model(model), loss, dtype)


def _inference(
    model: NeuroLM, function: Callable[[Tensor], object], windows: Tensor, dtype: str
) -> Callable[[], object]:
    """Return what runs as the package's own inference does, in parts that suit the device.

    By itself each run prepares weights anew, as one call with so few windows does.
    """
    n_windows, n_tokens, _ = windows.shape
    parts = windows.split(rows_at_a_time(n_windows, n_tokens, model.device))

    @torch.no_grad()  # as the package
    def run() -> object:
        with inference(model, dtype):
            return [function(part) for part in parts]

    return run


def _training_step(
    model: NeuroLM,
    modules: list[nn.Module],
    loss_of: Callable[[], Tensor],
    dtype: str,
    after: Callable[[], None] | None = None,
) -> Callable[[], object]:
    """Return a step: forward, backward, clipping and fused AdamW, as the package's trainer does."""
    model.requires_grad_(False)
    for module in modules:
        module.requires_grad_(True).train()
    optimizer = adamw(parameter_groups(modules, 0.1), lr=1e-6)
    parameters = [p for module in modules for p in module.parameters()]
    for parameter in parameters:  # so that the optimizer's averages are there before the first step
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)

    def step() -> None:
        with fast_products(model.device):  # the backward pass too
            with autocast(dtype, model.device):
                loss = loss_of()
            loss.backward()
            clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            if after is not None:
                after()

    return step


def _language_model(model: NeuroLM) -> list[nn.Module]:
    return [model.backbone, model.channel_embed, model.projection, model.lm_head]


def _cached_states(model: NeuroLM, eeg: EEG) -> Tensor:
    """Return states as a cache holds them, one window at a time so that it takes no memory."""
    patches, channels, times = eeg
    with fast_products(model.device):
        return torch.cat([model.encode(window, channels, times) for window in patches.split(1)])


_TEXT: dict[str, Any] = {"n_prompt": PROMPT_LENGTH, "answer_lengths": _LENGTHS}
WORKS: dict[str, Work] = {
    "encode": Work(8, _prepare_encode, encode_flops),
    "answer": Work(8, _prepare_answer, partial(answer_flops, **_TEXT)),
    "answer, states cached": Work(
        8, _prepare_answer_cached, partial(answer_flops, **_TEXT, cached=True)
    ),
    "VQ step": Work(4, _prepare_vq_step, partial(vq_step_flops, n_words=WORDS)),
    "autoregressive step": Work(4, _prepare_autoregressive_step, autoregressive_step_flops),
    "instruction step": Work(
        8, _prepare_instruction_step, partial(instruction_step_flops, **_TEXT)
    ),
}
