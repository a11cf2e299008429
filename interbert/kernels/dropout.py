"""Dropout. On a CPU with masks of our own: torch draws a double-precision number an element, on one core.

Here a 64-bit word of torch's generator (so `torch.manual_seed` rules it) serves eight elements: an element is
dropped when its byte is below a threshold. The share is therefore a multiple of 1/256, and what is kept is
scaled by exactly what that share demands.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

LOWEST = torch.iinfo(torch.int64).min


def dropout(x: Tensor, p: float, training: bool) -> Tensor:
    if not training or p == 0:
        return x
    return F.dropout(x, p) if x.is_cuda else _Dropout.apply(x, p)


def dropout_add(x: Tensor, residual: Tensor, p: float, training: bool) -> Tensor:
    """residual + dropout(x)"""
    if not training or p == 0:
        return residual + x
    return residual + F.dropout(x, p) if x.is_cuda else _DropoutAdd.apply(x, residual, p)


def draw_seed(p: float) -> int:
    """What rules a native kernel's dropout: a number of torch's generator; none is drawn for p = 0."""
    return int(torch.empty((), dtype=torch.int64).random_(LOWEST, None)) if p > 0 else 0


def threshold(p: float) -> int:
    """Elements whose byte is below it are dropped."""
    return round(p * 256)


def draw_mask(like: Tensor, p: float) -> tuple[Tensor, float]:
    """A mask of ones and zeros in `like`'s type and shape, and the factor for what is kept."""
    below = threshold(p)
    words = torch.empty((like.numel() + 7) // 8, dtype=torch.int64, device=like.device).random_(LOWEST, None)
    drawn = words.view(torch.uint8)[: like.numel()].view(like.shape)
    # Compared straight into the floating type: a bool mask would be converted in a slow pass of its own.
    mask = torch.ge(drawn, below, out=torch.empty_like(like, memory_format=torch.contiguous_format))
    return mask, 256 / (256 - below)


class _Dropout(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, p: float) -> Tensor:
        mask, ctx.scale = draw_mask(x, p)
        ctx.save_for_backward(mask)
        return x.mul(mask).mul_(ctx.scale)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None]:
        (mask,) = ctx.saved_tensors
        return grad.mul(mask).mul_(ctx.scale), None


class _DropoutAdd(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, residual: Tensor, p: float) -> Tensor:
        mask, ctx.scale = draw_mask(x, p)
        ctx.save_for_backward(mask)
        return torch.addcmul(residual, x, mask, value=ctx.scale)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        (mask,) = ctx.saved_tensors
        return grad.mul(mask).mul_(ctx.scale), grad, None
