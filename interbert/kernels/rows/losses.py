"""Cross-entropy over many classes and KL from a distribution, a loss a row: logits are read once each way.

Both say of each row, too, whether its first largest logit is that of the target, or of the largest share.
"""

import torch
from torch import Tensor

from interbert.kernels.rows.build import launch
from interbert.kernels.rows.problems import RowLoss, pointer, rows_of


def cross_entropy(logits_NK: Tensor, target_N: Tensor, ignored: int) -> tuple[Tensor, Tensor]:
    """fp32 [N] and bool [N]; of rows whose target is `ignored`, 0 and False."""
    loss_N, _, right_N = _forward(logits_NK, target_N, None, ignored)
    return loss_N, right_N


def divergence(logits_NK: Tensor, share_NK: Tensor) -> tuple[Tensor, Tensor]:
    """fp32 [N] and bool [N]; `share_NK` in fp16."""
    loss_N, _, right_N = _forward(logits_NK, None, share_NK, 0)
    return loss_N, right_N


@torch.library.custom_op("interbert::row_loss", mutates_args=())
def _forward(
    logits: Tensor, target: Tensor | None, share: Tensor | None, ignored: int
) -> tuple[Tensor, Tensor, Tensor]:
    rows = logits.shape[0]
    loss, stats = (logits.new_empty(n, rows, dtype=torch.float32) for n in (1, _stats_of(share)))
    right = logits.new_empty(rows, dtype=torch.bool)
    _launch(logits, target, share, ignored, None, (loss, stats, right, None))
    return loss[0], stats, right


@_forward.register_fake
def _(logits, target, share, ignored):
    rows = logits.shape[0]
    loss, stats = (logits.new_empty(n, rows, dtype=torch.float32) for n in (1, _stats_of(share)))
    return loss[0], stats, logits.new_empty(rows, dtype=torch.bool)


def _stats_of(share: Tensor | None) -> int:
    """Numbers of a row that the backward pass needs."""
    return 1 if share is None else 2


@torch.library.custom_op("interbert::row_loss_backward", mutates_args=())
def _backward(
    grad: Tensor, logits: Tensor, target: Tensor | None, share: Tensor | None, stats: Tensor, ignored: int
) -> Tensor:
    out = torch.empty_like(logits, memory_format=torch.contiguous_format)
    _launch(logits, target, share, ignored, grad.float().contiguous(), (None, stats, None, out))
    return out


@_backward.register_fake
def _(grad, logits, target, share, stats, ignored):
    return torch.empty_like(logits, memory_format=torch.contiguous_format)


def _keep(ctx, inputs, output) -> None:
    *tensors, ctx.ignored = inputs
    ctx.save_for_backward(*tensors, output[1])
    ctx.mark_non_differentiable(output[1], output[2])
    ctx.set_materialize_grads(False)


def _differentiate(ctx, grad, *_):
    if grad is None:
        return (None,) * 4
    return _backward(grad, *ctx.saved_tensors, ctx.ignored), None, None, None


_forward.register_autograd(_differentiate, setup_context=_keep)


def _launch(
    logits: Tensor,
    target: Tensor | None,
    share: Tensor | None,
    ignored: int,
    grad: Tensor | None,
    made: tuple[Tensor | None, Tensor | None, Tensor | None, Tensor | None],
) -> None:
    rows, classes = logits.shape
    assert target is None or (target.dtype == torch.int64 and target.shape == (rows,))
    assert share is None or (share.dtype == torch.float16 and share.shape == logits.shape)
    logits, share = rows_of(logits), None if share is None else rows_of(share)
    target = None if target is None else target.contiguous()
    problem = RowLoss(
        *map(pointer, (logits, target, share, grad, *made)),
        *(ignored, rows, classes, logits.dtype == torch.bfloat16),
    )
    launch("interbert_row_loss", problem, grad is not None, logits.device)
