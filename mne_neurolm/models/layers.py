"""The transformer block of the neural tokenizer: pre-norm, no biases (paper, Table 7)."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedModel

from ..utils.optional import hide_broken_torchaudio
from ..utils.packed import packed_gelu
from .attention import attend

with hide_broken_torchaudio():
    from transformers.modeling_layers import GradientCheckpointingLayer
    from transformers.pytorch_utils import Conv1D


class SelfAttention(nn.Module):
    """Bidirectional multi-head self-attention without biases."""

    def __init__(self, n_embd: int, n_head: int) -> None:
        super().__init__()
        self.n_head = n_head
        self.c_attn = nn.Linear(n_embd, 3 * n_embd, bias=False)
        self.c_proj = nn.Linear(n_embd, n_embd, bias=False)

    def forward(self, x: Tensor, key_mask: Tensor | None = None) -> Tensor:
        """Attend over all patches, or over those that ``key_mask`` (batch, n) allows."""
        batch, n, width = x.shape
        query, key, value = (
            part.view(batch, n, self.n_head, width // self.n_head).transpose(1, 2)
            for part in self.c_attn(x).split(width, dim=2)
        )
        if key_mask is None:
            y = attend(query, key, value)
        else:
            mask = key_mask[:, None, None, :]
            y = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        return self.c_proj(y.transpose(1, 2).reshape(batch, n, width))


class MLP(nn.Module):
    """Two linear layers around an exact GELU, four times as wide inside."""

    def __init__(self, n_embd: int) -> None:
        super().__init__()
        self.c_fc = nn.Linear(n_embd, 4 * n_embd, bias=False)
        self.c_proj = nn.Linear(4 * n_embd, n_embd, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer to the last axis."""
        return self.c_proj(gelu_after(self.c_fc, x))


class Block(GradientCheckpointingLayer):
    """Attention and MLP, each behind a layer norm and a residual connection.

    Like the blocks of transformers' models it can compute its activations again in the backward
    pass; see :func:`checkpoint_activations`.
    """

    def __init__(self, n_embd: int, n_head: int) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(n_embd, bias=False)
        self.attn = SelfAttention(n_embd, n_head)
        self.ln_2 = nn.LayerNorm(n_embd, bias=False)
        self.mlp = MLP(n_embd)

    def forward(self, x: Tensor, key_mask: Tensor | None = None) -> Tensor:
        """Map (batch, n, n_embd) to the same shape."""
        x = x + self.attn(self.ln_1(x), key_mask)
        return x + self.mlp(self.ln_2(x))


def gelu_after(layer: nn.Module, x: Tensor) -> Tensor:
    """Return ``F.gelu(layer(x))``, in one go where weights are packed.

    Parameters
    ----------
    layer : torch.nn.Module
        A linear layer. Any other module will do, such as one that an adapter was wrapped around.
    x : Tensor, shape (..., n_inputs)
        Its input.

    Returns
    -------
    y : Tensor, shape (..., n_outputs)
        Its output after an exact GELU.
    """
    # The compiler fuses the two itself, and can't see what is packed.
    if not torch.compiler.is_compiling() and not is_watched(layer):
        y = None
        if type(layer) is nn.Linear:
            y = packed_gelu(x, layer.weight, layer.bias, transposed=False)
        elif type(layer) is Conv1D:
            weight, bias = cast(Tensor, layer.weight), cast(Tensor, layer.bias)
            y = packed_gelu(x, weight, bias, transposed=True)
        if y is not None:
            return y
    return F.gelu(layer(x))


def is_watched(module: nn.Module) -> bool:
    """Return whether someone wants to see or change what goes in and comes out of a module.

    Parameters
    ----------
    module : torch.nn.Module
        The module.

    Returns
    -------
    answer : bool
        True if there are hooks on its forward pass, or on that of all modules, or if its
        ``forward`` was replaced. Then it has to be called.
    """
    return bool(
        module._forward_hooks
        or module._forward_pre_hooks
        or nn.modules.module._global_forward_hooks
        or nn.modules.module._global_forward_pre_hooks
        or "forward" in vars(module)
    )


def checkpoint_activations(model: PreTrainedModel) -> None:
    """Let all transformer blocks compute activations again in the backward pass.

    Only the inputs of blocks are kept, for about a third more arithmetic. Losses and gradients stay
    the same. Parts in evaluation mode, such as a frozen encoder, are not affected.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        The model, changed in place: the neural tokenizer's blocks and the language model's.
    """
    # transformers renamed the method in 5.23 and warns about the old name.
    name = "activation_checkpointing_enable"
    enable = getattr(model, name, None) or model.gradient_checkpointing_enable
    enable({"use_reentrant": False})


def masked_group_norm(x: Tensor, norm: nn.GroupNorm, mask: Tensor | None) -> Tensor:
    """Group norm whose statistics come from the sample's own patches only.

    Parameters
    ----------
    x : Tensor, shape (batch, channels, n_patches, n_times)
        Feature maps; every patch is a row.
    norm : torch.nn.GroupNorm
        Holds the number of groups, weight, bias and epsilon.
    mask : Tensor of bool, shape (batch, n_patches) | None
        True for patches that exist. None: all do, and this is ``norm(x)``.

    Returns
    -------
    y : Tensor, shape (batch, channels, n_patches, n_times)
        The normalised maps. The released code takes padding into the statistics, so that the same
        EEG gets other codes when padded; see ``norm_over_padding`` of the encoder.
    """
    if mask is None:
        return norm(x)
    batch, channels, n_patches, n_times = x.shape
    grouped = x.reshape(batch, norm.num_groups, -1, n_patches, n_times)
    weight = mask[:, None, None, :, None].to(x.dtype)
    count = weight.sum(dim=(2, 3, 4), keepdim=True) * grouped.shape[2] * n_times
    mean = (grouped * weight).sum(dim=(2, 3, 4), keepdim=True) / count
    var = ((grouped - mean).square() * weight).sum(dim=(2, 3, 4), keepdim=True) / count
    y = ((grouped - mean) * torch.rsqrt(var + norm.eps)).reshape(x.shape)
    return y * norm.weight[:, None, None] + norm.bias[:, None, None]
