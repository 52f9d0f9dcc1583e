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
    branches : Tensor of int64, shape (n,) or (n, depth) | None
        0 for tokens everyone may see, k > 0 for tokens of the k-th alternative continuation, which
        sees the common part and itself, never another alternative (a tree of answers). With
        ``depth`` columns alternatives branch again: a row is the way from the root to the token,
        0 where it has not branched yet. Of two questions with two answers each, the second answer
        to the first question is (1, 2), the question itself (1, 0), and what both are about
        (0, 0); a token sees what lies on its way. None (default): no alternatives.

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

    Two questions about a second of EEG, the first with two answers:

    >>> branches = torch.tensor([[0, 0], [1, 0], [1, 1], [1, 2], [2, 0]])
    >>> stair_step_mask(torch.tensor([0, 1, 2, 2, 1]), branches).int()
    tensor([[1, 0, 0, 0, 0],
            [1, 1, 0, 0, 0],
            [1, 1, 1, 0, 0],
            [1, 1, 0, 1, 0],
            [1, 0, 0, 0, 1]], dtype=torch.int32)
    """
    mask = times[..., :, None] >= times[..., None, :]
    if branches is not None:
        for level in branches.reshape(len(branches), -1).unbind(dim=1):
            mask = mask & ((level == 0) | (level[:, None] == level))
    return mask


def text_times(last_second: int, n_tokens: int, device: torch.device | None = None) -> Tensor:
    """Return the steps (n_tokens,) of text that follows EEG whose last second is given."""
    return torch.arange(last_second + 1, last_second + 1 + n_tokens, device=device)
