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
        """Return the batch of a step as it is trained on.

        Parameters
        ----------
        batch : EEGBatch
            Windows as patches, or no EEG at all, which stays as it is.
        step : int
            The step.

        Returns
        -------
        batch : EEGBatch
            Another one, unless nothing changes.

        Raises
        ------
        ValueError
            If the batch holds hidden states: the encoder has read the EEG already.
        """
        if not (self.montage_subsets or self.amplitude_jitter):
            return batch
        if batch.hidden is not None:
            raise ValueError(
                f"montage_subsets={self.montage_subsets} and amplitude_jitter="
                f"{self.amplitude_jitter} change EEG before the encoder reads it; got hidden "
                "states, which they cannot change. Set both to 0 (channel_dropout leaves out "
                "channels of hidden states), or train with `pretrain instruct` and no --cache, "
                "which encodes anew in every step."
            )
        if batch.patches is None:
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
