"""Batches from data in memory."""

from __future__ import annotations

import numpy as np
import pytest

from mne_neurolm.training.data import shuffled_batches, text_rows


def test_an_epoch_has_every_sample_once() -> None:
    batches = shuffled_batches([10, 7], 4, seed=0, epoch=0)
    assert len(batches) == 5
    for source, length in enumerate([10, 7]):
        rows = np.concatenate([b.rows for b in batches if b.source == source])
        assert sorted(rows) == list(range(length))
    assert {b.source for b in batches[:3]} == {0, 1} or {b.source for b in batches[2:]} == {0, 1}


def test_order_is_a_function_of_seed_and_epoch() -> None:
    def order(seed: int, epoch: int) -> list:
        return [
            (b.source, b.rows.tolist()) for b in shuffled_batches([9, 9], 2, seed=seed, epoch=epoch)
        ]

    assert order(0, 0) == order(0, 0)
    assert order(0, 0) != order(0, 1)
    assert order(0, 0) != order(1, 0)


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
