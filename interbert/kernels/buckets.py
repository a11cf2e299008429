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

    rows_N: Tensor
    """Row in the packed tensor of each place of B x L; padding reads row 0."""
    writes_N: Tensor
    """The same, but padding writes to a row behind the last."""
    padding_N: Tensor
    """Places that hold nothing."""
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
    return _Attention.apply(qkv_T3Hd, make_buckets(tuple(cu_seqlens.tolist()), qkv_T3Hd.shape[0]), dropout_p)


@lru_cache(maxsize=8)  # the layers of a stage follow one another with the same offsets
def make_buckets(offsets: tuple[int, ...], rows: int) -> list[Bucket]:
    groups: dict[int, list[tuple[int, int]]] = {}
    for start, stop in pairwise(offsets):
        if stop > start:
            groups.setdefault(-((start - stop) // STEP), []).append((start, stop - start))
    return [_bucket(group, rows) for group in groups.values()]


def _bucket(group: list[tuple[int, int]], rows: int) -> Bucket:
    starts_B, lengths_B = torch.tensor(group).unbind(1)
    longest = int(lengths_B.max())
    place_L = torch.arange(longest)
    hidden_BL = place_L >= lengths_B[:, None]
    rows_BL = starts_B[:, None] + place_L
    return Bucket(
        rows_N=rows_BL.masked_fill(hidden_BL, 0).flatten(),
        writes_N=rows_BL.masked_fill(hidden_BL, rows).flatten(),
        padding_N=hidden_BL.flatten().nonzero()[:, 0],
        hidden_BL=hidden_BL if hidden_BL.any() else None,
        sequences=len(group),
        longest=longest,
    )


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(ctx, qkv_T3Hd: Tensor, buckets: list[Bucket], dropout_p: float) -> Tensor:
        rows, _, heads, width = qkv_T3Hd.shape
        out = qkv_T3Hd.new_zeros(rows + 1, heads, width)
        saved, ctx.buckets = [], buckets
        flat = qkv_T3Hd.flatten(1)
        for bucket in buckets:
            q, k, v = _split_heads(flat.index_select(0, bucket.rows_N), bucket, 3, heads)
            scores = torch.bmm(q, k.transpose(1, 2)).mul_(width**-0.5)
            if bucket.hidden_BL is not None:
                by_pair = scores.view(bucket.sequences, heads, bucket.longest, bucket.longest)
                by_pair.masked_fill_(bucket.hidden_BL[:, None, None, :], -torch.inf)
            p = torch.softmax(scores, -1)
            mask, scale = draw_mask(p, dropout_p) if dropout_p > 0 else (None, 1.0)
            dropped = p if mask is None else p.mul(mask).mul_(scale)
            out.index_copy_(0, bucket.writes_N, _join_heads(torch.bmm(dropped, v), bucket, heads))
            saved += [q, k, v, p, dropped, mask]
            ctx.scale = scale
        ctx.save_for_backward(*saved)
        return out[:rows]

    @staticmethod
    def backward(ctx, grad_THd: Tensor) -> tuple[Tensor, None, None]:
        rows, heads, width = grad_THd.shape
        grad = grad_THd.new_zeros(rows + 1, 3, heads, width)
        flat = grad_THd.reshape(rows, -1)
        saved = iter(ctx.saved_tensors)
        for bucket in ctx.buckets:
            q, k, v, p, dropped, mask = islice(saved, 6)
            d_rows = flat.index_select(0, bucket.rows_N).index_fill_(0, bucket.padding_N, 0)
            (d_out,) = _split_heads(d_rows, bucket, 1, heads)
            d_v = torch.bmm(dropped.transpose(1, 2), d_out)
            d_p = torch.bmm(d_out, v.transpose(1, 2))
            if mask is not None:
                d_p.mul_(mask).mul_(ctx.scale)
            d_scores = torch._softmax_backward_data(d_p, p, -1, p.dtype).mul_(width**-0.5)
            d_q, d_k = torch.bmm(d_scores, k), torch.bmm(d_scores.transpose(1, 2), q)
            joined = torch.stack([_join_heads(d, bucket, heads) for d in (d_q, d_k, d_v)], 1)
            grad.index_copy_(0, bucket.writes_N, joined)
        return grad[:rows], None, None


def _split_heads(rows: Tensor, bucket: Bucket, parts: int, heads: int) -> Tensor:
    """[B x L, parts x H x d] -> [parts, B x H, L, d]"""
    by_pair = rows.view(bucket.sequences, bucket.longest, parts, heads, -1).permute(2, 0, 3, 1, 4)
    return by_pair.reshape(parts, bucket.sequences * heads, bucket.longest, -1)


def _join_heads(x: Tensor, bucket: Bucket, heads: int) -> Tensor:
    """[B x H, L, d] -> [B x L, H, d]"""
    by_pair = x.view(bucket.sequences, heads, bucket.longest, -1).transpose(1, 2)
    return by_pair.reshape(bucket.sequences * bucket.longest, heads, -1)
