"""The one place that decides whether our own operations on rows are taken, and the product that meets GELU."""

import logging
from collections.abc import Generator
from contextlib import contextmanager
from functools import cache

import torch
from torch import Tensor

from interbert.kernels.attend.fused_build import architecture
from interbert.kernels.compile import Unavailable
from interbert.kernels.rows import build, table
from interbert.kernels.rows.build import GELU_PRODUCT, ROWS
from interbert.kernels.rows.self_check import failed_check

log = logging.getLogger(__name__)

NAMES = {ROWS: "operations on rows", GELU_PRODUCT: "GELU within products"}
ARCHS = {ROWS: table.ARCHS, GELU_PRODUCT: table.GELU_PRODUCT_ARCHS}

_everywhere = False


@contextmanager
def everywhere() -> Generator[None]:
    """For trials: whatever the device, on a CPU by the emulator; of tensors without numbers nothing is asked."""
    global _everywhere
    before, _everywhere = _everywhere, True
    try:
        yield
    finally:
        _everywhere = before


def serves(x_NW: Tensor, *others: Tensor | None) -> bool:
    """Whether an operation on these rows, with parameters and rows of their type, is our own."""
    return _asked(x_NW) and table.fits(x_NW, *others) and _on(x_NW.device)


def serves_norm(x_NW: Tensor, weight_W: Tensor, *others: Tensor | None) -> bool:
    return _asked(x_NW) and table.norm_fits(x_NW, weight_W, *others) and _on(x_NW.device)


def serves_loss(logits_NK: Tensor) -> bool:
    return _asked(logits_NK) and table.loss_fits(logits_NK) and _on(logits_NK.device)


def serves_feed_forward(x_NH: Tensor, up_IH: Tensor, bias_I: Tensor, down_HI: Tensor) -> bool:
    """Whether GELU between two products is a part of them. It takes what `serves` says as well."""
    fits = _asked(x_NH) and table.gelu_product_fits(x_NH, up_IH, bias_I, down_HI)
    return fits and _on(x_NH.device, GELU_PRODUCT)


def is_whole(weight: Tensor) -> bool:
    """Not gathered for each module on its own. DeepSpeed marks those, which may look whole for a moment."""
    return weight.dim() == 2 and not hasattr(weight, "ds_id")


def _asked(x_NW: Tensor) -> bool:
    """First of all, so that on a CPU nothing more is asked, above all of a program that is being exported."""
    return _everywhere or x_NW.is_cuda


def _on(device: torch.device, name: str = ROWS) -> bool:
    return _everywhere or (device.type == "cuda" and usable(device, name))


def usable(device: torch.device, name: str = ROWS) -> bool:
    return _usable(device, name)


# What torch.compiler.assume_constant_result does, without importing the compiler: torch.compile asks, and goes by the
# answer, which holds for the process.
usable._dynamo_marked_constant = True  # ty: ignore[missing-attribute]


@cache
def _usable(device: torch.device, name: str) -> bool:
    reason = refusal(device, name)
    others = "torch's" if name == ROWS else "apart"
    log.info("%s on %s: %s", NAMES[name], device, "our own" if reason is None else f"{others} ({reason})")
    return reason is None


@cache
def refusal(device: torch.device, name: str = ROWS) -> str | None:
    """Why our own operations cannot be had, or trusted, on this device."""
    arch = architecture(device)
    if arch is not None and arch not in ARCHS[name]:
        return f"not made for sm_{arch}"
    try:
        # A product stands between operations on rows, and its pace is held to theirs.
        for needed in (ROWS, name):
            build.library(arch, needed)
    except Unavailable as reason:
        return str(reason)
    return failed_check(arch, device, name)


def refuse(device: torch.device, reason: str, name: str = ROWS) -> None:
    """From here on, in this process."""
    build.refuse(architecture(device), reason, name)
    refusal.cache_clear()
    _usable.cache_clear()
