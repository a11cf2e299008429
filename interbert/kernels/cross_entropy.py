"""Cross-entropy over many classes, as a sum, with the number of right predictions."""

import torch
from torch import Tensor
from torch.nn import functional as F

from interbert.kernels.cpu import native
from interbert.kernels.rows import losses, serving


def cross_entropy(logits_NK: Tensor, targets_N: Tensor, ignored: int) -> tuple[Tensor, Tensor]:
    """Sum in fp32 over the rows whose target is not `ignored`, and how many of those are predicted right."""
    if serving.serves_loss(logits_NK):
        loss_N, right_N = losses.cross_entropy(logits_NK, targets_N, ignored)
        return loss_N.sum(), right_N.sum()
    if native.serves(logits_NK) and logits_NK.numel() > 0:
        total, correct = _CrossEntropy.apply(logits_NK, targets_N.masked_fill(targets_N == ignored, -1))
        return total, correct
    total = F.cross_entropy(logits_NK.float(), targets_N, ignore_index=ignored, reduction="sum")
    return total, ((logits_NK.argmax(-1) == targets_N) & (targets_N != ignored)).sum()


class _CrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits_NK: Tensor, targets_N: Tensor) -> tuple[Tensor, Tensor]:
        logits_NK, rows = logits_NK.contiguous(), len(targets_N)
        log_sum_N, loss_N = torch.empty(2, rows).unbind()
        correct_N = torch.empty(rows, dtype=torch.uint8)
        native.call(
            "cross_entropy_forward", logits_NK, targets_N, *logits_NK.shape, log_sum_N, loss_N, correct_N
        )
        ctx.save_for_backward(logits_NK, targets_N, log_sum_N)
        correct = correct_N.sum()
        ctx.mark_non_differentiable(correct)
        return loss_N.sum(), correct

    @staticmethod
    def backward(ctx, grad: Tensor, _: Tensor) -> tuple[Tensor, None]:
        logits_NK, targets_N, log_sum_N = ctx.saved_tensors
        out_NK = torch.empty_like(logits_NK)
        each_N = grad.float().expand(len(targets_N)).contiguous()
        native.call(
            "cross_entropy_backward", logits_NK, targets_N, log_sum_N, *logits_NK.shape, each_N, out_NK
        )
        return out_NK, None
