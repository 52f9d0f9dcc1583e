"""The causal language model of transformers that NeuroLM wraps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..utils.optional import hide_broken_torchaudio

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
    Attention is always ``"sdpa"`` with an explicit 4-D boolean mask. Under ``"eager"`` transformers
    adds such a mask as 0 and 1, and without a mask it takes repeated positions for packed
    sequences; both change results without a word.
    """
    with hide_broken_torchaudio():
        from transformers import AutoModel

        return AutoModel.from_config(config, attn_implementation="sdpa")
