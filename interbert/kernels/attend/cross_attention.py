"""Attention of one packed stream's queries to another one's keys, pair by pair.

q_NHd: rows of the asking stream, pair p owning cu_q[p]:cu_q[p+1]; kv_M2Hd: keys and values of the other, by cu_kv.
Where the other stream of a pair is empty nothing is seen, and zeros come out.
"""

from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional as F

from interbert.kernels.attend.reference import attention_probabilities


def cross_attention(
    q_NHd: Tensor,
    kv_M2Hd: Tensor,
    cu_q: Tensor,
    cu_kv: Tensor,
    max_q: int,
    max_kv: int,
    dropout_p: float = 0.0,
) -> Tensor:
    """[N, H, d], over pairs padded to the longest."""
    k_MHd, v_MHd = kv_M2Hd.unbind(1)
    if q_NHd.shape[0] == 0 or k_MHd.shape[0] == 0:
        # Still a function of all three, so that every rank's parameters get their (zero) gradients.
        return q_NHd * 0 + k_MHd.sum() * 0 + v_MHd.sum() * 0
    queries_BQ, asks_BQ = _places(cu_q, max_q)
    keys_BK, seen_BK = _places(cu_kv, max_kv)
    q, k, v = (_padded(x, rows) for x, rows in ((q_NHd, queries_BQ), (k_MHd, keys_BK), (v_MHd, keys_BK)))
    # A softmax over nothing would be NaN: who sees nothing looks at padding, and forgets it.
    nothing_B = ~seen_BK.any(1)
    mask = (seen_BK | nothing_B[:, None])[:, None, None, :]
    out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout_p)
    out = out.masked_fill(nothing_B[:, None, None, None], 0).transpose(1, 2)
    flat = out.new_zeros(q_NHd.shape[0] + 1, *q_NHd.shape[1:])
    rows = torch.where(asks_BQ, queries_BQ, q_NHd.shape[0]).flatten()
    return flat.index_copy(0, rows, out.flatten(0, 1))[:-1]


def cross_attention_reference(q_NHd: Tensor, kv_M2Hd: Tensor, cu_q: Tensor, cu_kv: Tensor) -> Tensor:
    """As it is defined, one pair after another; without dropout."""
    parts = []
    for asks, seen in zip(pairwise(cu_q.tolist()), pairwise(cu_kv.tolist()), strict=True):
        q, (k, v) = q_NHd[slice(*asks)], kv_M2Hd[slice(*seen)].unbind(1)
        if k.shape[0] == 0:
            parts.append(torch.zeros_like(q))
            continue
        probabilities_HQK = attention_probabilities(q.transpose(0, 1), k.transpose(0, 1))
        parts.append((probabilities_HQK @ v.transpose(0, 1)).transpose(0, 1))
    return torch.cat(parts)


def _places(cu: Tensor, longest: int) -> tuple[Tensor, Tensor]:
    """Row of each place of [B, longest] (0 where there is none), and whether there is one."""
    place_L = torch.arange(longest, device=cu.device)
    real_BL = place_L < cu.diff()[:, None]
    return torch.where(real_BL, cu[:-1, None] + place_L, 0).long(), real_BL


def _padded(x_NHd: Tensor, rows_BL: Tensor) -> Tensor:
    """[B, H, L, d]"""
    return x_NHd[rows_BL].transpose(1, 2)
