"""The native CPU kernels against torch: no further from fp64 than torch's own bf16 arithmetic, by a factor of two.

Each test runs on tile registers, where the processor has them, and on a portable build of the same sources.
"""

import ctypes
import os
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from interbert.kernels import attention
from interbert.kernels.add_norm import add_norm
from interbert.kernels.attend.attention_tiles import attention_tiles
from interbert.kernels.attend.buckets import attention_buckets
from interbert.kernels.attend.reference import attention_reference
from interbert.kernels.cross_entropy import cross_entropy
from interbert.kernels.dropout import draw_seed
from interbert.kernels.linear import linear

pytestmark = pytest.mark.usefixtures("kernels")


@pytest.fixture(autouse=True)
def threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def near(found, torchs, exact):
    """As a whole at most twice as far off as torch's result of the same type, and nowhere far off."""
    assert found.dtype == torchs.dtype == torch.bfloat16 and found.shape == exact.shape
    ours, theirs = (x.double() - exact for x in (found, torchs))
    size = exact.norm() + 1e-6
    assert ours.norm() <= 2 * theirs.norm() + 1e-4 * size, (
        f"{ours.norm() / size:.2e}: {theirs.norm() / size:.2e}"
    )
    assert (ours.abs() <= 4 * theirs.abs().max() + 1e-4 * exact.abs().max()).all()


def gradients(function, inputs, dtype, weight):
    inputs = [x.detach().to(dtype).requires_grad_() for x in inputs]
    out = function(*inputs)
    (out * weight.to(out.dtype)).sum().backward()
    return out.detach(), *(x.grad for x in inputs)


def compare(ours, plain, inputs, weight):
    found = gradients(ours, inputs, torch.bfloat16, weight)
    torchs = gradients(plain, inputs, torch.bfloat16, weight)
    exact = gradients(plain, inputs, torch.float64, weight)
    for results in zip(found, torchs, exact, strict=True):
        near(*results)


def randn(*shape):
    return torch.randn(*shape).bfloat16()


@pytest.mark.parametrize("gelu", [False, True])
@pytest.mark.parametrize(
    ("rows", "inputs", "outputs"),
    [
        (1, 1, 1),
        (33, 5, 17),
        (100, 64, 70),
        (31, 130, 97),
        (130, 1700, 48),  # more depth than a panel has, blocks of the stream that wait for each other
        (1700, 5, 40),  # the same in the weight's gradient
        (40, 33, 1700),
        (7, 96, 3000),
        (70, 64, 64),
        (5, 1600, 460),  # the depth in two parts, the panel in two
    ],
)
def test_linear_layers(rows, inputs, outputs, gelu):
    torch.manual_seed(rows)
    x, w, b = randn(rows, inputs), (torch.randn(outputs, inputs) / inputs**0.5).bfloat16(), randn(outputs)

    def plain(x, w, b):
        y = F.linear(x, w, b)
        return F.gelu(y) if gelu else y

    compare(lambda *a: linear(*a, gelu=gelu), plain, (x, w, b), randn(rows, outputs))


def test_linear_layers_of_every_size_around_a_tile():
    torch.manual_seed(0)
    for size in (*range(1, 36), 63, 64, 65):
        other = 97 - size
        for rows, inputs, outputs in ((size, other, 40), (40, size, other), (other, 40, size)):
            x, w, b = randn(rows, inputs), randn(outputs, inputs), randn(outputs)
            compare(linear, F.linear, (x, w, b), randn(rows, outputs))


def test_gelu_of_every_number():
    """In steps of bf16, where it is neither 0 nor x to the last bit."""
    x = torch.arange(-(2**15), 2**15).short().view(torch.bfloat16)
    x = x[(x.abs() < 12) & (x.abs() > 1e-6)][:, None]
    one, zero = torch.ones(1, 1).bfloat16(), torch.zeros(1).bfloat16()
    found, slope, *_ = gradients(
        lambda x: linear(x, one, zero, gelu=True), [x], torch.bfloat16, torch.ones_like(x)
    )
    exact, true_slope = gradients(F.gelu, [x], torch.float64, torch.ones_like(x))
    torch.testing.assert_close(found.double(), exact, rtol=2**-8, atol=2e-6)
    torch.testing.assert_close(slope.double(), true_slope, rtol=2**-8, atol=4e-6)


def test_a_linear_layer_without_rows_has_zero_gradients():
    x = torch.zeros(0, 40, dtype=torch.bfloat16, requires_grad=True)
    w = torch.randn(50, 40, dtype=torch.bfloat16, requires_grad=True)
    b = torch.randn(50, dtype=torch.bfloat16, requires_grad=True)
    linear(x, w, b, gelu=True).sum().backward()
    assert x.grad.shape == (0, 40)
    assert torch.equal(w.grad, torch.zeros_like(w)) and torch.equal(b.grad, torch.zeros_like(b))


def test_nothing_is_computed_for_inputs_that_want_no_gradient():
    x, w = randn(5, 8), randn(6, 8).requires_grad_()
    b = torch.zeros(6, dtype=torch.bfloat16)
    linear(x, w, b).sum().backward()
    assert x.grad is None and b.grad is None and w.grad is not None


@pytest.mark.parametrize("columns", [1, 15, 16, 17, 33, 768])
def test_add_norm_without_dropout(columns):
    torch.manual_seed(columns)
    inputs = [randn(21, columns), randn(21, columns), torch.rand(columns) + 0.5, randn(columns)]

    # A row of one number is its own mean: what is left of it is noise of fp64 times 1e6.
    eps = 1e-12 if columns > 1 else 1.0

    def plain(x, residual, w, b):
        return F.layer_norm(residual + x, (columns,), w, b, eps)

    compare(lambda *a: add_norm(*a, eps, 0.0), plain, inputs, randn(21, columns))


MULTIPLIERS = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)


def kept(seed, groups, p):
    """[groups, 16]: the twin of what `Dropout` in vectors.h draws."""
    place = np.asarray(groups, dtype=np.uint64)[..., None] * np.uint64(2) + np.array([1, 2], dtype=np.uint64)
    x = np.uint64(seed % 2**64) + np.uint64(0x9E3779B97F4A7C15) * place
    for shift, multiplier in zip((30, 27), MULTIPLIERS, strict=True):
        x = (x ^ (x >> np.uint64(shift))) * np.uint64(multiplier)
    x ^= x >> np.uint64(31)
    return torch.from_numpy(x.astype("<u8").view(np.uint8) >= round(p * 256))


def test_what_is_dropped_is_even_and_independent():
    """The twin; that the kernels draw what it draws is the others' matter."""
    drawn = kept(12345, np.arange(20_000), 0.25).double()
    assert (1 - drawn.mean(0)).tolist() == pytest.approx([0.25] * 16, abs=0.02)
    assert torch.corrcoef(drawn.t()).fill_diagonal_(0).abs().max() < 0.05
    assert abs(torch.corrcoef(torch.stack([drawn[1:, 0], drawn[:-1, 0]]))[0, 1]) < 0.05


@pytest.mark.parametrize("columns", [16, 33, 500])
def test_add_norm_with_dropout_is_torchs_with_the_same_mask(columns):
    torch.manual_seed(columns)
    rows, p = 40, 0.25
    inputs = [randn(rows, columns), randn(rows, columns), torch.rand(columns) + 0.5, randn(columns)]
    torch.manual_seed(1)
    seed = draw_seed(p)
    mask = kept(seed, np.arange(rows * -(-columns // 16)), p).view(rows, -1)[:, :columns]

    def plain(x, residual, w, b):
        return F.layer_norm(residual + x * mask * (4 / 3), (columns,), w, b, 1e-12)

    def ours(x, residual, w, b):
        torch.manual_seed(1)
        return add_norm(x, residual, w, b, 1e-12, p)

    compare(ours, plain, inputs, randn(rows, columns))


def test_torchs_seed_rules_the_dropout():
    x, w, b = randn(40, 64), torch.ones(64).bfloat16(), torch.zeros(64).bfloat16()
    qkv, cu = randn(40, 3, 1, 64), torch.tensor([0, 40]).int()
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append(
            (add_norm(x, x, w, b, 1e-12, 0.1), attention(qkv, cu, 40, dropout_p=0.1, backend="tiles"))
        )
    for again, first, other in zip(*drawn, strict=True):
        assert torch.equal(again, first) and not torch.equal(first, other)


def attend(lengths, width, heads=2, tail=3, shift=0.0):
    torch.manual_seed(sum(lengths))
    cu = torch.tensor([0, *lengths]).cumsum(0).int()
    qkv = randn(sum(lengths) + tail, 3, heads, width)
    qkv[:, 0] += shift
    qkv[:, 1] -= shift
    return qkv, cu, randn(qkv.shape[0], heads, width)


@pytest.mark.parametrize("width", [64, 20, 1, 96])
@pytest.mark.parametrize("shift", [0.0, 4.0], ids=["", "far-below-zero"])
def test_attention_of_every_length(width, shift):
    lengths = [*range(68), 130, 97] if width == 64 else [3, 61, 1, 0, 40, 16, 17, 33]
    qkv, cu, weight = attend(lengths, width, shift=shift)
    arguments = (cu, max(lengths), 0.0, None, None)
    found = gradients(lambda x: attention_tiles(x, *arguments), [qkv], torch.bfloat16, weight)
    torchs = gradients(lambda x: attention_buckets(x, *arguments), [qkv], torch.bfloat16, weight)
    exact = gradients(lambda x: attention_reference(x, *arguments), [qkv], torch.float64, weight)
    for mine, theirs, true in zip(found, torchs, exact, strict=True):
        near(mine, theirs, true)
        assert not mine[cu[-1] :].any()
        for start, stop in pairwise(cu.tolist()):  # short ones would be lost among the long
            ours, torchs_own = ((x[start:stop].double() - true[start:stop]).norm() for x in (mine, theirs))
            assert ours <= 4 * torchs_own + 4e-3 * true[start:stop].norm(), stop - start


@pytest.mark.parametrize(("width", "lengths"), [(64, [3, 61, 1, 0, 40]), (20, [130, 7])])
def test_attention_with_dropout_is_the_reference_with_the_same_mask(width, lengths):
    heads, p = 2, 0.25
    qkv, cu, weight = attend(lengths, width, heads=heads, tail=0)
    torch.manual_seed(7)
    seed = draw_seed(p)
    rows = np.arange(len(qkv))[:, None, None] * heads + np.arange(heads)[:, None]
    mask_THL = kept(seed, rows * 4096 + np.arange(16), p).flatten(2)

    def plain(qkv):
        parts = []
        for start, length in zip(cu.tolist(), lengths, strict=False):
            q, k, v = qkv[start : start + length].permute(1, 2, 0, 3)
            probabilities = torch.softmax(q @ k.mT * width**-0.5, -1)
            mask_HLL = mask_THL[start : start + length, :, :length].transpose(0, 1)
            parts.append(((probabilities * mask_HLL * (4 / 3)) @ v).transpose(0, 1))
        return torch.cat(parts)

    def ours(qkv):
        torch.manual_seed(7)
        return attention(qkv, cu, max(lengths), dropout_p=p, backend="tiles")

    compare(ours, plain, [qkv], weight)


@pytest.mark.parametrize("columns", [1, 2, 15, 16, 17, 1003])
def test_cross_entropy(columns):
    torch.manual_seed(0)
    logits = (torch.randn(50, columns) * 4).bfloat16()
    targets = torch.randint(0, columns, (50,))
    targets[:20] = logits[:20].argmax(-1)
    targets[[3, 40]] = -100
    found, torchs, exact = (
        logits.detach().clone().to(t).requires_grad_()
        for t in (torch.bfloat16, torch.bfloat16, torch.float64)
    )
    total, correct = cross_entropy(found, targets, -100)
    (total * 0.125).backward()
    (F.cross_entropy(torchs.float(), targets, ignore_index=-100, reduction="sum") * 0.125).backward()
    truth = F.cross_entropy(exact, targets, ignore_index=-100, reduction="sum")
    (truth * 0.125).backward()
    assert total.dtype == torch.float32
    assert total.item() == pytest.approx(truth.item(), rel=1e-6, abs=1e-5)
    assert correct.item() == ((logits.argmax(-1) == targets) & (targets != -100)).sum().item()
    near(found.grad, torchs.grad, exact.grad)
    assert not found.grad[[3, 40]].any()


def test_of_equal_logits_the_first_is_the_prediction():
    logits = torch.zeros(3, 40).bfloat16()
    logits[:, [5, 30]] = 2
    assert cross_entropy(logits, torch.tensor([5, 30, 0]), -100)[1].item() == 1


def test_a_nan_is_seen_everywhere():
    poisoned = randn(40, 64)
    poisoned[7, 3] = torch.nan
    w, b = randn(64, 64), torch.zeros(64).bfloat16()
    assert linear(poisoned, w, b, gelu=True)[7].isnan().all()
    assert add_norm(poisoned, torch.zeros_like(poisoned), b + 1, b, 1e-12, 0.0)[7].isnan().all()
    assert cross_entropy(poisoned, torch.zeros(40, dtype=torch.int64), -100)[0].isnan()
    qkv = randn(40, 3, 1, 64)
    qkv[7, 1] = torch.nan
    out = attention(qkv, torch.tensor([0, 20, 40]).int(), 20, backend="tiles")
    assert out[:20].isnan().all() and not out[20:].isnan().any()


def everything():
    """Results and gradients of each kernel, and sums over rows, which are added up thread by thread."""
    torch.manual_seed(2)
    x, w, b = randn(300, 96), randn(512, 96), randn(512)
    qkv, cu, weight = attend([40, 3, 17, 64, 1, 33], 32)
    logits, targets = randn(70, 200), torch.randint(0, 200, (70,))
    y, *y_grads, y_bias = gradients(
        lambda *a: linear(*a, gelu=True), (x, w, b), torch.bfloat16, randn(300, 512)
    )
    n, *n_grads, n_weight, n_bias = gradients(
        lambda *a: add_norm(*a, 1e-12, 0.1), (y, y, b, b), torch.bfloat16, randn(300, 512)
    )
    o = gradients(lambda x: attention(x, cu, 64, 0.1, backend="tiles"), (qkv,), torch.bfloat16, weight)
    c = gradients(lambda x: cross_entropy(x, targets, -100)[0], (logits,), torch.bfloat16, torch.ones(()))
    return [y, *y_grads, n, *n_grads, *o, *c], [y_bias, n_weight, n_bias]


@pytest.fixture(scope="module")
def with_one_thread():
    return {}


@pytest.mark.parametrize("number", [2, 3, 5])
def test_threads_change_nothing_but_the_order_of_sums(number, kernels, with_one_thread):
    if kernels not in with_one_thread:
        torch.set_num_threads(1)
        with_one_thread[kernels] = everything()
    torch.set_num_threads(number)
    results, sums = everything()
    expected, expected_sums = with_one_thread[kernels]
    assert all(torch.equal(a, b) for a, b in zip(results, expected, strict=True))
    for ours, theirs in zip(sums, expected_sums, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=2**-7, atol=1e-2)


@pytest.mark.parametrize(("setting", "value"), [("omp_set_max_active_levels", 0), ("omp_set_dynamic", 1)])
def test_fewer_threads_than_asked_for(setting, value, kernels, with_one_thread):
    """OpenMP gives one, or as many as there are cores."""
    if kernels not in with_one_thread:
        torch.set_num_threads(1)
        with_one_thread[kernels] = everything()
    openmp = ctypes.CDLL(None)
    before = getattr(openmp, setting.replace("set", "get"))()
    torch.set_num_threads(os.cpu_count() + 3)
    getattr(openmp, setting)(value)
    try:
        results, _ = everything()
    finally:
        getattr(openmp, setting)(before)
    assert all(torch.equal(a, b) for a, b in zip(results, with_one_thread[kernels][0], strict=True))


def test_oneDNN_still_works_between_our_products():
    """Both use the tile registers, each with a configuration of its own."""
    torch.manual_seed(0)
    a, b = randn(65, 70), randn(70, 33)
    zeros = torch.zeros(33).bfloat16()
    expected = a @ b
    for _ in range(3):
        ours = linear(a, b.t().contiguous(), zeros)
        torch.testing.assert_close(ours, expected, rtol=2e-2, atol=2e-2)
        assert torch.equal(a @ b, expected)
