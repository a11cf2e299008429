"""GELU of a product with its bias as an operator of torch; backward with the bias's gradient."""

import torch
from torch import Tensor

from interbert.kernels.rows.build import launch
from interbert.kernels.rows.problems import Gelu, Parts, parts_of, pointer, rows_of

SLAB = 128
"""Rows whose sums one block leaves, as in csrc/fused/row_gelu.h."""


def bias_gelu(x_NW: Tensor, bias_W: Tensor) -> Tensor:
    """GELU(x + bias)"""
    return _forward(x_NW, bias_W)


@torch.library.custom_op("interbert::bias_gelu", mutates_args=())
def _forward(x: Tensor, bias: Tensor) -> Tensor:
    x = rows_of(x)
    y = torch.empty_like(x)
    _launch(x, bias, None, y, None)
    return y


@_forward.register_fake
def _(x, bias):
    return torch.empty_like(x, memory_format=torch.contiguous_format)


@torch.library.custom_op("interbert::bias_gelu_backward", mutates_args=())
def bias_gelu_backward(grad: Tensor, x: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    grad, x = rows_of(grad), rows_of(x)
    x_grad = torch.empty_like(x)
    parts = Parts(-(-x.shape[0] // SLAB), x.shape[1], x)
    _launch(x, bias, grad, x_grad, parts)
    return x_grad, parts.summed()


@bias_gelu_backward.register_fake
def _(grad, x, bias):
    return torch.empty_like(x, memory_format=torch.contiguous_format), torch.empty_like(bias)


def _keep(ctx, inputs, output) -> None:
    ctx.save_for_backward(*inputs)
    ctx.set_materialize_grads(False)


def _differentiate(ctx, grad):
    return (None, None) if grad is None else bias_gelu_backward(grad, *ctx.saved_tensors)


_forward.register_autograd(_differentiate, setup_context=_keep)


def _launch(x: Tensor, bias: Tensor, grad: Tensor | None, y: Tensor, parts: Parts | None) -> None:
    rows, width = x.shape
    assert bias.shape == (width,) and width % 8 == 0
    problem = Gelu(
        *map(pointer, (x, bias, grad, y, *parts_of(parts))),
        *(rows, width, x.dtype == torch.bfloat16),
    )
    launch("interbert_gelu", problem, grad is not None, x.device)
