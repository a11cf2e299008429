"""A product whose results meet GELU before they are in memory, both ways, as operators of torch; and what stands
around GELU in a layer, made of them.

Forward they leave GELU's slope beside GELU, backward they multiply the gradient by it: what was before GELU is never
written. So the pair is one function of both layers' weights.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from interbert.kernels.rows.build import GELU_PRODUCT, launch
from interbert.kernels.rows.problems import GeluProduct, Parts, parts_of, pointer, rows_of

MOST_BLOCKS = 256
"""More than a GPU has multiprocessors, each of which takes one."""
COLUMNS, WARPS = 128, 8
"""That a block has at once, and that leave sums of them, as in csrc/fused/gelu_product.h."""


def feed_forward(x_NH: Tensor, up_IH: Tensor, bias_I: Tensor, down_HI: Tensor) -> tuple[Tensor, Tensor]:
    """GELU(x up^T + bias) down^T, and x once more, as `passing_linear` gives it."""
    return _FeedForward.apply(x_NH, up_IH, bias_I, down_HI, torch.is_grad_enabled())


class _FeedForward(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx, x_NH: Tensor, up_IH: Tensor, bias_I: Tensor, down_HI: Tensor, kept: bool
    ) -> tuple[Tensor, Tensor]:
        wide_NI, slope_NI = gelu_product(x_NH, up_IH, bias_I, kept)
        ctx.save_for_backward(x_NH, up_IH, down_HI, wide_NI, slope_NI)
        return F.linear(wide_NI, down_HI), x_NH.view_as(x_NH)

    @staticmethod
    def backward(ctx, grad_NH: Tensor, passed_NH: Tensor) -> tuple[Tensor | None, ...]:
        x_NH, up_IH, down_HI, wide_NI, slope_NI = ctx.saved_tensors
        x_grad = up_grad = down_grad = None
        before_NI, bias_grad = gelu_product_backward(grad_NH, down_HI, slope_NI)
        if ctx.needs_input_grad[0]:
            x_grad = passed_NH.addmm_(before_NI, up_IH)
        if ctx.needs_input_grad[1]:
            up_grad = before_NI.T @ x_NH
        if ctx.needs_input_grad[3]:
            down_grad = grad_NH.T @ wide_NI
        return x_grad, up_grad, bias_grad, down_grad, None


@torch.library.custom_op("interbert::gelu_product", mutates_args=())
def gelu_product(x: Tensor, weight: Tensor, bias: Tensor, kept: bool) -> tuple[Tensor, Tensor]:
    """GELU of a product with its bias, and GELU's slope there; of the latter no rows where it is not kept."""
    y = x.new_empty(x.shape[0], weight.shape[0])
    slope = torch.empty_like(y) if kept else y.new_empty(0, weight.shape[0])
    _launch(x, weight, bias, slope if kept else None, y, None)
    return y, slope


@gelu_product.register_fake
def _(x, weight, bias, kept):
    y = x.new_empty(x.shape[0], weight.shape[0])
    return y, torch.empty_like(y) if kept else y.new_empty(0, weight.shape[0])


@torch.library.custom_op("interbert::gelu_product_backward", mutates_args=())
def gelu_product_backward(grad: Tensor, weight: Tensor, slope: Tensor) -> tuple[Tensor, Tensor]:
    """grad weight * slope, and the sums of its columns."""
    out = torch.empty_like(slope)
    panels = slope.shape[1] // COLUMNS
    parts = Parts(WARPS * (-(-MOST_BLOCKS // panels) + 1), slope.shape[1], slope)
    if grad.shape[0] == 0:
        return out, slope.new_zeros(slope.shape[1])
    _launch(grad, weight, None, slope, out, parts)
    return out, parts.summed()


@gelu_product_backward.register_fake
def _(grad, weight, slope):
    return torch.empty_like(slope), slope.new_empty(slope.shape[1])


def _launch(
    x: Tensor, weight: Tensor, bias: Tensor | None, slope: Tensor | None, y: Tensor, parts: Parts | None
) -> None:
    (rows, depth), width = x.shape, y.shape[1]
    if rows == 0:
        return
    x, weight = rows_of(x), rows_of(weight)
    assert weight.shape == ((width, depth) if parts is None else (depth, width)) and y.shape == (rows, width)
    assert bias is None or bias.shape == (width,)
    assert slope is None or slope.shape == y.shape
    problem = GeluProduct(
        *map(pointer, (x, weight, bias, slope, y, *parts_of(parts))),
        *(rows, width, depth, x.dtype == torch.bfloat16, MOST_BLOCKS),
    )
    launch("interbert_gelu_product", problem, parts is not None, x.device, GELU_PRODUCT)
