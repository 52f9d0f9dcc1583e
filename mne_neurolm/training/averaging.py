"""Moving averages of weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class WeightAverage(nn.Module):
    """Exponential moving average of the parameters that are trained.

    It is a module so that checkpoints hold it; it has buffers and no parameters.

    Parameters
    ----------
    model : torch.nn.Module
        The model; what requires a gradient now is averaged.
    decay : float
        Weight of the past, above 0 and below 1. In the first steps it is
        ``(1 + t) / (10 + t)``, if that is less, so that the start is soon forgotten.

    Raises
    ------
    ValueError
        If the decay is out of range.

    Notes
    -----
    Averages of the steps of stochastic gradient descent generalise better than the last step
    (Polyak and Juditsky 1992; Tarvainen and Valpola 2017, mean teacher); the ramp is that of
    ``tf.train.ExponentialMovingAverage``.
    """

    n_updates: Tensor

    def __init__(self, model: nn.Module, decay: float) -> None:
        super().__init__()
        check_decay(decay)
        if decay == 0:
            raise ValueError("An average with decay 0 is the last step; leave the average out.")
        self.decay = decay
        # Not a child: its weights are saved as the model's own.
        self._parameters_of = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
        for index, (_, parameter) in enumerate(self._parameters_of):
            self.register_buffer(f"mean_{index}", parameter.detach().clone())
        self.register_buffer("n_updates", torch.zeros((), dtype=torch.float32))
        self._swapped = False

    @torch.no_grad()
    def update(self) -> None:
        """Take the weights after an optimiser step into the average."""
        self.n_updates += 1
        t = float(self.n_updates)
        decay = min(self.decay, (1 + t) / (10 + t))
        for mean, parameter in self._pairs():
            mean.lerp_(parameter.detach(), 1 - decay)

    @torch.no_grad()
    def show(self, averaged: bool) -> None:
        """Put the average into the model and keep its weights here, or the other way round."""
        if averaged == self._swapped:
            return
        for mean, parameter in self._pairs():
            kept = parameter.detach().clone()
            parameter.copy_(mean)
            mean.copy_(kept)
        self._swapped = averaged

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Let the model have the averaged weights inside a ``with`` block."""
        self.show(True)
        try:
            yield
        finally:
            self.show(False)

    def _pairs(self) -> Iterator[tuple[Tensor, nn.Parameter]]:
        for index, (_, parameter) in enumerate(self._parameters_of):
            yield self.get_buffer(f"mean_{index}"), parameter


def check_decay(decay: float) -> None:
    """Refuse a decay that is not 0 (off) or between 0 and 1."""
    if not 0 <= decay < 1:
        raise ValueError(
            f"average is the decay of the weights' moving average, 0 (off) or below 1; got {decay}."
        )
