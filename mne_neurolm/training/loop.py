"""The loop that every stage runs in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from mne.utils import logger
from torch import Tensor, nn
from tqdm.auto import tqdm

from .optim import adamw, cosine_factor, parameter_groups


@dataclass(kw_only=True, slots=True, frozen=True)
class TrainingConfig:
    """How a stage is trained. The defaults of the stages are the paper's Tables 7 to 9.

    Attributes
    ----------
    max_epochs : int
        Passes over the data.
    batch_size : int
        EEG windows per step.
    lr : float
        Peak learning rate.
    min_lr : float
        Final learning rate.
    warmup : float
        Share of all steps spent on linear warm-up.
    weight_decay : float
        Weight decay of matrices and embeddings.
    betas : tuple of float
        AdamW's averages.
    grad_clip : float
        Largest norm of the gradient. 0 does not clip.
    text_batch_size, text_length : int
        Rows of text per step, and tokens per row.
    alignment : float
        Stage 1: strength of the alignment with text at the end of training. 1 is the paper's.
    random_state : int
        Seed of everything random.
    progress : bool
        Show a progress bar with the time left.
    """

    max_epochs: int
    batch_size: int = 64
    lr: float = 5e-4
    min_lr: float = 5e-5
    warmup: float = 0.1
    weight_decay: float = 0.1
    betas: tuple[float, float] = (0.9, 0.95)
    grad_clip: float = 1.0
    text_batch_size: int = 4
    text_length: int = 256
    alignment: float = 1.0
    random_state: int = 0
    progress: bool = True

    def __post_init__(self) -> None:
        if self.max_epochs < 1 or self.batch_size < 1:
            raise ValueError(
                f"max_epochs and batch_size must be at least 1; got {self.max_epochs} and "
                f"{self.batch_size}."
            )
        if not 0 < self.min_lr <= self.lr:
            raise ValueError(
                f"Learning rates must satisfy 0 < min_lr <= lr; got {self.min_lr} and {self.lr}."
            )


def run(
    modules: Sequence[nn.Module],
    objective: Callable[[Any, int, int], dict[str, Tensor]],
    batches: Callable[[int], Sequence],
    config: TrainingConfig,
    *,
    description: str,
) -> list[dict[str, float]]:
    """Minimise an objective.

    Parameters
    ----------
    modules : sequence of torch.nn.Module
        What is trained: all of their parameters, whatever required gradients before. Set to
        training mode, and back to evaluation mode at the end, however it ends.
    objective : callable
        ``objective(batch, step, n_steps) -> losses``; ``"loss"`` is differentiated.
    batches : callable
        ``batches(epoch) -> sequence`` of batches; every epoch must have the same number.
    config : TrainingConfig
        Optimiser, schedule, and the seed of torch's generator, which is put back at the end.
    description : str
        Label of the progress bar.

    Returns
    -------
    history : list of dict
        Mean of each loss per epoch.

    Raises
    ------
    ValueError
        If there are no batches.
    FloatingPointError
        If the loss is not finite.
    """
    for module in modules:
        module.requires_grad_(True).train()
    # Initialising and reviving codes, and dropout, draw from torch's generator.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.random_state)
        try:
            return _minimise(modules, objective, batches, config, description)
        finally:
            for module in modules:
                module.eval()


def _minimise(
    modules: Sequence[nn.Module],
    objective: Callable[[Any, int, int], dict[str, Tensor]],
    batches: Callable[[int], Sequence],
    config: TrainingConfig,
    description: str,
) -> list[dict[str, float]]:
    n_per_epoch = len(batches(0))
    if not n_per_epoch:
        raise ValueError(f"{description}: there are no samples to train on; pass at least one.")
    n_steps = n_per_epoch * config.max_epochs
    groups = parameter_groups(modules, config.weight_decay)
    parameters = [p for group in groups for p in group["params"]]
    optimizer = adamw(groups, lr=config.lr, betas=config.betas)
    warmup = int(config.warmup * n_steps)
    history: list[dict[str, float]] = []
    step = 0
    with tqdm(total=n_steps, desc=description, disable=not config.progress, leave=False) as bar:
        for epoch in range(config.max_epochs):
            sums: dict[str, float] = {}
            for batch in batches(epoch):
                factor = cosine_factor(
                    step, n_steps, warmup=warmup, floor=config.min_lr / config.lr
                )
                for group in optimizer.param_groups:
                    group["lr"] = config.lr * factor
                losses = objective(batch, step, n_steps)
                values = {name: float(loss.detach()) for name, loss in losses.items()}
                if not torch.isfinite(losses["loss"]):
                    raise FloatingPointError(
                        f"{description}: the loss is {values} at step {step}; lower "
                        f"lr={config.lr}, or look for extreme values in the data."
                    )
                optimizer.zero_grad(set_to_none=True)
                losses["loss"].backward()
                if config.grad_clip > 0:
                    nn.utils.clip_grad_norm_(parameters, config.grad_clip)
                optimizer.step()
                for name, value in values.items():
                    sums[name] = sums.get(name, 0.0) + value / n_per_epoch
                step += 1
                bar.update()
            history.append(sums)
            shown = " ".join(f"{name} {value:.3f}" for name, value in sums.items())
            bar.set_postfix_str(shown)
            logger.debug(f"{description} epoch {epoch + 1}/{config.max_epochs}: {shown}")
    return history
