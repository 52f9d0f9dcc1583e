"""The codebook over several processes: the same on all of them, and the same as on one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import distributed, multiprocessing
from torch.nn import functional as F

from mne_neurolm.models.quantizer import Codebook
from mne_neurolm.utils.distributed import gather_counts, pick_rows

SIZE, DIM, N_ROWS, N_STEPS = 16, 8, 60, 3

# Rows of each rank, by the number of ranks.
SHARES = {
    "even": {2: [30, 30], 3: [20, 20, 20]},
    "uneven": {2: [47, 13], 3: [7, 40, 13]},
    "empty": {2: [60, 0], 3: [0, 60, 0]},
    "padded": {2: [35, 25], 3: [25, 25, 10]},
    "borrowed": {2: [60, 0], 3: [33, 27, 0]},
    "pieces": {2: [40, 20], 3: [30, 20, 10]},
    "few": {2: [6, 3], 3: [4, 4, 1]},  # fewer than there are codes
}


def batch(step: int, n_rows: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(step)
    return F.normalize(torch.randn(n_rows, DIM, generator=generator), dim=-1)


def train(case: str, shares: list[int], rank: int) -> dict[str, np.ndarray]:
    """Train on this rank's rows, cut as the case says; returns the codebook."""
    book = Codebook(SIZE, DIM, decay=0.5, dead_code_threshold=1.0).train()
    book.seed = 3
    for step in range(N_STEPS):
        own = batch(step, sum(shares)).split(shares)[rank]
        if case == "pieces":
            if step == 0:  # codes start from the whole batch
                book.initialize(own)
            for piece in own.tensor_split(3):
                book(piece)
        elif case == "padded":
            rows = torch.cat([own, torch.ones(5, DIM)])[None]
            book(rows, torch.arange(len(own) + 5)[None] < len(own))
        elif case == "borrowed":
            book.collects = len(own) > 0
            book(own if len(own) else batch(99, 10))
        else:
            book(own)
        book.update(step)
    used, perplexity = book.usage()
    usage = {"used": used.numpy(), "perplexity": perplexity.numpy()}
    return {k: v.numpy() for k, v in book.state_dict().items()} | usage


def _one_rank(rank: int, world: int, folder: str) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=world
    )
    torch.manual_seed(rank)  # ranks disagree about everything else that is random
    for case, shares in SHARES.items():
        np.savez(f"{folder}/{case}{rank}.npz", **train(case, shares[world], rank))
    rows = batch(0, 5).split([2, 3, 0][:world])[rank]
    counts = gather_counts(len(rows), rows.device)
    picked = pick_rows(rows, torch.tensor([4, 0, 4, 1]), counts)
    np.savez(f"{folder}/picked{rank}.npz", counts=counts, picked=picked.numpy())
    distributed.destroy_process_group()


@pytest.fixture(scope="module", params=[2, 3])
def ranks(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], list[dict[str, np.ndarray]]]:
    """Return what a case gave on each of several processes."""
    folder: Path = tmp_path_factory.mktemp("ranks")
    multiprocessing.spawn(_one_rank, (request.param, str(folder)), nprocs=request.param)

    def results(case: str) -> list[dict[str, np.ndarray]]:
        return [dict(np.load(folder / f"{case}{rank}.npz")) for rank in range(request.param)]

    return results


@pytest.mark.parametrize("case", SHARES)
def test_ranks_hold_one_codebook(ranks, case: str) -> None:
    first, *others = ranks(case)
    for other in others:
        for name, value in first.items():
            np.testing.assert_array_equal(other[name], value)


@pytest.mark.parametrize("case", SHARES)
def test_as_in_one_process(ranks, case: str) -> None:
    """Codes start, move and are revived as if one process had all rows."""
    n_rows = sum(SHARES[case][2])
    alone = train("even", [n_rows], 0)
    for name, value in ranks(case)[0].items():
        np.testing.assert_allclose(value, alone[name], rtol=1e-6, atol=1e-6)


def test_codes_were_revived() -> None:
    """Without it the tests above would not see what they look for."""
    for n_rows in (N_ROWS, sum(SHARES["few"][2])):
        fresh = train("even", [n_rows], 0)["cluster_size"] == 2.0
        assert 0 < fresh.sum() < SIZE


def test_rows_are_picked_from_all_ranks(ranks) -> None:
    for rank in ranks("picked"):
        assert rank["counts"].tolist() == [2, 3, 0][: len(rank["counts"])]
        np.testing.assert_array_equal(rank["picked"], batch(0, 5)[[4, 0, 4, 1]])
