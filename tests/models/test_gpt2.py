"""GPT-2's MLP with its activation computed where the product before it is made."""

from __future__ import annotations

import copy

import pytest
import torch
from torch.nn import functional as F
from transformers import AutoModel, GPT2Config, LlamaConfig, PreTrainedModel
from transformers.models.gpt2.modeling_gpt2 import GPT2MLP

from mne_neurolm.models.backbone import build_backbone
from mne_neurolm.models.gpt2 import FusedGPT2MLP
from mne_neurolm.utils import packed
from mne_neurolm.utils.packed import packed_weights

SIZES = {"n_layer": 2, "n_head": 2, "n_embd": 32, "vocab_size": 50, "n_positions": 16}
EMBEDS = torch.randn(3, 8, 32, generator=torch.Generator().manual_seed(0))


def mlps(backbone: PreTrainedModel) -> list[GPT2MLP]:
    return [module for module in backbone.modules() if isinstance(module, GPT2MLP)]


@pytest.fixture
def backbone() -> PreTrainedModel:
    torch.manual_seed(0)
    return build_backbone(GPT2Config(**SIZES, activation_function="gelu")).eval()


def test_same_weights_and_results(backbone) -> None:
    plain = AutoModel.from_config(backbone.config, attn_implementation="sdpa").eval()
    plain.load_state_dict(backbone.state_dict())
    assert len(mlps(backbone)) == 2
    assert all(type(mlp) is FusedGPT2MLP for mlp in mlps(backbone))
    assert all(type(mlp) is GPT2MLP for mlp in mlps(plain))
    for one, other in zip(mlps(backbone), mlps(plain), strict=True):
        torch.testing.assert_close(one(EMBEDS), other(EMBEDS))
        gradients = [
            torch.autograd.grad(mlp(EMBEDS).sum(), mlp.c_fc.weight) for mlp in (one, other)
        ]
        torch.testing.assert_close(*gradients)


def test_dropout_stays(backbone) -> None:
    (mlp, _) = mlps(backbone)
    mlp.dropout.p = 1.0
    assert not mlp.train()(EMBEDS).any()


def test_what_is_done_to_the_activation_counts(backbone) -> None:
    (mlp, other), seen = mlps(backbone), []
    mlp.act.register_forward_hook(lambda *_: seen.append(1))
    mlp(EMBEDS)
    assert seen == [1]
    other.act = torch.nn.ReLU()
    torch.testing.assert_close(other(EMBEDS), GPT2MLP.forward(other, EMBEDS))
    assert not torch.allclose(other(EMBEDS), other.c_proj(F.gelu(other.c_fc(EMBEDS))))


def test_weights_may_be_given_to_the_call(backbone) -> None:
    """As to compute gradients of each sample."""
    (mlp, _) = mlps(backbone)
    weights = {name: 2 * weight.detach() for name, weight in mlp.named_parameters()}
    found = torch.func.functional_call(mlp, weights, EMBEDS)
    assert not torch.allclose(found, mlp(EMBEDS))
    mlp.load_state_dict(weights)
    torch.testing.assert_close(found, mlp(EMBEDS))


def test_copies_are_fused_too(backbone) -> None:
    assert all(type(mlp) is FusedGPT2MLP for mlp in mlps(copy.deepcopy(backbone)))


@pytest.mark.skipif(
    not hasattr(torch.ops.mkldnn, "_reorder_linear_weight"), reason="torch was built without oneDNN"
)
def test_with_packed_weights(backbone, monkeypatch) -> None:
    monkeypatch.setattr(packed, "mkl_holds_back", lambda: True)
    monkeypatch.setattr(packed, "_ROWS_UNPACKED", 100)
    fused = []
    multiply = packed.multiply

    def note(rows, weight, bias, activation):
        fused.append(activation)
        return multiply(rows, weight, bias, activation)

    monkeypatch.setattr(packed, "multiply", note)
    with torch.no_grad():
        expected = backbone(inputs_embeds=EMBEDS).last_hidden_state
        assert not fused
        with packed_weights(backbone):
            for _ in range(4):
                found = backbone(inputs_embeds=EMBEDS).last_hidden_state
                torch.testing.assert_close(found, expected)
    assert fused == 4 * 2 * ["none", "none", "gelu", "none"]


@pytest.mark.parametrize(
    "config",
    [
        GPT2Config(**SIZES),  # its default is the approximation by tanh
        GPT2Config(**SIZES, activation_function="gelu_python"),
        LlamaConfig(
            vocab_size=50,
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=16,
        ),
    ],
)
def test_others_stay_as_they_are(config, monkeypatch) -> None:
    monkeypatch.setattr(packed, "mkl_holds_back", lambda: True)
    monkeypatch.setattr(packed, "_ROWS_UNPACKED", 100)
    backbone = build_backbone(config).eval()
    assert not any(isinstance(module, FusedGPT2MLP) for module in backbone.modules())
    with torch.no_grad():
        expected = backbone(inputs_embeds=EMBEDS).last_hidden_state
        with packed_weights(backbone):
            for _ in range(4):
                found = backbone(inputs_embeds=EMBEDS).last_hidden_state
                torch.testing.assert_close(found, expected)
