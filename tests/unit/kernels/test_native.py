"""The native CPU kernels against torch: no further from fp64 than torch's own bf16 arithmetic, by a factor of two."""

import logging
import os
import shutil
import subprocess
import sys

import pytest
import torch
from torch.nn import functional as F

from interbert.kernels import attention, native
from interbert.kernels.add_norm import add_norm
from interbert.kernels.cross_entropy import cross_entropy
from interbert.kernels.linear import linear

needs_them = pytest.mark.skipif(native.library() is None, reason="no tile registers (AMX) or no g++ here")


def test_they_are_there_where_the_processor_and_the_compiler_are():
    there = native._processor_flags() >= native.NEEDED and shutil.which("g++") is not None
    assert (native.library() is not None) == there


def near(found, torchs, exact, floor=1e-6):
    """Relative error at most twice that of torch's result of the same type."""
    size = exact.norm() + floor
    error, theirs = (found.double() - exact).norm() / size, (torchs.double() - exact).norm() / size
    assert error <= 2 * theirs + 1e-4, f"{error:.2e} against torch's {theirs:.2e}"


def gradients(function, inputs, dtype, weight):
    inputs = [x.detach().to(dtype).requires_grad_() for x in inputs]
    out = function(*inputs)
    (out * weight.to(out.dtype)).sum().backward()
    return out.detach(), *(x.grad for x in inputs)


@needs_them
@pytest.mark.parametrize("gelu", [False, True])
@pytest.mark.parametrize(
    ("rows", "inputs", "outputs"),
    [
        (1, 1, 1),
        (33, 5, 17),
        (100, 64, 70),
        (31, 130, 97),
        (64, 1700, 48),
        (40, 33, 1700),
        (7, 96, 3000),
        (70, 64, 64),
    ],
)
def test_linear_layers(rows, inputs, outputs, gelu):
    torch.manual_seed(rows)
    x, w, b = torch.randn(rows, inputs), torch.randn(outputs, inputs), torch.randn(outputs)
    x, w, b = (t.bfloat16() for t in (x, w / inputs**0.5, b))
    weight = torch.randn(rows, outputs).bfloat16()

    def plain(x, w, b):
        y = F.linear(x, w, b)
        return F.gelu(y) if gelu else y

    found = gradients(lambda *a: linear(*a, gelu=gelu), (x, w, b), torch.bfloat16, weight)
    torchs = gradients(plain, (x, w, b), torch.bfloat16, weight)
    exact = gradients(plain, (x, w, b), torch.float64, weight)
    for ours, theirs, truth in zip(found, torchs, exact, strict=True):
        assert ours.dtype == torch.bfloat16
        near(ours, theirs, truth)


@needs_them
def test_a_linear_layer_without_rows_has_zero_gradients():
    x = torch.zeros(0, 40, dtype=torch.bfloat16, requires_grad=True)
    w = torch.randn(50, 40, dtype=torch.bfloat16, requires_grad=True)
    b = torch.randn(50, dtype=torch.bfloat16, requires_grad=True)
    linear(x, w, b, gelu=True).sum().backward()
    assert x.grad.shape == (0, 40)
    assert torch.equal(w.grad, torch.zeros_like(w)) and torch.equal(b.grad, torch.zeros_like(b))


@needs_them
def test_nothing_is_computed_for_inputs_that_want_no_gradient():
    x, w = torch.randn(5, 8).bfloat16(), torch.randn(6, 8).bfloat16().requires_grad_()
    b = torch.zeros(6, dtype=torch.bfloat16)
    linear(x, w, b).sum().backward()
    assert x.grad is None and b.grad is None and w.grad is not None


@needs_them
@pytest.mark.parametrize("columns", [16, 33, 768])
def test_add_norm_without_dropout(columns):
    torch.manual_seed(columns)
    inputs = [
        torch.randn(21, columns),
        torch.randn(21, columns),
        torch.rand(columns) + 0.5,
        torch.randn(columns),
    ]
    inputs, weight = [t.bfloat16() for t in inputs], torch.randn(21, columns).bfloat16()

    def plain(x, residual, w, b):
        return F.layer_norm(residual + x, (columns,), w, b, 1e-12)

    found = gradients(lambda *a: add_norm(*a, 1e-12, 0.0), inputs, torch.bfloat16, weight)
    torchs = gradients(plain, inputs, torch.bfloat16, weight)
    exact = gradients(plain, inputs, torch.float64, weight)
    for ours, theirs, truth in zip(found, torchs, exact, strict=True):
        near(ours, theirs, truth)


@needs_them
def test_add_norm_drops_its_share_and_the_gradient_knows_which():
    x, zeros = (
        torch.ones(400, 500).bfloat16().requires_grad_(),
        torch.zeros(400, 500).bfloat16().requires_grad_(),
    )
    w, b = torch.ones(500).bfloat16(), torch.zeros(500).bfloat16()
    torch.manual_seed(1)
    y = add_norm(x, zeros, w, b, 1e-12, 0.25)
    kept = y > 0  # of a row, what stayed is above its mean
    assert kept.float().mean().item() == pytest.approx(0.75, abs=5e-3)
    assert torch.corrcoef(kept[:, :64].float().t()).fill_diagonal_(0).abs().max() < 0.25
    y.backward(torch.randn(400, 500).bfloat16())
    torch.testing.assert_close(x.grad, torch.where(kept, zeros.grad * (4 / 3), 0), rtol=1e-2, atol=1e-6)
    torch.manual_seed(1)
    assert torch.equal(add_norm(x, zeros, w, b, 1e-12, 0.25), y)
    assert not torch.equal(add_norm(x, zeros, w, b, 1e-12, 0.25), y)


@needs_them
@pytest.mark.parametrize(("width", "lengths"), [(64, [3, 61, 1, 0, 40]), (20, [130, 7])])
def test_attention_with_dropout_is_the_reference_with_the_same_mask(width, lengths):
    torch.manual_seed(0)
    cu = torch.tensor([0, *lengths]).cumsum(0).int()
    heads, p, scale = 2, 0.25, 4 / 3
    qkv = torch.randn(sum(lengths), 3, heads, width).bfloat16().requires_grad_()
    weight = torch.randn(sum(lengths), heads, width).bfloat16()
    torch.manual_seed(7)
    out = attention(qkv, cu, max(lengths), dropout_p=p, backend="tiles")
    out.backward(weight)
    again = qkv.detach().double().requires_grad_()
    parts = []
    for start, length in zip(cu.tolist(), lengths, strict=False):
        mask = masks(cu, heads, p, seed=7, total=sum(lengths))[start : start + length, :, :length]
        q, k, v = again[start : start + length].permute(1, 2, 0, 3)
        probabilities = torch.softmax(q @ k.transpose(1, 2) * width**-0.5, -1)
        parts.append(((probabilities * mask.permute(1, 0, 2) * scale) @ v).transpose(0, 1))
    exact = torch.cat(parts)
    exact.backward(weight.double())
    assert (out.double() - exact).norm() / exact.norm() < 5e-3
    assert (qkv.grad.double() - again.grad).norm() / again.grad.norm() < 8e-3


def masks(cu, heads, p, seed, total):
    """Which probabilities stay, [T, heads, longest]: values that are one-hot show them, a window at a time."""
    longest = int(cu.diff().max())
    kept = torch.zeros(total, heads, longest)
    qkv = torch.zeros(total, 3, heads, longest + -longest % 32, dtype=torch.bfloat16)
    for start, length in zip(cu.tolist(), cu.diff().tolist(), strict=False):
        qkv[start : start + length, 2, :, :length] = torch.eye(length)[:, None]
    torch.manual_seed(seed)
    kept = attention(qkv, cu, longest, dropout_p=p, backend="tiles")[..., :longest] != 0
    if longest > 32:
        share = torch.cat(
            [kept[s : s + n, :, :n].flatten() for s, n in zip(cu.tolist(), cu.diff().tolist(), strict=False)]
        )
        assert share.float().mean().item() == pytest.approx(1 - p, abs=0.02)
    return kept


@needs_them
def test_cross_entropy():
    torch.manual_seed(0)
    logits = (torch.randn(50, 1003) * 4).bfloat16()
    targets = torch.randint(0, 1003, (50,))
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
    assert total.item() == pytest.approx(truth.item(), rel=1e-6)
    assert correct.item() == ((logits.argmax(-1) == targets) & (targets != -100)).sum().item()
    near(found.grad, torchs.grad, exact.grad)
    assert not found.grad[[3, 40]].any()


@needs_them
def test_a_nan_is_seen_everywhere():
    poisoned = torch.randn(40, 64).bfloat16()
    poisoned[7, 3] = torch.nan
    w, b = torch.randn(64, 64).bfloat16(), torch.zeros(64).bfloat16()
    assert linear(poisoned, w, b, gelu=True)[7].isnan().all()
    assert add_norm(poisoned, torch.zeros_like(poisoned), b + 1, b, 1e-12, 0.0)[7].isnan().all()
    assert cross_entropy(poisoned, torch.zeros(40, dtype=torch.int64), -100)[0].isnan()
    qkv = torch.randn(40, 3, 1, 64).bfloat16()
    qkv[7, 1] = torch.nan
    assert attention(qkv, torch.tensor([0, 20, 40]).int(), 20, backend="tiles")[:20].isnan().all()


@needs_them
def test_threads_change_nothing_but_the_order_of_sums():
    torch.manual_seed(0)
    x, w, b = torch.randn(300, 256).bfloat16(), torch.randn(512, 256).bfloat16(), torch.randn(512).bfloat16()
    before, results = torch.get_num_threads(), []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        torch.manual_seed(2)
        y = linear(x, w, b, gelu=True)
        results.append((y, add_norm(y, y, b, b, 1e-12, 0.1)))
    torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(a, c) for a, c in zip(results[0], other, strict=True))


@needs_them
def test_oneDNN_still_works_between_our_products():
    """Both use the tile registers, each with a configuration of its own."""
    torch.manual_seed(0)
    a, b = torch.randn(65, 70).bfloat16(), torch.randn(70, 33).bfloat16()
    zeros = torch.zeros(33).bfloat16()
    expected = a @ b
    for _ in range(3):
        ours = linear(a, b.t().contiguous(), zeros)
        torch.testing.assert_close(ours, expected, rtol=2e-2, atol=2e-2)
        assert torch.equal(a @ b, expected)


def probe(code, **environment):
    command = [sys.executable, "-c", "import logging; logging.basicConfig(level=20); " + code]
    return subprocess.run(
        command, capture_output=True, text=True, env={**ENVIRONMENT, **environment}, check=True
    )


ENVIRONMENT = dict(os.environ)
CODE = "from interbert.kernels import native; print(native.library())"


def test_they_can_be_switched_off():
    done = probe(CODE, INTERBERT_NATIVE="0")
    assert done.stdout.strip() == "None" and "INTERBERT_NATIVE=0" in done.stderr


@needs_them
def test_without_a_compiler_torch_serves_and_the_log_says_why(tmp_path):
    done = probe(CODE, CXX="no-such-compiler", XDG_CACHE_HOME=str(tmp_path))
    assert done.stdout.strip() == "None" and "no-such-compiler" in done.stderr


@needs_them
def test_a_compiler_that_fails_is_quoted_and_leaves_nothing(tmp_path):
    compiler = tmp_path / "broken"
    compiler.write_text("#!/bin/sh\necho the disk is full >&2\nexit 1\n")
    compiler.chmod(0o755)
    done = probe(CODE, CXX=str(compiler), XDG_CACHE_HOME=str(tmp_path / "cache"))
    assert done.stdout.strip() == "None" and "the disk is full" in done.stderr
    assert not [p for p in (tmp_path / "cache").rglob("*") if p.is_file()]


def test_the_log_says_once_what_serves(caplog):
    native.library.cache_clear()
    with caplog.at_level(logging.INFO):
        native.library()
        native.library()
    assert len([r for r in caplog.records if "native CPU kernels" in r.message]) == 1


@needs_them
@pytest.mark.parametrize("limit", ["OMP_THREAD_LIMIT=1", "OMP_DYNAMIC=true", "OMP_THREAD_LIMIT=3"])
def test_fewer_threads_than_asked_for(limit):
    code = """
import torch
from interbert.kernels.linear import linear
torch.set_num_threads(4)
x, w = torch.randn(300, 96).bfloat16(), torch.randn(512, 96).bfloat16().requires_grad_()
y = linear(x, w, torch.zeros(512).bfloat16())
y.sum().backward()
print(float((y.float() - x.float() @ w.float().t()).abs().max()))
print(float((w.grad.float() - x.float().sum(0)).abs().max()))
"""
    name, value = limit.split("=")
    done = probe(code, **{name: value})
    assert all(float(line) < 0.6 for line in done.stdout.split()), done.stdout
