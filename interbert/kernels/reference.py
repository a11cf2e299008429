"""Attention as it is defined: one sequence after another, in fp32: slow, and what the others are held to."""

from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional as F


def attention_reference(
    qkv_T3Hd: Tensor,
    cu_seqlens: Tensor,
    max_seqlen: int,
    dropout_p: float,
    rng: Tensor | None,
    order: Tensor | None,
) -> Tensor:
    offsets = cu_seqlens.tolist()
    parts = []
    for start, stop in pairwise(offsets):
        q_HLd, k_HLd, v_HLd = qkv_T3Hd[start:stop].permute(1, 2, 0, 3).float()
        probabilities_HLL = attention_probabilities(q_HLd, k_HLd)
        out_HLd = F.dropout(probabilities_HLL, dropout_p, training=dropout_p > 0) @ v_HLd
        parts.append(out_HLd.transpose(0, 1))
    rest = qkv_T3Hd[offsets[-1] :, 2] * 0
    return torch.cat([*(part.to(qkv_T3Hd.dtype) for part in parts), rest])


def attention_probabilities(q_HLd: Tensor, k_HLd: Tensor) -> Tensor:
    return torch.softmax(q_HLd @ k_HLd.transpose(-1, -2) * q_HLd.shape[-1] ** -0.5, dim=-1)
