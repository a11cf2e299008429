"""Fused attention for short packed sequences: our own kernels as operators of torch.

On CUDA tensors they run on the GPU; on CPU tensors the same source runs in the emulator, slowly, for tests.
A unit is a sequence under a head: number `sequence * heads + head`.
"""

import ctypes
from collections.abc import Generator
from contextlib import contextmanager

import torch
from torch import Tensor

from interbert.kernels.attend.fused_build import Problem, architecture, library
from interbert.kernels.attend.fused_table import DTYPES, longest, supported
from interbert.kernels.dropout import threshold

_most_blocks = 0


@contextmanager
def few_blocks(number: int) -> Generator[None]:
    """For trials: so few blocks that each has several units. For all threads: autograd has one for each GPU."""
    global _most_blocks
    before, _most_blocks = _most_blocks, number
    try:
        yield
    finally:
        _most_blocks = before


def attention_fused(
    qkv_T3Hd: Tensor,
    cu_seqlens: Tensor,
    max_seqlen: int,
    dropout_p: float,
    rng: Tensor | None,
    order: Tensor | None,
) -> Tensor:
    """`rng`: int64 [2], seed and offset, on the device, drawn if there is dropout and none is given.
    `order`: int32 [units], each unit once, best longest first."""
    _refuse_unserved(qkv_T3Hd, max_seqlen)
    dropped = threshold(dropout_p)
    if not 0 <= dropped < 256:
        raise ValueError(f"dropout {dropout_p} is not in 0 … 0.99")
    if dropped and rng is None:
        rng = draw_rng(qkv_T3Hd.device)
    cu_seqlens = cu_seqlens.to(torch.int32).contiguous()
    return _forward(qkv_T3Hd.contiguous(), cu_seqlens, rng if dropped else None, order, max_seqlen, dropped)[
        0
    ]


def draw_rng(device: torch.device) -> Tensor:
    """Seed and offset of the device's own generator: under a CUDA graph, new ones at each replay."""
    return torch.randint(0, 2**62, (2,), dtype=torch.int64, device=device)


def units_longest_first(cu_seqlens: Tensor, heads: int) -> Tensor:
    """int32 [units], computed where the offsets are."""
    return units_of_sequences(cu_seqlens.diff().argsort(descending=True, stable=True), heads)


def units_of_sequences(sequences_B: Tensor, heads: int) -> Tensor:
    """int32 [units]: all heads of the first sequence, then all of the second one, and so on."""
    head_H = torch.arange(heads, device=sequences_B.device)
    return (sequences_B[:, None] * heads + head_H).flatten().int()


def _refuse_unserved(qkv_T3Hd: Tensor, max_seqlen: int) -> None:
    width, arch = qkv_T3Hd.shape[-1], architecture(qkv_T3Hd.device)
    if supported(width, max_seqlen, qkv_T3Hd.dtype, arch, qkv_T3Hd.requires_grad):
        return
    limit = longest(width, arch, qkv_T3Hd.requires_grad)
    raise ValueError(
        f"fused attention does not serve {qkv_T3Hd.dtype}, head width {width}, {max_seqlen} tokens on "
        f"{qkv_T3Hd.device}: it takes {' and '.join(map(str, DTYPES))}, and up to {limit} tokens of this width "
        "there; backend auto takes what serves"
    )


@torch.library.custom_op("interbert::attention", mutates_args=())
def _forward(
    qkv: Tensor, cu_seqlens: Tensor, rng: Tensor | None, order: Tensor | None, longest: int, dropped: int
) -> tuple[Tensor, Tensor]:
    tokens, _, heads, _ = qkv.shape
    out = qkv.new_empty(tokens, *qkv.shape[2:])
    logsum = qkv.new_empty(heads, tokens, dtype=torch.float32)
    _launch("interbert_attention_forward", qkv, None, out, logsum, cu_seqlens, rng, order, longest, dropped)
    return out, logsum


@_forward.register_fake
def _(qkv, cu_seqlens, rng, order, longest, dropped):
    tokens, _, heads, _ = qkv.shape
    return qkv.new_empty(tokens, *qkv.shape[2:]), qkv.new_empty(heads, tokens, dtype=torch.float32)


@torch.library.custom_op("interbert::attention_backward", mutates_args=())
def _backward(
    grad: Tensor,
    qkv: Tensor,
    logsum: Tensor,
    cu_seqlens: Tensor,
    rng: Tensor | None,
    order: Tensor | None,
    longest: int,
    dropped: int,
) -> Tensor:
    out = torch.empty_like(qkv)
    grad = grad.contiguous()
    _launch("interbert_attention_backward", qkv, grad, out, logsum, cu_seqlens, rng, order, longest, dropped)
    return out


@_backward.register_fake
def _(grad, qkv, logsum, cu_seqlens, rng, order, longest, dropped):
    return torch.empty_like(qkv)


def _keep(ctx, inputs, output) -> None:
    qkv, cu_seqlens, rng, order, ctx.longest, ctx.dropped = inputs
    ctx.save_for_backward(qkv, output[1], cu_seqlens, rng, order)
    ctx.set_materialize_grads(False)


def _differentiate(ctx, grad, _grad_of_logsum):
    if grad is None:
        return (None,) * 6
    return _backward(grad, *ctx.saved_tensors, ctx.longest, ctx.dropped), *(None,) * 5


_forward.register_autograd(_differentiate, setup_context=_keep)


def _launch(
    name: str,
    qkv: Tensor,
    grad: Tensor | None,
    out: Tensor,
    logsum: Tensor,
    cu_seqlens: Tensor,
    rng: Tensor | None,
    order: Tensor | None,
    longest: int,
    dropped: int,
) -> None:
    tokens, _, heads, width = qkv.shape
    _check_operands(qkv, cu_seqlens, rng, order)
    if qkv.data_ptr() % 16 or (grad is not None and grad.data_ptr() % 16):
        raise ValueError("fused attention takes tensors whose memory begins at a multiple of 16 bytes")
    problem = Problem(
        *(_pointer(x) for x in (qkv, grad, out, logsum, cu_seqlens, order, rng)),
        *(
            tokens,
            cu_seqlens.numel() - 1,
            heads,
            longest,
            dropped,
            qkv.dtype == torch.bfloat16,
            _most_blocks,
        ),
    )
    on_gpu = qkv.is_cuda
    with torch.cuda.device(qkv.device if on_gpu else -1):
        stream = torch.cuda.current_stream(qkv.device).cuda_stream if on_gpu else 0
        there = library(width, architecture(qkv.device))
        error = getattr(there, name)(ctypes.byref(problem), ctypes.c_void_p(stream))
    if error:
        raise RuntimeError(f"{name} failed: {there.interbert_attention_error(error).decode()} ({error})")


def _check_operands(qkv: Tensor, cu_seqlens: Tensor, rng: Tensor | None, order: Tensor | None) -> None:
    """The kernels believe what they are given: a wrong type or a missing unit is wrong numbers, or a wild pointer."""
    units = (cu_seqlens.numel() - 1) * qkv.shape[2]
    wanted = {
        "cu_seqlens": (cu_seqlens, torch.int32, max(cu_seqlens.numel(), 1)),
        "rng": (rng, torch.int64, 2),
        "order": (order, torch.int32, units),
    }
    for name, (x, dtype, numbers) in wanted.items():
        if x is None:
            continue
        if x.dtype != dtype or x.numel() != numbers or x.device != qkv.device or not x.is_contiguous():
            raise ValueError(
                f"{name} of fused attention must be {numbers} contiguous numbers of {dtype} on {qkv.device}, not "
                f"{x.numel()} of {x.dtype} on {x.device}"
            )


def _pointer(x: Tensor | None) -> int | None:
    if x is None:
        return None
    assert x.is_contiguous()
    return x.data_ptr()
