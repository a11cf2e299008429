"""Attention as several libraries do it: a function for each that gives (forward, backward) of one set of inputs.

On a CPU, where nothing is timed, ours is run by the emulator, FlashAttention-2 is asked on tensors without numbers,
and padded attention is torch's plain one: the same calls, so that a GPU meets no word of them for the first time.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from interbert.kernels.attend.fused import units_longest_first
from interbert.kernels.dropout import threshold

Passes = tuple[Callable[[], Any], Callable[[], Any]]


@dataclass
class Inputs:
    qkv: Tensor
    grad: Tensor
    cu: Tensor
    longest: int
    dropout_p: float
    rng: Tensor
    order: Tensor

    @property
    def tokens(self) -> int:
        return self.qkv.shape[0]


def make_inputs(
    draw_lengths: Callable[[torch.Generator, int], Tensor],
    sequences: int,
    heads: int,
    width: int,
    dropout_p: float,
    seed: int,
    device: torch.device,
) -> Inputs:
    lengths = draw_lengths(torch.Generator().manual_seed(seed), sequences)
    cu = F.pad(lengths.cumsum(0), (1, 0)).int().to(device)
    tokens = int(lengths.sum())
    return Inputs(
        qkv=torch.randn(tokens, 3, heads, width, device=device, dtype=torch.bfloat16),
        grad=torch.randn(tokens, heads, width, device=device, dtype=torch.bfloat16),
        cu=cu,
        longest=int(lengths.max()),
        dropout_p=dropout_p,
        rng=torch.tensor([seed, 1], device=device),
        order=units_longest_first(cu, heads),
    )


def fused(x: Inputs) -> Passes:
    operators = torch.ops.interbert
    dropped = threshold(x.dropout_p)
    rng = x.rng if dropped else None

    def forward() -> tuple[Tensor, Tensor]:
        return operators.attention(x.qkv, x.cu, rng, x.order, x.longest, dropped)

    _, logsum = forward()
    return forward, lambda: operators.attention_backward(
        x.grad, x.qkv, logsum, x.cu, rng, x.order, x.longest, dropped
    )


def flash_varlen(x: Inputs) -> Passes:
    there = x.qkv.device if x.qkv.is_cuda else "meta"
    q, k, v = x.qkv.to(there).unbind(1)
    cu, grad = x.cu.to(there), x.grad.to(there)
    ranges = (cu, cu, x.longest, x.longest)

    def forward() -> tuple[Tensor, ...]:
        return torch.ops.aten._flash_attention_forward(q, k, v, *ranges, x.dropout_p, False, False)

    out, logsum, rng_state, unused, _ = forward()
    return forward, lambda: torch.ops.aten._flash_attention_backward(
        grad, q, k, v, out, logsum, *ranges, x.dropout_p, False, rng_state, unused
    )


def padded(backend: SDPBackend) -> Callable[[Inputs], Passes]:
    """The tokens are padded beforehand, which is not counted; a mask hides the padding."""

    def passes(x: Inputs) -> Passes:
        lengths = x.cu.diff()
        real_BL = torch.arange(x.longest, device=x.cu.device) < lengths[:, None]
        qkv = x.qkv.new_zeros(len(lengths), x.longest, *x.qkv.shape[1:])
        grad = x.grad.new_zeros(len(lengths), x.longest, *x.grad.shape[1:])
        qkv[real_BL], grad[real_BL] = x.qkv, x.grad
        q, k, v = (part.detach().requires_grad_() for part in qkv.permute(2, 0, 3, 1, 4).contiguous())
        grad = grad.transpose(1, 2).contiguous()
        mask = real_BL[:, None, None, :].expand(-1, 1, x.longest, -1).contiguous()

        def forward() -> Tensor:
            with sdpa_kernel(backend if q.is_cuda else SDPBackend.MATH):
                return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=x.dropout_p)

        out = forward()
        return forward, lambda: torch.autograd.grad(out, (q, k, v), grad, retain_graph=True)

    return passes


CONTENDERS: dict[str, Callable[[Inputs], Passes]] = {
    "fused": fused,
    "FA2 varlen": flash_varlen,
    "padded SDPA": padded(SDPBackend.EFFICIENT_ATTENTION),
    "padded cuDNN": padded(SDPBackend.CUDNN_ATTENTION),
}
