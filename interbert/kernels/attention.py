"""The one place that chooses how attention over packed sequences is computed.

qkv_T3Hd holds queries, keys and values of T tokens, H heads of width d. Sequence b owns rows
cu_seqlens[b]:cu_seqlens[b+1] and sees only itself. Rows behind the last offset come out as zeros (of flash: as
they happen to be).
"""

import logging
from functools import cache

from torch import Tensor

from interbert.kernels import native
from interbert.kernels.attention_tiles import attention_tiles
from interbert.kernels.buckets import attention_buckets
from interbert.kernels.flash_torch import attention_flash, flash_unusable
from interbert.kernels.reference import attention_reference
from interbert.kernels.sdpa import attention_sdpa

log = logging.getLogger(__name__)

BACKENDS = {
    "reference": attention_reference,
    "sdpa": attention_sdpa,
    "buckets": attention_buckets,
    "tiles": attention_tiles,
    "flash": attention_flash,
}


def attention(
    qkv_T3Hd: Tensor,
    cu_seqlens: Tensor,
    max_seqlen: int,
    dropout_p: float = 0.0,
    rng: Tensor | None = None,
    order: Tensor | None = None,
    backend: str = "auto",
) -> Tensor:
    """[T, H, d]. `rng` and `order` are for kernels that draw or schedule on their own; these ones do not."""
    if backend == "auto":
        backend, reason = _choose(qkv_T3Hd)
        say_once(backend, reason, str(qkv_T3Hd.device.type), str(qkv_T3Hd.dtype), qkv_T3Hd.shape[-1])
    elif backend not in BACKENDS:
        raise ValueError(f"no attention backend {backend!r}: take auto or one of {', '.join(BACKENDS)}")
    if qkv_T3Hd.shape[0] == 0:
        return qkv_T3Hd[:, 0]
    return BACKENDS[backend](qkv_T3Hd, cu_seqlens, max_seqlen, dropout_p, rng, order)


def _choose(qkv_T3Hd: Tensor) -> tuple[str, str]:
    if native.serves(qkv_T3Hd):
        return "tiles", "our own kernel, on tile registers"
    if qkv_T3Hd.device.type == "cpu":
        return "buckets", "products over sequences of similar length"
    reason = flash_unusable(qkv_T3Hd)
    if reason is None:
        return "flash", "FlashAttention-2 of torch serves it"
    return "sdpa", f"flash: {reason}"


@cache
def say_once(backend: str, reason: str, device: str, dtype: str, width: int) -> None:
    log.info("attention on %s, %s, head width %d: %s (%s)", device, dtype, width, backend, reason)
