"""Other montages and gains than those recorded, for the stages that train on unlabelled EEG."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from .data import EEGBatch

_STREAM = 10  # of random numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class Augmentation:
    """What is changed in each batch.

    Attributes
    ----------
    montage_subsets : float
        Largest share of the channels that is left out. Each step draws its share evenly from 0 to
        this. 0 leaves out none.
    amplitude_jitter : float
        Standard deviation of the natural logarithm of a gain per channel and step. 0 changes none.
    seed : int
        What is drawn depends on it and on the step only, so it is the same however a step is
        divided over processes.
    """

    montage_subsets: float = 0.0
    amplitude_jitter: float = 0.0
    seed: int = 0

    def __call__(self, batch: EEGBatch, step: int) -> EEGBatch:
        """Return the batch of a step as it is trained on; patches are in it already."""
        if batch.patches is None or not (self.montage_subsets or self.amplitude_jitter):
            return batch
        rng = np.random.default_rng([self.seed, _STREAM, step])
        n_channels = int((batch.times == batch.times[0]).sum())
        n_seconds = len(batch.times) // n_channels
        kept = rng.random(n_channels) >= rng.uniform(0.0, self.montage_subsets)
        if not kept.any():
            kept[rng.integers(n_channels)] = True
        gains = np.exp(self.amplitude_jitter * rng.standard_normal(n_channels))
        index = torch.from_numpy(np.flatnonzero(np.tile(kept, n_seconds))).to(batch.patches.device)
        gain = torch.from_numpy(np.tile(gains[kept], n_seconds)).to(batch.patches)
        return replace(
            batch,
            patches=batch.patches.index_select(1, index) * gain[:, None],
            channels=batch.channels[index],
            times=batch.times[index],
        )
