"""The product that meets GELU, run by the emulator: against fp64, as operators, in a layer, broken; and as nvcc sees
it."""

import ctypes
import re

import pytest
import torch
from broken_products import FILE, OVERRUNS, WAITS, WRONG
from mutations import break_sources
from rows_harness import compile_rows, failure_of
from torch.nn import functional as F

from interbert.kernels.attend.fused_build import SOURCES, device_command, nvcc
from interbert.kernels.compile import Unavailable, run
from interbert.kernels.rows import build, self_check, serving, table
from interbert.kernels.rows.build import GELU_PRODUCT
from interbert.kernels.rows.gelu_product import feed_forward, gelu_product, gelu_product_backward
from interbert.kernels.rows.serving import everywhere
from interbert.model.layers import linear
from interbert.model.layers.linear import Linear

CPU = torch.device("cpu")
# Rows, hidden, inner: one row, bands that end anywhere, more blocks than panels and the other way round.
SIZES = [(1, 256, 128), (16, 512, 128), (63, 256, 640), (65, 256, 128), (192, 768, 256), (700, 256, 128)]
WHOLE = (77, 768, 3072)


def made(rows, hidden, inner, dtype):
    torch.manual_seed(rows)
    shapes = (rows, hidden), (inner, hidden), (inner,), (hidden, inner)
    x, up, bias, down = (torch.randn(shape) for shape in shapes)
    return [t.to(dtype) for t in (x, up / hidden**0.5, bias, down / inner**0.5)]


def grads_of(function, given, along):
    given = [t.detach().clone().requires_grad_() for t in given]
    out = function(*given)
    return out.detach(), *torch.autograd.grad(out, given, along.to(out.dtype))


def apart(x, up, bias, down):
    return F.linear(F.gelu(F.linear(x, up, bias)), down)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("size", [*SIZES, pytest.param(WHOLE, marks=pytest.mark.slow)], ids=str)
def test_errors_are_at_most_twice_torchs_own(size, dtype):
    given, along = made(*size, dtype), torch.randn(size[0], size[1])
    ours = grads_of(lambda *given: feed_forward(*given)[0], given, along)
    theirs = grads_of(apart, given, along)
    exact = grads_of(apart, [t.double() for t in given], along)
    for mine, other, true in zip(ours, theirs, exact, strict=True):
        error, allowed = ((t.double() - true).norm().item() for t in (mine, other))
        assert error <= 2 * allowed + 1e-3 * true.norm().item(), (error, allowed)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_each_way_is_its_definition(dtype):
    x, up, bias, down = made(150, 256, 256, dtype)
    y, slope = gelu_product(x, up, bias, True)
    before = (x.double() @ up.double().T + bias.double()).requires_grad_()
    (true_slope,) = torch.autograd.grad(F.gelu(before).sum(), before)
    rounding = torch.finfo(dtype).eps / 2
    torch.testing.assert_close(y.double(), F.gelu(before).detach(), rtol=rounding, atol=2e-4)
    torch.testing.assert_close(slope.double(), true_slope, rtol=rounding, atol=2e-4)
    assert torch.equal(gelu_product(x, up, bias, False)[0], y)
    grad = torch.randn(150, 256).to(dtype)
    out, sums = gelu_product_backward(grad, down, slope)
    true = (grad.double() @ down.double()) * slope.double()
    torch.testing.assert_close(out.double(), true, rtol=rounding, atol=2e-4)
    torch.testing.assert_close(sums.double(), true.sum(0), rtol=rounding, atol=2e-3)


def test_equal_bits_whatever_the_threads_do():
    there = build.library(None, GELU_PRODUCT)
    for _, ours, _, given in self_check.product_trials(torch.bfloat16, CPU):
        first = self_check.results_of(ours, given)
        for schedule in (1, 2):
            there.interbert_emulator_schedule(schedule, ctypes.c_uint64(5))
            try:
                again = self_check.results_of(ours, given)
            finally:
                there.interbert_emulator_schedule(0, ctypes.c_uint64(0))
            assert all(torch.equal(x, y) for (_, x), (_, y) in zip(first, again, strict=True))


def test_operators_are_well_formed():
    x, up, bias, down = made(5, 256, 128, torch.bfloat16)
    ops = torch.ops.interbert
    for kept in (True, False):
        torch.library.opcheck(ops.gelu_product, (x, up, bias, kept))
    slope = torch.rand(5, 128).bfloat16()
    torch.library.opcheck(ops.gelu_product_backward, (x, down, slope))


def test_no_rows_and_weights_that_lie_anywhere():
    x, up, bias, down = made(3, 256, 128, torch.bfloat16)
    grads = grads_of(lambda *given: feed_forward(*given)[0], [x[:0], up, bias, down], x[:0])
    assert [tuple(g.shape) for g in grads[:2]] == [(0, 256)] * 2 and not any(g.any() for g in grads[2:])
    shifted = torch.empty(up.numel() + 1).bfloat16()[1:].view_as(up).copy_(up)
    assert torch.equal(gelu_product(x, shifted, bias, True)[0], gelu_product(x, up, bias, True)[0])


def test_what_is_served_is_what_the_table_says(monkeypatch):
    given = made(3, 256, 128, torch.bfloat16)
    assert table.gelu_product_fits(*given) and not serving.serves_feed_forward(*given)  # a CPU
    monkeypatch.setattr(serving, "architecture", lambda device: 80)
    serving.refusal.cache_clear()
    assert serving.refusal(CPU, GELU_PRODUCT) == "not made for sm_80"
    serving.refusal.cache_clear()
    for wrong in [(3, 256, 192), (3, 320, 128), (3, 1024, 128)]:
        assert not table.gelu_product_fits(*made(*wrong, torch.bfloat16))
    assert not table.gelu_product_fits(*made(3, 256, 128, torch.float32))


def test_where_operations_on_rows_are_refused_the_product_is_too_and_nothing_fails(monkeypatch):
    monkeypatch.setattr(build, "_failures", {(None, build.ROWS): "rank 1: no nvcc"})
    build.library.cache_clear()
    serving.refusal.cache_clear()
    assert serving.refusal(CPU, GELU_PRODUCT) == "rank 1: no nvcc"
    serving.refusal.cache_clear()
    build.library.cache_clear()


def layers(hidden=256, inner=128):
    torch.manual_seed(2)
    return Linear(hidden, inner).bfloat16(), Linear(inner, hidden).bfloat16()


def test_a_layers_two_products_are_one_function_where_it_serves(monkeypatch):
    (up, down), x = layers(), torch.randn(9, 256).bfloat16()
    plain, none, _ = linear.feed_forward(up, down, x)
    assert none is None
    with everywhere():
        product, bias, passed = linear.feed_forward(up, down, x.requires_grad_())
        assert bias is down.bias and passed is not x
        torch.testing.assert_close(product + bias, plain, rtol=2e-2, atol=2e-2)
        names = {node.name() for node, _ in product.grad_fn.next_functions if node}
        assert product.grad_fn.name() == "_FeedForwardBackward", names
        monkeypatch.setattr(table, "DEEPEST_PRODUCT", 0)
        assert linear.feed_forward(up, down, x)[0].grad_fn.name() != "_FeedForwardBackward"


@pytest.mark.parametrize("which", ["up", "down"])
def test_whoever_hooks_a_layer_sees_plain_rows(which):
    (up, down), seen = layers(), []
    hooked = {"up": up, "down": down}[which]
    handle = hooked.register_forward_hook(lambda module, given, out: seen.append((given, out)))
    x = torch.randn(9, 256).bfloat16().requires_grad_()
    with everywhere():
        linear.feed_forward(up, down, x)
        assert [type(part) for part in seen[0]] == [tuple, torch.Tensor] and len(seen) == 1
        handle.remove()
        assert linear.feed_forward(up, down, x)[0].grad_fn.name() == "_FeedForwardBackward"
    assert len(seen) == 1


@pytest.mark.parametrize("learns", [0, 1, 2, 3])
def test_frozen_parts_get_no_gradient_and_the_others_theirs(learns):
    given, along = made(20, 256, 128, torch.bfloat16), torch.randn(20, 256).bfloat16()
    whole = grads_of(lambda *given: feed_forward(*given)[0], given, along)[1:]
    given[learns].requires_grad_()
    out, _ = feed_forward(*given)
    out.backward(along)
    assert torch.equal(given[learns].grad, whole[learns])
    assert all(t.grad is None for n, t in enumerate(given) if n != learns)


def test_the_residuals_gradient_is_added_in_the_product():
    given, along = made(20, 256, 128, torch.float16), torch.randn(20, 256).half()
    alone = grads_of(lambda *given: feed_forward(*given)[0], given, along)[1]
    x = given[0].requires_grad_()
    out, passed = feed_forward(*given)
    (both,) = torch.autograd.grad([out, passed], x, [along, along.clone()])
    torch.testing.assert_close(both, alone + along, rtol=2e-3, atol=4e-3)


def test_without_gradients_no_slope_is_kept(monkeypatch):
    kept = []
    op = gelu_product
    monkeypatch.setattr(
        "interbert.kernels.rows.gelu_product.gelu_product",
        lambda *given: kept.append(given[-1]) or op(*given),
    )
    given = made(3, 256, 128, torch.bfloat16)
    feed_forward(*given)
    with torch.no_grad():
        feed_forward(*given)
    assert kept == [True, False] and gelu_product(*given[:3], False)[1].shape == (0, 128)


def test_a_trial_passes_in_the_emulator_and_a_wrong_product_fails_it(monkeypatch):
    with torch.inference_mode():
        assert self_check.check(CPU, GELU_PRODUCT) is None
    monkeypatch.setattr(self_check.gelu_product, "feed_forward", lambda *given: (1.1 * apart(*given), None))
    assert "GELU within products of 1 x 256 x 128, torch.float16: result is off" in self_check.check(
        CPU, GELU_PRODUCT
    )


def test_every_barrier_wait_and_fence_is_listed():
    text = (SOURCES / FILE).read_text()
    for what in (
        *("sync_block();", "sync_warp();", "wait_copies();", "fence_", "await(", "await_together("),
        *("open_products();", "close_products();", "await_products<"),
    ):
        assert text.count(what) == sum(what in m.before for m in WAITS), what


@pytest.mark.slow
def test_clean_under_sanitizers(tmp_path):
    library = compile_rows(tmp_path, watched=True, name=GELU_PRODUCT)
    assert failure_of(library, [], watched=True, name=GELU_PRODUCT) is None


@pytest.mark.thorough
@pytest.mark.parametrize("mutation", WAITS + WRONG, ids=str)
def test_a_broken_product_gives_other_numbers(mutation, tmp_path):
    sources = break_sources(mutation, SOURCES, tmp_path / "sources")
    assert failure_of(compile_rows(tmp_path, sources, name=GELU_PRODUCT), [], name=GELU_PRODUCT)


@pytest.mark.thorough
@pytest.mark.parametrize("mutation", OVERRUNS, ids=str)
def test_what_goes_too_far_is_found(mutation, tmp_path):
    sources = break_sources(mutation, SOURCES, tmp_path / "sources")
    library = compile_rows(tmp_path, sources, watched=True, name=GELU_PRODUCT)
    said = failure_of(library, [], watched=True, name=GELU_PRODUCT)
    assert said is not None and ("==ABORTING" in said or "emulator: " in said)


def test_nvcc_holds_it_in_registers_and_lets_products_go_on(tmp_path):
    try:
        compiler = nvcc()
    except Unavailable as reason:
        pytest.skip(str(reason))
    for arch in table.GELU_PRODUCT_ARCHS:
        report = run(device_command(compiler, "gelu_product.cu", [], arch, tmp_path / "product.cubin"))
        assert len(re.findall("Compiling entry function", report)) == 4, report
        assert report.count(" 0 bytes spill stores, 0 bytes spill loads") == 4, report
        assert report.count(" 0 bytes stack frame") == 4 and "serialized" not in report, report
