"""What the language model starts from."""

from __future__ import annotations

from typing import Any

import torch

from ..models.config import NeuroLMConfig
from ..models.neurolm import NeuroLM


def build_model(config: NeuroLMConfig, language_model: str | None, seed: int) -> NeuroLM:
    """Return a new model, random but for its language model.

    Parameters
    ----------
    config : NeuroLMConfig
        Sizes.
    language_model : str | None
        ``"tiny"`` for the bundled model's, or a folder or hub id of a causal language model of
        transformers of the configured sizes. None: random too.
    seed : int
        Seed of what is random.

    Returns
    -------
    model : NeuroLM
        In float32. Its text tokenizer is not set.

    Raises
    ------
    ValueError
        If the language model has other sizes than the configuration.
    OSError
        If it cannot be found.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = NeuroLM(config)
    if language_model is not None and model.has_language_model:
        if language_model == "tiny":
            _copy_bundled(model)
        else:
            _copy_pretrained(model, language_model)
    return model


def with_tokenizer_of(
    source: NeuroLM, config: NeuroLMConfig, language_model: str | None, seed: int
) -> NeuroLM:
    """Return a new model with the neural tokenizer of another and a language model of its own.

    Parameters
    ----------
    source : NeuroLM
        Where the neural tokenizer comes from.
    config : NeuroLMConfig
        Its ``text_config`` describes the language model; the rest is ``source``'s.
    language_model, seed
        See :func:`build_model`.

    Returns
    -------
    model : NeuroLM
        The paper trains one neural tokenizer for the language models of all sizes.
    """
    fields = source.config.to_dict()
    fields["text_config"] = config.to_dict()["text_config"]
    fields["sep_token_id"] = config.sep_token_id
    for name in ("model_type", "transformers_version", "architectures", "dtype"):
        fields.pop(name, None)
    fields.pop("tie_word_embeddings", None)
    model = build_model(NeuroLMConfig(**fields), language_model, seed)
    model.vq.load_state_dict(source.vq.state_dict())
    return model


def _copy_bundled(model: NeuroLM) -> None:
    from ..models.hub import load_model

    bundled = load_model("tiny")
    _load_backbone(model, bundled.backbone.state_dict(), "the bundled model 'tiny'")
    _copy_text_rows(model, bundled.lm_head.weight.detach()[: bundled.text_vocab_size])


def _copy_pretrained(model: NeuroLM, source: str) -> None:
    from transformers import AutoModelForCausalLM

    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32)
    except (OSError, ValueError) as error:
        raise OSError(
            f"The language model {source!r} can't be loaded ({' '.join(str(error).split())}). Name "
            "a folder or hub id of a causal language model of transformers, or leave "
            "--model.language-model out to start from random weights."
        ) from error
    _load_backbone(model, loaded.base_model.state_dict(), source)
    _copy_text_rows(model, loaded.get_output_embeddings().weight.detach())


def _load_backbone(model: NeuroLM, weights: dict[str, torch.Tensor], source: str) -> None:
    own = model.backbone.state_dict()
    words = next(
        name
        for name, tensor in own.items()
        if tensor.data_ptr() == model.backbone.get_input_embeddings().weight.data_ptr()
    )
    unlike = [
        name
        for name in own
        if name != words and (name not in weights or weights[name].shape != own[name].shape)
    ]
    rows = min(len(own[words]), len(weights.get(words, [])))
    if unlike or not rows or weights[words].shape[1] != own[words].shape[1]:
        raise ValueError(
            f"The language model of {source} has other sizes than the preset's: "
            f"{(unlike or [words])[:5]} differ. Choose the preset that fits (b: gpt2, l: "
            "gpt2-medium, xl: gpt2-xl)."
        )
    with torch.no_grad():
        for name, tensor in own.items():
            tensor[:rows].copy_(weights[name][:rows]) if name == words else tensor.copy_(
                weights[name]
            )


def _copy_text_rows(model: NeuroLM, head: torch.Tensor) -> None:
    rows = min(len(head), model.text_vocab_size)
    with torch.no_grad():
        model.lm_head.weight[:rows].copy_(head[:rows])
