"""Arrays through a function, a few rows at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mne_neurolm.utils.batches import compute_in_batches, rows_at_a_time


@pytest.mark.parametrize("n_rows", [0, 1, 7, 8, 9])
def test_every_row_is_computed_once(n_rows) -> None:
    data = np.arange(2.0 * n_rows, dtype=np.float32).reshape(n_rows, 2)
    doubled, sums = np.full_like(data, np.nan), np.full(n_rows, -1)
    sizes = []

    def function(batch: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        sizes.append(len(batch))
        return (2 * batch).bfloat16(), batch.sum(dim=1).long()

    compute_in_batches(function, data, (doubled, sums), torch.device("cpu"), batch_size=4)
    np.testing.assert_array_equal(doubled, 2 * data)
    np.testing.assert_array_equal(sums, data.sum(axis=1))
    assert sum(sizes) == n_rows
    assert all(size <= 4 for size in sizes)


@pytest.mark.parametrize("how", ["backward", "read-only", "double"])
def test_arrays_of_any_kind(how) -> None:
    data = np.arange(20.0, dtype=np.float64 if how == "double" else np.float32).reshape(10, 2)
    data.flags.writeable = how != "read-only"
    given = data[::-1] if how == "backward" else data
    sums = np.empty(10)
    compute_in_batches(lambda x: (x.sum(dim=1),), given, (sums,), torch.device("cpu"), batch_size=3)
    np.testing.assert_array_equal(sums, given.sum(axis=1))


def test_long_rows_are_fewer_at_a_time_on_a_cpu() -> None:
    cpu = torch.device("cpu")
    assert rows_at_a_time(64, 16, cpu) == 64
    assert rows_at_a_time(64, 230, cpu) == 8
    assert rows_at_a_time(2, 230, cpu) == 2
    assert rows_at_a_time(64, 5000, cpu) == 1
    assert rows_at_a_time(64, 230, torch.device("cuda")) == 64
