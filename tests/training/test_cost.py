"""The formulas of the cost of training, against what torch counts and keeps."""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils import benchmark
from torch.utils.flop_counter import FlopCounterMode

from mne_neurolm import NeuroLM, NeuroLMConfig
from mne_neurolm.models.layers import checkpoint_activations
from mne_neurolm.models.scoring import answer_log_probs
from mne_neurolm.training import cost, peak
from mne_neurolm.training.config import STAGES, recipe
from mne_neurolm.training.objectives import (
    autoregressive_objective,
    text_objective,
    vq_objective,
)
from mne_neurolm.training.regularization import tuning_loss
from mne_neurolm.training.sizes import network_sizes

PROMPT = list(range(11))
ANSWERS = [[11, 1, 2], [12, 1, 2]]
# Windows, channels, seconds, rows of text, tokens per row.
SHAPES = [(2, 5, 4, 0, 0), (1, 23, 10, 2, 65), (3, 19, 8, 4, 33)]
each_stage = pytest.mark.parametrize("stage", STAGES)
each_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)


@pytest.fixture(scope="module")
def model() -> NeuroLM:
    """A model with all parts: an encoder of its own, and widths that differ."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = NeuroLMConfig.preset(
            "tiny", n_layer=2, n_embd=96, decoder_n_embd=64, separate_encoder=True
        )
        model = NeuroLM(config)
    model.vq.codebook.initialized.fill_(1.0)
    return model


@pytest.fixture(scope="module")
def plain() -> NeuroLM:
    """A model as the presets are."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = NeuroLM(NeuroLMConfig.preset("tiny"))
    model.vq.codebook.initialized.fill_(1.0)
    return model


@pytest.fixture(scope="module")
def of_recipe() -> NeuroLM:
    """A tokenizer as the recipe of the tiny model has it: more to predict, and to read."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        overrides = recipe("tokenizer", "tiny").model.overrides()
        model = NeuroLM(NeuroLMConfig.preset("tiny", **overrides))
    assert model.config.hidden_target_weight and model.config.scalp_components
    model.vq.codebook.initialized.fill_(1.0)
    return model


def prepare(model: NeuroLM, stage: str) -> NeuroLM:
    model = copy.deepcopy(model).requires_grad_(False)
    for part in (
        [model.vq]
        if stage == "tokenizer"
        else [model.backbone, model.channel_embed, model.projection, model.lm_head]
    ):
        part.requires_grad_(True).train()
    return model


def loss_of(model: NeuroLM, stage: str, shape: Sequence[int]) -> Tensor:
    """Return the loss of a step."""
    n_windows, n_channels, n_seconds, n_rows, length = shape
    patches = torch.randn(n_windows, n_channels * n_seconds, 200)
    channels = torch.arange(n_channels).repeat(n_seconds)
    times = torch.arange(n_seconds).repeat_interleave(n_channels)
    text = torch.randint(0, 1000, (n_rows, length)) if n_rows else None
    if stage == "tokenizer":
        words = None
        if text is not None:
            words = torch.randn(n_rows * length, model.config.n_embd)
        return vq_objective(model.vq, patches, channels, times, word_embeddings=words)["loss"]
    if stage == "autoregressive":
        hidden, codes = model.tokenize(patches, channels, times)
        loss = autoregressive_objective(model, hidden, codes, channels, times)["loss"]
    else:
        hidden = model.encode(patches, channels, times)
        labels = torch.zeros(n_windows, dtype=torch.long)
        log_probs = answer_log_probs(
            model, hidden, channels, times, PROMPT, ANSWERS, text_only=False
        )
        loss = tuning_loss(log_probs, labels, [len(answer) for answer in ANSWERS])
    return loss if text is None else loss + text_objective(model, text)["loss"]


@pytest.mark.parametrize("which", ["model", "plain"])
@each_stage
@each_shape
def test_flops(which: str, stage: str, shape: tuple, request: pytest.FixtureRequest) -> None:
    """As torch counts them on the stage's own loss; attention is taken apart to be counted."""
    model = prepare(request.getfixturevalue(which), stage)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        loss_of(model, stage, shape).backward()
    ours = cost.step_flops(model.config, stage, *shape)
    assert ours == pytest.approx(counter.get_total_flops(), rel=1e-3)


@each_shape
def test_flops_of_the_recipe(of_recipe: NeuroLM, shape: tuple) -> None:
    """All but the description of the scalp, which is not trained."""
    model = prepare(of_recipe, "tokenizer")
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        loss_of(model, "tokenizer", shape).backward()
    ours, counted = cost.step_flops(model.config, "tokenizer", *shape), counter.get_total_flops()
    assert ours == pytest.approx(counted, rel=5e-3)
    n_windows, n_channels, n_seconds = shape[:3]
    patches = torch.randn(n_windows, n_channels * n_seconds, 200)
    channels = torch.arange(n_channels).repeat(n_seconds)
    times = torch.arange(n_seconds).repeat_interleave(n_channels)
    with FlopCounterMode(display=False) as counter:
        model.vq.encoder.scalp_embed.describe(patches, channels, times)
    assert ours + counter.get_total_flops() == pytest.approx(counted, rel=1e-3)


def test_flops_of_other_questions(plain: NeuroLM) -> None:
    shape = (2, 5, 4)
    more = cost.step_flops(
        plain.config, "instruct", *shape, prompt_length=40, answer_lengths=(2, 5, 9)
    )
    model = prepare(plain, "instruct")
    answers = [[1] * 2, [2] * 5, [3] * 9]
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        channels = torch.arange(5).repeat(4)
        times = torch.arange(4).repeat_interleave(5)
        hidden = model.encode(torch.randn(2, 20, 200), channels, times)
        labels = torch.zeros(2, dtype=torch.long)
        log_probs = answer_log_probs(
            model, hidden, channels, times, [9] * 40, answers, text_only=False
        )
        tuning_loss(log_probs, labels, [len(answer) for answer in answers]).backward()
    assert more == pytest.approx(counter.get_total_flops(), rel=1e-3)


def kept_bytes(model: NeuroLM, stage: str, shape: Sequence[int], precision: str) -> float:
    """Return the bytes that autograd keeps of a step beside weights and buffers."""
    own = {t.untyped_storage().data_ptr() for t in (*model.parameters(), *model.buffers())}
    kept: dict[int, Tensor] = {}

    def pack(tensor: Tensor) -> Tensor:
        if (address := tensor.untyped_storage().data_ptr()) not in own:
            kept[address] = tensor  # alive, so that no address is used twice
        return tensor

    bfloat16 = torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16")
    with bfloat16, torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss_of(model, stage, shape)
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values())


@pytest.fixture
def fused_attention(monkeypatch) -> None:
    """Let attention keep no weights, as the formulas have it; on CPUs it may, in bfloat16."""
    monkeypatch.setattr("mne_neurolm.models.attention._KEPT_BYTES", 0)


@pytest.mark.usefixtures("fused_attention")
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@each_stage
@each_shape
def test_activations(plain: NeuroLM, stage: str, shape: tuple, precision: str) -> None:
    model = prepare(plain, stage)
    memory = cost.training_memory(model.config, stage, *shape, precision=precision)
    kept = kept_bytes(model, stage, shape, precision)
    # Autograd keeps the bfloat16 copies of weights too, which make up most of the smallest case.
    assert memory.activations + memory.copies == pytest.approx(kept, rel=0.08)


@pytest.mark.usefixtures("fused_attention")
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@each_shape
def test_activations_of_the_recipe(of_recipe: NeuroLM, shape: tuple, precision: str) -> None:
    model = prepare(of_recipe, "tokenizer")
    memory = cost.training_memory(model.config, "tokenizer", *shape, precision=precision)
    kept = kept_bytes(model, "tokenizer", shape, precision)
    assert memory.activations + memory.copies == pytest.approx(kept, rel=0.08)


def test_what_hidden_targets_keep(of_recipe: NeuroLM) -> None:
    """To the byte, in float32; in bfloat16 copies of weights come on top."""
    overrides = recipe("tokenizer", "tiny").model.overrides()
    overrides |= {"hidden_target_weight": 0.0, "scalp_components": 0}
    paper = NeuroLM(NeuroLMConfig.preset("tiny", **overrides))
    paper.vq.codebook.initialized.fill_(1.0)
    kept, ours = [], []
    for model in (of_recipe, paper):
        memory = cost.training_memory(model.config, "tokenizer", *SHAPES[0], precision="float32")
        ours.append(memory.activations)
        kept.append(kept_bytes(prepare(model, "tokenizer"), "tokenizer", SHAPES[0], "float32"))
    assert ours[0] - ours[1] == pytest.approx(kept[0] - kept[1], rel=1e-3)


@each_stage
def test_checkpointed_activations(plain: NeuroLM, stage: str) -> None:
    """Kept are the inputs of blocks; the estimate adds one block that is computed again."""
    shape = SHAPES[1]
    model = prepare(plain, stage)
    whole = cost.training_memory(model.config, stage, *shape, precision="float32")
    saving = cost.training_memory(
        model.config, stage, *shape, precision="float32", activation_checkpointing=True
    )
    checkpoint_activations(model)
    kept = kept_bytes(model, stage, shape, "float32")
    n_blocks = 3 if stage == "tokenizer" else 1  # encoder and decoders are estimated apart
    tokens = 230 + {"tokenizer": 0, "autoregressive": 2 * 64, "instruct": 15 + 2 * 64}[stage]
    one_block = n_blocks * tokens * 192 * (8 + 14 * 4)
    assert saving.activations - one_block == pytest.approx(kept, rel=0.1)
    assert saving.activations < 0.8 * whole.activations


def test_weights_gradients_and_moments(plain: NeuroLM) -> None:
    for stage in STAGES:
        model = prepare(plain, stage)
        memory = cost.training_memory(model.config, stage, 1, 4, 4)
        trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
        assert memory.weights == 4 * sum(p.numel() for p in model.parameters())
        assert memory.gradients == 4 * trained
        assert memory.moments == 8 * trained
        parts = ("weights", "gradients", "moments", "copies", "activations", "transient")
        assert memory.total == sum(getattr(memory, part) for part in parts)


def test_sharding_divides_what_training_holds() -> None:
    config = NeuroLMConfig.preset("xl")
    args = (config, "autoregressive", 1, 23, 44)
    whole = cost.training_memory(*args, n_processes=8)
    parts = cost.training_memory(*args, n_processes=8, strategy="fsdp")
    for name in ("weights", "gradients", "moments"):
        assert getattr(parts, name) == getattr(whole, name) / 8
    assert parts.copies < whole.copies
    assert parts.activations == whole.activations
    alone = cost.training_memory(*args)
    assert whole.copies - alone.copies == alone.gradients, "buckets of DDP"


def test_bytes_of_a_store() -> None:
    assert cost.store_bytes(1 / 3600, 23) == 200 * 23 * 2
    assert cost.store_bytes(25_000, 23) == pytest.approx(830e9, rel=0.01)


def test_hours() -> None:
    config, training = NeuroLMConfig.preset("tiny"), recipe("tokenizer", "b").training
    once = cost.step_flops(config, "tokenizer", 512, 23, 44, 128, 1024)
    # 44 s per window, 512 windows per step, 50 epochs.
    n_steps = 50 * 88 * 3600 / 44 / 512
    total = cost.run_flops(config, "tokenizer", training, 88, 23)
    assert total == pytest.approx(n_steps * once)
    assert cost.run_hours(3600e12, 2, 1e12, 0.25) == 2.0


def test_length_of_windows() -> None:
    assert [cost.window_seconds(n) for n in (23, 62, 4, 16)] == [44, 16, 64, 64]


def test_what_there_is_not() -> None:
    config = NeuroLMConfig.preset("tiny")
    with pytest.raises(
        ValueError, match="'stage2'; choose one of tokenizer, masked, autoregressive"
    ):
        cost.step_flops(config, "stage2", 1, 4, 4)
    with pytest.raises(ValueError, match="got 'zero' and 'bfloat16'"):
        cost.training_memory(config, "tokenizer", 1, 4, 4, strategy="zero")
    for function in (cost.step_flops, cost.training_memory):
        with pytest.raises(ValueError, match="'instruct' trains a language model"):
            function(NeuroLMConfig(), "instruct", 1, 4, 4)


def test_sizes_without_a_language_model() -> None:
    config = NeuroLMConfig(n_layer=1, n_embd=96, decoder_n_layer=1, decoder_n_embd=96)
    sizes = network_sizes(config)
    assert sizes.n_language == 0
    assert sizes.n_total == sizes.n_vq == sum(p.numel() for p in NeuroLM(config).parameters())


# --- devices --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("NVIDIA A100-SXM4-80GB", 312e12),
        ("NVIDIA H100 80GB HBM3", 989e12),
        ("NVIDIA H100 PCIe", 756e12),
        ("NVIDIA H200", 989e12),
        ("NVIDIA L40S", 362e12),
        ("NVIDIA GeForce RTX 4090", 165e12),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", None),
        ("NVIDIA H100 80GB HBM3 MIG 1g.10gb", None),
        ("Tesla V100-SXM2-32GB", None),  # has no bfloat16
        ("NVIDIA L40", None),
    ],
)
def test_stated_peaks(name: str, expected: float | None) -> None:
    assert peak.stated_peak(name, torch.bfloat16) == expected
    assert peak.stated_peak(name, torch.float32) is None


def test_half_precision_of_volta() -> None:
    assert peak.stated_peak("Tesla V100-SXM2-32GB", torch.float16) == 125e12


def test_measured_peak_is_a_bound() -> None:
    """No product on this CPU is much faster than the fastest measured; it is measured once."""
    top = cost.peak_flops("cpu", "float32")
    assert cost.peak_flops(torch.device("cpu"), torch.float32) == top
    size = 256
    x = torch.randn(size, size)
    with FlopCounterMode(display=False) as counter:
        x @ x
    timer = benchmark.Timer("x @ x", globals={"x": x})
    rate = counter.get_total_flops() / timer.timeit(20).median
    assert 0.02 * top < rate < 3 * top
    with pytest.raises(ValueError, match="Unknown precision 'fp32'"):
        cost.peak_flops("cpu", "fp32")


# --- the page -------------------------------------------------------------------------------------

PAGE = Path(__file__).parents[2] / "doc" / "cost.rst"
ROW = re.compile(r"^   (\w+, \w+, \d+, \w+, \w+, \d+, [\d.]+, [\d.]+)$", re.MULTILINE)
N_GPUS, MFU, N_CHANNELS = 8, 0.3, 23


def expected_row(size: str, stage: str, at_a_time: int, strategy: str, checkpointing: str) -> str:
    """Return a row of the page's table as the formulas have it."""
    config, training = NeuroLMConfig.preset(size), recipe(stage, size).training
    hours, n_seconds = (1000, 10) if stage == "instruct" else (25_000, 44)
    n_pieces = -(-training.batch_size // N_GPUS // at_a_time)
    memory = cost.training_memory(
        config,
        stage,
        at_a_time,
        N_CHANNELS,
        n_seconds,
        -(-training.text_batch_size // N_GPUS // n_pieces),
        training.text_length,
        n_processes=N_GPUS,
        strategy=strategy,
        activation_checkpointing=checkpointing == "yes",
    )
    flops = cost.run_flops(config, stage, training, hours, N_CHANNELS, n_seconds)
    times = [
        cost.run_hours(flops, N_GPUS, peak.stated_peak(name, torch.bfloat16), MFU)
        for name in ("A100", "H100 SXM")
    ]
    cells = (size, stage, at_a_time, strategy, checkpointing, f"{memory.total / 1e9:.0f}")
    return ", ".join(map(str, (*cells, *(f"{t:.1f}" for t in times))))


def test_page_says_what_the_formulas_say() -> None:
    text = PAGE.read_text(encoding="utf-8")
    rows = ROW.findall(text)
    # All sizes share the tokenizer of b.
    expected = {(size, stage) for size in ("b", "l", "xl") for stage in STAGES[1:]}
    assert {tuple(row.split(", ")[:2]) for row in rows} == expected | {("b", "tokenizer")}
    for row in rows:
        size, stage, at_a_time, strategy, checkpointing, *_ = row.split(", ")
        assert row == expected_row(size, stage, int(at_a_time), strategy, checkpointing)
        assert float(row.split(", ")[5]) < 75, "a GPU of 80 GB needs some reserve"
    assert f"{cost.store_bytes(25_000, 23) / 1e9:.0f} GB" in text
