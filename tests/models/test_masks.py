"""The stair-step mask over trees of alternatives."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mne_neurolm.models.masks import stair_step_mask


def ancestors(way: tuple[int, ...]) -> set[tuple[int, ...]]:
    """Return a branch and those it hangs on, the root included, as ways without zeros."""
    steps = [step for step in way if step]
    return {tuple(steps[:n]) for n in range(len(steps) + 1)}


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("seed", range(5))
def test_a_token_sees_its_branch_and_what_that_hangs_on(depth: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = 40
    branches = rng.integers(1, 3, (n, depth))
    for row, level in zip(branches, rng.integers(0, depth + 1, n), strict=True):
        row[level:] = 0
    times = rng.integers(0, 6, n)
    mask = stair_step_mask(torch.from_numpy(times), torch.from_numpy(branches))
    ways = [tuple(row) for row in branches.tolist()]
    expected = [
        [times[q] >= times[k] and ancestors(ways[k]) <= ancestors(ways[q]) for k in range(n)]
        for q in range(n)
    ]
    np.testing.assert_array_equal(mask, expected)


def test_one_level_may_come_without_an_axis() -> None:
    times = torch.tensor([0, 1, 2, 3, 2])
    branches = torch.tensor([0, 0, 1, 1, 2])
    flat = stair_step_mask(times, branches)
    assert torch.equal(flat, stair_step_mask(times, branches[:, None]))
    unbranched = torch.nn.functional.pad(branches[:, None], (0, 2))
    assert torch.equal(flat, stair_step_mask(times, unbranched))


def test_several_samples_share_their_branches() -> None:
    times = torch.tensor([[0, 1, 2, 1, 2], [0, 3, 4, 3, 4]])
    branches = torch.tensor([[0, 0], [1, 0], [1, 1], [2, 0], [2, 1]])
    mask = stair_step_mask(times, branches)
    assert mask.shape == (2, 5, 5)
    for of_sample, own in zip(mask, times, strict=True):
        assert torch.equal(of_sample, stair_step_mask(own, branches))
