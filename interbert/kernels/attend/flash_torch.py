"""FlashAttention-2 over packed sequences, as torch carries it; CUDA, half precision."""

import torch
from torch import Tensor


def attention_flash(
    qkv_T3Hd: Tensor,
    cu_seqlens: Tensor,
    max_seqlen: int,
    dropout_p: float,
    rng: Tensor | None,
    order: Tensor | None,
) -> Tensor:
    q, k, v = qkv_T3Hd.unbind(1)
    out, *_ = torch.ops.aten._flash_attention_forward(
        q, k, v, cu_seqlens, cu_seqlens, max_seqlen, max_seqlen, dropout_p, False, False
    )
    return out


def flash_unusable(qkv_T3Hd: Tensor) -> str | None:
    """Why these tensors cannot go through FlashAttention; None when they can."""
    if not qkv_T3Hd.is_cuda:
        return "no CUDA tensor"
    if not torch.backends.cuda.is_flash_attention_available():
        return "torch was built without FlashAttention"
    if qkv_T3Hd.dtype not in (torch.float16, torch.bfloat16):
        return f"{qkv_T3Hd.dtype} is not half precision"
    if torch.cuda.get_device_capability(qkv_T3Hd.device) < (8, 0):
        return "the device is older than sm_80"
    width = qkv_T3Hd.shape[-1]
    if width % 8 or width > 256:
        return f"head width {width} is not a multiple of 8 up to 256"
    return None
