"""What from_pretrained refuses, and what save_pretrained writes."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from mne_neurolm import NeuroLM, NeuroLMConfig
from mne_neurolm.models import hub
from mne_neurolm.models.config import PRESETS
from mne_neurolm.models.text import find_text_tokenizer

WEIGHTS = "model.safetensors"


@pytest.fixture
def saved(small_model: NeuroLM, tmp_path: Path) -> Path:
    """Return a fresh folder with the small model."""
    small_model.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def rewrite(folder: Path, **changes: torch.Tensor | None) -> None:
    """Replace, add or (None) drop tensors of a saved model."""
    state = load_file(folder / WEIGHTS) | changes
    kept = {key: tensor for key, tensor in state.items() if tensor is not None}
    save_file(kept, folder / WEIGHTS, metadata={"format": "pt"})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lm_head.weight": None}, r"1 missing: lm_head\.weight"),
        ({"foreign.weight": torch.ones(2)}, r"1 unexpected: foreign\.weight"),
        (
            {"channel_embed.weight": torch.ones(3, 32)},
            r"shape: channel_embed\.weight \(file \(3, 32\), config\.json \(256, 32\)\)",
        ),
    ],
)
def test_keys_that_do_not_fit_are_named(saved: Path, changes: dict, message: str) -> None:
    rewrite(saved, **changes)
    with pytest.raises(ValueError, match=message) as caught:
        NeuroLM.from_pretrained(saved)
    assert str(saved) in str(caught.value)


def test_caller_may_judge_the_keys(saved: Path) -> None:
    model, info = NeuroLM.from_pretrained(saved, output_loading_info=True)
    assert isinstance(model, NeuroLM)
    assert not info["missing_keys"]
    rewrite(saved, **{"lm_head.weight": None, "channel_embed.weight": torch.ones(3, 32)})
    _, info = NeuroLM.from_pretrained(saved, output_loading_info=True)
    assert info["missing_keys"] == {"lm_head.weight"}
    assert {key for key, *_ in info["mismatched_keys"]} == {"channel_embed.weight"}


@pytest.mark.parametrize("size", [0, 5, 1000, 200_000])
def test_truncated_weights(saved: Path, size: int) -> None:
    content = (saved / WEIGHTS).read_bytes()
    assert len(content) > size
    (saved / WEIGHTS).write_bytes(content[:size])
    with pytest.raises(ValueError, match="truncated or damaged") as caught:
        NeuroLM.from_pretrained(saved)
    assert str(saved) in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"has no config\.json"),
        ("{", "can't be read as JSON"),
        ("[1]", "type None"),
        (json.dumps({"model_type": "bert"}), "type 'bert' .* needed is 'neurolm'"),
    ],
)
def test_foreign_folder(saved: Path, content: str | None, message: str) -> None:
    path = saved / "config.json"
    path.unlink() if content is None else path.write_text(content)
    with pytest.raises(ValueError, match=message):
        NeuroLM.from_pretrained(saved)


def test_path_is_never_a_hub_id() -> None:
    with pytest.raises(ValueError, match="There is no folder user/model"):
        NeuroLM.from_pretrained(Path("user/model"))


def test_folder_without_text_tokenizer(saved: Path) -> None:
    """The language model is there; words may come later."""
    (saved / "tokenizer.json").unlink()
    assert NeuroLM.from_pretrained(saved).text_tokenizer is None
    assert hub.load_language_model(saved).text_tokenizer is not None


def test_repository_without_text_tokenizer(monkeypatch: pytest.MonkeyPatch) -> None:
    import transformers.utils

    asked = []

    def refuse(name: str, file: str, **options: object) -> None:
        asked.append((name, file, options))
        raise OSError("404")

    monkeypatch.setattr(transformers.utils, "cached_file", refuse)
    assert find_text_tokenizer("user/model", revision="v1") is None
    assert asked == [("user/model", "tokenizer.json", {"revision": "v1"})]


def test_damaged_text_tokenizer(saved: Path) -> None:
    (saved / "tokenizer.json").write_text('{"version": ')
    with pytest.raises(ValueError, match="text tokenizer in .* can't be read"):
        NeuroLM.from_pretrained(saved)


def test_folder_that_is_a_file(small_model: NeuroLM, tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.write_text("mine")
    with pytest.raises(ValueError, match="is a file; a model is written to a folder"):
        small_model.save_pretrained(path)
    assert path.read_text() == "mine"


def test_files_show_no_progress_bars(
    small_model: NeuroLM, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from transformers.utils import logging

    logging.enable_progress_bar()
    small_model.save_pretrained(tmp_path)
    NeuroLM.from_pretrained(tmp_path)
    assert capfd.readouterr().err == ""
    assert logging.is_progress_bar_enabled()


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
@torch.no_grad()
def test_adapters_are_written_merged(kind: str, small_model: NeuroLM, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    model = copy.deepcopy(small_model)
    if kind == "llama":
        text = {
            "model_type": "llama",
            "vocab_size": 1024,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "hidden_size": 32,
            "intermediate_size": 64,
        }
        fields = small_model.config.to_dict() | {"text_config": text}
        model = NeuroLM(NeuroLMConfig(**fields)).eval()
    config = peft.LoraConfig(target_modules="all-linear", fan_in_fan_out=kind == "gpt2")
    peft.inject_adapter_in_model(config, model.backbone)
    torch.manual_seed(0)
    for name, parameter in model.named_parameters():
        if "lora_" in name:  # one of the two starts at zero
            torch.nn.init.normal_(parameter, std=0.1)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.save_pretrained(tmp_path)
    after = model.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], before[name]) for name in before)

    loaded = NeuroLM.from_pretrained(tmp_path)
    assert not any("lora" in name for name in loaded.state_dict())
    ids = torch.arange(10)[None]
    expected, got, plain = (
        m.logits(m(input_ids=ids).last_hidden_state) for m in (model, loaded, small_model)
    )
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-5)
    assert (got - plain).abs().max() > 1e-3


# --- fingerprint of all weights ------------------------------------------------------------------


def test_fingerprint_of_all_weights(small_model: NeuroLM) -> None:
    other = copy.deepcopy(small_model)
    assert other.extra_repr() == small_model.extra_repr()
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        assert other.extra_repr() == small_model.extra_repr()
    finally:
        torch.set_num_threads(threads)
    other.lm_head.weight.data[-1, -1] += 1e-6
    assert other.extra_repr() != small_model.extra_repr()


def test_model_without_data_has_a_repr() -> None:
    with torch.device("meta"):
        model = NeuroLM(NeuroLMConfig(**PRESETS["tiny"]))
    assert "weights: " in repr(model)
