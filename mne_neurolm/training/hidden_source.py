"""Windows of a store as hidden states, which the frozen encoder computes once."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mne.utils import logger
from numpy.typing import NDArray
from tqdm.auto import tqdm

from ..models.neurolm import NeuroLM
from ..utils.device import autocast
from .data import EEGBatch, Source, StoreSource
from .hidden_cache import Arrays, HiddenCache
from .parallel import Parallel
from .plan import Plan, Windows
from .stages import given

_CHUNK = 1024  # windows per entry: what a killed run must compute again at most, per process
_AT_A_TIME = 32  # windows that the encoder sees together


class HiddenSource(Source):
    """Windows whose hidden states are known.

    Parameters
    ----------
    chunks : sequence of ndarray, shape (n, n_tokens, n_embd)
        The states.
    place : ndarray of int, shape (n_windows, 2)
        Chunk and row of each window.
    windows, plan, **kwargs
        As for :class:`~mne_neurolm.training.data.Source`.
    """

    def __init__(
        self,
        chunks: Sequence[NDArray[Any]],
        place: NDArray[np.int64],
        windows: Windows,
        plan: Plan,
        **kwargs: Any,
    ) -> None:
        super().__init__(windows, plan, **kwargs)
        self.chunks = chunks
        self.place = place

    def load(self, bucket: int, rows: NDArray[np.int64], epoch: int) -> EEGBatch:
        """Return windows of a bucket."""
        states = np.stack([self.chunks[c][r] for c, r in self.place[rows]]).astype(np.float32)
        return EEGBatch(hidden=torch.from_numpy(states), **self._template(bucket, rows))


def cache_states(
    source: StoreSource,
    cache: HiddenCache,
    model: NeuroLM,
    parallel: Parallel,
    *,
    precision: str = "float32",
    progress: bool = False,
) -> HiddenSource:
    """Return a source of the same windows as hidden states, computed where they are not cached.

    Parameters
    ----------
    source : StoreSource
        Windows of a store, all of which start at the same sample in every epoch.
    cache : HiddenCache
        Where states are kept. All processes must see the folder; each computes a part.
    model : NeuroLM
        The model; its encoder must be frozen.
    parallel : Parallel
        The processes, all of which must call this.
    precision : "auto" | "float32" | "bfloat16"
        Precision of matrix products. Default float32.
    progress : bool
        Show a progress bar. Default False.

    Returns
    -------
    hidden : HiddenSource
        The source.

    Raises
    ------
    ValueError
        If windows start elsewhere in every epoch.
    """
    windows = source.windows
    if len(windows) and windows.slack.any():
        raise ValueError(
            "Only windows with labels can be cached; these start at another sample in every epoch."
        )
    encoder_id = model.encoder_id()
    model.to(parallel.device)
    parts = [
        rows[i : i + _CHUNK]
        for rows in (np.flatnonzero(windows.bucket == b) for b in range(len(windows.buckets)))
        for i in range(0, len(rows), _CHUNK)
    ]

    def entry(rows: NDArray[np.int64], bar: Any) -> Arrays:
        channels, n_seconds, _ = windows.buckets[int(windows.bucket[rows[0]])]
        shape = (len(rows), n_seconds * len(channels), model.config.n_embd)
        facts = (encoder_id, precision, source.store.fingerprint, _which(source, rows))

        def compute(arrays: Arrays) -> None:
            for start in range(0, len(rows), _AT_A_TIME):
                some = rows[start : start + _AT_A_TIME]
                arrays["hidden"][start : start + len(some)] = _states(
                    source, model, some, parallel.device, precision
                )
                bar.update(len(some))

        return cache.get(facts, {"hidden": (shape, cache.dtype)}, compute)

    own = parts[parallel.rank :: parallel.world]
    with tqdm(
        total=sum(map(len, own)), desc="hidden states", disable=not progress, leave=False
    ) as bar:
        for rows in own:
            entry(rows, bar)
        parallel.barrier()
        chunks = [entry(rows, bar)["hidden"] for rows in parts]
    place = np.zeros((len(windows), 2), dtype=np.int64)
    for number, rows in enumerate(parts):
        place[rows, 0], place[rows, 1] = number, np.arange(len(rows))
    logger.info(f"Hidden states of {len(windows)} windows are in {cache.folder}.")
    return HiddenSource(
        chunks,
        place,
        windows,
        source.plan,
        rank=source.rank,
        world=source.world,
        micro_batch_size=source.micro_batch_size,
        weights=source.weights,
        of_all=source.of_all,
    )


@torch.inference_mode()
def _states(
    source: StoreSource,
    model: NeuroLM,
    rows: NDArray[np.int64],
    device: torch.device,
    precision: str,
) -> NDArray[np.float32]:
    batch = source.load(int(source.windows.bucket[rows[0]]), rows, 0).to(device)
    model.eval()
    with autocast(precision, device):
        states = model.encode(given(batch.patches), batch.channels, batch.times)
    return states.float().cpu().numpy()


def _which(source: StoreSource, rows: NDArray[np.int64]) -> str:
    """Return a hash of which windows of a store these are."""
    windows = source.windows
    channels, n_seconds, _ = windows.buckets[int(windows.bucket[rows[0]])]
    digest = hashlib.sha256(f"{channels} {n_seconds}".encode())
    for recording, start in zip(windows.recording[rows], windows.start[rows], strict=True):
        # By name: stores with the same fingerprint may have another order.
        digest.update(f"{source.store.recordings[int(recording)].name}\n{start}\n".encode())
    return digest.hexdigest()
