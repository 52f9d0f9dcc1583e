"""Run patches through the frozen neural tokenizer."""

from __future__ import annotations

import numpy as np
import torch
from tqdm.auto import tqdm

from ..patches import Patches
from ..tokens import EEGTokens
from ..utils.device import autocast
from .neurolm import NeuroLM


@torch.inference_mode()
def encode_patches(
    model: NeuroLM,
    patches: Patches,
    *,
    batch_size: int = 64,
    dtype: str = "auto",
    progress: bool = False,
) -> EEGTokens:
    """Tokenize patches in batches.

    Parameters
    ----------
    model : NeuroLM
        The model, on the device to compute on.
    patches : Patches
        The data.
    batch_size : int
        Epochs at a time. Default 64.
    dtype : "auto" | "float32" | "bfloat16"
        Precision of the forward pass. Hidden states come as float32.
    progress : bool
        Show a progress bar with the time left.

    Returns
    -------
    tokens : EEGTokens
        Codes and hidden states.
    """
    if not bool(model.vq.codebook.initialized):
        raise ValueError(
            "This model's codebook was never trained, so it has no codes. Fit a NeuroLMTokenizer on "
            "EEG first, or load a trained model such as 'tiny'."
        )
    device = model.device
    channels = torch.from_numpy(patches.channels).to(device)
    times = torch.from_numpy(patches.times).to(device)
    n_epochs, n_tokens = patches.data.shape[:2]
    codes = np.empty((n_epochs, n_tokens), dtype=np.int64)
    hidden = np.empty((n_epochs, n_tokens, model.config.n_embd), dtype=np.float32)
    model.eval()
    starts = range(0, n_epochs, batch_size)
    for start in tqdm(starts, desc="tokenize", disable=not progress, leave=False):
        rows = slice(start, start + batch_size)
        batch = torch.from_numpy(patches.data[rows]).to(device)
        with autocast(dtype, device):
            states, indices = model.tokenize(batch, channels, times)
        hidden[rows] = states.float().cpu().numpy()
        codes[rows] = indices.cpu().numpy()
    return EEGTokens(
        codes, hidden, patches.channels, patches.times, patches.ch_names, model.encoder_id()
    )
