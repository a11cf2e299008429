"""A quick trial of the fused kernels on the device at hand, where nobody has recorded one.

Both passes, with and without dropout, over a spread of lengths, are held to the reference on the same device. The
verdict on their numbers is kept beside the compiled library, and with a new library a new trial is made.
"""

import time
from functools import cache

import torch
from torch import Tensor

from interbert.kernels.attend.fused import attention_fused, few_blocks, units_longest_first
from interbert.kernels.attend.fused_build import architecture, compiled
from interbert.kernels.attend.fused_table import BUCKETS, longest
from interbert.kernels.attend.reference import attention_reference
from interbert.kernels.compile import Unavailable
from interbert.kernels.verdict import kept_verdict

RECORDED: frozenset[int] = frozenset()
"""Architectures on which `benchmarks/attention.py --only primitives numbers` has passed, as docs/results.md tells."""

SECONDS = 2.0
ERRORS = {torch.float16: 2e-3, torch.bfloat16: 1.6e-2}
"""Largest error as a share of the largest number: of rounding to the type, a few times over."""


@cache
def failed_check(width: int, device: torch.device) -> str | None:
    """Why the kernels of this head width are not to be trusted on this device; None when they are."""
    arch = architecture(device)
    if arch in RECORDED:
        return None
    try:
        file = compiled(width, arch)
    except Unavailable as reason:
        return str(reason)
    return kept_verdict(file, device, lambda: check(width, device))


@torch.inference_mode(False)
@torch.enable_grad()
def check(width: int, device: torch.device, seconds: float = SECONDS) -> str | None:
    """The first thing that is wrong; None when nothing is, in the time there is. Whoever asks may be evaluating.

    The longest bucket is tried in both types, whatever the time; then shorter ones.
    """
    compare(width, BUCKETS[0], torch.bfloat16, 0.0, device)  # starts what is started once
    began = time.monotonic()
    for length, backward in trials(width, device):
        for dtype in ERRORS:
            for dropout_p in (0.0, 0.1):
                failure = compare(width, length, dtype, dropout_p, device, backward)
                if failure:
                    return f"{dtype}, head width {width}, {length} tokens, dropout {dropout_p}: {failure}"
        if time.monotonic() - began > seconds:
            return None
    return None


def trials(width: int, device: torch.device) -> list[tuple[int, bool]]:
    """(length, whether backward too): the longest of each kind first, for they are the hardest."""
    forward, both = (longest(width, architecture(device), backward) for backward in (False, True))
    alone = [(bucket, False) for bucket in reversed(BUCKETS) if both < bucket <= forward]
    trained = [(bucket, True) for bucket in reversed(BUCKETS) if bucket <= both]
    return trained[:1] + alone + trained[1:]


def compare(
    width: int,
    longest: int,
    dtype: torch.dtype,
    dropout_p: float,
    device: torch.device,
    backward: bool = True,
) -> str | None:
    """Against the reference in fp64, with one seed for both; on so few blocks that each works on several units."""
    generator = torch.Generator().manual_seed(longest)
    lengths = [longest, 0, 1, max(longest // 2, 1), max(longest - 15, 1)]
    cu = torch.tensor([0, *lengths]).cumsum(0).int().to(device)
    qkv = torch.randn(sum(lengths) + 2, 3, 2, width, generator=generator).to(device, dtype)
    weight = torch.randn(qkv.shape[0], 2, width, generator=generator).to(device, dtype)
    rng = torch.tensor([longest, 1], device=device)
    order = units_longest_first(cu, 2)
    with few_blocks(2), torch.autocast(device.type, enabled=False):
        got = _passes(attention_fused, backward, qkv, weight, cu, longest, dropout_p, rng, order)
        exact = (qkv.double(), weight.double(), cu, longest, dropout_p, rng, None)
        expected = _passes(attention_reference, backward, *exact)
    for name, mine, true in zip(("forward", "backward"), got, expected, strict=False):
        error = ((mine.double() - true).abs().max() / true.abs().max()).item()
        if not error <= ERRORS[dtype]:
            return f"{name} is off by {error:.2g} of the largest number, at most {ERRORS[dtype]:.2g} is right"
    return None


def _passes(attention, backward: bool, qkv: Tensor, weight: Tensor, *arguments) -> list[Tensor]:
    qkv = qkv.detach().requires_grad_(backward)
    out = attention(qkv, *arguments)
    return [out.detach(), *(torch.autograd.grad(out, qkv, weight) if backward else ())]
