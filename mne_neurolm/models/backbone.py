"""The causal language model of transformers that NeuroLM wraps."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..utils.optional import hide_broken_torchaudio
from .attention import NAME, register

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel


def build_backbone(config: PreTrainedConfig) -> PreTrainedModel:
    """Build a language model without its head, with fresh weights.

    Parameters
    ----------
    config : transformers.PreTrainedConfig
        Configuration of any causal language model that takes ``inputs_embeds``, ``position_ids``
        and a 4-D ``attention_mask``: GPT-2, Llama, Qwen, ...

    Returns
    -------
    backbone : transformers.PreTrainedModel
        The model.

    Notes
    -----
    Attention is :func:`~mne_neurolm.models.attention.attend` in models that hand further arguments
    on to it, else ``"sdpa"``, both with an explicit 4-D boolean mask. Under ``"eager"``
    transformers adds such a mask as 0 and 1, and without a mask it takes repeated positions for
    packed sequences; both change results without a word. So only :func:`keeping_weights` changes
    it, for as long as a mask to be added is given.
    """
    with hide_broken_torchaudio():
        from transformers import AutoModel

        from .gpt2 import fuse_activations

        backbone = AutoModel.from_config(config, attn_implementation="sdpa")
    fuse_activations(backbone)
    if backbone._supports_attention_backend:
        backbone.set_attn_implementation(register())
    return backbone


def takes_visibility(backbone: PreTrainedModel) -> bool:
    """Return whether a language model's attention is ours, and takes who sees whom."""
    return backbone.config._attn_implementation == NAME


@contextmanager
def keeping_weights(backbone: PreTrainedModel) -> Iterator[None]:
    """Let a language model return its attention weights, which the fast kernels never hold.

    Parameters
    ----------
    backbone : transformers.PreTrainedModel
        The language model.
    """
    before = backbone.config._attn_implementation
    backbone.set_attn_implementation("eager")
    try:
        yield
    finally:
        backbone.set_attn_implementation(before)
