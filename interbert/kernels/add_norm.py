"""LayerNorm(residual + dropout(x)), what a post-norm layer does twice: one pass on a CPU in bf16."""

import torch
from torch import Tensor

from interbert.kernels.cpu import native
from interbert.kernels.dropout import draw_seed, threshold


def serves(x: Tensor, residual: Tensor, weight: Tensor, bias: Tensor) -> bool:
    return x.dim() == 2 and native.serves(x, residual, weight, bias)


def add_norm(
    x_NH: Tensor, residual_NH: Tensor, weight_H: Tensor, bias_H: Tensor, eps: float, p: float
) -> Tensor:
    """Where `serves` says so."""
    return _AddNorm.apply(x_NH, residual_NH, weight_H, bias_H, eps, p)


class _AddNorm(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx, x: Tensor, residual: Tensor, weight: Tensor, bias: Tensor, eps: float, p: float
    ) -> Tensor:
        x, residual = x.contiguous(), residual.contiguous()
        ctx.drawn = draw_seed(p), threshold(p)
        total, y = torch.empty_like(x), torch.empty_like(x)
        mean, inverse = torch.empty(2, x.shape[0]).unbind()
        native.call(
            "add_norm_forward",
            x,
            residual,
            weight,
            bias,
            *x.shape,
            float(eps),
            *ctx.drawn,
            total,
            mean,
            inverse,
            y,
        )
        ctx.save_for_backward(total, weight, mean, inverse)
        return y

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, ...]:
        total, weight, mean, inverse = ctx.saved_tensors
        grads = [torch.empty_like(t) for t in (total, total, weight, weight)]
        native.call(
            "add_norm_backward",
            grad.contiguous(),
            total,
            weight,
            mean,
            inverse,
            *total.shape,
            *ctx.drawn,
            *grads,
        )
        return *grads, None, None
