"""Sizes of a model's parts, counted on the model itself rather than by formula."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import nn
from transformers.modeling_layers import GradientCheckpointingLayer

from ..models.config import NeuroLMConfig
from ..models.neurolm import NeuroLM
from ..patches import PATCH_SIZE


class Part(NamedTuple):
    """Multiplications of a part of the network.

    Attributes
    ----------
    weights : int
        Per token: the weights of its matrices, those of convolutions once per output.
    first : int
        Those of layers whose input has no gradient.
    width : int
        Sum of the widths of its attention layers; each multiplies ``2 * n**2 * width`` times.
    """

    weights: int
    first: int = 0
    width: int = 0

    def flops(self, n_sequences: float, n: int) -> float:
        """Return the operations of a forward pass over sequences of n tokens."""
        return 2.0 * n_sequences * (self.weights * n + 2 * self.width * n**2)


class Network(NamedTuple):
    """Sizes of a model.

    Attributes
    ----------
    encoder, to_code, decoders, domain : Part
        Parts of the neural tokenizer; all decoders together, with what predicts the same from
        hidden states.
    predictor : Part
        Linear layer that predicts codes of masked patches.
    assign : Part
        Comparison with all codes.
    n_encoders : int
        2 if the language model has an encoder of its own, else 1.
    n_decoders : int
        Number of decoders.
    n_vq, n_language, n_encoder, n_predictor, n_total : int
        Parameters that stage 1 trains, that stages 2 and 3 train, of an encoder, of what predicts
        masked codes from it (mask token included, and no part of the model), and of the model.
    n_matrices_vq, n_matrices_language, n_matrices_encoder : int
        Weights of linear layers in each.
    n_outside_blocks, n_largest_block : int
        Parameters outside transformer blocks, and of the largest block.
    projection, blocks, head : Part
        Parts of the language model.
    """

    encoder: Part
    to_code: Part
    assign: Part
    decoders: Part
    domain: Part
    predictor: Part
    n_encoders: int
    n_decoders: int
    n_vq: int
    n_language: int
    n_encoder: int
    n_predictor: int
    n_total: int
    n_matrices_vq: int
    n_matrices_language: int
    n_matrices_encoder: int
    n_outside_blocks: int
    n_largest_block: int
    projection: Part = Part(0)
    blocks: Part = Part(0)
    head: Part = Part(0)


def network_sizes(config: NeuroLMConfig) -> Network:
    """Return the sizes of the model that a configuration describes.

    Parameters
    ----------
    config : NeuroLMConfig
        The configuration.

    Returns
    -------
    sizes : Network
        Counted once per configuration, in less than a second for the largest preset.
    """
    return _count(config.to_json_string(use_diff=False))


@lru_cache(maxsize=16)
def _count(description: str) -> Network:
    """Count the sizes of a model on a copy that has no memory."""
    config = NeuroLMConfig.from_dict(json.loads(description))
    with torch.device("meta"):
        model = NeuroLM(config)
    vq = model.vq
    convolutions = [
        vq.encoder.get_parameter(f"patch_embed.conv{i}.weight").numel() for i in (1, 2, 3)
    ]
    n_outputs = PATCH_SIZE // 8  # of a convolution, per channel
    scalp = 0 if vq.encoder.scalp_embed is None else _matrices(vq.encoder.scalp_embed)
    blocks = [m for m in model.modules() if isinstance(m, GradientCheckpointingLayer)]
    of_blocks = [_parameters(block) for block in blocks]
    language: dict[str, Part] = {}
    parts: list[nn.Module] = []
    of_decoders = [
        module
        for name, module in vq.named_children()
        if name.startswith(("decoder_", "head_")) and module is not None
    ]
    n_decoders = sum(decoder is not None for decoder in (vq.decoder_freq, vq.decoder_raw))
    text = config.text_config
    if text is not None:
        parts = [model.backbone, model.channel_embed, model.projection, model.lm_head]
        head_dim = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
        attention = text.num_hidden_layers * text.num_attention_heads * head_dim
        language = {
            "projection": Part(_matrices(model.projection)),
            "blocks": Part(_matrices(model.backbone), width=attention),
            "head": Part(_matrices(model.lm_head)),
        }
    return Network(
        encoder=Part(
            n_outputs * sum(convolutions) + _matrices(vq.encoder),
            first=n_outputs * convolutions[0] + scalp,
            width=config.n_layer * config.n_embd,
        ),
        to_code=Part(_matrices(vq.to_code)),
        assign=Part(vq.codebook.weight.numel()),
        decoders=Part(
            sum(map(_matrices, of_decoders)),
            width=n_decoders * config.decoder_n_layer * config.decoder_n_embd,
        ),
        domain=Part(
            _matrices(vq.domain_classifier),
            first=vq.domain_classifier.get_parameter("0.weight").numel(),
        ),
        **language,
        predictor=Part(config.n_embd * config.codebook_size),
        n_encoders=2 if config.separate_encoder else 1,
        n_decoders=n_decoders,
        n_vq=_parameters(vq),
        n_language=_parameters(*parts),
        n_encoder=_parameters(vq.encoder),
        n_predictor=(config.n_embd + 1) * config.codebook_size + config.n_embd,
        n_total=_parameters(model),
        n_matrices_vq=_matrices(vq),
        n_matrices_language=sum(map(_matrices, parts)),
        n_matrices_encoder=_matrices(vq.encoder),
        n_outside_blocks=_parameters(model) - sum(of_blocks),
        n_largest_block=max(of_blocks),
    )


def _matrices(module: nn.Module) -> int:
    """Return the number of weights of all linear layers."""
    # transformers' GPT-2 calls its linear layers Conv1D.
    return sum(
        m.get_parameter("weight").numel()
        for m in module.modules()
        if isinstance(m, nn.Linear) or type(m).__name__ == "Conv1D"
    )


def _parameters(*modules: nn.Module) -> int:
    return sum(p.numel() for module in modules for p in module.parameters())
