"""Attention through torch's scaled_dot_product_attention: padded to the longest sequence, keys masked."""

import torch
from torch import Tensor
from torch.nn import functional as F


def attention_sdpa(
    qkv_T3Hd: Tensor,
    cu_seqlens: Tensor,
    max_seqlen: int,
    dropout_p: float,
    rng: Tensor | None,
    order: Tensor | None,
) -> Tensor:
    rows, _, heads, width = qkv_T3Hd.shape
    sequences = cu_seqlens.numel() - 1
    lengths_B = cu_seqlens.diff()
    place_L = torch.arange(max_seqlen, device=qkv_T3Hd.device)
    real_BL = place_L < lengths_B[:, None]
    # A row of the packed tensor for every place, and one row of zeros behind them for the padding.
    row_BL = torch.where(real_BL, cu_seqlens[:-1, None] + place_L, rows)
    padded = F.pad(qkv_T3Hd, (0, 0, 0, 0, 0, 0, 0, 1))[row_BL.flatten()]
    q_BHLd, k_BHLd, v_BHLd = padded.view(sequences, max_seqlen, 3, heads, width).permute(2, 0, 3, 1, 4)
    # Empty sequences see their own padding: a softmax over nothing would be NaN.
    visible_BL = real_BL | (lengths_B == 0)[:, None]
    out_BHLd = F.scaled_dot_product_attention(
        q_BHLd, k_BHLd, v_BHLd, attn_mask=visible_BL[:, None, None, :], dropout_p=dropout_p
    )
    out = torch.zeros(rows + 1, heads, width, dtype=out_BHLd.dtype, device=out_BHLd.device)
    out = out.index_copy(0, row_BL.flatten(), out_BHLd.transpose(1, 2).reshape(-1, heads, width))
    return out[:rows]
