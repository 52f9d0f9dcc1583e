"""The neural tokenizer's transformers."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from mne_neurolm import NeuroLMConfig
from mne_neurolm.models.encoder import build_encoder
from mne_neurolm.models.vq import VQ, reconstruction_targets

CONFIG = NeuroLMConfig(
    n_layer=2,
    n_head=2,
    n_embd=32,
    decoder_n_layer=1,
    decoder_n_head=2,
    decoder_n_embd=16,
    codebook_size=32,
    codebook_dim=8,
)


@pytest.fixture(scope="module")
def batch() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Three channels, two seconds, two samples."""
    generator = torch.Generator().manual_seed(0)
    patches = torch.randn(2, 6, 200, generator=generator)
    return patches, torch.tensor([3, 7, 9] * 2), torch.arange(2).repeat_interleave(3)


@pytest.fixture(scope="module")
def encoder() -> torch.nn.Module:
    torch.manual_seed(0)
    return build_encoder(CONFIG).eval()


def test_batch_mates_do_not_matter(encoder, batch) -> None:
    patches, channels, times = batch
    together = encoder(patches, channels, times)
    alone = torch.cat([encoder(sample[None], channels, times) for sample in patches])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-5)


def test_padding_does_not_matter(encoder, batch) -> None:
    """Whatever a padded patch holds, the others' hidden states stay."""
    patches, channels, times = batch
    padded = torch.cat([patches, torch.full((2, 3, 200), 50.0)], dim=1)
    mask = torch.arange(9).expand(2, 9) < 6
    more = torch.cat([channels, channels[:3]]), torch.cat([times, times[:3]])
    hidden = encoder(padded, *more, mask)[:, :6]
    torch.testing.assert_close(hidden, encoder(patches, channels, times), rtol=0, atol=1e-5)
    released = encoder(padded, *more, mask, norm_over_padding=True)[:, :6]
    assert (released - hidden).abs().max() > 1e-2


def test_order_of_patches_does_not_matter(encoder, batch) -> None:
    """Attention is bidirectional: channel and time embeddings say where a patch is."""
    patches, channels, times = batch
    order = torch.randperm(6, generator=torch.Generator().manual_seed(1))
    shuffled = encoder(patches[:, order], channels[order], times[order])
    straight = encoder(patches, channels, times)[:, order]
    torch.testing.assert_close(shuffled, straight, rtol=0, atol=1e-5)


def test_channels_may_differ_between_samples(encoder, batch) -> None:
    patches, channels, times = batch
    other = channels + 1
    both = encoder(patches, torch.stack([channels, other]), times)
    torch.testing.assert_close(both[1:], encoder(patches[1:], other, times), rtol=0, atol=1e-5)


def test_targets_ignore_padding_and_scale(batch) -> None:
    patches, _, _ = batch
    padded = torch.cat([patches, torch.full((2, 2, 200), 9.0)], dim=1)
    mask = torch.arange(8).expand(2, 8) < 6
    for whole, masked in zip(
        reconstruction_targets(3 * patches), reconstruction_targets(padded, mask), strict=True
    ):
        torch.testing.assert_close(masked[:, :6], whole, rtol=1e-4, atol=1e-5)
        assert (masked[:, 6:] == 0).all()
        assert whole.mean(dim=(1, 2)).abs().max() < (0.5 if whole.shape[-1] == 100 else 1e-5)


def test_gradient_is_reversed_for_features_only(batch) -> None:
    torch.manual_seed(0)
    vq = VQ(CONFIG).eval()
    gradients = {}
    for alpha in (0.0, 0.5, 1.0):
        features = torch.ones(1, 4, CONFIG.n_embd, requires_grad=True)
        vq.zero_grad()
        vq.domain_logits(features, alpha)[..., 0].sum().backward()
        gradients[alpha] = features.grad.clone(), vq.domain_classifier[0].weight.grad.clone()
    assert (gradients[0.0][0] == 0).all()
    torch.testing.assert_close(gradients[1.0][0], 2 * gradients[0.5][0])
    assert gradients[1.0][0].abs().max() > 0
    # The classifier itself learns at full strength whatever alpha is.
    torch.testing.assert_close(gradients[0.0][1], gradients[1.0][1])


def test_codes_do_not_move_the_codebook(batch) -> None:
    """Not even in training mode, and they are those of a forward pass."""
    torch.manual_seed(0)
    vq = VQ(CONFIG)
    vq.codebook.weight.copy_(F.normalize(torch.randn(32, 8), dim=1))
    vq.codebook.initialized.fill_(1.0)
    before = vq.codebook.weight.clone()
    with torch.no_grad():
        codes = vq.train().codes(vq.encode(*batch))
        assert torch.equal(vq.codebook.weight, before)
        assert torch.equal(vq.codebook.cluster_size, torch.zeros(32))
        assert torch.equal(vq.eval()(*batch).codes, codes)


@pytest.mark.parametrize("second", [-1, 64])
def test_seconds_without_embedding(batch, second: int) -> None:
    patches, channels, times = batch
    times = torch.full_like(times, second)
    vq = VQ(CONFIG).eval()
    with pytest.raises(ValueError, match="embeddings of the seconds 0 to 63"):
        vq.encode(patches, channels, times)
    with pytest.raises(ValueError, match="Cut shorter epochs"):
        vq.decode_codes(torch.zeros(2, 6, dtype=torch.long), channels, times)
