"""What the tokenizer rebuilds: which targets there are, their values, and what is built."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from mne_neurolm import NeuroLM, NeuroLMConfig, NeuroLMTokenizer
from mne_neurolm.models.targets import amplitudes_and_phases
from mne_neurolm.models.vq import VQ
from mne_neurolm.training import TrainingConfig, train_tokenizer
from mne_neurolm.training.objectives import vq_objective
from mne_neurolm.training.sizes import network_sizes
from mne_neurolm.training.stages import TokenizerStage

SMALL = {
    "n_layer": 1,
    "n_head": 2,
    "n_embd": 32,
    "decoder_n_layer": 1,
    "decoder_n_head": 2,
    "decoder_n_embd": 24,
    "codebook_size": 32,
    "codebook_dim": 8,
}
CHANNELS = torch.tensor([3, 7, 9] * 2)
TIMES = torch.arange(2).repeat_interleave(3)
FAST = TrainingConfig(max_epochs=1, batch_size=8, lr=3e-3, min_lr=3e-4, progress=False)
LABRAM = {"reconstruction": "frequency", "frequency_target": "amplitude_phase"}


def make_model(**settings: object) -> NeuroLM:
    torch.manual_seed(0)
    model = NeuroLM(NeuroLMConfig(**{**SMALL, **settings})).eval()
    codes = torch.randn_like(model.vq.codebook.weight)
    model.vq.codebook.weight.copy_(F.normalize(codes, dim=1))
    model.vq.codebook.initialized.fill_(1.0)
    return model


@pytest.fixture
def patches() -> torch.Tensor:
    return torch.randn(2, 6, 200, generator=torch.Generator().manual_seed(0))


def test_the_default_has_the_published_keys_and_weights() -> None:
    """Nothing that is optional leaves a trace, not even in the random numbers that were drawn."""
    names = {name.split(".")[0] for name in make_model().vq.state_dict()}
    assert names == {
        "encoder",
        "to_code",
        "codebook",
        "decoder_freq",
        "decoder_raw",
        "head_freq",
        "head_raw",
        "domain_classifier",
    }


@pytest.mark.parametrize(
    ("settings", "names", "absent"),
    [
        ({"reconstruction": "temporal"}, {"raw"}, {"decoder_freq", "head_freq"}),
        ({"reconstruction": "frequency"}, {"frequency"}, {"decoder_raw", "head_raw"}),
        (LABRAM, {"frequency", "phase"}, {"decoder_raw", "head_raw"}),
        ({"frequency_target": "amplitude_phase"}, {"frequency", "phase", "raw"}, set()),
    ],
)
def test_only_what_is_asked_for_is_built_and_trained(settings, names, absent, patches) -> None:
    model = make_model(**settings, hidden_target_weight=0.5)
    vq = model.vq
    assert not absent & {name.split(".")[0] for name in vq.state_dict()}
    losses = vq_objective(vq, patches, CHANNELS, TIMES)
    hidden = {f"hidden_{name}" for name in names}
    assert set(losses) == {"loss", "commitment"} | names | hidden
    parts = sum(value for name, value in losses.items() if name != "loss")
    torch.testing.assert_close(losses["loss"], parts)
    losses["loss"].backward()
    unused = [
        name
        for name, p in vq.named_parameters()
        if p.grad is None and not name.startswith("domain_classifier")
    ]
    assert not unused, "several processes wait for the gradient of every parameter"
    stage = TokenizerStage(model, with_text=False)
    assert set(stage.judged_by) == names | hidden | {"commitment"}


def test_amplitudes_and_phases_by_hand(patches) -> None:
    amplitude, phase = amplitudes_and_phases(patches)
    spectrum = np.fft.fft(patches.double().numpy(), axis=-1)
    for ours, values in ((amplitude, np.abs(spectrum)), (phase, np.angle(spectrum))):
        mean = values.mean(axis=(1, 2), keepdims=True)
        std = values.std(axis=(1, 2), ddof=1, keepdims=True)
        expected = (values - mean) / std
        # The angle of a negative real number is pi or -pi, as rounding has it.
        certain = np.abs(np.abs(np.angle(spectrum)) - np.pi) > 1e-3
        np.testing.assert_allclose(ours.numpy()[certain], expected[certain], atol=1e-2)
    mask = torch.arange(9).expand(2, 9) < 6
    padded = torch.cat([patches, torch.full((2, 3, 200), 9.0)], dim=1)
    for whole, masked in zip((amplitude, phase), amplitudes_and_phases(padded, mask), strict=True):
        torch.testing.assert_close(masked[:, :6], whole, atol=1e-4, rtol=1e-4)
        assert (masked[:, 6:] == 0).all()


def test_hidden_targets_are_linear_in_the_hidden_states(patches) -> None:
    vq = make_model(hidden_target_weight=0.25).vq
    losses = vq_objective(vq, patches, CHANNELS, TIMES)
    hidden = vq.encode(patches, CHANNELS, TIMES)
    frequency, raw = vq.targets(patches)
    for name, head, target in (
        ("hidden_frequency", vq.head_hidden_freq, frequency),
        ("hidden_raw", vq.head_hidden_raw, raw),
    ):
        predicted = hidden @ head.weight.T + head.bias
        torch.testing.assert_close(losses[name], 0.25 * (predicted - target).square().mean())


def test_hidden_targets_teach_the_encoder_past_the_codes(patches) -> None:
    """Their gradient reaches the encoder though codes let none through."""
    vq = make_model(hidden_target_weight=1.0).vq
    losses = vq_objective(vq, patches, CHANNELS, TIMES)
    (losses["hidden_frequency"] + losses["hidden_raw"]).backward()
    assert vq.encoder.patch_embed.conv1.weight.grad.abs().max() > 0
    assert vq.to_code[0].weight.grad is None


def test_hidden_targets_are_saved(tmp_path) -> None:
    model = make_model(hidden_target_weight=0.5, **LABRAM)
    model.save_pretrained(tmp_path)
    loaded = NeuroLM.from_pretrained(tmp_path)
    assert loaded.config.hidden_target_weight == 0.5 and loaded.config.reconstruction == "frequency"
    assert torch.equal(loaded.vq.head_hidden_phase.weight, model.vq.head_hidden_phase.weight)


def test_what_cannot_be_rebuilt(patches) -> None:
    model = make_model(reconstruction="frequency")
    codes = torch.zeros(2, 6, dtype=torch.long)
    with pytest.raises(ValueError, match=r"no decoder of waveforms .*'reconstruction'"):
        model.vq.decode_codes(codes, CHANNELS, TIMES)
    rebuilt = model.vq.reconstruct(model.vq.codebook.weight[codes], CHANNELS, TIMES)
    assert set(rebuilt) == {"frequency"} and rebuilt["frequency"].shape == (2, 6, 100)
    with pytest.raises(ValueError, match="no decoder of spectra"):
        make_model(reconstruction="temporal").vq.decode_codes(codes, CHANNELS, TIMES)


def test_tokenizer_says_that_it_cannot_rebuild_waveforms(epochs) -> None:
    tokenizer = NeuroLMTokenizer(make_model(reconstruction="frequency"), output="codes")
    codes = tokenizer.fit_transform(epochs[:2])
    with pytest.raises(ValueError, match="no decoder of waveforms"):
        tokenizer.inverse_transform(codes)


def test_amplitudes_are_drawn_as_magnitudes(patches) -> None:
    """Targets and predictions of spectra have the same bins whatever the decoder predicts."""
    model = make_model(frequency_target="amplitude_phase")
    spectra, raw = model.vq.targets(patches)
    decoded, waveforms = model.vq.decode_codes(torch.zeros(2, 6, dtype=int), CHANNELS, TIMES)
    assert spectra.shape == decoded.shape == (2, 6, 100) and raw.shape == waveforms.shape
    torch.testing.assert_close(
        model.vq.all_targets(patches, CHANNELS, TIMES)["frequency"][..., :100], spectra
    )


@pytest.mark.parametrize("settings", [{"reconstruction": "temporal"}, LABRAM])
def test_training_lowers_what_is_left(settings, epochs) -> None:
    from mne_neurolm.patches import make_patches

    model = make_model(**settings)
    model.vq.codebook.initialized.fill_(0.0)
    history = train_tokenizer(
        model,
        [make_patches(epochs.copy().pick(epochs.ch_names[:4]))],
        config=TrainingConfig(max_epochs=5, batch_size=8, lr=3e-3, min_lr=3e-4, progress=False),
    )
    assert history[-1]["loss"] < history[0]["loss"]


def test_logarithms_need_no_statistics_without_a_decoder(epochs) -> None:
    from mne_neurolm.patches import make_patches

    model = make_model(reconstruction="temporal", frequency_target="log_magnitude")
    train_tokenizer(model, [make_patches(epochs[:4])], config=FAST)
    assert (model.vq.log_magnitude_std == 1).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"reconstruction": "spatial"}, "'both', 'temporal', 'frequency'; got 'spatial'"),
        ({"frequency_target": "phase"}, "'log_magnitude', 'amplitude_phase'; got 'phase'"),
        ({"hidden_target_weight": -1.0}, "hidden_target_weight must be 0, .* got -1.0"),
    ],
)
def test_unknown_targets(settings, message) -> None:
    with pytest.raises(ValueError, match=message):
        VQ(NeuroLMConfig(**settings))


def test_sizes_count_what_is_built() -> None:
    for settings in ({}, {"reconstruction": "temporal"}, LABRAM, {"hidden_target_weight": 1.0}):
        model = make_model(**settings)
        sizes = network_sizes(model.config)
        assert sizes.n_vq == sum(p.numel() for p in model.vq.parameters())
        assert sizes.n_decoders == (2 if "reconstruction" not in settings else 1)
