"""The scalp embedding: covariances and topographies of a second, for any montage."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mne_neurolm import NeuroLM, NeuroLMConfig
from mne_neurolm.channels import CHANNELS
from mne_neurolm.models.scalp import (
    BANDS,
    N_COARSE,
    N_FEATURES,
    ScalpEmbedding,
    channel_harmonics,
)

TEN_TWENTY = "FP1 FP2 F7 F3 FZ F4 F8 T3 C3 CZ C4 T4 T5 P3 PZ P4 T6 O1 O2".split()
ROWS = torch.tensor([CHANNELS.index(name) for name in TEN_TWENTY])


def make_windows(n=6, seconds=2, seed=0, rows=ROWS):
    """Return noise that neighbouring electrodes share, its channels and its times."""
    generator = torch.Generator().manual_seed(seed)
    field = torch.from_numpy(channel_harmonics())[rows, :N_COARSE]
    sources = torch.randn(n, seconds, N_COARSE, 200, generator=generator).cumsum(dim=-1)
    noise = torch.randn(n, seconds, len(rows), 200, generator=generator)
    patches = torch.einsum("ck,bskt->bsct", field, sources) + 0.3 * noise
    times = torch.arange(seconds).repeat_interleave(len(rows))
    return patches.flatten(1, 2), rows.repeat(seconds), times


def make_embedding(n_components=8, seed=1):
    embedding = ScalpEmbedding(n_components, 32, 256)
    embedding.fit([make_windows(n=40, seed=seed)])
    return embedding


def test_features_do_not_depend_on_the_order_of_channels_or_on_scale():
    patches, channels, times = make_windows()
    embedding = make_embedding()
    expected = embedding.describe(patches, channels, times)
    order = torch.randperm(len(channels), generator=torch.Generator().manual_seed(3))
    shuffled = embedding.describe(7.0 * patches[:, order], channels[order], times[order])
    torch.testing.assert_close(shuffled, expected[:, order], rtol=1e-3, atol=1e-3)


def test_hidden_patches_are_as_good_as_absent():
    patches, channels, times = make_windows()
    embedding = make_embedding()
    kept = torch.arange(len(channels)) % len(ROWS) != 4
    loud = torch.where(kept[:, None], patches, 100.0 + patches)
    mask = kept.expand(len(patches), -1)
    masked = embedding.describe(loud, channels, times, mask)
    without = embedding.describe(patches[:, kept], channels[kept], times[kept])
    torch.testing.assert_close(masked[:, kept], without, rtol=1e-3, atol=1e-3)


def test_covariances_are_matrix_logarithms():
    """Against NumPy, one band of one second."""
    patches, channels, times = make_windows(n=1, seconds=1)
    features, where = ScalpEmbedding(4, 8, 256).features(patches, channels, times)
    assert features.shape == (1, sum(N_FEATURES)) and (where == 0).all()
    left, _, right = np.linalg.svd(channel_harmonics()[ROWS.numpy(), :16], full_matrices=False)
    centred = patches[0].double().numpy()
    centred = centred - centred.mean(axis=1, keepdims=True)
    projected = (left @ right).T @ (centred / np.sqrt(np.mean(centred**2)))
    low, high = BANDS[3]
    spectrum = np.fft.rfft(projected * np.hanning(200), axis=1)[:, low:high]
    cross = (spectrum @ spectrum.conj().T).real
    values, vectors = np.linalg.eigh(cross / (np.trace(cross) / 16) + 0.02 * np.eye(16))
    logarithm = (vectors * np.log(values)) @ vectors.T
    i, j = np.triu_indices(16)
    expected = logarithm[i, j] * np.where(i == j, 1.0, np.sqrt(2.0))
    n = len(i)
    np.testing.assert_allclose(features[0, 3 * n : 4 * n].numpy(), expected, atol=2e-2)


def test_amplitudes_are_smoothing_splines():
    """Against the stacked least-squares problem, solved by NumPy."""
    patches, channels, times = make_windows(n=1, seconds=1)
    features, _ = ScalpEmbedding(4, 8, 256).features(patches, channels, times)
    centred = patches[0].double().numpy()
    centred = centred - centred.mean(axis=1, keepdims=True)
    averages = (centred / np.sqrt(np.mean(centred**2))).reshape(19, 20, 10).mean(axis=2)
    field = channel_harmonics()[ROWS.numpy()].astype(float)
    roughness = [(degree * (degree + 1)) ** 2 for degree in range(6) for _ in range(2 * degree + 1)]
    penalty = np.sqrt(np.maximum(1e-5 * np.array(roughness), 1e-6))
    left = np.vstack([field / np.sqrt(19), np.diag(penalty)])
    right = np.vstack([averages / np.sqrt(19), np.zeros((36, 20))])
    expected = np.linalg.lstsq(left, right, rcond=None)[0].ravel()
    found = features[0, N_FEATURES[0] :].numpy()
    np.testing.assert_allclose(found, expected, atol=2e-3 * np.abs(expected).max())


def test_montages_count_alike_for_amplitudes_only():
    """Many hours with one montage do not decide what the components of another are."""
    few = torch.arange(12)
    rare = make_windows(n=40, seconds=1, seed=1)
    common = make_windows(n=40, seconds=1, seed=2, rows=ROWS[few])
    common = (torch.einsum("bnt,nm->bmt", common[0], torch.rand(12, 12)), *common[1:])
    once, often = ScalpEmbedding(4, 8, 256), ScalpEmbedding(4, 8, 256)
    once.fit([rare, common])
    often.fit([rare, *[common] * 5])
    first = N_FEATURES[0]
    torch.testing.assert_close(often.components[first:], once.components[first:])
    assert not torch.allclose(often.components[:first], once.components[:first], atol=1e-2)


def test_montages_share_a_description():
    """The leading component of a dense cap agrees with that of 19 of its electrodes."""
    names = TEN_TWENTY + "FC1 FC2 FC5 FC6 CP1 CP2 CP5 CP6 AF3 AF4 PO3 PO4 F1 F2 C1 C2 P1 P2".split()
    dense = torch.tensor([CHANNELS.index(name) for name in names])
    patches, channels, times = make_windows(n=40, seconds=1, rows=dense)
    embedding = make_embedding()
    few = torch.arange(len(TEN_TWENTY))
    full = embedding.describe(patches, channels, times)[:, 0]
    part = embedding.describe(patches[:, few], channels[few], times[few])[:, 0]
    for k in (0, embedding.n_components[0]):  # of covariances, of amplitudes
        assert np.corrcoef(full[:, k], part[:, k])[0, 1] > 0.9


def test_components_are_whitened():
    embedding = make_embedding(n_components=5, seed=2)
    z = embedding.describe(*make_windows(n=40, seed=2))[:, :: len(ROWS)].flatten(0, 1)
    torch.testing.assert_close(z.mean(dim=0), torch.zeros(8), atol=1e-3, rtol=0)
    z = z / torch.tensor([1.0] * 5 + [2.0] * 3)  # amplitudes count twice
    torch.testing.assert_close(z.T @ z / len(z), torch.eye(8), atol=0.35, rtol=0)
    torch.testing.assert_close(z.var(dim=0, unbiased=False), torch.ones(8), atol=5e-3, rtol=0)


def test_odd_montages_do_not_break_it():
    embedding = make_embedding()
    flat = torch.zeros(2, 38, 200)
    _, channels, times = make_windows()
    assert torch.isfinite(embedding.describe(flat, channels, times)).all()
    one = torch.randn(2, 1, 200)
    assert torch.isfinite(embedding.describe(one, ROWS[:1], torch.zeros(1).long())).all()
    nowhere = torch.tensor([CHANNELS.index("CB1")])  # no known position
    assert torch.isfinite(embedding.describe(one, nowhere, torch.zeros(1).long())).all()


def test_channels_at_unknown_places_change_nothing():
    patches, channels, times = make_windows(seconds=1)
    embedding = make_embedding()
    expected = embedding.describe(patches, channels, times)
    loud = 100 * torch.randn(len(patches), 2, 200, generator=torch.Generator().manual_seed(5))
    more = torch.tensor([CHANNELS.index("CB1"), CHANNELS.index("CB2")])
    found = embedding.describe(
        torch.cat([patches, loud], dim=1),
        torch.cat([channels, more]),
        torch.zeros(len(channels) + 2).long(),
    )
    torch.testing.assert_close(found[:, : len(channels)], expected)


def test_a_few_seconds_of_a_montage_count_little():
    common = make_windows(n=40, seconds=1, seed=1)
    few = make_windows(n=1, seconds=1, seed=2, rows=ROWS[:5])
    alone, both, odd = (ScalpEmbedding(4, 8, 256) for _ in range(3))
    alone.fit([common])
    both.fit([common, few])
    after, before = (one.describe(*common)[:, 0, 4:].var(dim=0) for one in (both, alone))
    variance = after / before  # of amplitudes
    assert (variance > 0.8).all() and (variance < 1.2).all()
    odd.fit([few, make_windows(n=1, seconds=1, seed=3)])  # one second of each: no failure
    assert torch.isfinite(odd.components).all()


def test_any_dtype():
    model = NeuroLM(NeuroLMConfig.preset("tiny", text_config=None, scalp_components=4))
    patches, channels, times = make_windows(n=2, seconds=1)
    expected = model.encode(patches, channels, times)
    half = model.bfloat16().encode(patches.bfloat16(), channels, times)
    torch.testing.assert_close(half.float(), expected, atol=0.2, rtol=0.1)


def test_number_of_components_is_checked():
    with pytest.raises(ValueError, match="0, for none, to 952, .* got 953"):
        NeuroLMConfig.preset("tiny", scalp_components=953)
    assert N_FEATURES[0] == 952


def test_bipolar_derivations_are_differences():
    table = channel_harmonics()
    row = {name: table[i] for i, name in enumerate(CHANNELS)}
    np.testing.assert_allclose(row["C3-P3"], row["C3"] - row["P3"], atol=1e-6)
    np.testing.assert_array_equal(row["T3"], row["T7"])
    assert not row["pad"].any()
    assert row["CZ"][0] == pytest.approx(0.5 / np.sqrt(np.pi))  # degree 0 is constant


def test_model_has_it_on_request_only(tmp_path):
    plain = NeuroLM(NeuroLMConfig.preset("tiny", text_config=None))
    assert not any("scalp" in name for name in plain.state_dict())
    config = NeuroLMConfig.preset("tiny", text_config=None, scalp_components=4)
    torch.manual_seed(0)
    model = NeuroLM(config).eval()
    model.vq.encoder.scalp_embed.fit([make_windows(n=30)])
    model.save_pretrained(tmp_path)
    loaded = NeuroLM.from_pretrained(tmp_path)
    patches, channels, times = make_windows()
    expected = model.encode(patches, channels, times)
    torch.testing.assert_close(loaded.encode(patches, channels, times), expected)
    with torch.no_grad():
        model.vq.encoder.scalp_embed.linear.weight.zero_()
    assert (model.encode(patches, channels, times) - expected).abs().max() > 1e-3
