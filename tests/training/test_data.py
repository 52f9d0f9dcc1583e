"""Batches from data in memory."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mne_neurolm.training.data import EEGBatch, Source, counts_to_patches, text_rows
from mne_neurolm.training.plan import Bucket, Plan, Windows
from mne_neurolm.training.sampling import make_plan


class Nothing(Source):
    """Batches without EEG."""

    def load(self, bucket: int, rows: np.ndarray, epoch: int) -> EEGBatch:
        return EEGBatch(**self._template(bucket, rows))


def test_text_rows_are_pieces_of_the_text() -> None:
    tokens = np.arange(100, 150)
    rows = text_rows(tokens, 8, 12, seed=0, step=3)
    assert rows.shape == (8, 12)
    assert (rows.diff(dim=1) == 1).all()
    assert rows.min() >= 100 and rows.max() < 150
    assert (rows == text_rows(tokens, 8, 12, seed=0, step=3)).all()
    assert (rows != text_rows(tokens, 8, 12, seed=0, step=4)).any()
    assert (text_rows(tokens, 2, 50, seed=0, step=0)[:, 0] == 100).all()


def test_too_little_text() -> None:
    with pytest.raises(ValueError, match="has 5 tokens; a row needs 6"):
        text_rows(np.arange(5), 1, 6, seed=0, step=0)


def test_shares_add_up_over_pieces_and_processes() -> None:
    """Losses are means over tokens, accuracies over windows; neither depends on ranks."""
    buckets = [Bucket((0, 1), 1, 0), Bucket((0, 1), 1, 1)]
    label = np.array([0, 1, 1, 0, 1, 0, 0])
    bucket = np.array([0, 0, 0, 0, 0, 1, 1], dtype=np.int32)
    windows = Windows(buckets, bucket, bucket, np.arange(7), np.zeros(7, dtype=np.int64), label)

    def shares(world: int, micro: int | None, of_all: bool) -> tuple[list[float], list[float]]:
        tokens, counts = [], []
        for step in range(3):
            batches = [
                batch
                for rank in range(world)
                for batch in Nothing(
                    windows,
                    Plan(bucket, 4, None),
                    rank=rank,
                    world=world,
                    micro_batch_size=micro,
                    weights=[np.array([2, 6]), np.array([3, 3])],
                    of_all=of_all,
                )[step]
            ]
            tokens.append(sum(batch.share for batch in batches))
            counts.append(sum(batch.window_share for batch in batches))
        return tokens, counts

    for world, micro in ((1, None), (2, None), (3, 1), (5, None)):
        tokens, counts = shares(world, micro, of_all=False)
        np.testing.assert_allclose([tokens, counts], 1.0)
        tokens, counts = shares(world, micro, of_all=True)
        np.testing.assert_allclose(tokens, np.array([16, 6, 6]) / 28)
        np.testing.assert_allclose(counts, np.array([4, 1, 2]) / 7)
    (first, second) = Nothing(
        windows, Plan(bucket, 4, None), micro_batch_size=2, weights=[np.array([2, 6])] * 2
    )[0]
    assert (first.share, second.share) == (0.5, 0.5) and first.window_share == 0.5


def test_steps_of_several_tasks() -> None:
    """Shares add up over tasks, pieces and processes, and over the tasks that are left."""
    buckets = [Bucket((0, 1), 1, 0), Bucket((0, 1), 1, 1)]
    bucket = np.array([0] * 9 + [1] * 3, dtype=np.int32)
    label = np.array([0, 1] * 6)
    windows = Windows(buckets, bucket, bucket, np.arange(12), np.zeros(12, dtype=np.int64), label)

    for world, micro in ((1, None), (2, 2), (5, 1)):
        sources = [
            Nothing(
                windows,
                make_plan(windows, 4, 0),
                rank=rank,
                world=world,
                micro_batch_size=micro,
                weights=[np.array([2, 6]), np.array([3, 3])],
            )
            for rank in range(world)
        ]
        for step in range(3):
            assert sources[0].shapes(step) == [(buckets[0], 3), (buckets[1], 1)]
            each = [source[step] for source in sources]
            assert len({tuple(batch.task for batch in batches) for batches in each}) == 1
            batches = sum(each, [])
            assert sum(batch.share for batch in batches) == pytest.approx(1)
            whole, n_windows = sources[0].amount(step)
            weight, n_left = sources[0].amount(step, {1})
            assert sum(b.share for b in batches if b.task == 0) == pytest.approx(weight / whole)
            assert sum(b.window_share for b in batches if b.task == 0) == pytest.approx(0.75)
            assert (n_left, n_windows) == (3, 4) and 0.75 < weight / whole < 1


def test_counts_become_patches() -> None:
    """Time-major counts of two windows, at their own scales, as seconds of channels."""
    rng = np.random.default_rng(0)
    counts = rng.integers(-32767, 32767, size=(2, 600, 5), dtype=np.int16)
    scale = np.array([1e-8, 3e-8], dtype=np.float32)
    patches = counts_to_patches(torch.from_numpy(counts), torch.from_numpy(scale))
    volts = counts * scale[:, None, None].astype(np.float64)
    for window, second, channel in ((0, 0, 0), (1, 2, 4), (1, 1, 3)):
        expected = volts[window, second * 200 : (second + 1) * 200, channel] / 1e-4
        np.testing.assert_allclose(patches[window, second * 5 + channel], expected, rtol=1e-6)
