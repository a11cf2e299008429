"""Attention on a CPU: sequences of similar length in batched products, padded only to the longest of them.

torch's own attention has no fast path with dropout on a CPU, and padding all sequences to one length more
than doubles the work. The host knows the offsets here, so they may be read.
"""

from dataclasses import dataclass
from functools import lru_cache
from itertools import islice, pairwise

import torch
from torch import Tensor

from interbert.kernels.dropout import draw_mask

STEP = 16
"""Lengths are grouped by multiples of this."""


@dataclass
class Bucket:
    """B sequences, L the longest of them."""

    reads_N: Tensor
    """Of [T x 3 x H] rows of width d, those of [3, B, H, L]: gathered once, no transposition after it."""
    writes_N: Tensor
    """The same, but padding writes to the rows behind the last token."""
    out_reads_M: Tensor
    """Of [T x H] rows, those of [B, H, L]."""
    out_writes_M: Tensor
    padding_M: Tensor
    """Places of [B, H, L] that hold nothing."""
    hidden_BL: Tensor | None
    """True for those, as keys; None without padding."""
    sequences: int
    longest: int


def attention_buckets(
    qkv_T3Hd: Tensor,
    cu_seqlens: Tensor,
    max_seqlen: int,
    dropout_p: float,
    rng: Tensor | None,
    order: Tensor | None,
) -> Tensor:
    rows, _, heads, _ = qkv_T3Hd.shape
    return _Attention.apply(qkv_T3Hd, make_buckets(tuple(cu_seqlens.tolist()), rows, heads), dropout_p)


@lru_cache(maxsize=8)  # the layers of a stage follow one another with the same offsets
def make_buckets(offsets: tuple[int, ...], rows: int, heads: int) -> list[Bucket]:
    groups: dict[int, list[tuple[int, int]]] = {}
    for start, stop in pairwise(offsets):
        if stop > start:
            groups.setdefault(-((start - stop) // STEP), []).append((start, stop - start))
    return [_bucket(group, rows, heads) for group in groups.values()]


def _bucket(group: list[tuple[int, int]], rows: int, heads: int) -> Bucket:
    starts_B, lengths_B = torch.tensor(group).unbind(1)
    longest = int(lengths_B.max())
    place_L = torch.arange(longest)
    hidden_BL = place_L >= lengths_B[:, None]
    rows_BL = starts_B[:, None] + place_L
    reads_BL, writes_BL = rows_BL.masked_fill(hidden_BL, 0), rows_BL.masked_fill(hidden_BL, rows)
    return Bucket(
        reads_N=_by_head(reads_BL, 3, heads),
        writes_N=_by_head(writes_BL, 3, heads),
        out_reads_M=_by_head(reads_BL, 1, heads),
        out_writes_M=_by_head(writes_BL, 1, heads),
        padding_M=hidden_BL[:, None].expand(-1, heads, -1).flatten().nonzero()[:, 0],
        hidden_BL=hidden_BL if hidden_BL.any() else None,
        sequences=len(group),
        longest=longest,
    )


def _by_head(rows_BL: Tensor, parts: int, heads: int) -> Tensor:
    """Where [parts, B, H, L] stands among the rows of [T, parts, H]."""
    part = torch.arange(parts)[:, None, None, None]
    head = torch.arange(heads)[:, None]
    return ((rows_BL[:, None] * parts + part) * heads + head).flatten()


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(ctx, qkv_T3Hd: Tensor, buckets: list[Bucket], dropout_p: float) -> Tensor:
        rows, _, heads, width = qkv_T3Hd.shape
        out = qkv_T3Hd.new_zeros(rows + 1, heads, width)
        saved, ctx.buckets = [], buckets
        flat_Nd = qkv_T3Hd.reshape(-1, width)
        for bucket in buckets:
            qkv = flat_Nd.index_select(0, bucket.reads_N)
            q, k, v = qkv.view(3, bucket.sequences * heads, bucket.longest, width)
            scores = torch.bmm(q, k.transpose(1, 2)).mul_(width**-0.5)
            if bucket.hidden_BL is not None:
                by_pair = scores.view(bucket.sequences, heads, bucket.longest, bucket.longest)
                by_pair.masked_fill_(bucket.hidden_BL[:, None, None, :], -torch.inf)
            p = torch.softmax(scores, -1)
            mask, scale = draw_mask(p, dropout_p) if dropout_p > 0 else (None, 1.0)
            dropped = p if mask is None else p.mul(mask).mul_(scale)
            out.view(-1, width).index_copy_(0, bucket.out_writes_M, torch.bmm(dropped, v).view(-1, width))
            saved += [q, k, v, p, dropped, mask]
            ctx.scale = scale
        ctx.save_for_backward(*saved)
        return out[:rows]

    @staticmethod
    def backward(ctx, grad_THd: Tensor) -> tuple[Tensor, None, None]:
        rows, heads, width = grad_THd.shape
        grad = grad_THd.new_zeros(rows + 1, 3, heads, width)
        flat_Nd = grad_THd.reshape(-1, width)
        saved = iter(ctx.saved_tensors)
        for bucket in ctx.buckets:
            q, k, v, p, dropped, mask = islice(saved, 6)
            d_out = flat_Nd.index_select(0, bucket.out_reads_M).index_fill_(0, bucket.padding_M, 0).view_as(q)
            d_qkv = d_out.new_empty(3, *q.shape)
            torch.bmm(dropped.transpose(1, 2), d_out, out=d_qkv[2])
            d_p = torch.bmm(d_out, v.transpose(1, 2))
            if mask is not None:
                d_p.mul_(mask).mul_(ctx.scale)
            d_scores = torch._softmax_backward_data(d_p, p, -1, p.dtype).mul_(width**-0.5)
            torch.bmm(d_scores, k, out=d_qkv[0])
            torch.bmm(d_scores.transpose(1, 2), q, out=d_qkv[1])
            grad.view(-1, width).index_copy_(0, bucket.writes_N, d_qkv.view(-1, width))
        return grad[:rows], None, None
