"""Optimiser, learning-rate schedule and the schedule of the alignment."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import nn


def parameter_groups(modules: Iterable[nn.Module], weight_decay: float) -> list[dict]:
    """Split trainable parameters: matrices and embeddings decay, biases and norms do not.

    Parameters
    ----------
    modules : iterable of torch.nn.Module
        Where to look for parameters that require gradients.
    weight_decay : float
        Weight decay of the first group.

    Returns
    -------
    groups : list of dict
        Two parameter groups for a torch optimiser (released code).
    """
    unique = {id(p): p for m in modules for p in m.parameters() if p.requires_grad}
    return [
        {
            "params": [p for p in unique.values() if p.dim() >= 2],
            "weight_decay": weight_decay,
        },
        {"params": [p for p in unique.values() if p.dim() < 2], "weight_decay": 0.0},
    ]


def adamw(
    groups: list[dict], *, lr: float, betas: tuple[float, float] = (0.9, 0.95)
) -> torch.optim.AdamW:
    """Return the optimiser of all three stages: fused AdamW (paper, Tables 7 to 9)."""
    return torch.optim.AdamW(groups, lr=lr, betas=betas, fused=True)


def cosine_factor(step: int, n_steps: int, *, warmup: int, floor: float) -> float:
    """Return the factor on the peak learning rate at a step.

    Parameters
    ----------
    step, n_steps : int
        Step, from 0, and number of steps.
    warmup : int
        Steps of linear warm-up from 0.
    floor : float
        Final learning rate as a share of the peak.

    Returns
    -------
    factor : float
        Linear warm-up, then half a cosine down to ``floor`` (released code).
    """
    if step < warmup:
        return step / max(1, warmup - 1)
    progress = min(1.0, (step - warmup) / max(1, n_steps - warmup))
    return floor + 0.5 * (1 - floor) * (1 + math.cos(math.pi * progress))


def alignment_weight(step: int, n_steps: int) -> float:
    """Return λ = 2 / (1 + exp(-10 t / T)) - 1, the strength of the reversed gradient.

    Parameters
    ----------
    step, n_steps : int
        Step t, from 0, and number of steps T.

    Returns
    -------
    weight : float
        Between 0 and 1 (paper, Eq. 6).
    """
    return 2 / (1 + math.exp(-10 * step / n_steps)) - 1
