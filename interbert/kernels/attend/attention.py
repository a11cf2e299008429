"""The one place that chooses how attention over packed sequences is computed.

qkv_T3Hd holds queries, keys and values of T tokens, H heads of width d. Sequence b owns rows
cu_seqlens[b]:cu_seqlens[b+1] and sees only itself. Rows behind the last offset come out as zeros (of flash: as
they happen to be).
"""

import logging
from typing import NamedTuple, cast

import torch
from torch import Tensor

from interbert.kernels.attend.attention_tiles import attention_tiles
from interbert.kernels.attend.buckets import attention_buckets
from interbert.kernels.attend.flash_torch import attention_flash, flash_unusable
from interbert.kernels.attend.fused import attention_fused
from interbert.kernels.attend.fused_build import architecture, library
from interbert.kernels.attend.fused_table import BUCKETS, supported
from interbert.kernels.attend.reference import attention_reference
from interbert.kernels.attend.sdpa import attention_sdpa
from interbert.kernels.attend.self_check import failed_check
from interbert.kernels.compile import Unavailable
from interbert.kernels.cpu import native

log = logging.getLogger(__name__)

BACKENDS = {
    "reference": attention_reference,
    "sdpa": attention_sdpa,
    "buckets": attention_buckets,
    "tiles": attention_tiles,
    "flash": attention_flash,
    "fused": attention_fused,
    "host": attention_fused,
}
DEVICES = {"fused": "cuda", "host": "cpu", "flash": "cuda"}
"""Of backends that are for one kind of device alone."""


def attention(
    qkv_T3Hd: Tensor,
    cu_seqlens: Tensor,
    max_seqlen: int,
    dropout_p: float = 0.0,
    rng: Tensor | None = None,
    order: Tensor | None = None,
    backend: str = "auto",
) -> Tensor:
    """[T, H, d]. `rng` (int64 [2], seed and offset) rules the dropout, and `order` (int32 [units], a unit being
    `sequence * H + head`, longest first) the schedule, of the fused kernels; the others draw and schedule on their
    own, and only the reference draws by `rng` too."""
    device = qkv_T3Hd.device
    if backend == "auto":
        # Not for the length itself, which differs from batch to batch, and so is no constant to torch.compile.
        bucket = next((bucket for bucket in BUCKETS if max_seqlen <= bucket), BUCKETS[-1] + 1)
        backend = resolve(qkv_T3Hd.shape[-1], qkv_T3Hd.dtype, device, qkv_T3Hd.requires_grad, bucket)
    elif backend not in BACKENDS:
        raise ValueError(f"no attention backend {backend!r}: take auto or one of {', '.join(BACKENDS)}")
    if qkv_T3Hd.shape[0] == 0:
        return qkv_T3Hd[:, 0]
    if DEVICES.get(backend, device.type) != device.type:
        raise ValueError(
            f"attention backend {backend} is for {DEVICES[backend]}, the tensors are on {device}: take auto "
            "(of a model attn_implementation='interbert')"
        )
    return BACKENDS[backend](qkv_T3Hd, cu_seqlens, max_seqlen, dropout_p, rng, order)


class Asked(NamedTuple):
    """What the choice depends on, of queries, keys and values: as of a tensor, by the same names."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    device: torch.device
    requires_grad: bool

    @property
    def is_cuda(self) -> bool:
        return self.device.type == "cuda"


def resolve(
    width: int, dtype: torch.dtype, device: torch.device, requires_grad: bool, max_seqlen: int
) -> str:
    """The backend that `auto` stands for."""
    asked = Asked((0, 3, 1, width), dtype, device, requires_grad)
    backend, reason = _choose(cast(Tensor, asked), max_seqlen)
    say_once(backend, reason, device.type, str(dtype), width)
    return backend


# What torch.compiler.assume_constant_result does, without importing the compiler: torch.compile asks while it looks
# on, and goes by the answer.
resolve._dynamo_marked_constant = True  # ty: ignore[missing-attribute]


def _choose(qkv_T3Hd: Tensor, max_seqlen: int) -> tuple[str, str]:
    if native.serves(qkv_T3Hd):
        return "tiles", "our own kernel, on tile registers"
    if qkv_T3Hd.device.type == "cpu":
        return "buckets", "products over sequences of similar length"
    fused = fused_unusable(qkv_T3Hd, max_seqlen)
    if fused is None:
        return "fused", "our own kernel"
    flash = flash_unusable(qkv_T3Hd)
    if flash is None:
        return "flash", f"FlashAttention-2 of torch serves it; fused: {fused}"
    return "sdpa", f"fused: {fused}; flash: {flash}"


def fused_unusable(qkv_T3Hd: Tensor | Asked, max_seqlen: int) -> str | None:
    """Why our own kernels do not serve these tensors; None when they do."""
    width, device = qkv_T3Hd.shape[-1], qkv_T3Hd.device
    if device.type != "cuda":
        return "no CUDA tensor"
    arch = architecture(device)
    if not supported(width, max_seqlen, qkv_T3Hd.dtype, arch, backward=qkv_T3Hd.requires_grad):
        return f"not made for {qkv_T3Hd.dtype}, head width {width}, {max_seqlen} tokens on sm_{arch}"
    return fused_refusal(width, device)


def fused_refusal(width: int, device: torch.device) -> str | None:
    """Why our own kernels of this head width cannot be had, or trusted, on this GPU."""
    try:
        library(width, architecture(device))
    except Unavailable as reason:
        return str(reason)
    return failed_check(width, device)


def say_once(backend: str, reason: str, device: str, dtype: str, width: int) -> None:
    """The reason is of the first time: it may name a length, and each batch has another."""
    if (backend, device, dtype, width) in SAID:
        return
    SAID.add((backend, device, dtype, width))
    log.info("attention on %s, %s, head width %d: %s (%s)", device, dtype, width, backend, reason)


SAID: set[tuple[str, str, str, int]] = set()
