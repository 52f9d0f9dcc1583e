"""Products by oneDNN where MKL is slow."""

from __future__ import annotations

from threading import Thread

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mne_neurolm.utils import products
from mne_neurolm.utils.products import _OneDNN, fast_products, plain_products

CPU = torch.device("cpu")
needs_onednn = pytest.mark.skipif(
    not hasattr(torch.ops.mkldnn, "_linear_pointwise"), reason="torch was built without oneDNN"
)


@pytest.fixture(autouse=True)
def on_such_a_cpu(monkeypatch) -> None:
    monkeypatch.setattr(products, "mkl_holds_back", lambda: True)


@pytest.fixture
def calls(monkeypatch) -> list[tuple[int, ...]]:
    """Return a list that products by oneDNN are noted in."""
    seen: list[tuple[int, ...]] = []
    served = products.is_served

    def note(*operands) -> bool:
        answer = served(*operands)
        if answer:
            seen.append((*operands[0].shape, len(operands[1])))
        return answer

    monkeypatch.setattr(products, "is_served", note)
    return seen


def values(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


@needs_onednn
@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad, torch.enable_grad])
def test_products_are_the_same(calls, mode) -> None:
    rows, weight, bias = values(2, 150, 160), values(90, 160), values(90)
    flat, square = rows[0], values(160, 150)

    def all_of_them() -> list[torch.Tensor]:
        return [
            F.linear(rows, weight),
            F.linear(rows, weight, bias),
            flat @ square,
            flat.T @ square.T,
            rows @ weight.T,
            torch.addmm(bias, flat, weight.T),
            torch.addmm(bias, flat[:, ::2], weight[:, ::2].T),
        ]

    with mode():
        expected = all_of_them()
        assert not calls
        with fast_products(CPU):
            found = all_of_them()
        n_served = len(calls)
        again = all_of_them()
    assert n_served == 6  # the last is too small
    assert len(calls) == n_served
    for one, other, back in zip(found, expected, again, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-5)
        assert torch.equal(back, other)


@needs_onednn
def test_backward_is_served_too(calls) -> None:
    net = nn.Sequential(nn.Linear(160, 256), nn.GELU(), nn.Linear(256, 160, bias=False))
    rows = values(4, 75, 160)
    gradients = []
    for context in (fast_products(CPU), torch.enable_grad()):
        net.zero_grad()
        with context:
            net(rows).square().mean().backward()
        gradients.append([p.grad.clone() for p in net.parameters() if p.grad is not None])
    assert len(calls) == 5  # two forward; backward two for weights, one for what lies before
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-4)


@needs_onednn
def test_all_else_is_left_alone(calls) -> None:
    big = values(300, 300)
    with fast_products(CPU):
        assert torch.equal(big.double() @ big.double(), big.double() @ big.double())
        assert (big.bfloat16() @ big.bfloat16()).dtype is torch.bfloat16
        assert (values(3, 200, 200) @ values(3, 200, 200)).shape == (3, 200, 200)
        assert (big @ big[0]).shape == (300,)
        assert torch.addmm(big, big, big, beta=0.5).shape == (300, 300)
        assert (big.to("meta") @ big.to("meta")).device.type == "meta"
        assert F.linear(values(8, 8), values(8, 8)).shape == (8, 8)
        for bias in (torch.randn(1).expand(300), torch.randn(600)[::2], torch.randn(1)):
            expected = bias.double() + big.double() @ big.double()
            torch.testing.assert_close(
                torch.addmm(bias, big, big).double(), expected, atol=1e-3, rtol=1e-3
            )
        assert torch.sparse.mm(big.to_sparse(), big).shape == (300, 300)
    assert not calls


@needs_onednn
def test_what_is_compiled_is_seen_by_the_compiler() -> None:
    """torch's compiler gives up, without a word, where every operation is seen."""
    layer, rows = nn.Linear(300, 300), values(300, 300)
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    compiled = torch.compile(layer, backend=backend)
    with plain_products(), fast_products(CPU):
        assert not _OneDNN.is_active()
        compiled(rows)
    assert len(graphs) == 1
    with fast_products(CPU):
        assert _OneDNN.is_active()


@needs_onednn
def test_entered_once_and_in_its_thread_only(calls) -> None:
    inside = []
    with fast_products(CPU), fast_products(CPU):
        values(300, 300) @ values(300, 300)
        thread = Thread(target=lambda: inside.append(_OneDNN.is_active()))
        thread.start()
        thread.join()
        assert _OneDNN.is_active()
    assert len(calls) == 1
    assert inside == [False]
    assert not _OneDNN.is_active()


def test_only_where_it_helps(monkeypatch) -> None:
    with fast_products(torch.device("meta")):
        assert not _OneDNN.is_active()
    monkeypatch.setattr(products, "mkl_holds_back", lambda: False)
    with fast_products(CPU):
        assert not _OneDNN.is_active()


@pytest.mark.parametrize(
    ("maker", "capability", "answer"),
    [
        ("AuthenticAMD", "AVX512", True),
        ("AuthenticAMD", "AVX2", False),
        ("GenuineIntel", "AVX512", False),
    ],
)
@needs_onednn
def test_which_cpus_those_are(monkeypatch, tmp_path, maker, capability, answer) -> None:
    monkeypatch.undo()
    text = tmp_path / "cpuinfo"
    text.write_text(f"vendor_id\t: {maker}\n")
    monkeypatch.setattr(products, "_CPU_INFO", text)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    for library in (torch.backends.mkl, torch.backends.mkldnn):
        monkeypatch.setattr(library, "is_available", lambda: True)
    assert products.mkl_holds_back.__wrapped__() is answer
    monkeypatch.setattr(torch.backends.mkl, "is_available", lambda: False)
    assert not products.mkl_holds_back.__wrapped__()
