"""The fused kernels, run by the emulator through torch: against fp64, as operators, against the table."""

import ctypes
import logging
import re
import threading

import numpy as np
import pytest
import torch
from torch.utils.checkpoint import checkpoint

from interbert.kernels import attention, supported
from interbert.kernels.attend import fused, fused_build
from interbert.kernels.attend.fused import attention_fused, draw_rng, few_blocks, units_longest_first
from interbert.kernels.attend.fused_build import Problem, library
from interbert.kernels.attend.fused_table import BUCKETS, LONGEST, SHARED_KB, buckets, longest, shared_bytes
from interbert.kernels.attend.philox import dropout_bytes, philox
from interbert.kernels.attend.reference import attention_reference

WIDTHS = sorted(LONGEST)
RNG = torch.tensor([2**61 + 5, 2**33 + 1])


def make(lengths, width, dtype, heads=2, tail=2):
    torch.manual_seed(sum(lengths))
    cu = torch.tensor([0, *lengths]).cumsum(0).int()
    qkv = torch.randn(sum(lengths) + tail, 3, heads, width, dtype=dtype)
    return qkv, torch.randn(qkv.shape[0], heads, width, dtype=dtype), cu


def both_passes(function, qkv, weight, *arguments):
    qkv = qkv.detach().requires_grad_()
    out = function(qkv, *arguments)
    return out.detach(), torch.autograd.grad(out, qkv, weight)[0]


def same_dtype_reference(qkv, cu, longest, p, rng, order):
    """What PyTorch makes of it when every product and the softmax round to the type."""
    parts = []
    for sequence, (start, stop) in enumerate(zip(cu[:-1].tolist(), cu[1:].tolist(), strict=True)):
        q, k, v = qkv[start:stop].permute(1, 2, 0, 3)
        probabilities = torch.softmax(q @ k.mT * q.shape[-1] ** -0.5, -1)
        if p:
            drawn = [dropout_bytes(rng, sequence * q.shape[0] + h, stop - start) for h in range(q.shape[0])]
            below = round(p * 256)
            probabilities = probabilities * (torch.stack(drawn) >= below) * (256 / (256 - below))
        parts.append((probabilities.to(q.dtype) @ v).transpose(0, 1))
    return torch.cat([*parts, qkv[cu[-1] :, 2] * 0])


def check_against_fp64(lengths, width, dtype, p, forward_only=False):
    """Errors at most twice those that PyTorch makes in the same type."""
    qkv, weight, cu = make(lengths, width, dtype)
    arguments = (cu, max(lengths), p, RNG, units_longest_first(cu, 2))
    if forward_only:
        ours = [attention_fused(qkv, *arguments)]
        true = [attention_reference(qkv.double(), *arguments)]
        theirs = [same_dtype_reference(qkv, *arguments)]
    else:
        ours = split(*both_passes(attention_fused, qkv, weight, *arguments))
        true = split(*both_passes(attention_reference, qkv.double(), weight.double(), *arguments))
        theirs = split(*both_passes(same_dtype_reference, qkv, weight, *arguments))
    for name, mine, exact, other in zip(("out", "dQ", "dK", "dV"), ours, true, theirs, strict=False):
        error, allowed = ((x.double() - exact).norm().item() for x in (mine, other))
        # At length 1 the gradients of queries and keys are zero, and so may PyTorch's error be.
        floor = (
            torch.finfo(dtype).eps * exact.norm().item() / 2
            + 1e-3 * torch.finfo(dtype).eps * qkv.numel() ** 0.5
        )
        assert error <= max(2 * allowed, floor), (name, lengths, width, dtype, p, error, allowed)
        assert not mine[cu[-1] :].any()


def split(out, grad):
    return [out, *grad.unbind(1)]


@pytest.mark.slow
@pytest.mark.parametrize("p", [0.0, 0.1])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_close_to_fp64(dtype, p):
    for lengths in ([5, 0, 16, 1, 11], [32, 17, 30, 2], [48, 0, 33], [60, 64, 9], [3, 140, 5, 2, 61]):
        check_against_fp64(lengths, 64, dtype, p)
    check_against_fp64([128, 97], 96, dtype, p)
    check_against_fp64([200, 3, 256, 130], 64, dtype, p, forward_only=True)


@pytest.mark.thorough
@pytest.mark.parametrize("p", [0.0, 0.1])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("width", WIDTHS)
def test_every_length_is_close_to_fp64(width, dtype, p):
    for length in range(1, LONGEST[width][1] + 1):
        check_against_fp64([length, 0, max(1, length * 2 // 3), 1], width, dtype, p)
    for length in range(LONGEST[width][1] + 1, LONGEST[width][0] + 1):
        check_against_fp64([length, 0, 1], width, dtype, p, forward_only=True)


@pytest.mark.thorough
def test_random_lengths_are_close_to_fp64():
    drawn = np.random.default_rng(0)
    for number in range(60):
        width = WIDTHS[number % len(WIDTHS)]
        lengths = drawn.integers(0, LONGEST[width][1] + 1, 6).tolist()
        lengths = [*lengths, 1] if number % 3 else [LONGEST[width][1], *(x % 12 for x in lengths)]
        check_against_fp64(
            lengths, width, (torch.float16, torch.bfloat16)[number % 2], (0.0, 0.3)[number // 2 % 2]
        )


def test_scores_far_below_zero_do_not_see_padding():
    qkv, weight, cu = make([19, 3, 40], 64, torch.bfloat16)
    qkv[:, 0] += 6
    qkv[:, 1] -= 6
    ours = both_passes(attention_fused, qkv, weight, cu, 40, 0.0, None, None)
    true = both_passes(attention_reference, qkv.double(), weight.double(), cu, 40, 0.0, None, None)
    for mine, exact in zip(ours, true, strict=True):
        assert (mine - exact).norm() < 0.02 * exact.norm()


def test_what_is_no_number_stays_within_its_sequence():
    qkv, weight, cu = make([19, 21, 3], 64, torch.bfloat16)
    clean = both_passes(attention_fused, qkv, weight, cu, 21, 0.1, RNG, None)
    qkv[19:40], weight[19:40] = float("nan"), float("inf")
    spoiled = both_passes(attention_fused, qkv, weight, cu, 21, 0.1, RNG, None)
    for one, other in zip(clean, spoiled, strict=True):
        assert torch.equal(one[:19], other[:19]) and torch.equal(one[40:], other[40:])


def test_order_and_run_change_no_bit():
    qkv, weight, cu = make([5, 60, 0, 33, 16], 64, torch.float16)
    first = both_passes(attention_fused, qkv, weight, cu, 60, 0.1, RNG, None)
    for order in (None, units_longest_first(cu, 2), torch.randperm(10).int()):
        again = both_passes(attention_fused, qkv, weight, cu, 60, 0.1, RNG, order)
        assert all(torch.equal(x, y) for x, y in zip(first, again, strict=True))


def test_a_larger_bucket_changes_little():
    qkv, weight, cu = make([5, 20, 9], 64, torch.float16)
    small = both_passes(attention_fused, qkv, weight, cu, 20, 0.1, RNG, None)
    large = both_passes(attention_fused, qkv, weight, cu, 150, 0.1, RNG, None)
    for x, y in zip(small, large, strict=True):
        torch.testing.assert_close(x, y, rtol=1e-3, atol=1e-3)


def test_rows_of_no_sequence_are_zeros():
    qkv = torch.randn(7, 3, 2, 64).half()
    for cu in (torch.tensor([0]), torch.tensor([0, 0, 0])):
        out, grad = both_passes(attention_fused, qkv, qkv[:, 0], cu, 16, 0.0, None, None)
        assert not out.any() and not grad.any()


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("order", lambda x: x.long()),
        ("order", lambda x: x[:-1]),
        ("rng", lambda x: x[:1]),
        ("rng", lambda x: x.int()),
    ],
)
def test_what_the_kernels_would_misread_is_refused(name, wrong):
    qkv, _, cu = make([5, 3], 32, torch.bfloat16)
    given = {"rng": torch.tensor([1, 2]), "order": units_longest_first(cu, 2)}
    given[name] = wrong(given[name])
    with pytest.raises(ValueError, match=rf"{name} of fused attention must be \d+ contiguous numbers"):
        attention_fused(qkv, cu, 5, 0.1, given["rng"], given["order"])


def test_few_blocks_and_many_give_the_same():
    qkv, _, cu = make([16, 3, 9, 16, 1, 7, 12], 64, torch.float16)
    whole = attention_fused(qkv, cu, 16, 0.0, None, None)
    seen = []
    real = torch.ops.interbert.attention
    with few_blocks(1):
        # As autograd does on a GPU, from a thread of its own.
        thread = threading.Thread(
            target=lambda: seen.append((real(qkv, cu, None, None, 16, 0)[0], fused._most_blocks))
        )
        thread.start()
        thread.join()
    assert torch.equal(seen[0][0], whole) and seen[0][1] == 1 and fused._most_blocks == 0


def test_units_are_listed_longest_first():
    cu = torch.tensor([0, 3, 10, 10, 15])
    assert units_longest_first(cu, 2).tolist() == [2, 3, 6, 7, 0, 1, 4, 5]


def test_finite_differences():
    """Along a direction, of a loss that the half-precision result makes; dropout on."""
    qkv, weight, cu = make([30, 7], 64, torch.float16)
    direction = torch.randn_like(qkv)
    _, grad = both_passes(attention_fused, qkv, weight, cu, 30, 0.1, RNG, None)

    def loss(step):
        moved = (qkv.double() + step * direction).half()
        out = attention_fused(moved, cu, 30, 0.1, RNG, None)
        # Along what was really moved: fp16 rounds the step.
        return (out.double() * weight.double()).sum(), moved.double()

    (above, right), (below, left) = loss(2**-6), loss(-(2**-6))
    assert (above - below).item() == pytest.approx(((right - left) * grad.double()).sum().item(), rel=0.03)


def test_dropout_without_a_seed_follows_torch():
    qkv, _, cu = make([30, 7], 64, torch.bfloat16)

    def drawn(seed):
        torch.manual_seed(seed)
        return attention(qkv, cu, 30, 0.2, backend="host")

    assert torch.equal(drawn(1), drawn(1)) and not torch.equal(drawn(1), drawn(2))
    torch.manual_seed(3)
    assert draw_rng(torch.device("cpu")).shape == (2,)


def test_philox_is_philox():
    """Ten rounds of the published test vector, as seven cannot be looked up."""
    import interbert.kernels.attend.philox as module

    kept, module.ROUNDS = module.ROUNDS, 10
    try:
        ones = 2**64 - 1
        words = philox(ones, ones, 2**32 - 1, np.array([2**32 - 1]))
    finally:
        module.ROUNDS = kept
    assert [int(word[0]) for word in words] == [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]


def test_dropout_bytes_are_even():
    drawn = torch.stack([dropout_bytes(RNG, unit, 64) for unit in range(16)])
    counts = drawn.flatten().long().bincount(minlength=256).float()
    chi = ((counts - 256) ** 2 / 256).sum().item()
    assert 150 < chi < 380  # 255 degrees of freedom: 255 ± 23
    assert not torch.equal(drawn[0], drawn[1])


def test_operators_are_well_formed():
    # Without rows behind the last sequence: their sums are nobody's, and are not written.
    qkv, _, cu = make([9, 4], 64, torch.bfloat16, tail=0)
    arguments = (qkv.requires_grad_(), cu, RNG, None, 9, 26)
    torch.library.opcheck(torch.ops.interbert.attention, arguments)


def test_checkpointing_draws_the_same_again():
    qkv, weight, cu = make([20, 9], 64, torch.bfloat16)

    def attend(x):
        return attention(x, cu, 20, 0.3, backend="host")

    torch.manual_seed(5)
    plain = both_passes(attend, qkv, weight)
    torch.manual_seed(5)
    kept = both_passes(lambda x: checkpoint(attend, x, use_reentrant=False), qkv, weight)
    assert all(torch.equal(x, y) for x, y in zip(plain, kept, strict=True))


def test_compiled_is_eager():
    qkv, weight, cu = make([20, 9], 64, torch.bfloat16)

    def attend(x):
        return attention_fused(x * 2, cu, 20, 0.1, RNG, None) + 1

    torch.compiler.reset()
    plain = both_passes(attend, qkv, weight)
    compiled = both_passes(torch.compile(attend, backend="aot_eager", fullgraph=True), qkv, weight)
    assert all(torch.equal(x, y) for x, y in zip(plain, compiled, strict=True))


def test_longer_than_promised_is_spoiled_not_wrong():
    qkv, weight, cu = make([20, 9], 64, torch.bfloat16)
    out, grad = both_passes(attention_fused, qkv, weight, cu, 16, 0.0, None, None)
    assert out[16:20].isnan().all() and not out[20:].isnan().any()
    assert grad[16:20].isnan().all() and not grad[20:].isnan().any()


@pytest.mark.parametrize("width", [64, 96, *(pytest.param(w, marks=pytest.mark.thorough) for w in (32, 128))])
def test_the_table_is_what_the_kernels_take(width):
    told = library(width, None).interbert_attention_shared_bytes
    for backward in (False, True):
        for bucket in buckets(width, None, backward):
            assert told(bucket, int(backward)) == shared_bytes(width, bucket, backward, None)
        assert told(longest(width, None, backward) + 1, int(backward)) == -1


def test_what_is_promised_is_supported():
    half = torch.bfloat16
    assert supported(64, 256, half, 90, backward=False) and supported(64, 160, half, 90)
    assert supported(96, 128, torch.float16, 90) and not supported(64, 161, half, 90)
    assert not supported(64, 257, half, 90, backward=False) and not supported(64, 16, torch.float32, 90)
    assert not supported(80, 16, half, 90) and not supported(64, 16, half, 75)
    assert all(longest(64, arch, True) >= 64 for arch in SHARED_KB)


def test_refusals_name_what_would_be_taken():
    qkv, _, cu = make([9], 64, torch.float32)
    with pytest.raises(ValueError, match=r"float32.*float16 and torch.bfloat16.*auto"):
        attention(qkv, cu, 9, backend="host")
    with pytest.raises(ValueError, match="is for cuda"):
        attention(qkv, cu, 9, backend="fused")
    with pytest.raises(ValueError, match="up to 160 tokens"):
        attention_fused(qkv.half().requires_grad_(), cu, 200, 0.0, None, None)


def test_without_a_compiler_the_reason_is_told(monkeypatch, tmp_path, caplog):
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(fused_build.Unavailable, match="no-such-compiler"):
        fused_build.compiled(64, None)
    monkeypatch.setattr(fused_build.shutil, "which", lambda name: None)
    monkeypatch.setattr(fused_build.Path, "exists", lambda self: False)
    with caplog.at_level(logging.INFO), pytest.raises(fused_build.Unavailable, match=r"no nvcc.*CUDA_HOME"):
        fused_build.compiled(64, 90)


def test_problem_lies_in_memory_as_its_twin():
    text = (fused_build.SOURCES / "problem.h").read_text()
    body = re.search(r"struct Problem \{\n(.*?)\};", text, re.DOTALL)[1]
    fields = []
    for line in body.splitlines():
        kind, names = re.fullmatch(r"\s*(?:const )?([\w ]+\*|\w+) ([\w, ]+);.*", line).groups()
        c_type = ctypes.c_void_p if kind.endswith("*") else {"int32_t": ctypes.c_int32}[kind]
        fields += [(name, c_type) for name in names.split(", ")]
    assert fields == Problem._fields_


def test_buckets_rise():
    assert tuple(sorted(BUCKETS)) == BUCKETS
