"""Fixtures that several test modules share."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import mne
import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_limits

from mne_neurolm import EEGTokens, NeuroLM, NeuroLMConfig, NeuroLMTokenizer
from mne_neurolm.datasets import simulate_epochs
from mne_neurolm.datasets._montage import STANDARD_1020
from mne_neurolm.models.text import load_text_tokenizer

# The suite's models are too small to gain from threads; on few cores they cost time, and sums in
# another order differ in the last digit from those of other processes.
torch.set_num_threads(1)
threadpool_limits(1)
os.environ["OMP_NUM_THREADS"] = "1"  # of the processes that tests start


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder with the real recordings that lie beside a development checkout."""
    path = Path(__file__).resolve().parents[1].parent / "shared" / "data"
    if not path.is_dir():
        pytest.skip(f"the recordings are not beside the checkout ({path})")
    return path


@pytest.fixture(scope="session")
def write_eegmat() -> Callable[..., Path]:
    """Return a function that writes a recording in the layout of EEGMAT."""

    def write(
        folder: Path, name: str, *, seconds: int = 62, sfreq: float = 500.0, seed: int = 0
    ) -> Path:
        names = [f"EEG {name}" for name in STANDARD_1020] + ["EEG A2-A1", "ECG ECG"]
        rng = np.random.default_rng(seed)
        data = 2e-5 * rng.standard_normal((len(names), round(sfreq * seconds)))
        raw = mne.io.RawArray(data, mne.create_info(names, sfreq, "eeg"), verbose="error")
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{name}.edf"
        mne.export.export_raw(path, raw, verbose="error")
        return path

    return write


@pytest.fixture(scope="session")
def epochs() -> mne.EpochsArray:
    """Return 24 epochs of 4 s: 4 subjects in two states, 19 channels."""
    return simulate_epochs(n_subjects=4, n_epochs_per_subject=6, random_state=0)


@pytest.fixture(scope="session")
def labels(epochs: mne.EpochsArray) -> np.ndarray:
    """Return "rest" or "active" per epoch."""
    return epochs.metadata["state"].to_numpy(dtype=str)


@pytest.fixture(scope="session")
def subjects(epochs: mne.EpochsArray) -> np.ndarray:
    """Return each epoch's subject."""
    return epochs.metadata["subject"].to_numpy()


@pytest.fixture(scope="session")
def small_config() -> NeuroLMConfig:
    """Return the configuration of a model that is large enough for everything but skill."""
    preset = NeuroLMConfig.preset("tiny")
    return NeuroLMConfig(
        n_layer=1,
        n_head=2,
        n_embd=32,
        decoder_n_layer=1,
        decoder_n_head=2,
        decoder_n_embd=32,
        codebook_size=64,
        codebook_dim=16,
        sep_token_id=preset.sep_token_id,
        text_config={
            **preset.text_config.to_dict(),
            "n_layer": 1,
            "n_head": 2,
            "n_embd": 32,
        },
    )


@pytest.fixture(scope="session")
def small_model(small_config: NeuroLMConfig) -> NeuroLM:
    """Return a small model with random weights and codes. Shared: tests must not change it."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = NeuroLM(small_config).eval()
        codes = torch.randn_like(model.vq.codebook.weight)
    model.vq.codebook.weight.copy_(torch.nn.functional.normalize(codes, dim=1))
    model.vq.codebook.initialized.fill_(1)
    text = files("mne_neurolm") / "assets" / "tiny"
    model.text_tokenizer = load_text_tokenizer(str(text))
    return model


@pytest.fixture(scope="session")
def tokens(small_model: NeuroLM, epochs: mne.EpochsArray) -> EEGTokens:
    """Return the epochs' tokens by the small model."""
    return NeuroLMTokenizer(small_model, dtype="float32").fit_transform(epochs)
