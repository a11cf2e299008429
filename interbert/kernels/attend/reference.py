"""Attention as it is defined: one sequence after another, in fp32: slow, and what the others are held to."""

from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional as F

from interbert.kernels.attend.philox import dropout_bytes
from interbert.kernels.dropout import threshold


def attention_reference(
    qkv_T3Hd: Tensor,
    cu_seqlens: Tensor,
    max_seqlen: int,
    dropout_p: float,
    rng: Tensor | None,
    order: Tensor | None,
) -> Tensor:
    """With `rng`, what is dropped is what the fused kernels drop; without, torch draws."""
    offsets = cu_seqlens.tolist()
    parts = []
    for sequence, (start, stop) in enumerate(pairwise(offsets)):
        q_HLd, k_HLd, v_HLd = _at_least_fp32(qkv_T3Hd[start:stop].permute(1, 2, 0, 3))
        probabilities_HLL = attention_probabilities(q_HLd, k_HLd)
        if rng is None:
            out_HLd = F.dropout(probabilities_HLL, dropout_p, training=dropout_p > 0) @ v_HLd
        else:
            out_HLd = _drop(probabilities_HLL, dropout_p, rng, sequence) @ v_HLd
        parts.append(out_HLd.transpose(0, 1))
    rest = qkv_T3Hd[offsets[-1] :, 2] * 0
    return torch.cat([*(part.to(qkv_T3Hd.dtype) for part in parts), rest])


def _at_least_fp32(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()


def _drop(probabilities_HLL: Tensor, dropout_p: float, rng: Tensor, sequence: int) -> Tensor:
    heads, length, _ = probabilities_HLL.shape
    below = threshold(dropout_p)
    drawn = [dropout_bytes(rng, sequence * heads + head, length) for head in range(heads)]
    kept_HLL = (torch.stack(drawn) >= below).to(probabilities_HLL.device)
    return probabilities_HLL * kept_HLL * (256 / (256 - below))


def attention_probabilities(q_HLd: Tensor, k_HLd: Tensor) -> Tensor:
    return torch.softmax(q_HLd @ k_HLd.transpose(-1, -2) * q_HLd.shape[-1] ** -0.5, dim=-1)
