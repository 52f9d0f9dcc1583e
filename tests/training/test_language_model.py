"""What the language model starts from."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from mne_neurolm import NeuroLM, NeuroLMConfig
from mne_neurolm.models.hub import load_model
from mne_neurolm.training.language_model import build_model, with_tokenizer_of


def test_the_bundled_model() -> None:
    config = NeuroLMConfig.preset("tiny", codebook_size=64)
    model, bundled = build_model(config, "tiny", seed=0), load_model("tiny")
    words = torch.arange(20)[None]
    with torch.no_grad():
        ours = model.logits(model(input_ids=words).last_hidden_state)[..., :1024]
        theirs = bundled.logits(bundled(input_ids=words).last_hidden_state)[..., :1024]
    torch.testing.assert_close(ours, theirs)
    assert not torch.equal(
        model.vq.encoder.patch_embed.conv1.weight, bundled.vq.encoder.patch_embed.conv1.weight
    )


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a causal language model in a folder, with fewer words than NeuroLM has rows."""
    folder = tmp_path_factory.mktemp("gpt2")
    torch.manual_seed(0)
    config = GPT2Config(n_layer=1, n_head=2, n_embd=32, vocab_size=1000, n_positions=512)
    GPT2LMHeadModel(config).save_pretrained(folder)
    return folder


def test_a_model_of_transformers(gpt2: Path, small_config: NeuroLMConfig) -> None:
    model = build_model(small_config, str(gpt2), seed=0)
    loaded = GPT2LMHeadModel.from_pretrained(gpt2)
    assert torch.equal(
        model.backbone.h[0].attn.c_attn.weight, loaded.transformer.h[0].attn.c_attn.weight
    )
    words = model.backbone.get_input_embeddings().weight
    assert torch.equal(words[:1000], loaded.transformer.wte.weight) and len(words) == 1024
    assert torch.equal(model.lm_head.weight[:1000], loaded.lm_head.weight)


def test_seeds(small_config: NeuroLMConfig) -> None:
    state = torch.random.get_rng_state()
    models = [build_model(small_config, None, seed) for seed in (0, 0, 1)]
    weights = [model.lm_head.weight for model in models]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])
    assert torch.equal(torch.random.get_rng_state(), state)


def test_what_does_not_fit(gpt2: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has other sizes than the preset's"):
        build_model(NeuroLMConfig.preset("tiny"), str(gpt2), seed=0)
    with pytest.raises(OSError, match="can't be loaded"):
        build_model(NeuroLMConfig.preset("tiny"), str(tmp_path / "absent"), seed=0)


def test_one_tokenizer_for_all_sizes(small_model: NeuroLM) -> None:
    larger = NeuroLMConfig.preset("tiny")
    model = with_tokenizer_of(small_model, larger, None, seed=0)
    assert model.config.n_embd == 32 and model.config.text_config.n_embd == 192
    assert model.config.codebook_size == 64
    for name, tensor in small_model.vq.state_dict().items():
        assert torch.equal(tensor, model.vq.state_dict()[name])
    # The projection takes hidden states of one width to the other.
    hidden = torch.zeros(1, 4, 32)
    channels, times = torch.tensor([0, 1, 0, 1]), torch.tensor([0, 0, 1, 1])
    assert model(hidden, channels, times).last_hidden_state.shape == (1, 4, 192)
