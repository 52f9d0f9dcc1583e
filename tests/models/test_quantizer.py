"""The codebook."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import distributed, multiprocessing
from torch.nn import functional as F

from mne_neurolm.models import quantizer
from mne_neurolm.models.quantizer import Codebook


def unit_rows(n: int, dim: int = 8, seed: int = 0) -> torch.Tensor:
    return F.normalize(torch.randn(n, dim, generator=torch.Generator().manual_seed(seed)), dim=-1)


@pytest.fixture
def codebook() -> Codebook:
    book = Codebook(16, 8).eval()
    book.weight.copy_(unit_rows(16))
    book.initialized.fill_(1.0)
    return book


def test_nearest_code_and_commitment_loss(codebook: Codebook) -> None:
    z = 3.0 * codebook.weight[[5, 2, 5]]
    out = codebook(z)
    assert out.codes.tolist() == [5, 2, 5]
    assert out.loss.item() == pytest.approx(0.0, abs=1e-12)
    z = unit_rows(50, seed=1)
    out = codebook(z)
    distances = (z[:, None] - codebook.weight[None]).square().sum(-1)
    assert torch.equal(out.codes, distances.argmin(dim=1))
    assert out.loss.item() == pytest.approx(distances.min(dim=1).values.mean().item() / 8, rel=1e-5)


def test_assignment_in_chunks(codebook: Codebook, monkeypatch: pytest.MonkeyPatch) -> None:
    z = unit_rows(50, seed=1)
    whole = codebook.assign(z)
    monkeypatch.setattr(quantizer, "_ASSIGN_CHUNK", 7)
    assert torch.equal(codebook.assign(z), whole)


def test_straight_through_gradient(codebook: Codebook) -> None:
    z = unit_rows(5, seed=1).requires_grad_()
    codebook(z).vectors.backward(torch.ones(5, 8))
    # The gradient passes the quantisation as it is, and then the normalisation.
    reference = z.detach().clone().requires_grad_()
    F.normalize(reference, dim=-1).backward(torch.ones(5, 8))
    torch.testing.assert_close(z.grad, reference.grad)


def test_evaluation_changes_nothing(codebook: Codebook) -> None:
    before = {name: value.clone() for name, value in codebook.state_dict().items()}
    codebook(unit_rows(50, seed=1))
    assert all(torch.equal(before[name], value) for name, value in codebook.state_dict().items())


def test_padding_moves_nothing(codebook: Codebook) -> None:
    z, mask = unit_rows(20, seed=1), torch.arange(20) < 12
    expected = Codebook(16, 8)
    expected.load_state_dict(codebook.state_dict())
    codebook.train(), expected.train()
    loss = codebook(z, mask).loss
    assert loss.item() == pytest.approx(expected(z[:12]).loss.item())
    torch.testing.assert_close(codebook.weight, expected.weight)


def test_kmeans_finds_clusters() -> None:
    """On the first batch codes land on the clusters, each at unit length."""
    torch.manual_seed(0)
    centers = torch.eye(4, 8)
    z = centers.repeat_interleave(50, dim=0) + 0.01 * torch.randn(200, 8)
    book = Codebook(4, 8).train()
    book(z)
    assert bool(book.initialized)
    torch.testing.assert_close(book.weight.norm(dim=1), torch.ones(4))
    similarity = (centers @ book.weight.T).max(dim=1).values
    assert (similarity > 0.7).sum() >= 3  # k-means may split one cluster and merge two
    assert len(book(z).codes.unique()) == 4


def test_more_codes_than_rows() -> None:
    torch.manual_seed(0)
    book = Codebook(64, 8).train()
    assert torch.isfinite(book(unit_rows(5)).loss)
    torch.testing.assert_close(book.weight.norm(dim=1), torch.ones(64))


def test_dead_codes_come_back() -> None:
    torch.manual_seed(0)
    z = unit_rows(400, seed=3).abs()
    used = {}
    for threshold in (0.0, 0.5):
        book = Codebook(64, 8, dead_code_threshold=threshold).train()
        book.weight.copy_(unit_rows(64).abs())
        book.weight[32:] *= -1  # no row is ever nearest to these
        book.initialized.fill_(1.0)
        for _ in range(120):
            book(z)
        used[threshold] = len(book.eval()(z).codes.unique())
    assert used[0.0] <= 32
    assert used[0.5] >= 60


def _one_rank(rank: int, file: str, output: str) -> None:
    distributed.init_process_group("gloo", init_method=f"file://{file}", rank=rank, world_size=2)
    torch.manual_seed(rank)  # ranks disagree about everything random
    book = Codebook(16, 8, dead_code_threshold=0.1).train()
    for step in range(3):
        book(unit_rows(60, seed=10 * step + rank))
    np.savez(f"{output}{rank}.npz", **{k: v.numpy() for k, v in book.state_dict().items()})
    distributed.destroy_process_group()


def test_ranks_hold_the_same_codebook(tmp_path: Path) -> None:
    multiprocessing.spawn(
        _one_rank, (str(tmp_path / "rendezvous"), str(tmp_path / "rank")), nprocs=2
    )
    first, second = (np.load(tmp_path / f"rank{rank}.npz") for rank in (0, 1))
    for name in first.files:
        np.testing.assert_array_equal(first[name], second[name])


def test_two_ranks_equal_one_with_all_rows(codebook: Codebook) -> None:
    """The update is a sum over rows, so it does not matter how they are dealt."""
    z = unit_rows(40, seed=5)
    counts, sums = codebook._sums(z, codebook.assign(z))
    parts = [codebook._sums(part, codebook.assign(part)) for part in z.split(20)]
    torch.testing.assert_close(counts, parts[0][0] + parts[1][0])
    torch.testing.assert_close(sums, parts[0][1] + parts[1][1])
