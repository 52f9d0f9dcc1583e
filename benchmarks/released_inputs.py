"""Tensors of a batch as the released code's loaders make them, padding and dense masks included."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from mne_neurolm.channels import PAD_INDEX

N_PATCHES = 1024  # what pretraining pads EEG to (dataset.py)
N_PATCHES_TASK, N_TEXT_TASK = 276, 80  # what tuning pads EEG and text to (train_instruction.py)
N_TEXT_ROWS = 50304  # text rows of its merged vocabulary
_END_OF_TEXT = 50256


class PaddedEEG(NamedTuple):
    """Windows with zeros after their own patches.

    Attributes
    ----------
    patches : Tensor, shape (B, L, 200)
        Patches, zeros where there is none.
    channels, times : Tensor of int32, shape (B, L)
        Rows of the embeddings; "pad" and 0 where there is no patch.
    mask : Tensor of bool, shape (B, L)
        True for patches that exist.
    n_channels, n_seconds : int
        Shape of a window.
    """

    patches: Tensor
    channels: Tensor
    times: Tensor
    mask: Tensor
    n_channels: int
    n_seconds: int

    @property
    def arguments(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return what its networks take of EEG."""
        return self.patches, self.channels, self.times, self.mask


def padded_eeg(
    n_windows: int, n_channels: int, n_seconds: int, length: int, device: torch.device
) -> PaddedEEG:
    """Return windows of noise, padded to ``length`` patches."""
    n = n_channels * n_seconds
    patches = torch.zeros(n_windows, length, 200)
    patches[:, :n] = torch.randn(n_windows, n, 200)
    channels = torch.full((length,), PAD_INDEX, dtype=torch.int32)
    channels[:n] = torch.arange(n_channels).repeat(n_seconds)
    times = torch.zeros(length, dtype=torch.int32)
    times[:n] = torch.arange(n_seconds).repeat_interleave(n_channels)
    mask = torch.arange(length) < n

    def rows(one: Tensor) -> Tensor:
        return one.repeat(n_windows, 1).to(device)

    return PaddedEEG(
        patches.to(device), rows(channels), rows(times), rows(mask), n_channels, n_seconds
    )


def stair_mask(eeg: PaddedEEG, n_text: int = 0) -> Tensor:
    """Return who may attend to whom in the language model, bool of shape (B, 1, L + T, L + T)."""
    n_windows, length = eeg.mask.shape
    n, c = eeg.n_channels * eeg.n_seconds, eeg.n_channels
    mask = torch.ones(length + n_text, length + n_text).tril()
    for second in range(eeg.n_seconds):
        own = slice(second * c, (second + 1) * c)
        mask[own, own] = 1
    mask[:, n:length] = 0
    return mask.bool().repeat(n_windows, 1, 1, 1).to(eeg.patches.device)


def code_targets(eeg: PaddedEEG, codes: Tensor) -> Tensor:
    """Return for each patch the code of its channel in the next second; no code becomes -1."""
    targets = torch.full(eeg.mask.shape, -1 - N_TEXT_ROWS, dtype=torch.long, device=eeg.mask.device)
    n, c = eeg.n_channels * eeg.n_seconds, eeg.n_channels
    targets[:, : n - c] = codes[:, c:n]
    return targets


def no_code_targets(eeg: PaddedEEG) -> Tensor:
    """Return targets of tuning, where no code is predicted."""
    return torch.full(eeg.mask.shape, -1 - N_TEXT_ROWS, device=eeg.mask.device)


def spectra_and_waves(eeg: PaddedEEG) -> tuple[Tensor, Tensor]:
    """Return what its decoders rebuild, standardised over a window, zeros in the padding."""
    n = eeg.n_channels * eeg.n_seconds
    spectra = torch.zeros(*eeg.mask.shape, 100, device=eeg.patches.device)
    waves = torch.zeros_like(eeg.patches)
    own = eeg.patches[:, :n]
    spectra[:, :n] = _standardised(torch.fft.fft(own, dim=-1).abs())[..., :100]
    waves[:, :n] = _standardised(own)
    return spectra, waves


def answer_texts(
    prompt: list[int], answers: list[list[int]], n_windows: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return questions with answers, padded, and their targets, both int of shape (B, T).

    Parameters
    ----------
    prompt : list of int
        Text ids of the question.
    answers : list of list of int
        Text ids of answers, which windows get in turn.
    n_windows : int
        B.
    device : torch.device
        Where.

    Returns
    -------
    texts, targets : Tensor
        Targets are -1 where nothing is predicted: only answers are.
    """
    texts = torch.full((n_windows, N_TEXT_TASK), _END_OF_TEXT)
    targets = torch.full((n_windows, N_TEXT_TASK), -1)
    for window in range(n_windows):
        answer = torch.tensor(answers[window % len(answers)])
        n_prompt, n = len(prompt), len(prompt) + len(answer)
        texts[window, :n_prompt] = torch.tensor(prompt)
        texts[window, n_prompt:n] = answer
        targets[window, n_prompt - 1 : n - 1] = answer
    return texts.to(device), targets.to(device)


def _standardised(x: Tensor) -> Tensor:
    return (x - x.mean(dim=(1, 2), keepdim=True)) / x.std(dim=(1, 2), keepdim=True)
