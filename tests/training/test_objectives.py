"""What the stages minimise, against plain computations."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from mne_neurolm import NeuroLM, NeuroLMConfig
from mne_neurolm.models.scalp import ScalpEmbedding
from mne_neurolm.models.scoring import answer_log_probs
from mne_neurolm.training.objectives import (
    answer_loss,
    autoregressive_objective,
    text_objective,
    vq_objective,
)
from mne_neurolm.training.regularization import tuning_loss

N_CHANNELS, N_SECONDS = 3, 3
CHANNELS = torch.tensor([3, 7, 9] * N_SECONDS)
TIMES = torch.arange(N_SECONDS).repeat_interleave(N_CHANNELS)


@pytest.fixture
def batch(small_model: NeuroLM) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(4, len(TIMES), small_model.config.n_embd, generator=generator)
    codes = torch.randint(0, 64, (4, len(TIMES)), generator=generator)
    return hidden, codes


@torch.no_grad()
def test_each_channel_predicts_itself_a_second_later(small_model: NeuroLM, batch) -> None:
    hidden, codes = batch
    ours = autoregressive_objective(small_model, hidden, codes, CHANNELS, TIMES)
    logits = small_model.logits(small_model(hidden, CHANNELS, TIMES).last_hidden_state)
    losses, hits = [], []
    for sample in range(4):
        for second in range(N_SECONDS - 1):
            for channel in range(N_CHANNELS):
                here = second * N_CHANNELS + channel
                target = small_model.text_vocab_size + codes[sample, here + N_CHANNELS]
                losses.append(F.cross_entropy(logits[sample, here], target))
                hits.append(float(logits[sample, here].argmax() == target))
    torch.testing.assert_close(ours["loss"], torch.stack(losses).mean())
    assert ours["accuracy"] == pytest.approx(sum(hits) / len(hits))


def test_one_second_has_no_next(small_model: NeuroLM, batch) -> None:
    hidden, codes = batch
    with pytest.raises(ValueError, match="at least two seconds"):
        autoregressive_objective(small_model, hidden[:, :3], codes[:, :3], CHANNELS[:3], TIMES[:3])


@torch.no_grad()
def test_text_is_causal(small_model: NeuroLM) -> None:
    tokens = torch.randint(0, 1000, (2, 9), generator=torch.Generator().manual_seed(0))
    ours = text_objective(small_model, tokens)["loss"]
    # Token by token, each from a sequence that ends before it.
    losses = [
        F.cross_entropy(
            small_model.logits(small_model(input_ids=row[None, :n]).last_hidden_state[0, -1]),
            row[n],
        )
        for row in tokens
        for n in range(1, 9)
    ]
    torch.testing.assert_close(ours, torch.stack(losses).mean())


@torch.no_grad()
def test_instruction_loss_is_that_of_the_sequence(small_model: NeuroLM, batch) -> None:
    """Averaged over answer tokens of all samples, as if each sequence was run by itself."""
    hidden, _ = batch
    prompt, answers = [1023, 4, 5], [[6, 7, 1022], [8, 1022]]
    labels = torch.tensor([0, 1, 1, 0])
    log_probs = answer_log_probs(
        small_model, hidden, CHANNELS, TIMES, prompt, answers, text_only=False
    )
    ours = tuning_loss(log_probs, labels, [len(answer) for answer in answers])
    losses = []
    for sample, label in zip(hidden, labels, strict=True):
        answer = answers[label]
        ids = torch.tensor(prompt + answer[:-1])
        states = small_model(sample[None], CHANNELS, TIMES, ids).last_hidden_state[0]
        logits = small_model.logits(states[-len(answer) :])
        losses += list(F.cross_entropy(logits, torch.tensor(answer), reduction="none"))
    torch.testing.assert_close(ours, torch.stack(losses).mean(), rtol=1e-4, atol=1e-5)


def test_answer_loss_by_hand() -> None:
    log_probs = torch.tensor([[-1.0, -2.0], [-3.0, -4.0]])
    lengths = torch.tensor([2, 3])
    loss = answer_loss(log_probs, torch.tensor([0, 1]), lengths)
    assert loss.item() == pytest.approx((1.0 + 4.0) / (2 + 3))


def test_alignment_pushes_encoder_and_classifier_apart(small_model: NeuroLM) -> None:
    """The classifier learns to tell EEG from text; the encoder gets the opposite gradient."""
    import copy

    vq = copy.deepcopy(small_model.vq).eval()
    patches = torch.randn(2, len(TIMES), 200, generator=torch.Generator().manual_seed(0))
    words = torch.randn(50, 32, generator=torch.Generator().manual_seed(1))
    gradients = {}
    for alpha in (0.0, 1.0):
        vq.zero_grad()
        losses = vq_objective(vq, patches, CHANNELS, TIMES, word_embeddings=words, alpha=alpha)
        losses["domain_eeg"].backward()
        weight = vq.encoder.fc_norm.weight.grad
        gradients[alpha] = weight.clone(), vq.domain_classifier[0].weight.grad.clone()
    assert (gradients[0.0][0] == 0).all()
    assert gradients[1.0][0].abs().max() > 0
    torch.testing.assert_close(gradients[0.0][1], gradients[1.0][1])
    assert set(losses) == {
        "loss",
        "frequency",
        "raw",
        "commitment",
        "domain_eeg",
        "domain_text",
    }
    parts = sum(value for name, value in losses.items() if name != "loss")
    torch.testing.assert_close(losses["loss"], parts)
    without = vq_objective(vq, patches, CHANNELS, TIMES)
    assert "domain_eeg" not in without


def test_the_scalp_is_described_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the encoder reads of the whole scalp is also what hidden states must predict."""
    torch.manual_seed(0)
    config = NeuroLMConfig.preset(
        "tiny", n_layer=1, text_config=None, hidden_target_weight=0.5, scalp_components=4
    )
    vq = NeuroLM(config).vq.eval()
    vq.codebook.initialized.fill_(1)
    patches = torch.randn(2, len(TIMES), 200)
    mask = torch.arange(len(TIMES)).expand(2, -1) < 8
    embedding = vq.encoder.scalp_embed
    embedding.components.normal_()
    seen = [embedding.describe(patches, CHANNELS, TIMES, mask)]
    describe = ScalpEmbedding.describe

    def counted(self: ScalpEmbedding, *args: torch.Tensor) -> torch.Tensor:
        seen.append(describe(self, *args))
        return seen[-1]

    monkeypatch.setattr(ScalpEmbedding, "describe", counted)
    losses = vq_objective(vq, patches, CHANNELS, TIMES, mask)
    assert len(seen) == 2 and torch.equal(*seen) and losses["hidden_scalp"] > 0
    # The encoder alone, and targets alone, come to the same.
    out = vq(patches, CHANNELS, TIMES, mask)
    assert len(seen) == 3 and out.scalp is seen[-1]
    assert torch.equal(vq.encode(patches, CHANNELS, TIMES, mask), out.hidden)
    assert torch.equal(vq.all_targets(patches, CHANNELS, TIMES, mask)["scalp"], out.scalp)
    assert len(seen) == 5


def test_padding_does_not_count(small_model: NeuroLM) -> None:
    patches = torch.randn(2, len(TIMES), 200, generator=torch.Generator().manual_seed(0))
    padded = torch.cat([patches, torch.full((2, 3, 200), 7.0)], dim=1)
    mask = torch.arange(12).expand(2, 12) < 9
    channels, times = torch.cat([CHANNELS, CHANNELS[:3]]), torch.cat([TIMES, TIMES[:3]])
    with torch.no_grad():
        plain = vq_objective(small_model.vq, patches, CHANNELS, TIMES)
        masked = vq_objective(small_model.vq, padded, channels, times, mask)
    for name, value in plain.items():
        torch.testing.assert_close(masked[name], value, rtol=1e-4, atol=1e-5)
