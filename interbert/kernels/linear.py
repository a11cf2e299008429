"""Linear layers. On a CPU in bf16 the products are put so that oneDNN does not fall to half its rate.

Two cases were measured on two cores with matrix tiles (AMX): a product with few columns and 640 to 1,300 rows
runs on one core only, two halves of it on both; and a transposed left operand, which the gradient of a weight
has by nature, is packed anew for each block of columns, so that a copy of a narrow one pays.
"""

import torch
from torch import Tensor, nn

NARROW = 1024
"""Columns of the operands this is about."""
ONE_CORE = range(640, 1300)
"""Rows at which a narrow product stays on one core."""


class Linear(nn.Linear):
    def forward(self, x_NI: Tensor) -> Tensor:
        if x_NI.device.type != "cpu" or not x_NI.dtype == self.weight.dtype == torch.bfloat16:
            return super().forward(x_NI)
        return _Linear.apply(x_NI, self.weight, self.bias)


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x_NI: Tensor, weight_OI: Tensor, bias_O: Tensor) -> Tensor:
        ctx.save_for_backward(x_NI, weight_OI)
        return product(x_NI, weight_OI.t(), bias_O)

    @staticmethod
    def backward(ctx, grad_NO: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
        x_NI, weight_OI = ctx.saved_tensors
        grad_x_NI = product(grad_NO, weight_OI) if ctx.needs_input_grad[0] else None
        return grad_x_NI, gradient_of_weight(grad_NO, x_NI), grad_NO.sum(0)


def product(x_NI: Tensor, weight_IO: Tensor, bias_O: Tensor | None = None) -> Tensor:
    """x @ weight + bias"""
    rows, columns = x_NI.shape[0], weight_IO.shape[1]
    if rows not in ONE_CORE or columns > NARROW or torch.get_num_threads() == 1:
        return _product(x_NI, weight_IO, bias_O)
    out_NO = x_NI.new_empty(rows, columns)
    for x, out in zip(x_NI.chunk(2), out_NO.chunk(2), strict=True):
        _product(x, weight_IO, bias_O, out)
    return out_NO


def _product(x: Tensor, weight: Tensor, bias: Tensor | None, out: Tensor | None = None) -> Tensor:
    return torch.mm(x, weight, out=out) if bias is None else torch.addmm(bias, x, weight, out=out)


def gradient_of_weight(grad_NO: Tensor, x_NI: Tensor) -> Tensor:
    grad_ON = grad_NO.t()
    narrow = grad_NO.shape[1] <= NARROW and x_NI.shape[1] >= 2 * grad_NO.shape[1]
    return (grad_ON.contiguous() if narrow else grad_ON) @ x_NI
