"""The benchmark of speed: its counts, its files, and that both sides are timed in turn."""

from __future__ import annotations

import itertools
import json
import sys
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from mne_neurolm import get_task
from mne_neurolm.models.hub import load_language_model
from mne_neurolm.patches import make_patches

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
SCRIPTS = [
    "agreement",
    "bench",
    "flops",
    "linear_cost",
    "released_code",
    "released_inputs",
    "side_by_side",
]
SCRIPTS += ["tables", "timing", "workloads"]
CPU = torch.device("cpu")
# A stand-in for a checkout: the names that its scripts use, and next to nothing behind them.
RELEASED = {
    "model/__init__.py": "",
    "model/model.py": """
from dataclasses import dataclass

@dataclass
class GPTConfig:
    n_layer: int
    n_head: int
    n_embd: int
    block_size: int
    bias: bool
    dropout: float
    vocab_size: int
""",
    "model/model_neural_transformer.py": """
class NTConfig:
    def __init__(self, **kwargs):
        self.__dict__.update(kwargs)
""",
    "model/model_vq.py": """
import torch
from torch import nn
from transformers import GPT2LMHeadModel

class Book(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(16, 4), requires_grad=False)
        self.register_buffer("initted", torch.zeros(1))

class VQ(nn.Module):
    def __init__(self, encoder, decoder):
        super().__init__()
        print("talkative")
        assert encoder.n_layer == 12 and decoder.in_chans == 128
        self.quantize = nn.Module()
        self.quantize.embedding = Book()

    def get_codebook_indices(self, x, chans, times, mask):
        assert self.quantize.embedding.initted
        assert not self.training and not x[~mask].any()
        return mask.long().cumsum(1)

class VQ_Align(nn.Module):
    def __init__(self, encoder, decoder):
        super().__init__()
        self.VQ = VQ(encoder, decoder)
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x, freq=None, raw=None, chans=None, times=None, mask=None, alpha=0):
        if freq is None:
            return self.scale.sum()
        assert freq.shape[:2] == raw.shape[:2] == mask.shape
        return (self.scale * raw.mean()).sum(), self.scale.sum(), {}

    def configure_optimizers(self, weight_decay, learning_rate, betas, device_type):
        return torch.optim.AdamW(self.parameters(), lr=learning_rate, betas=betas)
""",
    "model/model_neurolm.py": """
import torch
from torch import nn
from transformers import GPT2LMHeadModel

class NeuroLM(nn.Module):
    def __init__(self, config, init_from):
        super().__init__()
        assert init_from == "gpt2"
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x, y, text, y_text, chans, times, mask, eeg_mask=None, eeg_text_mask=None):
        n = x.shape[1] + (0 if text is None else text.shape[1])
        allowed = eeg_mask if text is None else eeg_text_mask
        assert allowed.shape == (len(x), 1, n, n) and allowed.dtype == torch.bool
        assert (y == -1 - 50304).any()
        return (self.scale * x.mean()).sum(), {}, None

    def generate(self, x, text, chans, times, mask, eeg_text_mask, max_new_tokens):
        assert max_new_tokens == 5 and not self.training
        assert x.shape[1] == 276 and text.shape[1] == 13
        return text

    def configure_optimizers(self, weight_decay, learning_rate, betas, device_type):
        return torch.optim.AdamW(self.parameters(), lr=learning_rate, betas=betas)
""",
}


@pytest.fixture(scope="module")
def scripts():
    """Import the scripts as they import one another."""
    sys.path.insert(0, str(BENCHMARKS))
    try:
        return SimpleNamespace(**{name: import_module(name) for name in SCRIPTS})
    finally:
        sys.path.remove(str(BENCHMARKS))


@pytest.fixture(scope="module")
def model(scripts):
    return scripts.workloads.random_model("tiny", CPU)


@pytest.fixture
def checkout(tmp_path):
    for name, text in RELEASED.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def counted(function) -> int:
    """Return the operations that torch counts, of all pairs in attention."""
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        function()
    return counter.get_total_flops()


def test_pairs_are_those_of_the_mask(scripts) -> None:
    from mne_neurolm.models.masks import stair_step_mask

    times = torch.tensor([0, 0, 0, 1, 1, 1, *range(2, 7), 7, 8, 7])
    branches = torch.tensor([0] * 11 + [1, 1, 2])
    assert scripts.flops.allowed_pairs(3, 2, 5, [2, 1]) == stair_step_mask(times, branches).sum()


def test_counts_agree_with_those_of_torch(scripts, model, monkeypatch) -> None:
    # Products that torch hands to another library are not counted.
    monkeypatch.setattr("mne_neurolm.utils.products.mkl_holds_back", lambda: False)
    flops, works, config = scripts.flops, scripts.workloads, model.config
    eeg = works.random_eeg(2, 3, 4, CPU)
    assert counted(lambda: model.tokenize(*eeg)) == flops.encode_flops(config, 2, 3, 4)

    hidden = model.encode(*eeg)
    n_tokens, n_rows, width = 12 + 13 + 4, 5, 192
    n_hidden_pairs = n_tokens**2 - flops.allowed_pairs(3, 4, 13, [2, 2])
    attention = 2 * 2 * 2 * width * config.text_config.n_layer * n_hidden_pairs

    @torch.no_grad()
    def answer() -> None:
        works.answer_log_probs(
            model, hidden, *eeg[1:], works.prompt_of(model), works.ANSWERS, text_only=False
        )

    # With the whole merged vocabulary, which text_only=False needs.
    expected = flops.answer_flops(config, 2, 3, 4, 13, [3, 3], cached=True)
    expected += 2 * 2 * n_rows * width * (model.lm_head.out_features - config.sep_token_id)
    assert 0.95 * expected <= counted(answer) <= expected + attention
    # Steps.
    expected = flops.instruction_step_flops(config, 2, 3, 4, 13, [3, 3])
    with works.prepared(model, "instruction step", eeg, "float32") as step:
        assert 0.95 * expected <= counted(step) <= 1.01 * (expected + 3 * attention)
    expected = flops.autoregressive_step_flops(config, 2, 3, 4)
    with works.prepared(model, "autoregressive step", eeg, "float32") as step:
        assert 0.95 * expected <= counted(step) <= 1.4 * expected  # the last second included
    expected = flops.vq_step_flops(config, 2, 3, 4, works.WORDS)
    with works.prepared(model, "VQ step", eeg, "float32") as step:
        assert counted(step) == pytest.approx(expected, rel=0.02)
    assert all(p.requires_grad and p.grad is None for p in model.parameters())


def test_a_step_is_training(scripts, model) -> None:
    eeg = scripts.workloads.random_eeg(2, 2, 3, CPU)
    for work in ("VQ step", "autoregressive step", "instruction step"):
        before = {name: p.clone() for name, p in model.named_parameters()}
        with scripts.workloads.prepared(model, work, eeg, "bfloat16") as step:
            step()
        changed = {n for n, p in model.named_parameters() if not torch.equal(p, before[n])}
        assert changed and {n.startswith("vq.") for n in changed} == {work == "VQ step"}


def test_peak_memory_is_of_the_work_alone(scripts) -> None:
    with scripts.timing.peak_memory(CPU) as big:
        torch.ones(30_000_000)
    with scripts.timing.peak_memory(CPU) as small:
        torch.ones(1_000_000)
    if big.n_bytes is None:
        pytest.skip("this system does not tell the peak of memory")
    assert 1.1e8 < big.n_bytes < 1.8e8
    assert small.n_bytes < 2e7


def test_command(scripts, tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.setitem(scripts.timing._SHAPES, "cpu", ((64, 64, 64),))
    path = tmp_path / "result.json"
    arguments = ["--presets", "tiny", "--shapes", "2x3", "--seconds", "0", "--batch-size", "2"]
    arguments += ["--device", "cpu"]
    assert scripts.bench.main([*arguments, "--json", str(path)]) == 0
    printed = capsys.readouterr()
    assert "64 x 64 x 64" in printed.out and "100%" in printed.err
    content = json.loads(path.read_text())
    assert scripts.tables.load(path) == content
    works, dtypes = scripts.workloads.WORKS, scripts.workloads.DTYPES
    assert [(r["work"], r["dtype"]) for r in content["rows"]] == [*itertools.product(works, dtypes)]
    for row in content["rows"]:
        assert row["runs"] == 1 and row["batch_size"] == 2 and row["shape"] == "2x3"
        rate = row["windows_per_second"] * row["flops_per_window"]
        product = content["header"]["products"][row["dtype"]]["flops"]
        assert row["share"] == pytest.approx(rate / product)

    # A run of another machine, half as fast.
    content["header"]["machine"] = "a slower one"
    for row in content["rows"]:
        row["windows_per_second"] = 1e-9
    path.write_text(json.dumps(content))
    arguments += ["--works", "encode", "--dtypes", "float32", "--compare", str(path)]
    assert scripts.bench.main(arguments) == 0
    printed = capsys.readouterr()
    assert "speed ratio" in printed.out and "a slower one then" in printed.err
    path.write_text("[]")
    with pytest.raises(ValueError, match="--json wrote"):
        scripts.bench.main(arguments)


def test_ratios_to_an_earlier_run(scripts) -> None:
    row = {
        "preset": "tiny",
        "work": "encode",
        "shape": "2x3",
        "dtype": "float32",
        "batch_size": 8,
        "compiled": False,
        "windows_per_second": 30.0,
        "runs": 1,
        "peak_bytes": 2e6,
        "flops_per_window": 1e9,
        "share": 0.5,
    }
    earlier = {"rows": [{**row, "windows_per_second": 20.0, "peak_bytes": 4e6}]}
    cells = scripts.tables.main_table([row], earlier).splitlines()[-1].split()
    assert cells[-2:] == ["1.50", "0.50"]
    other = scripts.tables.main_table([{**row, "shape": "2x4", "share": None}], earlier)
    assert other.splitlines()[-1].split()[-3:] == ["-", "-", "-"]


def test_sides_take_turns(scripts) -> None:
    durations = {"reference": [9.0, 8.0, 8.5], "float32": [4.0, 2.0, 3.0], "bfloat16": [2, 1, 1]}
    order: list[str] = []
    now = 0.0

    def side(name: str):
        def run() -> None:
            nonlocal now
            now += durations[name][order.count(name)]
            order.append(name)

        return run

    times = scripts.side_by_side.in_turn(
        {name: side(name) for name in durations}, 3, lambda: None, lambda: None, lambda: now
    )
    assert order == 3 * ["reference", "float32", "bfloat16"]
    assert times == durations
    comparison = scripts.side_by_side.COMPARISONS["answer-19x4"]
    row = scripts.side_by_side._row(comparison, times, "float32")
    assert row["reference"] == 1.0 and row["ours"] == {"float32": 4.0, "bfloat16": 8.0}
    assert row["ratios"] == row["ours"] and row["runs"] == 3
    table = scripts.side_by_side.comparison_table([row])
    assert table.count("missed") == 2 and " ok" not in table
    row["ratios"]["float32"] = 8.5
    assert "8.5 ok" in scripts.side_by_side.comparison_table([row])


def test_a_checkout_is_driven(scripts, checkout, capsys) -> None:
    chosen = [
        scripts.side_by_side.Comparison(
            c.label, c.work, c.theirs, 2, 3, 2, c.floors, c.needs
        )
        for c in scripts.side_by_side.COMPARISONS.values()
    ]  # fmt: skip
    path = list(sys.path)
    rows = list(scripts.side_by_side.compare_all(checkout, chosen, 2, CPU, preset="tiny"))
    assert [row["label"] for row in rows] == [c.label for c in chosen]
    assert all(len(times) == 2 for row in rows for times in row["times"].values())
    assert sys.path == path and not any(name.startswith("model.") for name in sys.modules)
    assert "talkative" not in capsys.readouterr().out
    with pytest.raises(FileNotFoundError, match="no checkout"):
        scripts.released_code.ReleasedCode(checkout / "model", CPU)


def test_inputs_of_the_released_code(scripts) -> None:
    inputs = scripts.released_inputs
    eeg = inputs.padded_eeg(2, 2, 3, 8, CPU)
    assert eeg.mask.sum(1).tolist() == [6, 6] and eeg.times[0].tolist() == [0, 0, 1, 1, 2, 2, 0, 0]
    assert eeg.channels[0].tolist() == [0, 1, 0, 1, 0, 1, 136, 136]
    mask = inputs.stair_mask(eeg, 1)
    assert mask[1, 0].int().tolist() == [
        [1, 1, 0, 0, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0, 0, 0, 0],
        [1, 1, 1, 1, 0, 0, 0, 0, 0],
        [1, 1, 1, 1, 0, 0, 0, 0, 0],
        *[[1, 1, 1, 1, 1, 1, 0, 0, 0]] * 4,
        [1, 1, 1, 1, 1, 1, 0, 0, 1],
    ]
    codes = torch.arange(16).view(2, 8)
    targets = inputs.code_targets(eeg, codes) + inputs.N_TEXT_ROWS
    assert targets[1].tolist() == [50314, 50315, 50316, 50317, -1, -1, -1, -1]
    texts, words = inputs.answer_texts([5, 6], [[7, 8], [9, 8]], 2, CPU)
    assert texts[1, :5].tolist() == [5, 6, 9, 8, 50256] and texts.shape == (2, 80)
    assert words[1, :4].tolist() == [-1, 9, 8, -1]
    spectra, waves = inputs.spectra_and_waves(eeg)
    assert waves[0, :6].std() == pytest.approx(1) and not waves[0, 6:].any()
    assert spectra.shape == (2, 8, 100) and not spectra[0, 6:].any()


def test_growth_of_cost(scripts, tmp_path, capsys) -> None:
    series = scripts.linear_cost.Series("encode", [1, 2, 4], [0.5, 1.0, 2.0])
    assert series.slope == pytest.approx(1)
    out = tmp_path / "cost.png"
    arguments = ["--most-windows", "2", "--most-patches", "32", "--seconds", "0"]
    assert scripts.linear_cost.main([*arguments, "--device", "cpu", "--out", str(out)]) == 0
    assert capsys.readouterr().out.count("slope") == 2
    assert out.stat().st_size > 1000


@pytest.mark.parametrize("task", ["workload", "hmc"])
def test_the_fast_ways_agree_with_the_plain_one(scripts, epochs, task) -> None:
    """Trained weights, two or five answers of different lengths."""
    agreement = scripts.agreement
    model = load_language_model("tiny-joint").eval()
    question = get_task(task).encode(model.text_tokenizer, model.config.sep_token_id)
    patches = make_patches(epochs[:6])
    plain = agreement.plainly(model, patches, question)
    exact = agreement.as_the_package(model, patches, question, "float32")
    found = agreement.compare(exact, plain)
    assert found["windows"] == 6
    assert found["argmax_same"] == 1.0
    assert found["codes_same"] > 0.99
    assert found["log_prob_max"] < 1e-4
    halves = agreement.as_the_package(model, patches, question, "bfloat16")
    assert 0 < agreement.compare(halves, exact)["p_max"] < 0.05
