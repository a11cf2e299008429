"""Attention on a CPU in bf16: our own kernel, a (sequence, head) at a time, nothing kept for the backward pass."""

import torch
from torch import Tensor

from interbert.kernels.cpu import native
from interbert.kernels.dropout import draw_seed, threshold


def attention_tiles(
    qkv_T3Hd: Tensor,
    cu_seqlens: Tensor,
    max_seqlen: int,
    dropout_p: float,
    rng: Tensor | None,
    order: Tensor | None,
) -> Tensor:
    if not native.serves(qkv_T3Hd):
        raise ValueError(
            f"attention backend tiles got {qkv_T3Hd.dtype} on {qkv_T3Hd.device}: it takes bf16 on a CPU with tile "
            "registers (AMX); backend auto takes what serves"
        )
    return _Attention.apply(qkv_T3Hd, cu_seqlens.int().contiguous(), dropout_p)


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(ctx, qkv_T3Hd: Tensor, cu_seqlens: Tensor, p: float) -> Tensor:
        qkv_T3Hd = qkv_T3Hd.contiguous()
        rows, _, heads, width = qkv_T3Hd.shape
        ctx.shape = cu_seqlens.numel() - 1, heads, width
        ctx.drawn, ctx.real = (draw_seed(p), threshold(p)), int(cu_seqlens[-1])
        out = qkv_T3Hd.new_empty(rows, heads, width)
        native.call("attention_forward", qkv_T3Hd, cu_seqlens, *ctx.shape, *ctx.drawn, out)
        out[ctx.real :].zero_()
        ctx.save_for_backward(qkv_T3Hd, cu_seqlens)
        return out

    @staticmethod
    def backward(ctx, grad_THd: Tensor) -> tuple[Tensor, None, None]:
        qkv_T3Hd, cu_seqlens = ctx.saved_tensors
        grad = torch.empty_like(qkv_T3Hd)
        grad_THd = grad_THd.contiguous()
        native.call("attention_backward", qkv_T3Hd, grad_THd, cu_seqlens, *ctx.shape, *ctx.drawn, grad)
        grad[ctx.real :].zero_()
        return grad, None, None
