"""The golden checkpoints, written and converted once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import reference
from tokenizers import pre_tokenizers

from mne_neurolm import NeuroLM
from mne_neurolm.convert import main as convert


@pytest.fixture(scope="session")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with VQ.pt and NeuroLM-B.pt in the released layout."""
    folder = tmp_path_factory.mktemp("released")
    reference.write_tokenizer(folder / "VQ.pt")
    reference.write_language_model(folder / "NeuroLM-B.pt")
    return folder


@pytest.fixture(scope="session")
def converted_directory(
    released: Path, byte_tokenizer: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Return what the command makes of the released files."""
    output = tmp_path_factory.mktemp("converted")
    code = convert(
        [
            str(released / "NeuroLM-B.pt"),
            "--tokenizer",
            str(released / "VQ.pt"),
            "--text-tokenizer",
            str(byte_tokenizer),
            "--output",
            str(output),
        ]
    )
    assert code == 0
    return output


@pytest.fixture(scope="session")
def golden_model(converted_directory: Path) -> NeuroLM:
    """Return the converted model, loaded."""
    return NeuroLM.from_pretrained(converted_directory)


@pytest.fixture(scope="session")
def byte_tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a text tokenizer with GPT-2's ids of special tokens, and single bytes as words."""
    folder = tmp_path_factory.mktemp("bytes")
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = [*alphabet, *(f"unused{i}" for i in range(50256 - len(alphabet))), "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return folder
