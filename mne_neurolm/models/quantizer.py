"""The codebook: cosine vector quantisation with moving-average updates (paper, section 2.2)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..utils.distributed import gather_counts, pick_rows, sum_over_ranks

# Similarities at a time: as many as a CPU's cache holds, or half a gigabyte elsewhere.
_SIMILARITIES = {"cpu": 2**21}
_MOST_SIMILARITIES = 2**27
_ROWS = 16384  # that are added up at a time
_KMEANS_ITERATIONS = 10  # released code
_INITIALIZE, _REVIVE = 0, 1  # streams of random numbers


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

    Attributes
    ----------
    seed : int
        Seed of the rows that codes start from and are revived at. Default 0.
    collects : bool
        Whether forward passes in training mode collect rows. Default True. A process that computes
        on windows which belong to no one, because none were left for it, sets it to False: it must
        go on taking part in what processes do together.

    Notes
    -----
    In training mode a forward pass assigns and *collects*: it adds its rows to those that earlier
    passes of the same step collected, and moves no code. :meth:`update`, called after the
    optimiser's step, moves the codes, and :meth:`discard` forgets a step that was not taken. So the
    codebook does not depend on how a step was divided over forward passes or processes. Only the
    first batch matters more than others: the pass that meets it initialises the codes by k-means,
    over all processes. Padding takes no part.

    Counts and sums are added in float64, and rows are drawn by their index in the batch of all
    processes, whose parts must be contiguous in the order of ranks. Every rank holds the same
    codebook, and one process with the whole batch holds it too, within rounding.
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
        self.seed = 0
        self.collects = True
        # Plain attributes: what is collected belongs to a step, not to the weights.
        self._collected: Tensor | None = None  # counts and sums, (size, 1 + dim)
        self._rows: list[Tensor] = []  # what dead codes may be revived at
        self._usage: tuple[Tensor, Tensor] | None = None
        self.register_buffer("weight", torch.zeros(size, dim))
        self.register_buffer("cluster_size", torch.zeros(size))
        self.register_buffer("initialized", torch.zeros(()))

    def assign(self, unit: Tensor) -> Tensor:
        """Return the nearest code (n,) of each unit-length row (n, dim), in float32."""
        codes = self.weight.float().T
        n_similarities = _SIMILARITIES.get(unit.device.type, _MOST_SIMILARITIES)
        n_rows = max(1, n_similarities // len(self.weight))
        return torch.cat([(rows @ codes).argmax(dim=1) for rows in unit.split(n_rows)])

    def forward(self, z: Tensor, mask: Tensor | None = None) -> Quantized:
        """Quantise ``z`` (..., dim); rows where ``mask`` (...) is False do not count."""
        # Half precision would flip near ties, and moving averages need every bit.
        with torch.autocast(z.device.type, enabled=False):
            return self._quantize(z.float(), mask)

    def _quantize(self, z: Tensor, mask: Tensor | None) -> Quantized:
        z = F.normalize(z, dim=-1)
        flat = z.reshape(-1, z.shape[-1])
        valid = slice(None) if mask is None else mask.reshape(-1)
        counted = flat[valid].detach()[: None if self.collects else 0]
        if self.training and not self.initialized:
            self.initialize(counted)
        codes = self.assign(flat.detach())
        vectors = self.weight[codes].to(flat.dtype)
        if self.training and self.collects:
            self._collect(counted, codes[valid])
        difference = flat[valid] - vectors[valid]
        # A mean that is 0 when there are no valid rows.
        loss = self.commitment_weight * difference.square().sum() / max(1, difference.numel())
        vectors = (flat + (vectors - flat).detach()).view_as(z)
        return Quantized(vectors, codes.view(z.shape[:-1]), loss)

    @torch.no_grad()
    def initialize(self, unit: Tensor) -> None:
        """Start from k-means (cosine) on the rows of all processes; a collective.

        Parameters
        ----------
        unit : Tensor, shape (n, dim)
            This process's unit-length rows; may be none. Rows that are not finite are left out.

        Notes
        -----
        If there are no rows in any process, the codebook stays as it is.
        """
        unit = unit[unit.isfinite().all(dim=1)]
        counts = gather_counts(len(unit), unit.device)
        n_rows, size = sum(counts), len(self.weight)
        if not n_rows:
            return
        generator = self._generator(_INITIALIZE, 0)
        picks = torch.randperm(n_rows, generator=generator)[:size]
        # With fewer rows than codes the others start in random directions: equal codes would leave
        # it to rounding which of them a row belongs to.
        others = torch.randn(size - len(picks), self.weight.shape[1], generator=generator)
        picked = pick_rows(unit, picks, counts).to(self.weight.dtype)
        self.weight.copy_(torch.cat([picked, F.normalize(others, dim=-1).to(picked)]))
        for _ in range(_KMEANS_ITERATIONS):
            both = sum_over_ranks(self._count_and_sum(unit, self.assign(unit)))
            self.weight.copy_(self._directions(both))
        self.cluster_size.copy_(both[:, 0])
        self.initialized.fill_(1.0)

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Move codes towards the mean direction of the rows collected; a collective.

        The moving average of the paper's Eq. 3, as the released code computes it; then dead codes
        are revived. Without rows in any process nothing moves.

        Parameters
        ----------
        step : int
            Number of the step, which decides, with ``seed``, where dead codes are revived.
        """
        both, rows = self._collected, self._rows
        self.discard()
        if both is None:
            both = self._new_sums(self.weight.device)
        counts = sum_over_ranks(both)[:, 0]
        shares = counts / counts.sum().clamp_min(1)
        self._usage = (counts > 0).to(counts).mean(), torch.special.entr(shares).sum().exp()
        if not counts.any() or not self.initialized:
            return
        self.cluster_size.lerp_(counts.to(self.cluster_size.dtype), 1 - self.decay)
        target = self._directions(both).to(self.weight.dtype)
        self.weight.copy_(F.normalize(self.weight.lerp(target, 1 - self.decay), dim=-1))
        if self.dead_code_threshold > 0:
            self._revive(torch.cat([self.weight[:0], *rows]), step)

    def discard(self) -> None:
        """Forget the rows that were collected since the last update."""
        self._collected, self._rows = None, []

    def usage(self) -> tuple[Tensor, Tensor]:
        """Return the share of codes used at the last update, and their perplexity.

        Returns
        -------
        used : Tensor, shape ()
            Share of codes, 0 to 1, that any row of any process was assigned to.
        perplexity : Tensor, shape ()
            Exponential of the entropy of the assignments: the number of codes that would be as
            hard to guess if all were equally frequent. 1 if there were no rows.

        Raises
        ------
        RuntimeError
            If there was no update yet.
        """
        if self._usage is None:
            raise RuntimeError("The codebook was never updated; call update() after a step.")
        return self._usage

    def _collect(self, unit: Tensor, codes: Tensor) -> None:
        with torch.no_grad():
            if self._collected is None:
                self._collected = self._new_sums(unit.device)
            self._collected += self._count_and_sum(unit, codes)
            if self.dead_code_threshold > 0:
                self._rows.append(unit)

    def _new_sums(self, device: torch.device) -> Tensor:
        # Apple's GPUs have no float64.
        dtype = torch.float32 if device.type == "mps" else torch.float64
        size, dim = self.weight.shape
        return torch.zeros(size, 1 + dim, dtype=dtype, device=device)

    def _count_and_sum(self, unit: Tensor, codes: Tensor) -> Tensor:
        """Return counts and, beside them, sums (size, 1 + dim) of the rows of each code."""
        both = self._new_sums(unit.device)
        for rows, index in zip(unit.split(_ROWS), codes.split(_ROWS), strict=True):
            both.index_add_(0, index, F.pad(rows.to(both.dtype), (1, 0), value=1.0))
        return both

    def _directions(self, both: Tensor) -> Tensor:
        """Return the mean direction (size, dim) of each code's rows, the code itself if none."""
        return torch.where(both[:, :1] > 0, F.normalize(both[:, 1:], dim=-1), self.weight)

    def _revive(self, unit: Tensor, step: int) -> None:
        """Give codes that hardly anything is assigned to a new place among the step's rows."""
        dead = (self.cluster_size < self.dead_code_threshold).nonzero().flatten()
        if not len(dead):
            return
        counts = gather_counts(len(unit), unit.device)
        generator = self._generator(_REVIVE, step)
        # No row twice: codes that are left over wait for the next step's rows.
        picks = torch.randperm(sum(counts), generator=generator)[: len(dead)]
        dead = dead[: len(picks)]
        self.weight[dead] = pick_rows(unit, picks, counts)
        # A fresh code must survive long enough to be used.
        self.cluster_size[dead] = 2 * self.dead_code_threshold

    def _generator(self, stream: int, step: int) -> torch.Generator:
        """Return a source of random numbers that is the same in all processes."""
        seed = np.random.SeedSequence([self.seed, stream, step]).generate_state(1, np.uint64)
        return torch.Generator().manual_seed(int(seed[0] >> 1))
