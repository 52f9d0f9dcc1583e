"""LaBraM's second stage: masks, the objective against a plain computation, and runs."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from launching import SMALL, kill_when, n_logged, numbers, start, write_store
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from mne_neurolm import NeuroLM, NeuroLMClassifier, NeuroLMConfig, NeuroLMTokenizer
from mne_neurolm.patches import Patches, make_patches
from mne_neurolm.prepare_text import main as prepare_text
from mne_neurolm.pretrain import main as pretrain
from mne_neurolm.training import TrainingConfig, cost, train_masked
from mne_neurolm.training.masked import (
    CodePredictor,
    MaskedStage,
    add_encoder,
    draw_masks,
    masked_objective,
)

N_CHANNELS, N_SECONDS = 3, 3
CHANNELS = torch.tensor([3, 7, 9] * N_SECONDS)
TIMES = torch.arange(N_SECONDS).repeat_interleave(N_CHANNELS)
FAST = TrainingConfig(max_epochs=6, batch_size=8, lr=3e-3, min_lr=3e-4, progress=False)
STEPS = 8
# A fixture's runs count as part of the first test.
pytestmark = pytest.mark.timeout(900)


@pytest.fixture
def model(small_model: NeuroLM) -> NeuroLM:
    return copy.deepcopy(small_model)


@pytest.fixture(scope="module")
def data(epochs) -> list[Patches]:
    few = epochs.copy().pick(epochs.ch_names[:5]).crop(tmax=1.995)
    return [make_patches(epochs.copy().pick(epochs.ch_names[:4])), make_patches(few)]


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# --- masks ---------------------------------------------------------------------------------------


def test_masks_hide_the_same_number_in_every_window() -> None:
    patches = noise(40, 9, 200)
    hidden = draw_masks(patches, 0.5, seed=0, step=0)
    assert (hidden.sum(dim=1) == 5).all(), "of 9 patches int(4.5) = 4 are kept"
    assert (draw_masks(patches, 0.25, seed=0, step=0).sum(dim=1) == 3).all()
    # Every patch is hidden about as often as others, and windows differ.
    assert hidden.float().mean(dim=0).sub(5 / 9).abs().max() < 0.3
    assert len({tuple(row.tolist()) for row in hidden}) > 20


def test_masks_depend_on_seed_step_and_window_only() -> None:
    patches = noise(6, 8, 200)
    hidden = draw_masks(patches, 0.5, seed=0, step=3)
    order = torch.tensor([4, 1, 5])
    assert torch.equal(draw_masks(patches[order], 0.5, seed=0, step=3), hidden[order])
    assert torch.equal(draw_masks(patches, 0.5, seed=0, step=3), hidden)
    assert not torch.equal(draw_masks(patches, 0.5, seed=0, step=4), hidden)
    assert not torch.equal(draw_masks(patches, 0.5, seed=1, step=3), hidden)


# --- the objective -------------------------------------------------------------------------------


@torch.no_grad()
def test_objective_against_a_plain_computation(model: NeuroLM) -> None:
    add_encoder(model, 0)
    predictor = CodePredictor(model.config)
    patches = noise(2, 9, 200)
    hidden = torch.rand(2, 9, generator=torch.Generator().manual_seed(1)) < 0.5
    ours = masked_objective(model, predictor, patches, CHANNELS, TIMES, hidden)
    codes = model.vq.codes(model.vq.encode(patches, CHANNELS, TIMES))
    encoder, sums, hits = model.encoder, [], []
    for mask in (hidden, ~hidden):
        x = encoder.patch_embed(patches)
        for sample in range(2):
            for patch in range(9):
                if mask[sample, patch]:
                    x[sample, patch] = predictor.mask_token
        x = x + encoder.pos_embed(CHANNELS) + encoder.time_embed(TIMES)
        for block in encoder.blocks:
            x = block(x)
        logits = predictor.head(encoder.fc_norm(x))
        one = [
            F.cross_entropy(logits[i, j], codes[i, j])
            for i in range(2)
            for j in range(9)
            if mask[i, j]
        ]
        hits += [
            (logits[i, j].argmax() == codes[i, j]) for i in range(2) for j in range(9) if mask[i, j]
        ]
        sums.append(torch.stack(one).mean())
    torch.testing.assert_close(ours["loss"], sums[0] + sums[1])
    torch.testing.assert_close(ours["masked"], (sums[0] + sums[1]) / 2)
    assert float(ours["masked_accuracy"]) == pytest.approx(float(torch.stack(hits).float().mean()))


@torch.no_grad()
def test_a_hidden_patch_does_not_matter_to_its_own_state(model: NeuroLM) -> None:
    """But for group norms, whose statistics are those of all patches, as in LaBraM's code."""
    add_encoder(model, 0)
    encoder, token = model.encoder, noise(32)
    patches = noise(1, 9, 200)
    hidden = torch.arange(9)[None] == 4
    other = patches.clone()
    other[0, 4] = patches[0, 4].flip(0)  # the same samples backwards
    for norm in ("norm1", "norm2", "norm3"):
        setattr(encoder.patch_embed, norm, torch.nn.GroupNorm(16, 16))  # per channel
    seen = [encoder(x, CHANNELS, TIMES) for x in (patches, other)]
    unseen = [encoder(x, CHANNELS, TIMES, hide=(hidden, token)) for x in (patches, other)]
    assert (seen[0] - seen[1]).abs().max() > 1e-2
    assert (unseen[0] - unseen[1]).abs().max() < (seen[0] - seen[1]).abs().max() / 3


def test_a_single_patch(model: NeuroLM) -> None:
    add_encoder(model, 0)
    hidden = draw_masks(noise(2, 1, 200), 0.5, seed=0, step=0)
    assert hidden.all()
    losses = masked_objective(
        model, CodePredictor(model.config), noise(2, 1, 200), CHANNELS[:1], TIMES[:1], hidden
    )
    assert torch.isfinite(losses["loss"])


# --- the stage -----------------------------------------------------------------------------------


def test_stage_learns_an_encoder_and_nothing_else(model: NeuroLM, small_model, data) -> None:
    history = train_masked(model, data, config=FAST)
    assert len(history) == 6 and set(history[0]) == {"loss", "masked", "masked_accuracy"}
    assert history[-1]["masked"] < history[0]["masked"]
    assert model.config.separate_encoder and not model.training
    old, new = small_model.state_dict(), model.state_dict()
    assert all(torch.equal(old[name], new[name]) for name in old)
    assert {name.split(".")[0] for name in set(new) - set(old)} == {"encoder"}
    # What masks and predicts is no part of the model.
    assert not any("mask_token" in name or "predictor" in name for name in new)
    assert model.encoder_id() != small_model.encoder_id()


def test_stage_repeats_itself_and_goes_on(model: NeuroLM, data) -> None:
    config = dataclasses.replace(FAST, max_epochs=1)
    runs = [copy.deepcopy(model) for _ in range(2)]
    state = torch.random.get_rng_state()
    histories = [train_masked(run, data, config=config) for run in runs]
    assert histories[0] == histories[1]
    assert torch.equal(torch.random.get_rng_state(), state)
    before = copy.deepcopy(runs[0].encoder.state_dict())
    add_encoder(runs[0], 5)  # has one already
    assert all(torch.equal(t, before[name]) for name, t in runs[0].encoder.state_dict().items())
    assert train_masked(runs[0], data, config=config)[-1]["masked"] < histories[0][-1]["masked"]


def test_new_encoders_start_as_those_of_new_models(model: NeuroLM) -> None:
    add_encoder(model, 0)
    config = NeuroLMConfig(
        **{
            **{k: getattr(model.config, k) for k in ("n_layer", "n_head", "n_embd")},
            "decoder_n_layer": 1,
            "decoder_n_head": 2,
            "decoder_n_embd": 32,
            "codebook_size": 64,
            "codebook_dim": 16,
            "separate_encoder": True,
        }
    )
    torch.manual_seed(0)
    fresh = NeuroLM(config).encoder.state_dict()
    for name, tensor in model.encoder.state_dict().items():
        assert tensor.std() == pytest.approx(float(fresh[name].std()), rel=0.3, abs=1e-6), name


def test_new_encoders_know_what_was_measured() -> None:
    """What the tokenizer's stage has measured on the training data is part of the encoder."""
    config = NeuroLMConfig(
        n_layer=1,
        n_head=2,
        n_embd=32,
        decoder_n_layer=1,
        decoder_n_head=2,
        decoder_n_embd=32,
        scalp_components=3,
    )
    model = NeuroLM(config)
    model.vq.encoder.scalp_embed.mean.fill_(2.0)
    model.vq.encoder.scalp_embed.components.fill_(3.0)
    add_encoder(model, 0)
    assert (model.encoder.scalp_embed.mean == 2).all()
    assert (model.encoder.scalp_embed.components == 3).all()
    assert not config.separate_encoder, "a configuration may be shared"


def test_stage_refuses_what_cannot_be(model: NeuroLM, small_config, data) -> None:
    with pytest.raises(ValueError, match="codebook was never trained"):
        train_masked(NeuroLM(small_config), data, config=FAST)
    with pytest.raises(ValueError, match="no samples"):
        train_masked(model, [], config=FAST)
    with pytest.raises(ValueError, match=r"mask_ratio is a share .* got 1\.0"):
        MaskedStage(model, mask_ratio=1.0)
    with pytest.raises(ValueError, match="mask_ratio"):
        dataclasses.replace(FAST, mask_ratio=0.0)


def test_estimators_read_through_the_new_encoder(model: NeuroLM, epochs, labels, tmp_path) -> None:
    add_encoder(model, 0)
    model.save_pretrained(tmp_path)
    loaded = NeuroLM.from_pretrained(tmp_path)
    tokenizer = NeuroLMTokenizer(loaded, output="embeddings", dtype="float32").fit(epochs)
    patches = make_patches(epochs[:2])
    with torch.no_grad():
        expected = loaded.encoder(
            *(torch.from_numpy(a) for a in (patches.data, patches.channels, patches.times))
        )
    np.testing.assert_allclose(tokenizer.transform(epochs[:2]), expected, atol=1e-5)


# --- runs ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with LaBraM's runs "tokenizer" and "masked", of a store and text."""
    folder = tmp_path_factory.mktemp("labram")
    (folder / "text.txt").write_text("The quick brown fox jumps over the lazy dog. " * 200)
    assert prepare_text([str(folder / "text.txt"), "--output", str(folder / "text")]) == 0
    write_store(folder / "store")
    for stage in ("tokenizer", "masked"):
        assert pretrain([stage, *flags(folder, stage, folder / stage)]) == 0
    return folder


def flags(folder: Path, stage: str, output: Path) -> list[str]:
    listed = ["--store", folder / "store", "--output", output, *SMALL, "--max-steps", STEPS]
    listed += ["--batch-size", 5, "--data.num-workers", 0, "--checkpoint.every-steps", 3]
    listed += ["--text", folder / "text"]
    if stage in ("tokenizer", "masked"):
        listed += ["--ablation", "labram"]
    before = {"masked": "tokenizer", "autoregressive": "masked", "instruct": "masked"}
    if stage in before:
        listed += ["--init", folder / before[stage]]
    if stage == "instruct":
        listed += ["--tasks", "workload"]
    return list(map(str, listed))


def test_run_of_labram(runs: Path, epochs, labels) -> None:
    first = numbers(runs / "tokenizer")[-1]
    assert {"frequency", "phase", "val_phase"} <= set(first) and "raw" not in first
    log = numbers(runs / "masked")
    assert log[-1]["masked"] < log[0]["masked"]
    assert {"masked_accuracy", "val_masked"} <= set(log[-1])
    assert "text" not in log[-1], "the stage reads no text"
    model = NeuroLM.from_pretrained(runs / "masked" / "model")
    assert model.config.separate_encoder and model.config.reconstruction == "frequency"
    card = (runs / "masked" / "model" / "README.md").read_text()
    assert "stage: masked" in card and "| masked |" in card and "ablation: labram" in card
    before = NeuroLM.from_pretrained(runs / "tokenizer" / "model").state_dict()
    assert all(
        torch.equal(before[name], t)
        for name, t in model.state_dict().items()
        if not name.startswith("encoder.")
    )


def test_run_goes_on_to_the_other_stages(runs: Path, tmp_path: Path, epochs, labels) -> None:
    trained = NeuroLM.from_pretrained(runs / "masked" / "model").encoder.state_dict()
    for stage in ("autoregressive", "instruct"):
        assert pretrain([stage, *flags(runs, stage, tmp_path / stage)]) == 0
        model = NeuroLM.from_pretrained(tmp_path / stage / "model")
        assert all(torch.equal(t, trained[name]) for name, t in model.encoder.state_dict().items())
    tokens = NeuroLMTokenizer(model).fit_transform(epochs)
    classifier = NeuroLMClassifier("workload", model, tune=None)
    proba = classifier.fit(tokens, (labels == "active").astype(int)).predict_proba(tokens)
    np.testing.assert_allclose(proba.sum(axis=1), 1.0, rtol=1e-5)


def test_killed_and_resumed_run(runs: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    settings = flags(runs, "masked", run)
    process = start("masked", settings)
    assert kill_when(process, lambda: n_logged(run) >= 4)
    assert pretrain(["masked", *settings, "--resume"]) == 0
    assert numbers(run) == numbers(runs / "masked")
    ours, theirs = (NeuroLM.from_pretrained(r / "model") for r in (run, runs / "masked"))
    for name, tensor in theirs.state_dict().items():
        assert torch.equal(tensor, ours.state_dict()[name]), name
    assert yaml.safe_load((run / "config.yaml").read_text())["ablation"] == "labram"


def test_pieces_change_nothing(runs: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    settings = [*flags(runs, "masked", run), "--micro-batch-size", "2"]
    assert pretrain(["masked", *settings]) == 0
    for one, two in zip(numbers(runs / "masked"), numbers(run), strict=True):
        assert one["loss"] == pytest.approx(two["loss"], rel=1e-4)
        assert one["masked_accuracy"] == pytest.approx(two["masked_accuracy"], abs=1e-6)


def test_masked_needs_a_tokenizer(runs: Path, tmp_path: Path, capsys) -> None:
    settings = ["--store", str(runs / "store"), "--output", str(tmp_path / "run"), *SMALL]
    assert pretrain(["masked", *settings]) == 1
    assert "run of the stage 'tokenizer'" in capsys.readouterr().err


# --- cost ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(2, 5, 4), (3, 19, 8)], ids=str)
def test_flops_of_masked_codes(model: NeuroLM, shape: tuple[int, int, int]) -> None:
    """As torch counts them."""
    n_windows, n_channels, n_seconds = shape
    stage = MaskedStage(model)
    stage.train()
    patches = noise(n_windows, n_channels * n_seconds, 200)
    channels = torch.arange(n_channels).repeat(n_seconds)
    times = torch.arange(n_seconds).repeat_interleave(n_channels)
    hidden = draw_masks(patches, 0.5, seed=0, step=0)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        masked_objective(model, stage.predictor, patches, channels, times, hidden)[
            "loss"
        ].backward()
    ours = cost.step_flops(model.config, "masked", *shape)
    assert ours == pytest.approx(counter.get_total_flops(), rel=1e-3)
    memory = cost.training_memory(model.config, "masked", *shape)
    trained = sum(p.numel() for p in stage.parameters() if p.requires_grad)
    assert memory.gradients == 4 * trained and memory.moments == 8 * trained
