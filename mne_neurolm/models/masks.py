"""Who may attend to whom in the language model."""

from __future__ import annotations

import torch
from torch import Tensor


def stair_step_mask(times: Tensor, branches: Tensor | None = None) -> Tensor:
    """Return the stair-step mask of multi-channel autoregression (paper, section 2.3).

    A token sees every token of its own and of earlier steps: all channels of the current and past
    seconds. Text goes on counting after the last second, one step per token, which makes the same
    rule causal for text.

    Parameters
    ----------
    times : Tensor of int64, shape (n,) or (batch, n)
        Step of each token: its second for EEG, its position for text.
    branches : Tensor of int64, shape (n,) | None
        0 for tokens everyone may see, k > 0 for tokens of the k-th alternative continuation, which
        sees the common part and itself, never another alternative (a tree of answers). None
        (default): no alternatives.

    Returns
    -------
    mask : Tensor of bool, shape (n, n) or (batch, n, n)
        ``mask[..., q, k]`` is True where query ``q`` may attend to key ``k``.

    Examples
    --------
    Two channels, two seconds:

    >>> import torch
    >>> from mne_neurolm.models.masks import stair_step_mask
    >>> stair_step_mask(torch.tensor([0, 0, 1, 1])).int()
    tensor([[1, 1, 0, 0],
            [1, 1, 0, 0],
            [1, 1, 1, 1],
            [1, 1, 1, 1]], dtype=torch.int32)
    """
    mask = times[..., :, None] >= times[..., None, :]
    if branches is not None:
        common = branches[None, :] == 0
        mask = mask & (common | (branches[:, None] == branches[None, :]))
    return mask


def text_times(last_second: int, n_tokens: int, device: torch.device | None = None) -> Tensor:
    """Return the steps (n_tokens,) of text that follows EEG whose last second is given."""
    return torch.arange(last_second + 1, last_second + 1 + n_tokens, device=device)
