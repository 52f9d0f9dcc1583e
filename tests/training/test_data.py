"""Batches from data in memory."""

from __future__ import annotations

import numpy as np
import pytest

from mne_neurolm.training.data import text_rows


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
