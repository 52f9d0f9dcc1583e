"""Telling the revision of a model's weights by its name."""

from __future__ import annotations

import copy
import shutil
import socket
from pathlib import Path

import huggingface_hub
import pytest
import torch

from mne_neurolm import NeuroLM, NeuroLMClassifier, NeuroLMTokenizer
from mne_neurolm.models import revision
from mne_neurolm.models.hub import BUNDLED, load_model
from mne_neurolm.models.revision import model_revision


@pytest.fixture(autouse=True)
def offline(monkeypatch, tmp_path) -> None:
    """Refuse every connection, keep the real caches out, and load nothing."""

    def refuse(*args, **kwargs):
        raise AssertionError("connects, or loads a model")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(NeuroLM, "from_pretrained", refuse)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("MNE_NEUROLM_CACHE", str(tmp_path / "released"))


@pytest.fixture
def folder(small_model: NeuroLM, tmp_path: Path) -> Path:
    small_model.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def test_bundled_models() -> None:
    tiny = model_revision("tiny")
    assert tiny is not None and tiny.startswith("weights ") and len(tiny) == len("weights ") + 16
    assert model_revision("tiny-joint") == model_revision(BUNDLED["tiny-joint"])
    # A folder is what it holds, wherever it is.
    assert model_revision(BUNDLED["tiny"]) == model_revision(Path(BUNDLED["tiny"])) == tiny


def test_folder(folder: Path, small_model: NeuroLM, tmp_path: Path) -> None:
    first = model_revision(str(folder))
    assert first is not None
    (folder / "README.md").write_text("A model card is no weight.")
    assert model_revision(folder) == first
    shutil.copytree(folder, tmp_path / "elsewhere")
    assert model_revision(tmp_path / "elsewhere") == first

    other = copy.deepcopy(small_model)
    with torch.no_grad():
        other.lm_head.weight[-1, -1] += 1.0
    other.save_pretrained(folder)
    assert model_revision(folder) not in (None, first)
    small_model.save_pretrained(folder)
    assert model_revision(folder) == first
    other = copy.deepcopy(small_model)
    other.config.temperatures = {"workload": 2.0}  # changes probabilities, not weights
    other.save_pretrained(folder)
    assert model_revision(folder) not in (None, first)


def test_large_tensors_are_told_by_their_ends(folder: Path, small_model: NeuroLM, monkeypatch):
    monkeypatch.setattr(revision, "_N_HASHED", 8)
    revision._digest_file.cache_clear()
    first = model_revision(folder)
    for row, column, seen in ((0, 0, True), (-1, -1, True), (1, 1, False)):
        other = copy.deepcopy(small_model)
        with torch.no_grad():
            other.lm_head.weight[row, column] += 1.0
        other.save_pretrained(folder)
        assert (model_revision(folder) != first) == seen
    revision._digest_file.cache_clear()


def test_files_are_read_once(folder: Path, monkeypatch) -> None:
    first = model_revision(folder)
    monkeypatch.setattr("builtins.open", lambda *a, **k: pytest.fail("read again"))
    assert model_revision(folder) == first


def test_released_files(tmp_path: Path) -> None:
    model = tmp_path / "NeuroLM-B.pt"
    assert model_revision(model) is None
    model.write_bytes(b"weights")
    alone = model_revision(model)
    (tmp_path / "VQ.pt").write_bytes(b"codes")
    assert None not in (alone, model_revision(model)) and model_revision(model) != alone


def test_released_files_are_told_by_their_checksums(tmp_path: Path) -> None:
    path = tmp_path / "NeuroLM-B.pt"
    weight = torch.zeros(10**5)
    torch.save({"model": weight}, path)
    first = model_revision(path)
    weight[5 * 10**4] = 1
    torch.save({"model": weight}, path)
    assert None not in (first, model_revision(path)) and model_revision(path) != first


def test_released_models_are_known_when_they_are_here(folder: Path, tmp_path: Path) -> None:
    assert model_revision("neurolm-b") is None
    shutil.copytree(folder, tmp_path / "released" / "neurolm-b")
    assert model_revision("NeuroLM-B") == model_revision(folder)
    assert model_revision("neurolm-b", "v2") is None


def test_repositories_on_the_hub(tmp_path: Path) -> None:
    assert model_revision("user/model") is None
    repository = tmp_path / "hub" / "models--user--model"
    commits = {"main": "a" * 40, "v2": "b" * 40}
    for name, commit in commits.items():
        for place, text in ((f"refs/{name}", commit), (f"snapshots/{commit}/config.json", "{}")):
            (repository / place).parent.mkdir(parents=True, exist_ok=True)
            (repository / place).write_text(text)
    assert model_revision("user/model") == f"commit {'a' * 40}"
    assert model_revision("user/model", "v2") == f"commit {'b' * 40}"
    assert model_revision("user/model", "v3") is None


def test_what_has_no_revision(small_model: NeuroLM, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    nobodys = "~nobody-of-this-name/model"
    for model in (
        small_model,
        small_model.config,
        None,
        "",
        "no such",
        tmp_path / "empty",
        nobodys,
    ):
        assert model_revision(model) is None
    with pytest.raises(ValueError, match="Unknown model '~nobody"):
        load_model(nobodys)


def test_damaged_weights_have_one(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"\xff" * 100)
    assert model_revision(folder) is not None  # loading them says what is wrong


def test_representations(folder: Path) -> None:
    for estimator in (NeuroLMTokenizer(folder), NeuroLMClassifier("workload", str(folder))):
        assert repr(estimator).endswith(f" [{model_revision(folder)}]")
        # What is cut from a long representation is never the revision.
        assert estimator.__repr__(N_CHAR_MAX=20).endswith(f" [{model_revision(folder)}]")
    assert repr(NeuroLMTokenizer("user/model")).endswith(")")
