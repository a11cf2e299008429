"""The operations on rows as they are defined, of torch's own, in whatever type the inputs have."""

import torch
from torch import Tensor
from torch.nn import functional as F

from interbert.kernels.rows.mask import row_mask


def add_norm(
    x_NW: Tensor,
    residual_NW: Tensor,
    weight_W: Tensor,
    shift_W: Tensor,
    eps: float,
    p: float,
    bias_W: Tensor | None,
    rng: Tensor,
    stream: int,
) -> Tensor:
    x_NW = x_NW if bias_W is None else x_NW + bias_W
    if p:
        x_NW = x_NW * row_mask(rng, stream, x_NW, p)
    return F.layer_norm(residual_NW + x_NW, weight_W.shape, weight_W, shift_W, eps)


def norm_drop(
    sources: list[tuple[Tensor, Tensor | None]],
    weight_W: Tensor,
    shift_W: Tensor,
    eps: float,
    p: float,
    bias_W: Tensor | None,
    rng: Tensor,
) -> Tensor:
    rows = [x if index is None else F.embedding(index, x) for x, index in sources]
    total = torch.stack(rows).sum(0) if len(rows) > 1 else rows[0]
    y_NW = F.layer_norm(total if bias_W is None else total + bias_W, weight_W.shape, weight_W, shift_W, eps)
    return y_NW * row_mask(rng, 0, y_NW, p) if p else y_NW


def bias_gelu(x_NW: Tensor, bias_W: Tensor) -> Tensor:
    return F.gelu(x_NW + bias_W)


def feed_forward(x_NH: Tensor, up_IH: Tensor, bias_I: Tensor, down_HI: Tensor) -> Tensor:
    return F.linear(F.gelu(F.linear(x_NH, up_IH, bias_I)), down_HI)


def cross_entropy(logits_NK: Tensor, target_N: Tensor, ignored: int) -> tuple[Tensor, Tensor]:
    loss_N = F.cross_entropy(at_least_fp32(logits_NK), target_N, ignore_index=ignored, reduction="none")
    return loss_N, (logits_NK.argmax(-1) == target_N) & (target_N != ignored)


def divergence(logits_NK: Tensor, share_NK: Tensor) -> tuple[Tensor, Tensor]:
    logits_NK = at_least_fp32(logits_NK)
    kl_NK = F.kl_div(logits_NK.log_softmax(-1), share_NK.to(logits_NK.dtype), reduction="none")
    return kl_NK.sum(-1), logits_NK.argmax(-1) == share_NK.argmax(-1)


def at_least_fp32(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()
