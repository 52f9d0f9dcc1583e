"""The MLP of GPT-2 with its activation computed where the product before it is made."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from ..utils.optional import hide_broken_torchaudio
from .layers import gelu_after, is_watched

with hide_broken_torchaudio():
    from transformers.activations import GELUActivation
    from transformers.models.gpt2.modeling_gpt2 import GPT2MLP


class FusedGPT2MLP(GPT2MLP):
    """GPT-2's MLP: the same weights, names and results."""

    def forward(self, hidden_states: Any) -> torch.Tensor:
        """Apply the layer to the last axis."""
        if not _is_exact(self.act) or is_watched(self.act):
            return super().forward(hidden_states)
        return self.dropout(self.c_proj(gelu_after(self.c_fc, hidden_states)))


def fuse_activations(backbone: PreTrainedModel) -> None:
    """Let those MLPs of a GPT-2 that have an exact GELU compute it with the product before.

    Parameters
    ----------
    backbone : transformers.PreTrainedModel
        Any language model, changed in place; of others than GPT-2 nothing is.
    """
    for module in backbone.modules():
        if type(module) is GPT2MLP and _is_exact(module.act):
            module.__class__ = FusedGPT2MLP


def _is_exact(activation: nn.Module) -> bool:
    return type(activation) is GELUActivation and activation.act is nn.functional.gelu
