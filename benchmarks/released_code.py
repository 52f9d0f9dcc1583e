"""Drive a checkout of the released code as its own scripts do.

Nothing of it is here: its modules are imported from the folder that is given. Its pretrained GPT-2
is replaced by one with random weights, as nothing may be downloaded and speed does not depend on
them.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

import torch
import transformers
from released_inputs import (
    N_PATCHES,
    N_PATCHES_TASK,
    answer_texts,
    code_targets,
    no_code_targets,
    padded_eeg,
    spectra_and_waves,
    stair_mask,
)
from torch.nn import functional as F
from torch.nn.utils import clip_grad_norm_
from workloads import ANSWERS, PROMPT_LENGTH, WORDS

# The settings of its scripts (train_vq.py, train_pretrain.py, train_instruction.py).
_ENCODER = {
    "n_layer": 12, "n_head": 12, "n_embd": 768, "block_size": 1024, "bias": False, "dropout": 0.0,
    "num_classes": 0, "in_chans": 1, "out_chans": 16,
}  # fmt: skip
_DECODER = {
    "n_layer": 4, "n_head": 12, "n_embd": 768, "block_size": 1024, "bias": False, "dropout": 0.0,
    "num_classes": 0, "in_chans": 128,
}  # fmt: skip
_LANGUAGE_MODEL = {
    "n_layer": 12, "n_head": 12, "n_embd": 768, "block_size": 1024, "bias": False, "dropout": 0.0,
    "vocab_size": 50257,
}  # fmt: skip
_NEW_TOKENS = 5  # that it generates for an answer
_PROMPT = [50257, *range(3, 2 + PROMPT_LENGTH)]  # [SEP] and a question


class ReleasedCode:
    """Models and steps of the released code.

    Parameters
    ----------
    folder : Path
        The checkout.
    device : torch.device
        Where to compute: on CUDA in bfloat16, elsewhere in float32, as its scripts do.
    """

    def __init__(self, folder: Path, device: torch.device) -> None:
        self.device = device
        self.dtype = "bfloat16" if device.type == "cuda" else "float32"
        with _importing_from(folder):
            self._vq_module = importlib.import_module("model.model_vq")
            self._lm_module = importlib.import_module("model.model_neurolm")
            self._config = importlib.import_module("model.model_neural_transformer").NTConfig
            self._gpt_config = importlib.import_module("model.model").GPTConfig

    @cached_property
    def tokenizer(self) -> Any:
        """Return the neural tokenizer, for codes."""
        with _quietly():
            tokenizer = self._vq_module.VQ(self._config(**_ENCODER), self._config(**_DECODER))
        _fill_codebook(tokenizer)
        return tokenizer.to(self.device).eval()

    @cached_property
    def language_model(self) -> Any:
        """Return the language model with an encoder of its own."""
        with _quietly(), _random_gpt2():
            model = self._lm_module.NeuroLM(self._gpt_config(**_LANGUAGE_MODEL), init_from="gpt2")
        return model.to(self.device)

    @cached_property
    def aligned_tokenizer(self) -> Any:
        """Return the neural tokenizer in training, with the classifier of domains."""
        with _quietly(), _random_gpt2():
            model = self._vq_module.VQ_Align(self._config(**_ENCODER), self._config(**_DECODER))
        _fill_codebook(model.VQ)
        return model.to(self.device).train()

    def forget(self, *names: str) -> None:
        """Drop models that are no longer needed."""
        for name in names:
            self.__dict__.pop(name, None)

    def answer(self, n_windows: int, n_channels: int, n_seconds: int) -> Callable[[], object]:
        """Return what answers a question about windows, as its ``evaluate`` does."""
        eeg = padded_eeg(n_windows, n_channels, n_seconds, N_PATCHES_TASK, self.device)
        mask = stair_mask(eeg, len(_PROMPT))
        text = torch.tensor(_PROMPT, device=self.device).repeat(n_windows, 1)
        model = self.language_model.eval()

        @torch.no_grad()
        def run() -> object:
            patches, channels, times, its_mask = eeg.arguments
            with self._context():
                return model.generate(
                    patches,
                    text,
                    channels,
                    times,
                    its_mask,
                    eeg_text_mask=mask,
                    max_new_tokens=_NEW_TOKENS,
                )

        return run

    def codes(
        self, n_windows: int, n_channels: int, n_seconds: int, *, padded: bool = True
    ) -> Callable[[], torch.Tensor]:
        """Return what finds codes, padded as in its pretraining or not at all."""
        length = N_PATCHES if padded else n_channels * n_seconds
        eeg = padded_eeg(n_windows, n_channels, n_seconds, length, self.device)
        tokenizer = self.tokenizer

        @torch.no_grad()
        def run() -> torch.Tensor:
            with self._context():
                return tokenizer.get_codebook_indices(*eeg.arguments)

        return run

    def autoregressive_step(
        self, n_windows: int, n_channels: int, n_seconds: int
    ) -> Callable[[], object]:
        """Return a step of its train_pretrain.py, without its batch of text."""
        eeg = padded_eeg(n_windows, n_channels, n_seconds, N_PATCHES, self.device)
        mask = stair_mask(eeg)
        codes = self.codes(n_windows, n_channels, n_seconds)
        model = self.language_model.train()

        def loss() -> torch.Tensor:
            targets = code_targets(eeg, codes())
            patches, channels, times, its_mask = eeg.arguments
            with self._context():
                return model(
                    patches, targets, None, None, channels, times, its_mask, eeg_mask=mask
                )[0]

        return self._step(model, loss, lr=6e-4, weight_decay=0.1, betas=(0.9, 0.95), clip=1.0)

    def instruction_step(
        self, n_windows: int, n_channels: int, n_seconds: int
    ) -> Callable[[], object]:
        """Return a step of its train_instruction.py, without its batch of text."""
        eeg = padded_eeg(n_windows, n_channels, n_seconds, N_PATCHES_TASK, self.device)
        text, targets = answer_texts(_PROMPT, ANSWERS, n_windows, self.device)
        mask = stair_mask(eeg, text.shape[1])
        model = self.language_model.train()

        def loss() -> torch.Tensor:
            patches, channels, times, its_mask = eeg.arguments
            none = no_code_targets(eeg)
            with self._context():
                return model(
                    patches, none, text, targets, channels, times, its_mask, eeg_text_mask=mask
                )[0]

        return self._step(model, loss, lr=5e-4, weight_decay=0.1, betas=(0.9, 0.95), clip=1.0)

    def tokenizer_step(
        self, n_windows: int, n_channels: int, n_seconds: int
    ) -> Callable[[], object]:
        """Return a step of its train_vq.py, with the words that ours reads too."""
        eeg = padded_eeg(n_windows, n_channels, n_seconds, N_PATCHES, self.device)
        spectra, waves = spectra_and_waves(eeg)
        words = torch.arange(WORDS, device=self.device)[None]
        model = self.aligned_tokenizer

        def loss() -> torch.Tensor:
            patches, channels, times, its_mask = eeg.arguments
            with self._context():
                own, domain, _ = model(patches, spectra, waves, channels, times, its_mask, 0.5)
                return own + domain + model(words)

        return self._step(model, loss, lr=5e-5, weight_decay=1e-4, betas=(0.9, 0.999), clip=0.0)

    def _step(
        self,
        model: Any,
        loss_of: Callable[[], torch.Tensor],
        *,
        lr: float,
        weight_decay: float,
        betas: tuple[float, float],
        clip: float,
    ) -> Callable[[], object]:
        with _quietly():
            optimizer = model.configure_optimizers(weight_decay, lr, betas, self.device.type)

        def step() -> None:
            loss_of().backward()
            if clip:
                clip_grad_norm_(model.parameters(), clip)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

        return step

    def _context(self) -> AbstractContextManager:
        if self.device.type == "cuda":
            return torch.autocast("cuda", dtype=torch.bfloat16)
        return nullcontext()


@contextlib.contextmanager
def without_its_warnings() -> Iterator[None]:
    """Keep quiet what the released code's use of old names makes torch say."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        warnings.filterwarnings("ignore", message=".*[Cc][Uu][Dd][Aa].*autocast.*")
        warnings.filterwarnings("ignore", message="User provided device_type of 'cuda'")
        yield


@contextlib.contextmanager
def _importing_from(folder: Path) -> Iterator[None]:
    """Import modules from a folder, and leave none of its general names behind."""
    if not (folder / "model" / "model_neurolm.py").is_file():
        raise FileNotFoundError(
            f"{folder} holds no model/model_neurolm.py, so it is no checkout of the released "
            "code; give the folder that git clone made."
        )
    kept = _take_modules()
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        _take_modules()
        sys.modules.update(kept)


def _take_modules() -> dict[str, ModuleType]:
    names = [name for name in sys.modules if name.split(".")[0] == "model"]
    return {name: sys.modules.pop(name) for name in names}


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Swallow what it prints."""
    with contextlib.redirect_stdout(io.StringIO()):
        yield


def _random_gpt2() -> AbstractContextManager:
    """Let GPT-2 come with random weights instead of from a hub."""

    def random_weights(*_: object, **__: object) -> Any:
        return transformers.GPT2LMHeadModel(transformers.GPT2Config())

    return patch.object(transformers.GPT2LMHeadModel, "from_pretrained", random_weights)


def _fill_codebook(tokenizer: Any) -> None:
    """Give it random codes, as k-means in the first call is no part of a step."""
    codebook = tokenizer.quantize.embedding
    codebook.weight.data.copy_(F.normalize(torch.randn_like(codebook.weight), dim=-1))
    codebook.initted.data.fill_(1.0)
