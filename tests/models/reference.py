"""Checkpoints in the released layout, rebuilt from the rule of the golden file."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mne_neurolm.channels import CHANNELS

GOLDEN = Path(__file__).parents[1] / "data" / "reference_golden"
META = json.loads(GOLDEN.with_suffix(".json").read_text())


def make_weight(name: str, shape: list[int]) -> Tensor:
    """Generate a weight from its name."""
    if name.endswith("initted"):
        return torch.ones(shape)
    if name.endswith("cluster_size"):
        return torch.zeros(shape)
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    weight = torch.from_numpy((rng.standard_normal(shape) * 0.05).astype(np.float32))
    if name.endswith(".weight") and ("ln_" in name or "norm" in name):
        weight = weight + 1
    if name.endswith(("quantize.embedding.weight", "embed_avg")):
        weight = torch.nn.functional.normalize(weight, dim=-1)
    return weight


def tokenizer_state() -> dict[str, Tensor]:
    """Return the state of ``VQ.pt``."""
    return {name: make_weight(name, shape) for name, shape in META["vq_shapes"].items()}


def language_model_state() -> dict[str, Tensor]:
    """Return the state of ``NeuroLM-B.pt``."""
    return {name: make_weight(name, shape) for name, shape in META["neurolm_shapes"].items()}


def write_tokenizer(path: Path, state: dict[str, Tensor] | None = None, **extra: object) -> Path:
    """Write ``VQ.pt`` as the released training script does."""
    checkpoint = {
        "model": tokenizer_state() if state is None else state,
        "encoder_args": META["encoder"] | {"block_size": 1024, "bias": False},
        "decoder_args": META["decoder"] | {"block_size": 1024, "bias": False},
        "iter_num": 7,
        "epoch": 0,
        **extra,
    }
    torch.save(checkpoint, path)
    return path


def write_language_model(
    path: Path, state: dict[str, Tensor] | None = None, **extra: object
) -> Path:
    """Write ``NeuroLM-B.pt`` as the released training script does."""
    checkpoint = {
        "model": language_model_state() if state is None else state,
        "model_args": META["gpt"] | {"block_size": 1024, "vocab_size": 50257, "dropout": 0.0},
        "iter_num": 7,
        "epoch": 0,
        **extra,
    }
    torch.save(checkpoint, path)
    return path


@dataclass(frozen=True)
class Sample:
    """One golden sample as the network takes it, and its recorded values."""

    index: int
    patches: Tensor  # (1, n_tokens, 200)
    channels: Tensor  # (n_tokens,)
    times: Tensor  # (n_tokens,)
    n_channels: int
    golden: dict[str, np.ndarray]


def load_samples() -> Iterator[Sample]:
    """Yield the golden samples."""
    with np.load(GOLDEN.with_suffix(".npz"), allow_pickle=False) as stored:
        golden = {key: stored[key] for key in stored.files}
    for index, names in enumerate(META["samples"]):
        eeg = torch.from_numpy(golden[f"eeg_uV_{index}"]) / 100
        n_channels, n_seconds = eeg.shape[0], eeg.shape[1] // 200
        rows = torch.tensor([CHANNELS.index(name) for name in names])
        suffix = f"_{index}"
        yield Sample(
            index,
            eeg.reshape(n_channels, n_seconds, 200).transpose(0, 1).reshape(1, -1, 200),
            rows.repeat(n_seconds),
            torch.arange(n_seconds).repeat_interleave(n_channels),
            n_channels,
            {k.removesuffix(suffix): v for k, v in golden.items() if k.endswith(suffix)},
        )


def load_golden() -> dict[str, np.ndarray]:
    """Return values that belong to no sample."""
    with np.load(GOLDEN.with_suffix(".npz"), allow_pickle=False) as stored:
        return {k: stored[k] for k in stored.files if not k.endswith(("_0", "_1"))}
