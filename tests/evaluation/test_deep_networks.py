"""The networks of the deep baselines."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from mne_neurolm.evaluation.deep import DEEP
from mne_neurolm.evaluation.deep.cnn_transformer import CNNTransformer, sinusoids
from mne_neurolm.evaluation.deep.ffcl import FFCL
from mne_neurolm.evaluation.deep.inputs import SCALINGS
from mne_neurolm.evaluation.deep.spectrogram import Spectrogram, SpectrogramEncoder
from mne_neurolm.evaluation.deep.st_transformer import SHORTEST, ChannelAttention, STTransformer

OWN = {"cnn-transformer": CNNTransformer, "ffcl": FFCL, "st-transformer": STTransformer}


# --- all of the table -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", DEEP)
@pytest.mark.parametrize(("n_chans", "n_times"), [(19, 800), (61, 200), (64, 800)])
def test_every_network_reads_every_shape(name, n_chans, n_times):
    network = DEEP[name].build(n_chans, n_times, 3, 200.0).eval()
    with torch.inference_mode():
        logits = network(torch.randn(2, n_chans, n_times))
    assert logits.shape == (2, 3) and torch.isfinite(logits).all()


@pytest.mark.parametrize("name", DEEP)
def test_the_shortest_window_is_enough(name):
    n_times = round(DEEP[name].shortest * 200)
    network = DEEP[name].build(2, n_times, 2, 200.0)
    network(torch.randn(3, 2, n_times)).sum().backward()


@pytest.mark.parametrize("name", DEEP)
def test_rows_are_complete(name):
    row = DEEP[name]
    assert row.scaling in SCALINGS
    assert row.library == (None if name in OWN else "braindecode")
    assert row.lr > 0 and row.weight_decay >= 0 and row.max_epochs >= 1 and row.batch_size >= 2
    assert row.reference and row.source


# --- Braindecode's --------------------------------------------------------------------------------


def test_kernels_have_the_papers_samples_at_the_papers_rates():
    eegnet = DEEP["eegnet"].build(4, 256, 2, 128.0)
    assert (eegnet.kernel_length, eegnet.pool1_kernel_size) == (64, 4)
    shallow = DEEP["shallow"].build(4, 500, 2, 250.0)
    lengths = (shallow.filter_time_length, shallow.pool_time_length, shallow.pool_time_stride)
    assert lengths == (25, 75, 15)


def test_kernels_follow_the_sampling_rate():
    eegnet = DEEP["eegnet"].build(4, 400, 2, 200.0)
    assert (eegnet.kernel_length, eegnet.pool1_kernel_size) == (100, 6)
    assert DEEP["shallow"].build(4, 400, 2, 200.0).filter_time_length == 20


def test_labram_reads_whole_seconds():
    network = DEEP["labram"].build(3, 450, 2, 200.0).eval()
    x = torch.randn(1, 3, 450)
    changed = x.clone()
    changed[..., 400:] = 0
    with torch.inference_mode():
        torch.testing.assert_close(network(x), network(changed))


def test_labram_refuses_more_channels_than_it_has_embeddings():
    with pytest.raises(ValueError, match="embeddings for 128 channels; got 129"):
        DEEP["labram"].build(129, 200, 2, 200.0)


def test_without_braindecode_our_own_remain(monkeypatch):
    monkeypatch.setitem(sys.modules, "braindecode", None)
    for name, row in DEEP.items():
        if row.library is None:
            assert row.build(2, 200, 2, 200.0)(torch.randn(2, 2, 200)).shape == (2, 2)
        else:
            with pytest.raises(ImportError, match="pip install braindecode torch=="):
                DEEP[name].build(2, 200, 2, 200.0)


# --- our own --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OWN)
def test_every_parameter_learns(name):
    network = OWN[name](3, 400, 2, 200.0)
    network(torch.randn(4, 3, 400)).square().sum().backward()
    idle = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    # The bias of a convolution that batch normalisation follows has no effect, so no gradient; it
    # is there because the reference has it. Rounding leaves some of them a tiny one.
    assert all(n.endswith("bias") for n in idle)


@pytest.mark.parametrize("name", OWN)
def test_a_window_that_is_too_short_is_refused(name):
    shortest = SHORTEST if name == "st-transformer" else 200
    OWN[name](2, shortest, 2, 200.0)
    with pytest.raises(ValueError, match=rf"{shortest}.* got {shortest - 1}"):
        OWN[name](2, shortest - 1, 2, 200.0)


def test_spectrogram_is_the_fourier_transform_of_each_frame():
    signal = torch.randn(2, 3, 500)
    magnitude = Spectrogram(200.0)(signal)
    assert magnitude.shape == (2, 3, 101, 51)
    frame = signal[1, 2, 20 * 10 - 100 : 20 * 10 + 100].numpy()  # the 21st, centred on its sample
    expected = np.abs(np.fft.rfft(frame)) / np.sqrt(200)
    np.testing.assert_allclose(magnitude[1, 2, :, 20].numpy(), expected, atol=1e-4)


@pytest.mark.parametrize(("seconds", "shrunk"), [(1, (1, 1)), (4, (1, 1)), (20, (1, 2))])
def test_blocks_shrink_a_spectrogram_to_a_point(seconds, shrunk):
    encoder = SpectrogramEncoder(2, 200.0).eval()
    x = torch.randn(1, 2, 200 * seconds)
    assert encoder.layers(x).shape == (1, 256, *shrunk)
    assert encoder(x).shape == (1, 256)


@pytest.mark.parametrize(("n_times", "n_segments"), [(200, 1), (800, 4), (999, 4), (2000, 5)])
def test_cnn_transformer_cuts_segments_of_a_second_or_more(n_times, n_segments):
    assert CNNTransformer(2, n_times, 2, 200.0).n_segments == n_segments


def test_cnn_transformer_knows_the_order_of_segments():
    network = CNNTransformer(2, 400, 2, 200.0).eval()
    x = torch.randn(1, 2, 400)
    with torch.inference_mode():
        assert not torch.allclose(network(x), network(x.roll(200, dims=-1)), atol=1e-5)


def test_sinusoids():
    vectors = sinusoids(7, 8)
    np.testing.assert_allclose(vectors[0], [0, 1] * 4, atol=1e-7)
    np.testing.assert_allclose(vectors[:, 0], np.sin(np.arange(7)), atol=1e-6)
    np.testing.assert_allclose(vectors[:, 3], np.cos(np.arange(7) / 10), atol=1e-6)


def test_ffcl_reads_time_in_steps_of_all_channels():
    network = FFCL(19, 810, 2, 200.0).eval()
    seen = []
    network.lstm.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    x = torch.randn(2, 19, 810)
    with torch.inference_mode():
        network(x)
    (steps,) = seen
    assert steps.shape == (2, 40, 380)
    torch.testing.assert_close(steps[1, 7].unflatten(0, (19, 20)), x[1, :, 140:160])


def test_channel_attention_is_a_weighted_mean_of_channels():
    attention = ChannelAttention(3, 400).eval()
    attention.projection = torch.nn.Identity()
    x = torch.randn(2, 3, 400)
    with torch.inference_mode():
        out = attention(x)
        query, key = (
            part(x.transpose(1, 2)).transpose(1, 2).unflatten(-1, (4, 100)).mean(-1)
            for part in (attention.query, attention.key)
        )
        weights = torch.softmax(query @ key.transpose(1, 2) / 2, dim=-1)  # sqrt(4 pooled values)
    torch.testing.assert_close(out, weights @ x, atol=1e-5, rtol=1e-4)
    assert weights.std() > 0  # not the plain mean
