"""The ways to compute attention give the same results."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy

import pytest
import torch
from torch import Tensor
from torch.nn.attention.flex_attention import flex_attention
from transformers import GPT2Config, LlamaConfig, PreTrainedConfig

from mne_neurolm.models import flex
from mne_neurolm.models.attention import Visibility, attend, query_groups, visibility
from mne_neurolm.models.backbone import build_backbone, takes_visibility
from mne_neurolm.models.masks import stair_step_mask

EEG = torch.arange(6).repeat_interleave(40)
TEXT = torch.arange(6, 20)
ANSWERS = torch.tensor([20, 21, 20, 21, 22])
STEPS = torch.cat([EEG, TEXT, ANSWERS])
BRANCHES = torch.cat([torch.zeros(254, dtype=torch.long), torch.tensor([1, 1, 2, 2, 2])])


def rows(n_queries: int, n_keys: int, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [
        torch.randn(2, 3, n, 16, generator=generator).to(dtype) for n in (n_queries, n_keys, n_keys)
    ]


def dense(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
    scores = query.double() @ key.double().mT / query.shape[-1] ** 0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    return scores.softmax(dim=-1) @ value.double()


@pytest.mark.parametrize("seed", range(4))
def test_groups_hold_all_that_queries_see(seed) -> None:
    generator = torch.Generator().manual_seed(seed)
    mask = torch.rand(300, 280, generator=generator) < 0.02
    mask[:, 0] = True
    groups = query_groups(mask)
    assert [group.start for group in groups] == [0, *(group.stop for group in groups[:-1])]
    assert groups[-1].stop == 300
    for start, stop, n_keys, sees_all in groups:
        assert not mask[start:stop, n_keys:].any()
        assert mask[start:stop, n_keys - 1].any()
        assert sees_all == bool(mask[start:stop, :n_keys].all())


def test_groups_leave_out_later_seconds() -> None:
    groups = query_groups(stair_step_mask(EEG))
    assert [(group.stop, group.n_keys) for group in groups] == [(120, 120), (240, 240)]
    one_second_each = query_groups(stair_step_mask(torch.arange(3).repeat_interleave(100)))
    assert all(group.sees_all for group in one_second_each)
    assert [group.n_keys for group in one_second_each] == [100, 200, 300]


@pytest.mark.parametrize("n_past", [0, 30])
@pytest.mark.parametrize("branches", [None, BRANCHES, torch.stack([BRANCHES, BRANCHES % 2], 1)])
def test_as_with_a_dense_mask(branches, n_past) -> None:
    seen = visibility(STEPS, branches, n_past)
    mask = stair_step_mask(STEPS, branches)
    mask = torch.cat([torch.ones(len(mask), n_past, dtype=torch.bool), mask], dim=1)
    assert torch.equal(seen.mask, mask)
    query, key, value = rows(*mask.shape)
    expected = dense(query, key, value, mask)
    torch.testing.assert_close(
        attend(query, key, value, seen).double(), expected, atol=1e-5, rtol=1e-5
    )
    halves = (x.bfloat16() for x in (query, key, value))
    torch.testing.assert_close(attend(*halves, seen).double(), expected, atol=0.03, rtol=0.03)


@pytest.mark.parametrize("n", [7, 600])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_everyone_sees_all_without_a_mask(dtype, n) -> None:
    query, key, value = rows(n, n, dtype)
    tolerance = 1e-5 if dtype is torch.float32 else 0.03
    torch.testing.assert_close(
        attend(query, key, value).double(),
        dense(query, key, value, None),
        atol=tolerance,
        rtol=tolerance,
    )


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 0.05)])
def test_gradients_are_the_same(dtype, tolerance) -> None:
    inputs = [x.requires_grad_() for x in rows(259, 259, dtype)]
    exact = [x.detach().double().requires_grad_() for x in inputs]
    attend(*inputs, visibility(STEPS, BRANCHES)).float().square().sum().backward()
    dense(*exact, stair_step_mask(STEPS, BRANCHES)).square().sum().backward()
    for found, expected in zip(inputs, exact, strict=True):
        assert found.grad is not None and expected.grad is not None
        error = (found.grad.double() - expected.grad).norm() / expected.grad.norm()
        assert error < tolerance


def test_weights_that_do_not_fit_are_not_kept(monkeypatch) -> None:
    """In bfloat16 a layer keeps weights for the backward pass, unless they are too many."""
    query, key, value = (x.requires_grad_() for x in rows(259, 259, torch.bfloat16))
    kept: list[tuple[int, ...]] = []

    def note(tensor: Tensor) -> Tensor:
        kept.append(tuple(tensor.shape))
        return tensor

    seen = visibility(STEPS, BRANCHES)
    counts = []
    for limit in (2**30, 2**10):
        monkeypatch.setattr("mne_neurolm.models.attention._KEPT_BYTES", limit)
        kept.clear()
        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            attend(query, key, value, seen)
        counts.append(sum(shape[-1] > 100 for shape in kept))
    assert counts[0] > 0
    assert counts[1] < counts[0]


def test_dropout_leaves_weights_out() -> None:
    query, key, value = rows(259, 259)
    seen = visibility(STEPS, BRANCHES)
    torch.manual_seed(0)
    outputs = torch.stack([attend(query, key, value, seen, dropout=0.3) for _ in range(200)])
    plain = attend(query, key, value, seen)
    assert not torch.allclose(outputs[0], plain, atol=1e-3)
    assert (outputs.mean(dim=0) - plain).abs().mean() < 0.15 * plain.abs().mean()


def test_computed_once_and_good_for_training() -> None:
    """What was computed for predictions may serve a backward pass."""
    with torch.inference_mode():
        first = visibility(STEPS, BRANCHES)
    assert visibility(STEPS.int(), BRANCHES.clone()) is first
    assert visibility(STEPS + 1, BRANCHES) is not first
    assert not first.mask.is_inference()
    query, key, value = (x.requires_grad_() for x in rows(259, 259, torch.bfloat16))
    attend(query, key, value, first).sum().backward()


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
def test_flex_attention_sees_the_same() -> None:
    """On CPUs FlexAttention runs without being compiled, slowly; its masks are tested there."""
    mask = stair_step_mask(STEPS, BRANCHES)
    query, key, value = rows(259, 259)
    found = flex_attention(query, key, value, block_mask=flex.block_mask(mask))
    torch.testing.assert_close(found.double(), dense(query, key, value, mask), atol=1e-5, rtol=1e-5)


@pytest.fixture
def broken_compiler() -> Iterator[None]:
    def fail() -> None:
        raise RuntimeError("no C compiler\nmore")

    compiled, flex._Compiled.function = flex._Compiled.function, staticmethod(fail)  # type: ignore
    yield
    flex._Compiled.function = compiled  # type: ignore[method-assign]
    flex._Compiled.works = True


def test_without_a_compiler_a_dense_mask_will_do(broken_compiler) -> None:
    query, key, value = rows(8, 8)
    with pytest.warns(RuntimeWarning, match=r"can't be compiled here \(no C compiler\)"):
        assert flex.flex_attend(query, key, value, None) is None
    assert flex.flex_attend(query, key, value, None) is None  # said once


GPT2 = GPT2Config(n_layer=2, n_head=4, n_embd=32, vocab_size=50, attn_pdrop=0.0, resid_pdrop=0.0)
LLAMA = LlamaConfig(
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    hidden_size=32,
    intermediate_size=48,
    vocab_size=50,
)


@pytest.mark.parametrize("config", [GPT2, LLAMA], ids=["gpt2", "llama"])
def test_language_models_attend_as_before(config: PreTrainedConfig) -> None:
    backbone = build_backbone(config).eval()
    assert takes_visibility(backbone)
    inputs = torch.randn(2, 259, 32, generator=torch.Generator().manual_seed(0))
    seen = visibility(STEPS, BRANCHES)
    given = {
        "inputs_embeds": inputs,
        "attention_mask": seen.mask[None, None],
        "position_ids": STEPS[None],
    }
    # Without the last keys, and with a mask that says otherwise: it is `seen` that is read.
    other = {**given, "attention_mask": torch.ones_like(seen.mask)[None, None]}
    with torch.no_grad():
        found = backbone(**other, seen=seen).last_hidden_state
        by_mask = backbone(**given).last_hidden_state
        backbone.set_attn_implementation("sdpa")
        expected = backbone(**given).last_hidden_state
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(by_mask, expected, atol=1e-6, rtol=1e-6)


def test_on_other_devices_the_mask_is_given() -> None:
    query, key, value = (x.to("meta") for x in rows(259, 259))
    seen = Visibility(torch.ones(259, 259, dtype=torch.bool, device="meta"))
    assert attend(query, key, value, seen).shape == query.shape


def test_without_values(small_model) -> None:
    """On the meta device, where the cost of models is counted, a mask has no values to look at."""
    model = deepcopy(small_model).to("meta")
    hidden = torch.empty(2, 6, model.config.n_embd, device="meta")
    steps = torch.zeros(6, dtype=torch.long, device="meta")
    assert model(hidden, steps, steps).last_hidden_state.shape[:2] == (2, 6)
