"""Linear layers, with GELU behind them where one follows: torch's products, or our own on a CPU in bf16.

On a GPU bias and GELU of a product are one operation of ours.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from interbert.kernels.cpu import native
from interbert.kernels.rows import serving
from interbert.kernels.rows.gelu import bias_gelu


def linear(x_NI: Tensor, weight_OI: Tensor, bias_O: Tensor, gelu: bool = False) -> Tensor:
    """x weight^T + bias, [N, O]; GELU of that if asked."""
    if x_NI.dim() == 2 and native.serves(x_NI, weight_OI, bias_O):
        return _Linear.apply(x_NI, weight_OI, bias_O, gelu)
    if gelu and weight_OI.shape[0] % 8 == 0 and serving.serves(x_NI, weight_OI, bias_O):
        return bias_gelu(F.linear(x_NI, weight_OI), bias_O)
    y_NO = F.linear(x_NI, weight_OI, bias_O)
    return F.gelu(y_NO) if gelu else y_NO


def passing_linear(
    x_NI: Tensor, weight_OI: Tensor, bias_O: Tensor, gelu: bool = False
) -> tuple[Tensor, Tensor]:
    """The same where rows are ours, and x once more for whoever else reads it: the gradient that it has there is what
    the product adds its own to, on the spot. So that gradient must be nobody else's."""
    y_NO, x_NI = _PassingLinear.apply(x_NI, weight_OI, None if gelu else bias_O)
    return bias_gelu(y_NO, bias_O) if gelu else y_NO, x_NI


class _PassingLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x_NI: Tensor, weight_OI: Tensor, bias_O: Tensor | None) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(x_NI, weight_OI)
        return F.linear(x_NI, weight_OI, bias_O), x_NI.view_as(x_NI)

    @staticmethod
    def backward(
        ctx, grad_NO: Tensor, passed_NI: Tensor
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x_NI, weight_OI = ctx.saved_tensors
        x_grad = weight_grad = bias_grad = None
        if ctx.needs_input_grad[0]:
            x_grad = passed_NI.addmm_(grad_NO, weight_OI)
        if ctx.needs_input_grad[1]:
            weight_grad = grad_NO.T @ x_NI
        if ctx.needs_input_grad[2]:
            bias_grad = grad_NO.sum(0)
        return x_grad, weight_grad, bias_grad


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x_NI: Tensor, weight_OI: Tensor, bias_O: Tensor, gelu: bool) -> Tensor:
        x_NI = x_NI.contiguous()
        y_NO = x_NI.new_empty(x_NI.shape[0], weight_OI.shape[0])
        activated_NO = torch.empty_like(y_NO) if gelu else None
        _product(x_NI, False, weight_OI, True, y_NO, bias_O, activated_NO)
        ctx.save_for_backward(x_NI, weight_OI, y_NO if gelu else None)
        return y_NO if activated_NO is None else activated_NO

    @staticmethod
    def backward(ctx, grad_NO: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None, None]:
        x_NI, weight_OI, before_NO = ctx.saved_tensors
        grad_NO = grad_NO.contiguous()
        bias_O = grad_NO.new_empty(grad_NO.shape[1])
        if before_NO is None:
            native.call("column_sums", grad_NO, *grad_NO.shape, bias_O)
        else:
            through_NO = torch.empty_like(grad_NO)
            native.call("gelu_backward", grad_NO, before_NO, *grad_NO.shape, through_NO, bias_O)
            grad_NO = through_NO
        x_grad = weight_grad = None
        if ctx.needs_input_grad[0]:
            x_grad = torch.empty_like(x_NI)
            _product(grad_NO, False, weight_OI, False, x_grad)
        if ctx.needs_input_grad[1]:
            weight_grad = weight_OI.new_empty(grad_NO.shape[1], x_NI.shape[1])
            _product(grad_NO, True, x_NI, False, weight_grad)
        return x_grad, weight_grad, bias_O, None


def _product(
    a: Tensor,
    a_transposed: bool,
    b: Tensor,
    b_transposed: bool,
    out_MN: Tensor,
    bias: Tensor | None = None,
    activated: Tensor | None = None,
) -> None:
    M, N = out_MN.shape
    K = a.shape[0] if a_transposed else a.shape[1]
    native.call("product", M, N, K, a, a_transposed, b, b_transposed, bias, out_MN, activated)
