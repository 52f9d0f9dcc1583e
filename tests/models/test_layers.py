"""The building blocks: activation checkpointing changes memory, and nothing else."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

from mne_neurolm import NeuroLM
from mne_neurolm.models.layers import Block, checkpoint_activations
from mne_neurolm.training.objectives import (
    autoregressive_objective,
    text_objective,
    vq_objective,
)

CHANNELS = torch.tensor([3, 7, 9]).repeat(2)
TIMES = torch.arange(2).repeat_interleave(3)
PATCHES = torch.randn(4, 6, 200, generator=torch.Generator().manual_seed(0))
TEXT = torch.randint(0, 1000, (2, 9), generator=torch.Generator().manual_seed(0))


def tokenizer_losses(model: NeuroLM) -> Iterator[Tensor]:
    words = model.backbone.get_input_embeddings()(TEXT).detach().flatten(0, 1)
    masks = (None, torch.arange(6).expand(4, 6) < 5)
    for mask in masks:
        args = (model.vq, PATCHES, CHANNELS, TIMES, mask)
        yield vq_objective(*args, word_embeddings=words, alpha=0.5)["loss"]


def language_model_losses(model: NeuroLM) -> Iterator[Tensor]:
    hidden, codes = model.tokenize(PATCHES, CHANNELS, TIMES)
    yield autoregressive_objective(model, hidden, codes, CHANNELS, TIMES)["loss"]
    yield text_objective(model, TEXT)["loss"]


def train(
    model: NeuroLM, losses: Callable[[NeuroLM], Iterator[Tensor]]
) -> tuple[list[float], dict[str, Tensor], dict[str, int]]:
    """Return losses, gradients, and how often each block ran."""
    runs: dict[str, int] = {}

    def note(name: str) -> Callable:
        def hook(*_: object) -> None:
            runs[name] = runs.get(name, 0) + 1

        return hook

    for name, module in model.named_modules():
        if name.endswith("mlp"):  # inside the block, so computed again with it
            module.register_forward_pre_hook(note(name))
    values = []
    for loss in losses(model):
        loss.backward()
        values.append(loss.item())
    gradients = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    return values, gradients, runs


@pytest.mark.parametrize("losses", [tokenizer_losses, language_model_losses])
def test_checkpointing_changes_no_gradient(small_model: NeuroLM, losses) -> None:
    plain, saving = copy.deepcopy(small_model), copy.deepcopy(small_model)
    checkpoint_activations(saving)
    for model in (plain, saving):
        (model.vq if losses is tokenizer_losses else model.backbone).train()
    (expected, gradients, once), (values, ours, twice) = (train(m, losses) for m in (plain, saving))
    assert values == pytest.approx(expected, rel=1e-7)
    assert ours.keys() == gradients.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(ours[name], gradient, rtol=1e-6, atol=1e-8)
    # The blocks that train ran twice; the frozen encoder's did not.
    trained = "vq." if losses is tokenizer_losses else "backbone."
    assert set(once) == set(twice)
    for name, count in once.items():
        assert twice[name] == (2 * count if name.startswith(trained) else count), name


def test_codes_are_collected_once(small_model: NeuroLM) -> None:
    """Blocks are computed again, the codebook is not: codes move as without checkpointing."""
    plain, saving = copy.deepcopy(small_model), copy.deepcopy(small_model)
    checkpoint_activations(saving)
    for model in (plain, saving):
        model.vq.train()
        for loss in tokenizer_losses(model):
            loss.backward()
        model.vq.codebook.update(0)
    ours, expected = saving.vq.codebook, plain.vq.codebook
    assert not torch.equal(ours.weight, small_model.vq.codebook.weight)
    torch.testing.assert_close(ours.state_dict(), expected.state_dict(), rtol=0, atol=0)


def test_checkpointing_keeps_inputs_of_blocks_only() -> None:
    """What autograd keeps per block: one tensor, its input."""
    block = Block(32, 2).train()
    x = torch.randn(2, 6, 32, requires_grad=True)

    def kept() -> int:
        sizes = []

        def pack(tensor: Tensor) -> Tensor:
            if not isinstance(tensor, torch.nn.Parameter):
                sizes.append(tensor.numel())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            block(x)
        return sum(sizes)

    everything = kept()
    block.gradient_checkpointing = True
    block._gradient_checkpointing_func = lambda function, *args: torch.utils.checkpoint.checkpoint(
        function, *args, use_reentrant=False
    )
    assert everything > 10 * x.numel()
    assert kept() <= x.numel()
