"""The codebook: cosine vector quantisation with moving-average updates (paper, section 2.2)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional as F

_ASSIGN_CHUNK = 16384  # rows per matrix product: bounds memory to 16384 x codebook_size floats
_KMEANS_ITERATIONS = 10  # released code


class Quantized(NamedTuple):
    """Result of quantising hidden states.

    Attributes
    ----------
    vectors : Tensor, shape (..., codebook_dim)
        Code vectors, with straight-through gradients.
    codes : Tensor of int64, shape (...)
        Index of each code.
    loss : Tensor, shape ()
        Commitment loss, averaged over valid rows.
    """

    vectors: Tensor
    codes: Tensor
    loss: Tensor


def _sum_over_ranks(tensor: Tensor) -> Tensor:
    if distributed.is_available() and distributed.is_initialized():
        distributed.all_reduce(tensor)
    return tensor


def _from_first_rank(tensor: Tensor) -> Tensor:
    if distributed.is_available() and distributed.is_initialized():
        distributed.broadcast(tensor, src=0)
    return tensor


class Codebook(nn.Module):
    """Unit-length codes, assigned by cosine similarity and moved by an exponential average.

    Parameters
    ----------
    size, dim : int
        Number of codes and their dimension.
    decay : float
        Decay of the moving averages. Default 0.99.
    commitment_weight : float
        Factor of the commitment loss. Default 1.0.
    dead_code_threshold : float
        See :class:`~mne_neurolm.NeuroLMConfig`. Default 0.0 (off).

    Notes
    -----
    In training mode a forward pass initialises the codes by k-means on the first batch, then moves
    them after every batch. Counts and sums are added over all processes first, so that every rank
    holds the same codebook; padding takes no part.
    """

    weight: Tensor
    cluster_size: Tensor
    initialized: Tensor

    def __init__(
        self,
        size: int,
        dim: int,
        *,
        decay: float = 0.99,
        commitment_weight: float = 1.0,
        dead_code_threshold: float = 0.0,
    ) -> None:
        super().__init__()
        self.decay = decay
        self.commitment_weight = commitment_weight
        self.dead_code_threshold = dead_code_threshold
        self.register_buffer("weight", torch.zeros(size, dim))
        self.register_buffer("cluster_size", torch.zeros(size))
        self.register_buffer("initialized", torch.zeros(()))

    def assign(self, unit: Tensor) -> Tensor:
        """Return the nearest code (n,) of each unit-length row (n, dim), in float32."""
        codes = self.weight.float().T
        return torch.cat([(rows @ codes).argmax(dim=1) for rows in unit.split(_ASSIGN_CHUNK)])

    def forward(self, z: Tensor, mask: Tensor | None = None) -> Quantized:
        """Quantise ``z`` (..., dim); rows where ``mask`` (...) is False move nothing."""
        # Half precision would flip near ties, and moving averages need every bit.
        with torch.autocast(z.device.type, enabled=False):
            return self._quantize(z.float(), mask)

    def _quantize(self, z: Tensor, mask: Tensor | None) -> Quantized:
        z = F.normalize(z, dim=-1)
        flat = z.reshape(-1, z.shape[-1])
        valid = slice(None) if mask is None else mask.reshape(-1)
        if self.training:
            with torch.no_grad():
                self._initialize(flat[valid])
        codes = self.assign(flat.detach())
        # Read the codes before they move: the loss belongs to this batch's assignment.
        vectors = self.weight[codes].to(flat.dtype)
        if self.training:
            with torch.no_grad():
                self._move(flat[valid].detach(), codes[valid])
        loss = self.commitment_weight * F.mse_loss(flat[valid], vectors[valid])
        vectors = (flat + (vectors - flat).detach()).view_as(z)
        return Quantized(vectors, codes.view(z.shape[:-1]), loss)

    def _sums(self, unit: Tensor, codes: Tensor) -> tuple[Tensor, Tensor]:
        """Return counts (size,) and sums (size, dim) of the rows assigned to each code."""
        # One buffer, so that one reduction serves both.
        both = self.weight.new_zeros(self.weight.shape[0], self.weight.shape[1] + 1)
        both[:, 0] = torch.bincount(codes, minlength=len(both)).to(both.dtype)
        both[:, 1:].index_add_(0, codes, unit)
        _sum_over_ranks(both)
        return both[:, 0], both[:, 1:]

    def _initialize(self, unit: Tensor) -> None:
        """Start from k-means (cosine) on the first batch of all ranks."""
        if self.initialized:
            return
        size = len(self.weight)
        # With fewer rows than codes some codes start out equal; they separate as they move.
        picks = (
            torch.randperm(len(unit), device=unit.device)[:size]
            if len(unit) >= size
            else torch.randint(len(unit), (size,), device=unit.device)
        )
        self.weight.copy_(_from_first_rank(unit[picks].contiguous()))
        for _ in range(_KMEANS_ITERATIONS):
            counts, sums = self._sums(unit, self.assign(unit))
            self.weight.copy_(
                torch.where(counts[:, None] > 0, F.normalize(sums, dim=-1), self.weight)
            )
        self.cluster_size.copy_(counts)
        self.initialized.fill_(1.0)

    def _move(self, unit: Tensor, codes: Tensor) -> None:
        """Move codes towards the mean direction of their rows (paper, Eq. 3; released code)."""
        counts, sums = self._sums(unit, codes)
        self.cluster_size.lerp_(counts, 1 - self.decay)
        target = torch.where(counts[:, None] > 0, F.normalize(sums, dim=-1), self.weight)
        self.weight.copy_(F.normalize(self.weight.lerp(target, 1 - self.decay), dim=-1))
        if self.dead_code_threshold > 0:
            self._revive(unit)

    def _revive(self, unit: Tensor) -> None:
        """Give codes that hardly anything is assigned to a new place among this batch's rows."""
        dead = (self.cluster_size < self.dead_code_threshold).nonzero().flatten()
        picks = unit[torch.randint(len(unit), (len(dead),), device=unit.device)]
        self.weight[dead] = _from_first_rank(picks.contiguous())
        # A fresh code must survive long enough to be used.
        self.cluster_size[dead] = 2 * self.dead_code_threshold
