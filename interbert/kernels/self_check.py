"""A quick trial of the fused kernels on the device at hand, where nobody has recorded one.

Both passes, with and without dropout, over a spread of lengths, are held to the reference on the same device. The
verdict is kept beside the compiled library, and with a new library a new trial is made.
"""

import json
import logging
import time
from functools import cache

import torch
from torch import Tensor

from interbert.kernels.compile import Unavailable
from interbert.kernels.fused import attention_fused, units_longest_first
from interbert.kernels.fused_build import architecture, compiled
from interbert.kernels.fused_table import BUCKETS, longest
from interbert.kernels.reference import attention_reference

log = logging.getLogger(__name__)

RECORDED: frozenset[int] = frozenset()
"""Architectures on which all of `benchmarks/attention.py --check` has passed, as docs/results.md tells."""

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
        file = compiled(width, arch).with_suffix(".json")
    except Unavailable as reason:
        return str(reason)
    if file.exists():
        return json.loads(file.read_text())["failure"]
    failure = check(width, device)
    # A verdict that cannot be kept is made again next time.
    try:
        file.write_text(json.dumps({"failure": failure, "device": _name(device)}) + "\n")
    except OSError as error:
        log.info("verdict on fused attention not kept: %s", error)
    return failure


@torch.inference_mode(False)
@torch.enable_grad()
def check(width: int, device: torch.device, seconds: float = SECONDS) -> str | None:
    """The first thing that is wrong; None when nothing is, in the time there is. Whoever asks may be evaluating."""
    began = time.monotonic()
    for dtype in ERRORS:
        for longest_here in reversed([b for b in BUCKETS if b <= longest(width, architecture(device), True)]):
            for dropout_p in (0.0, 0.1):
                failure = compare(width, longest_here, dtype, dropout_p, device)
                if failure:
                    return (
                        f"{dtype}, head width {width}, {longest_here} tokens, dropout {dropout_p}: {failure}"
                    )
                if time.monotonic() - began > seconds:
                    return None
    return None


def compare(
    width: int, longest: int, dtype: torch.dtype, dropout_p: float, device: torch.device
) -> str | None:
    """Both passes against the reference, with one seed for both."""
    generator = torch.Generator().manual_seed(longest)
    lengths = [longest, 0, 1, max(longest // 2, 1), max(longest - 15, 1)]
    cu = torch.tensor([0, *lengths]).cumsum(0).int().to(device)
    qkv = torch.randn(sum(lengths) + 2, 3, 2, width, generator=generator).to(device, dtype)
    weight = torch.randn(qkv.shape[0], 2, width, generator=generator).to(device, dtype)
    rng = torch.tensor([longest, 1], device=device)
    order = units_longest_first(cu, 2)
    got = _both_passes(attention_fused, qkv, weight, cu, longest, dropout_p, rng, order)
    expected = _both_passes(
        attention_reference, qkv.float(), weight.float(), cu, longest, dropout_p, rng, None
    )
    for name, mine, true in zip(("forward", "backward"), got, expected, strict=True):
        error = ((mine.float() - true).abs().max() / true.abs().max()).item()
        if not error <= ERRORS[dtype]:
            return f"{name} is off by {error:.2g} of the largest number, at most {ERRORS[dtype]:.2g} is right"
    return None


def _both_passes(attention, qkv: Tensor, weight: Tensor, *arguments) -> tuple[Tensor, Tensor]:
    qkv = qkv.detach().requires_grad_()
    out = attention(qkv, *arguments)
    return out.detach(), torch.autograd.grad(out, qkv, weight)[0]


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "emulator"
