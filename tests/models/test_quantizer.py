"""The codebook."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
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
    monkeypatch.setattr(quantizer, "_SIMILARITIES", {"cpu": 7 * len(codebook.weight)})
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
    codebook.update(0), expected.update(0)
    torch.testing.assert_close(codebook.weight, expected.weight)


def test_a_batch_of_padding_counts_nothing(codebook: Codebook) -> None:
    z = unit_rows(5, seed=1).requires_grad_()
    before = copy.deepcopy(codebook.state_dict())
    codebook.train()
    loss = codebook(z, torch.zeros(5, dtype=torch.bool)).loss
    loss.backward()
    codebook.update(0)
    assert loss.item() == 0.0
    assert z.grad.abs().max() == 0.0
    assert_equal(codebook.state_dict(), before)


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
        for step in range(120):
            book(z)
            book.update(step)
        used[threshold] = len(book.eval()(z).codes.unique())
    assert used[0.0] <= 32
    assert used[0.5] >= 60


# --- moving ---------------------------------------------------------------------------------------


def assert_equal(state: dict, other: dict) -> None:
    assert state.keys() == other.keys()
    assert all(torch.equal(state[name], other[name]) for name in state)


def test_one_step_by_hand(codebook: Codebook) -> None:
    """Eq. 3 of the paper, with the mean taken as a direction (released code)."""
    z = unit_rows(30, seed=1)
    before = codebook.weight.clone()
    codebook.cluster_size.fill_(2.0)
    codes = codebook.train()(z).codes
    codebook.update(0)
    for code in range(16):
        rows = z[codes == code]
        mean = rows.sum(dim=0) / rows.sum(dim=0).norm() if len(rows) else before[code]
        moved = 0.99 * before[code] + 0.01 * mean
        torch.testing.assert_close(codebook.weight[code], moved / moved.norm())
        size = 0.99 * 2.0 + 0.01 * len(rows)
        assert codebook.cluster_size[code].item() == pytest.approx(size)


def test_forward_moves_nothing(codebook: Codebook) -> None:
    before = copy.deepcopy(codebook.state_dict())
    codebook.train()(unit_rows(50, seed=1))
    assert_equal(codebook.state_dict(), before)
    codebook.update(0)
    assert not torch.equal(codebook.weight, before["weight"])


@pytest.mark.parametrize("threshold", [0.0, 0.5])
def test_micro_batches_add_up(codebook: Codebook, threshold: float) -> None:
    """However a step is cut, codes move and are revived alike."""
    codebook.dead_code_threshold = threshold
    whole, cut = codebook.train(), copy.deepcopy(codebook).train()
    for step in range(3):
        z = unit_rows(40, seed=step)
        whole(z)
        for part in z.split([7, 30, 3]):
            cut(part)
        whole.update(step), cut.update(step)
        torch.testing.assert_close(whole.state_dict(), cut.state_dict(), rtol=1e-6, atol=1e-6)


def test_discarded_steps_leave_no_trace(codebook: Codebook) -> None:
    codebook.dead_code_threshold = 0.5
    other = copy.deepcopy(codebook).train()
    codebook.train()(torch.full((4, 8), torch.nan))
    codebook.discard()
    for book in (codebook, other):
        book(unit_rows(40, seed=1))
        book.update(3)
    assert_equal(codebook.state_dict(), other.state_dict())


def test_update_forgets_what_it_used(codebook: Codebook) -> None:
    codebook.train()(unit_rows(40, seed=1))
    codebook.update(0)
    before = copy.deepcopy(codebook.state_dict())
    codebook.update(1)
    assert_equal(codebook.state_dict(), before)
    assert codebook.usage()[0] == 0.0


def test_what_is_collected_is_no_weight(codebook: Codebook) -> None:
    names = set(codebook.state_dict())
    codebook.dead_code_threshold = 0.5
    codebook.train()(unit_rows(40, seed=1))
    assert set(codebook.state_dict()) == names == {"weight", "cluster_size", "initialized"}
    assert_equal(pickle.loads(pickle.dumps(codebook)).state_dict(), codebook.state_dict())


def test_usage(codebook: Codebook) -> None:
    with pytest.raises(RuntimeError, match="never updated"):
        codebook.usage()
    codebook.train()(codebook.weight[[0, 0, 1, 1, 2, 2, 3, 3]])
    codebook.update(0)
    used, perplexity = codebook.usage()
    assert used.item() == pytest.approx(4 / 16)
    assert perplexity.item() == pytest.approx(4.0)


def test_seed_and_step_decide_what_is_drawn() -> None:
    def weight(seed: int, step: int) -> torch.Tensor:
        book = Codebook(16, 8, dead_code_threshold=50.0).train()
        book.seed = seed
        book(unit_rows(100))
        started = book.weight.clone()
        book.update(step)  # every code is dead, so every code is drawn
        return torch.stack([started, book.weight])

    first, again, later, other = weight(0, 0), weight(0, 0), weight(0, 1), weight(1, 0)
    assert torch.equal(first, again)
    assert torch.equal(first[0], later[0]) and not torch.equal(first[1], later[1])
    assert not torch.equal(first[0], other[0])


def test_bad_rows_do_not_start_a_codebook() -> None:
    book = Codebook(4, 8).train()
    book(torch.full((3, 8), torch.nan))
    assert not bool(book.initialized)
    book.update(0)
    assert not bool(book.weight.any())
    z = unit_rows(50)
    z[7] = torch.inf
    book(z)
    assert bool(book.initialized) and bool(book.weight.isfinite().all())


def test_rows_of_no_one_count_nothing() -> None:
    """A process with nothing left to do computes on borrowed windows."""
    book = Codebook(4, 8).train()
    book.collects = False
    assert not bool(book(unit_rows(50)).loss.isnan())
    assert not bool(book.initialized)
    book.collects = True
    book(unit_rows(50, seed=1))
    before = copy.deepcopy(book.state_dict())
    book.discard()
    book.collects = False
    book(unit_rows(50, seed=2))
    book.update(0)
    assert_equal(book.state_dict(), before)
