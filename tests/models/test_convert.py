"""Conversion of released checkpoints, and what is refused."""

from __future__ import annotations

import os
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
import reference
import torch

from mne_neurolm import NeuroLM, NeuroLMClassifier, NeuroLMTokenizer, convert_checkpoint
from mne_neurolm.convert import main
from mne_neurolm.models import hub
from mne_neurolm.models.checkpoint import load_released
from mne_neurolm.models.convert import load_converted


class _RunsCode:
    """Unpickling this would leave a mark."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.mark),)


def test_directory_has_all_that_both_estimators_need(
    converted_directory: Path, epochs, labels
) -> None:
    names = {path.name for path in converted_directory.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= names
    assert not any(name.endswith((".bin", ".pt", ".pkl")) for name in names)
    tokenizer = NeuroLMTokenizer(converted_directory, dtype="float32").fit(epochs[:2])
    tokens = tokenizer.transform(epochs[:2])
    assert tokens.codes.shape == (2, 19 * 4)
    workload = np.where(labels[:6] == "rest", "No", "Yes")
    classifier = NeuroLMClassifier("workload", converted_directory, tune=None)
    classifier.fit(epochs[:6], workload)
    assert classifier.predict_proba(epochs[:2]).shape == (2, 2)


def test_equal_encoders_are_stored_once(
    released: Path, byte_tokenizer: Path, tmp_path: Path
) -> None:
    """Files that hold the same encoder, as released ones should, give one encoder."""
    shared = {
        name.replace("VQ.encoder.", "tokenizer."): tensor
        for name, tensor in reference.tokenizer_state().items()
        if name.startswith("VQ.encoder.")
    }
    state = reference.language_model_state() | shared
    path = reference.write_language_model(tmp_path / "NeuroLM-B.pt", state)
    model = load_converted(path, released / "VQ.pt", text_tokenizer=byte_tokenizer)
    assert not model.config.separate_encoder
    assert not hasattr(model, "encoder")
    different = load_converted(
        released / "NeuroLM-B.pt", released / "VQ.pt", text_tokenizer=byte_tokenizer
    )
    assert different.config.separate_encoder


def test_compiled_and_resumable_checkpoints(tmp_path: Path) -> None:
    """The prefix of torch.compile goes, and optimizer state with numpy scalars is ignored."""
    state = {f"_orig_mod.{k}": v for k, v in reference.tokenizer_state().items()}
    group = {"lr": np.float64(5e-5), "betas": (0.9, 0.999), "params": [0]}
    optimizer = {"state": {0: {"step": torch.tensor(1.0)}}, "param_groups": [group]}
    path = reference.write_tokenizer(tmp_path / "VQ.pt", state, optimizer=optimizer)
    checkpoint = load_released(path, ("encoder_args", "decoder_args"))
    assert "optimizer" not in checkpoint
    assert set(checkpoint["model"]) == set(reference.tokenizer_state())


def test_tokenizer_alone(released: Path, tmp_path: Path, epochs) -> None:
    convert_checkpoint(None, released / "VQ.pt", tmp_path / "vq")
    model = NeuroLM.from_pretrained(tmp_path / "vq")
    assert not model.has_language_model
    assert NeuroLMTokenizer(model, output="codes").fit_transform(epochs[:1]).shape == (1, 76)
    with pytest.raises(ValueError, match="neural tokenizer only"):
        NeuroLMClassifier("workload", model, tune=None).fit(epochs[:2], [0, 1])


def test_every_problem_is_named(released: Path, byte_tokenizer: Path, tmp_path: Path) -> None:
    state = reference.language_model_state()
    del state["GPT2.transformer.h.0.ln_1.weight"], state["tokenizer.fc_norm.bias"]
    state["pos_embed.weight"] = state["pos_embed.weight"][:100]
    path = reference.write_language_model(tmp_path / "NeuroLM-B.pt", state)
    with pytest.raises(ValueError, match="3 problems") as caught:
        load_converted(path, released / "VQ.pt", text_tokenizer=byte_tokenizer)
    message = str(caught.value)
    assert "missing: backbone.h.0.ln_1.weight (768,)" in message
    assert "missing: encoder.fc_norm.bias (768,)" in message
    assert "misshapen: channel_embed.weight is (100, 768), expected (256, 768)" in message


def test_unknown_keys_are_named(tmp_path: Path) -> None:
    state = reference.tokenizer_state() | {"VQ.extra": torch.ones(1), "more.bias": torch.ones(1)}
    path = reference.write_tokenizer(tmp_path / "VQ.pt", state)
    with pytest.raises(ValueError, match=r"2 keys .* VQ\.extra, more\.bias"):
        load_converted(None, path)


def test_swapped_files(released: Path) -> None:
    with pytest.raises(ValueError, match="two files"):
        load_converted(None, released / "NeuroLM-B.pt")


def test_text_tokenizer_is_needed_and_checked(released: Path, tmp_path: Path) -> None:
    files = released / "NeuroLM-B.pt", released / "VQ.pt"
    with pytest.raises(ValueError, match="--text-tokenizer"):
        load_converted(*files)
    with pytest.raises(FileNotFoundError, match="vocab.json and merges.txt"):
        load_converted(*files, text_tokenizer=tmp_path)
    with pytest.raises(FileNotFoundError, match="no folder"):
        load_converted(*files, text_tokenizer=tmp_path / "missing")
    tiny = Path(hub.__file__).parents[1] / "assets" / "tiny"
    with pytest.raises(ValueError, match="not the text tokenizer of this model"):
        load_converted(*files, text_tokenizer=tiny)


def test_code_is_not_run(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    path = reference.write_tokenizer(tmp_path / "VQ.pt", epoch=_RunsCode(mark))
    with pytest.raises(ValueError, match="could run code"):
        load_released(path, ())
    plain = tmp_path / "plain.pt"
    plain.write_bytes(pickle.dumps(_RunsCode(mark), protocol=2))
    with pytest.raises(ValueError, match="could run code|can't be read"):
        load_released(plain, ())
    assert not mark.exists()


@pytest.mark.parametrize("size", [0, 100, 200_000])
def test_truncated_file(released: Path, tmp_path: Path, size: int) -> None:
    path = tmp_path / "VQ.pt"
    path.write_bytes((released / "VQ.pt").read_bytes()[:size])
    with pytest.raises(ValueError, match="can't be read|was not loaded"):
        load_released(path, ())


@pytest.mark.parametrize("content", [{"weights": torch.ones(2)}, [torch.ones(2)], torch.ones(2)])
def test_foreign_file(tmp_path: Path, content: object) -> None:
    path = tmp_path / "VQ.pt"
    torch.save(content, path)
    with pytest.raises(ValueError, match="no checkpoint of the released NeuroLM code"):
        load_released(path, ("encoder_args",))


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="There is no file"):
        load_released(tmp_path / "VQ.pt", ())


def test_command_reports_instead_of_raising(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["--tokenizer", str(tmp_path / "no.pt"), "--output", str(tmp_path / "out")])
    assert code == 1
    assert "There is no file" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("left", [(), ("patch_embed",)])
def test_missing_copy_of_the_encoder(
    released: Path, byte_tokenizer: Path, tmp_path: Path, left: tuple[str, ...]
) -> None:
    """A language model without its encoder is incomplete, even if what is left is equal."""
    shared = {
        name.replace("VQ.encoder.", "tokenizer."): tensor
        for name, tensor in reference.tokenizer_state().items()
        if name.startswith("VQ.encoder.")
    }
    state = reference.language_model_state() | shared
    dropped = [key for key in shared if key.split(".")[1] not in left]
    for key in dropped:
        del state[key]
    path = reference.write_language_model(tmp_path / "NeuroLM-B.pt", state)
    with pytest.raises(ValueError, match=f"{len(dropped)} problems") as caught:
        load_converted(path, released / "VQ.pt", text_tokenizer=byte_tokenizer)
    for key in dropped:
        ours = key.replace("tokenizer.", "encoder.").replace(".l.0.", ".linear.")
        assert f"missing: {ours} (" in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"encoder_args": 3}, "'encoder_args' must be a dictionary; got int"),
        ({"encoder_args": {"n_layer": 1, "n_head": 1}}, "positive integers.*'n_embd': None"),
        ({"decoder_args": {"n_layer": 0, "n_head": True, "n_embd": "8"}}, "'n_head': True"),
        ({"decoder_args": {"n_layer": 10**9, "n_head": 1, "n_embd": 8}}, "no more layers"),
        ({"encoder_args": {"n_layer": 1, "n_head": 5, "n_embd": 8}}, "no model: n_embd=8"),
        ({"encoder_args": {"n_layer": 1, "n_head": 1, "n_embd": 10**12}}, "sizes that make no"),
        ({"encoder_args": {"n_layer": 1, "n_head": 1, "n_embd": 10**30}}, "sizes that make no"),
        ({"model": [torch.ones(2)]}, "'model' must be a dictionary of named tensors; got list"),
        ({"model": {1: torch.ones(2)}}, "'model' must be a dictionary of named tensors"),
        ({"model": {"a": 1.0}}, r"must be floating-point .* not: \['a'\]"),
        ({"model": {"a": torch.ones(2, dtype=torch.bool)}}, r"not: \['a'\]"),
        ({"model": {"a": torch.ones(2, device="meta")}}, r"not: \['a'\]"),
        ({"model": {"a": torch.tensor([1.0, torch.nan])}}, r"not finite: \['a'\]"),
        ({"model": {"VQ.quantize.embedding.weight": torch.ones(2)}}, "misshapen: vq.codebook"),
        ({"model": {"VQ.quantize.embedding.initted": torch.ones(2)}}, "misshapen: vq.codebook"),
    ],
)
def test_odd_contents(tmp_path: Path, change: dict, message: str) -> None:
    sizes = {"n_layer": 1, "n_head": 1, "n_embd": 8}
    content = {"model": {"wte.weight": torch.ones(1)}, "encoder_args": sizes, "decoder_args": sizes}
    torch.save(content | change, tmp_path / "VQ.pt")
    with pytest.raises(ValueError, match=message) as caught:
        load_converted(None, tmp_path / "VQ.pt")
    assert "VQ.pt" in str(caught.value)


@pytest.mark.parametrize("zipped", [True, False])
def test_damaged_bytes(tmp_path: Path, zipped: bool) -> None:
    """Whatever byte is wrong, the file loads (a weight changed) or is refused with a reason."""
    whole = tmp_path / "whole.pt"
    content = {"model": {"a": torch.ones(3), "b": torch.ones(2, 2)}, "encoder_args": {"n_head": 2}}
    torch.save(content, whole, _use_new_zipfile_serialization=zipped)
    original = whole.read_bytes()
    rng = np.random.default_rng(0)
    n_refused = 0
    for trial in range(120):
        damaged = bytearray(original)
        if trial % 4 == 0:
            del damaged[rng.integers(len(damaged)) :]
        else:
            for place in rng.integers(len(damaged), size=3):
                damaged[place] = rng.integers(256)
        path = tmp_path / f"{trial}.pt"
        path.write_bytes(damaged)
        try:
            load_released(path, ("encoder_args",))
        except ValueError as error:
            n_refused += 1
            assert str(path) in str(error)
    assert n_refused > 30


def test_output_that_is_a_file(released: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    output.write_text("mine")
    with pytest.raises(ValueError, match="is a file"):
        convert_checkpoint(None, released / "VQ.pt", output)
    assert output.read_text() == "mine"


# --- names of models -----------------------------------------------------------------------------


def test_pt_files_as_model(released: Path, byte_tokenizer: Path, tmp_path: Path) -> None:
    assert not hub.load_model(released / "VQ.pt").has_language_model
    with pytest.raises(ValueError, match=r"mne_neurolm\.convert"):
        hub.load_model(released / "NeuroLM-B.pt")
    for name in ("VQ.pt", "NeuroLM-B.pt"):
        (tmp_path / name).symlink_to(released / name)
    (tmp_path / "gpt2").symlink_to(byte_tokenizer)
    assert hub.load_model(tmp_path / "NeuroLM-B.pt").has_language_model


@pytest.mark.parametrize("name", ["small", "./missing", "a/b/c"])
def test_unknown_model(name: str) -> None:
    with pytest.raises(ValueError, match="Unknown model .* choose 'tiny'"):
        hub.load_model(name)


def test_folder_that_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no config\.json"):
        hub.load_model(tmp_path)


def test_home_directory(
    small_model: NeuroLM, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    small_model.save_pretrained("~/models/mine")
    assert (tmp_path / "models" / "mine" / "config.json").exists()
    for name in ("~/models/mine", Path("~/models/mine")):
        assert hub.load_model(name).encoder_id() == small_model.encoder_id()


def test_only_a_str_names_a_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    """A path means a folder; nothing is asked of the network."""
    monkeypatch.setattr(NeuroLM, "from_pretrained", lambda *args, **kwargs: pytest.fail("asked"))
    for path in (Path("user/model"), Path("neurolm-b"), Path("tiny")):
        with pytest.raises(ValueError, match="Unknown model"):
            hub.load_model(path)


def test_repository_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise OSError("404")

    monkeypatch.setattr(NeuroLM, "from_pretrained", refuse)
    with pytest.raises(OSError, match="no folder 'user/model' here, and .* hub .*404") as caught:
        hub.load_model("user/model")
    assert isinstance(caught.value.__cause__, OSError)


@pytest.mark.parametrize("complete", [True, False])
def test_two_processes_convert_at_once(
    complete: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who comes second uses what is there, and leaves nothing behind."""
    import huggingface_hub

    listed = ["VQ.pt", "NeuroLM-B.pt"]
    monkeypatch.setenv("MNE_NEUROLM_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.HfApi, "list_repo_files", lambda *args, **kwargs: listed)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda repo, name, **kw: name)

    def convert(checkpoint: str, tokenizer: str, output: Path, **kwargs: object) -> None:
        for folder in (output, tmp_path / "neurolm-b"):
            folder.mkdir()
            (folder / ("config.json" if complete else "foreign")).write_text("{}")

    monkeypatch.setattr(hub, "convert_checkpoint", convert)
    if complete:
        assert hub._released_directory("neurolm-b", None) == tmp_path / "neurolm-b"
        assert [path.name for path in tmp_path.iterdir()] == ["neurolm-b"]
    else:
        with pytest.raises(OSError, match="not empty"):
            hub._released_directory("neurolm-b", None)


def test_released_weights_are_converted_once(
    released: Path, byte_tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hub is asked for its files, whatever folder they are in, and only the first time."""
    import huggingface_hub

    asked = []

    def download(repository: str, filename: str, revision: str | None = None) -> str:
        asked.append((repository, filename, revision))
        folder = released if repository == hub.RELEASED_REPOSITORY else byte_tokenizer
        return str(folder / Path(filename).name)

    listed = ["README.md", "checkpoints/VQ.pt", "checkpoints/NeuroLM-B.pt", "NeuroLM-L.pt"]
    monkeypatch.setenv("MNE_NEUROLM_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.HfApi, "list_repo_files", lambda *args, **kwargs: listed)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    model = hub.load_model("neurolm-b")
    assert model.config.text_config.n_embd == 768
    assert (hub.RELEASED_REPOSITORY, "checkpoints/NeuroLM-B.pt", None) in asked
    asked.clear()
    hub.load_model("NeuroLM-B")
    assert asked == []
    assert [path.name for path in tmp_path.iterdir()] == ["neurolm-b"]


def test_without_network_the_manual_steps_are_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    def refuse(*args: object, **kwargs: object) -> None:
        raise ConnectionError("no route")

    monkeypatch.setenv("MNE_NEUROLM_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.HfApi, "list_repo_files", refuse)
    with pytest.raises(OSError, match=r"no route[\s\S]*mne_neurolm\.convert"):
        hub.load_model("neurolm-xl")
    assert list(tmp_path.iterdir()) == []


def test_torch_load_is_always_safe() -> None:
    """No module of the package unpickles, or loads with torch without weights_only."""
    package = Path(hub.__file__).parents[1]
    for path in package.rglob("*.py"):
        code = path.read_text()
        assert "pickle.load" not in code, path
        for call in code.split("torch.load(")[1:]:
            assert "weights_only=True" in call[:200], path
    assert "mne_neurolm" in sys.modules
