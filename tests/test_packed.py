"""Weights that are laid out once for all products of an inference."""

from __future__ import annotations

from contextlib import ExitStack
from contextvars import copy_context
from threading import Thread

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.modules.module import register_module_forward_hook
from transformers.pytorch_utils import Conv1D

from mne_neurolm.models.layers import MLP, gelu_after
from mne_neurolm.utils import packed
from mne_neurolm.utils.packed import packed_weights
from mne_neurolm.utils.products import cpu_has_bfloat16

DTYPES = [
    torch.float32,
    pytest.param(
        torch.bfloat16,
        marks=pytest.mark.skipif(not cpu_has_bfloat16(), reason="the CPU has no bfloat16"),
    ),
]
pytestmark = pytest.mark.skipif(
    not hasattr(torch.ops.mkldnn, "_reorder_linear_weight"), reason="torch was built without oneDNN"
)
N_UNPACKED = 2
N_RUNS = N_UNPACKED + 2  # the last two with packed weights


@pytest.fixture(autouse=True)
def on_such_a_cpu(monkeypatch) -> None:
    monkeypatch.setattr(packed, "mkl_holds_back", lambda: True)
    monkeypatch.setattr(packed, "_ROWS_UNPACKED", N_UNPACKED * packed._LEAST_ROWS)


@pytest.fixture
def products(monkeypatch) -> list[bool]:
    """Return a list that notes of each product whether its weight was packed."""
    seen: list[bool] = []
    multiply = packed.multiply

    def note(rows, weight, *others):
        seen.append(weight.is_mkldnn)
        return multiply(rows, weight, *others)

    monkeypatch.setattr(packed, "multiply", note)
    return seen


def values(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def linear(n_inputs: int, n_outputs: int, *, bias: bool = True) -> nn.Linear:
    torch.manual_seed(n_inputs)
    return nn.Linear(n_inputs, n_outputs, bias=bias)


def conv1d(n_inputs: int, n_outputs: int) -> Conv1D:
    torch.manual_seed(n_inputs)
    layer = Conv1D(n_outputs, n_inputs)
    nn.init.normal_(layer.bias)
    return layer


def runs(layer, x, dtype, *, packs: bool) -> list[torch.Tensor]:
    """Run a layer several times, in one context or in none."""
    with ExitStack() as stack:
        stack.enter_context(torch.no_grad())
        if packs:
            stack.enter_context(packed_weights(layer))
        stack.enter_context(torch.autocast("cpu", dtype, enabled=dtype is torch.bfloat16))
        return [layer(x) for _ in range(N_RUNS)]


class Activated(nn.Module):
    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return gelu_after(self.layer, x)


LAYERS = {
    "linear": lambda: linear(48, 64),
    "no bias": lambda: linear(48, 64, bias=False),
    "conv1d": lambda: conv1d(48, 64),
    "gelu": lambda: Activated(linear(48, 64)),
    "gelu, no bias": lambda: Activated(linear(48, 64, bias=False)),
    "gelu, conv1d": lambda: Activated(conv1d(48, 64)),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("shape", [(1, 48), (7, 48), (2, 5, 48)])
def test_layers_return_the_same(layer, dtype, shape, products) -> None:
    layer = LAYERS[layer]()
    expected = runs(layer, values(*shape), dtype, packs=False)[0]
    assert not products
    found = runs(layer, values(*shape), dtype, packs=True)
    assert products == [False] * N_UNPACKED + [True] * 2
    tolerance = 1e-5 if dtype is torch.float32 else 2e-2
    for one in found:
        assert one.dtype is dtype
        torch.testing.assert_close(one, expected, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("dtype", DTYPES)
def test_rounding_is_no_worse(dtype) -> None:
    """A GELU after a product in bfloat16 sees it before it is rounded."""
    mlp, x = MLP(96), values(40, 96)
    with torch.no_grad():
        exact = mlp.double()(x.double())
    mlp.float()
    errors = [
        (runs(mlp, x, dtype, packs=packs)[-1].double() - exact).square().mean().sqrt()
        for packs in (False, True)
    ]
    assert errors[1] <= 1.1 * errors[0] + 1e-7


def test_a_weight_can_be_used_both_ways(products) -> None:
    layer, x = linear(32, 32, bias=False), values(5, 32)
    with torch.no_grad(), packed_weights(layer):
        for _ in range(N_RUNS):
            torch.testing.assert_close(layer(x), x @ layer.weight.detach().T)
            expected = F.linear(x, layer.weight.detach().T)
            for product in (x @ layer.weight, torch.matmul(x, layer.weight)):
                torch.testing.assert_close(product, expected)
            torch.testing.assert_close(torch.mm(x, layer.weight), expected)
    assert any(products)


@pytest.mark.parametrize("dtype", DTYPES)
def test_parameters_need_not_be_contiguous(dtype) -> None:
    layer = linear(48, 64)
    layer.weight = nn.Parameter(values(128, 96)[::2, ::2])
    layer.bias = nn.Parameter(values(128)[::2])
    for x in (
        values(5, 96)[:, ::2],
        values(48, 5).T,
        values(5, 2, 48).transpose(0, 1),
        values(1, 48).expand(5, 48),
        values(5, 1).expand(5, 48),
        values(7, 48)[2:],
    ):
        expected = runs(layer, x, dtype, packs=False)[0]
        for found in runs(layer, x, dtype, packs=True):
            torch.testing.assert_close(found, expected, atol=2e-2, rtol=2e-2)


def test_with_gradients_nothing_changes(products) -> None:
    layer, x = Activated(linear(48, 64)), values(5, 48)
    with packed_weights(layer):
        layer(x).sum().backward()
    assert not products
    assert layer.layer.weight.grad.abs().sum() > 0


def test_what_torch_refuses_is_refused(products) -> None:
    layer = linear(48, 64)
    with torch.no_grad(), packed_weights(layer):
        for _ in range(N_RUNS):
            with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
                layer(values(5, 47))
            with pytest.raises(RuntimeError):
                F.linear(values(5, 48), layer.weight, layer.bias[:3])
            with pytest.raises(NotImplementedError):  # on CPUs
                torch.mm(values(5, 64), layer.weight, torch.float32)
            with pytest.raises(RuntimeError, match="must be a matrix"):
                torch.mm(values(2, 5, 64), layer.weight)
            with pytest.raises(RuntimeError, match="must be a matrix"):
                torch.addmm(values(48), values(2, 5, 64), layer.weight)
            with pytest.raises(RuntimeError, match="same dtype"):
                layer(values(5, 48).double())
    assert not products


def test_all_else_is_left_to_torch(products) -> None:
    layer = linear(48, 64)
    double, empty = linear(48, 64).double(), nn.Parameter(values(0, 48))
    with torch.no_grad(), packed_weights(layer):
        for _ in range(N_RUNS):
            assert layer(values(48)).shape == (64,)
            assert layer(values(0, 48)).shape == (0, 64)
            assert F.linear(values(5, 48), empty).shape == (5, 0)
            assert double(values(5, 48).double()).dtype is torch.float64
            assert torch.addmm(layer.bias, values(5, 64), values(64, 64), beta=0.5).shape == (5, 64)
            assert (values(2, 3, 4) @ values(2, 4, 5)).shape == (2, 3, 5)
            assert (values(3, 4) @ values(4)).shape == (3,)
    assert not products


def test_large_matrices_of_other_origin_are_not_kept(products) -> None:
    layer, rows, matrix = linear(48, 64), values(200, 200), values(200, 200)
    with torch.no_grad(), packed_weights(layer):
        for _ in range(N_RUNS):
            torch.testing.assert_close(rows @ matrix, F.linear(rows, matrix.T))
        assert packed._active.get()._known == {}
    assert products == [False] * 2 * N_RUNS


@pytest.mark.skipif(not cpu_has_bfloat16(), reason="the CPU has no bfloat16")
def test_matrices_of_other_origin_are_cast_as_ever(products) -> None:
    layer, rows, matrix = linear(48, 64), values(200, 200), values(200, 200)
    with torch.no_grad(), packed_weights(layer), torch.autocast("cpu", torch.bfloat16):
        assert (rows @ matrix).dtype is torch.bfloat16
        with torch.autocast("cpu", enabled=False):
            assert (rows @ matrix).dtype is torch.float32
            assert layer(values(5, 48)).dtype is torch.float32
    assert products == [False, False]


def test_who_watches_a_layer_sees_what_it_returns(products) -> None:
    mlp, seen, x = MLP(48), [], values(5, 48)
    mlp.c_fc.register_forward_hook(lambda module, inputs, output: seen.append(output))
    with torch.no_grad(), packed_weights(mlp):
        mlp(x)
    torch.testing.assert_close(seen[0], F.linear(x, mlp.c_fc.weight))
    assert len(products) == 2


def test_layouts_beside_weights_take_no_more_memory_than_allowed(products, monkeypatch) -> None:
    first, second = linear(48, 64), linear(64, 64)
    monkeypatch.setattr(packed, "_MOST_BYTES_BESIDE", first.weight.nbytes + 4)
    net = nn.Sequential(first, second)
    with torch.no_grad(), packed_weights(net):
        found = [net(values(5, 48)) for _ in range(N_RUNS)]
    assert products[-2:] == [True, False]
    with torch.no_grad():
        torch.testing.assert_close(found[-1], net(values(5, 48)))


def test_large_products_count_by_their_rows(products, monkeypatch) -> None:
    monkeypatch.setattr(packed, "_ROWS_UNPACKED", 400)
    layer = linear(48, 64)
    with torch.no_grad():
        for rows, n_unpacked in ((values(2, 100, 48), 2), (values(7, 48), 5), (values(400, 48), 1)):
            with packed_weights(layer):
                for _ in range(8):
                    layer(rows)
            assert products == [False] * n_unpacked + [True] * (8 - n_unpacked)
            products.clear()


def test_ends_with_the_outermost_context(products) -> None:
    layer, x = linear(48, 64), values(5, 48)
    with torch.no_grad():
        with packed_weights(layer):
            outer = packed._active.get()
            with packed_weights(layer):
                assert packed._active.get() is outer
            layer(x)
        n_products = len(products)
        assert packed._active.get() is None
        layer(x)
    assert len(products) == n_products == 1


def test_ends_with_an_error() -> None:
    with pytest.raises(ZeroDivisionError), packed_weights(linear(48, 64)):
        1 / 0  # noqa: B018
    assert packed._active.get() is None


def test_another_thread_computes_as_ever(products) -> None:
    layer = Activated(linear(48, 64))

    def run() -> None:
        with torch.no_grad():
            layer(values(5, 48))

    with packed_weights(layer):
        thread = Thread(target=run)
        thread.start()
        thread.join()
    assert not products


def test_weights_that_change_in_between_are_read_again() -> None:
    layer, x = linear(48, 64), values(5, 48)
    for _ in range(2):
        with torch.no_grad():
            layer.weight.mul_(2.0)
        expected = runs(layer, x, torch.float32, packs=False)[0]
        for found in runs(layer, x, torch.float32, packs=True):
            torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_bias_that_is_no_parameter_is_read_each_time(dtype) -> None:
    layer, x, bias = linear(48, 64), values(5, 48), values(128)[::2]
    enabled = dtype is torch.bfloat16
    with torch.no_grad(), packed_weights(layer), torch.autocast("cpu", dtype, enabled=enabled):
        for _ in range(N_RUNS):
            bias += 1.0
            found = F.linear(x, layer.weight, bias)
            expected = x @ layer.weight.T + bias
            torch.testing.assert_close(found.float(), expected.float(), atol=5e-2, rtol=2e-2)
        assert len(packed._active.get()._known) == 1


def test_copies_of_the_context_outlive_it() -> None:
    layer, x = Activated(linear(48, 64)), values(5, 48)
    with torch.no_grad():
        with packed_weights(layer):
            layer(x)
            context = copy_context()
            packing = packed._active.get()
        layer.layer.weight.mul_(2.0)
        torch.testing.assert_close(context.run(layer, x), layer(x))
    assert not packing._known


@pytest.mark.parametrize("watch", ["hook", "pre-hook", "all modules", "forward"])
def test_layers_that_are_watched_are_called(watch) -> None:
    layer, seen, x = linear(48, 64), [], values(5, 48)
    with ExitStack() as stack:
        if watch == "hook":
            layer.register_forward_hook(lambda *_: seen.append(1))
        elif watch == "pre-hook":
            layer.register_forward_pre_hook(lambda *_: seen.append(1))
        elif watch == "all modules":
            handle = register_module_forward_hook(lambda *_: seen.append(1))
            stack.callback(handle.remove)
        else:
            layer.forward = lambda x: seen.append(1) or nn.Linear.forward(layer, x)
        stack.enter_context(torch.no_grad())
        stack.enter_context(packed_weights(layer))
        gelu_after(layer, x)
    assert seen == [1]


def test_parts_that_are_compiled_inside() -> None:
    """As by torch.compile, which leaves no trace on the module; without a compiler's back end."""
    layer, x = Activated(linear(48, 64)), values(5, 48)
    compiled = torch.compile(layer, backend="eager", fullgraph=True)
    with torch.no_grad():
        expected = layer(x)
        with packed_weights(layer):
            for _ in range(N_RUNS):
                torch.testing.assert_close(compiled(x), expected)


def test_compiled_modules_are_left_to_their_compiler() -> None:
    net = nn.Sequential(linear(48, 64))
    net[0]._compiled_call_impl = net[0]._call_impl  # as Module.compile does
    with packed_weights(net):
        assert packed._active.get() is None


@pytest.mark.parametrize("lacking", ["cpu_has_bfloat16", "mkl_holds_back"])
def test_serves_what_the_cpu_gains_by(lacking, monkeypatch) -> None:
    for name in ("cpu_has_bfloat16", "mkl_holds_back"):
        monkeypatch.setattr(packed, name, lambda name=name: name != lacking)
    left = torch.float32 if lacking == "cpu_has_bfloat16" else torch.bfloat16
    assert packed._packable(linear(48, 64)) == {left}
    assert packed._packable(linear(48, 64).to("meta")) == set()
    assert packed._packable(nn.Identity()) == set()


def test_on_other_cpus_nothing_changes(monkeypatch, products) -> None:
    for name in ("cpu_has_bfloat16", "mkl_holds_back"):
        monkeypatch.setattr(packed, name, lambda: False)
    layer = linear(48, 64)
    with torch.no_grad(), packed_weights(layer):
        layer(values(5, 48))
        assert packed._active.get() is None
    assert not products
