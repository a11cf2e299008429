"""KL from a distribution over many classes, a number a row, with whether both have the same first choice."""

import torch
from torch import Tensor

from interbert.kernels.rows import losses, reference, serving


def divergence(logits_NK: Tensor, share_NK: Tensor) -> tuple[Tensor, Tensor]:
    """KL [N] in fp32, summed over classes, and bool [N]."""
    if serving.serves_loss(logits_NK) and share_NK.dtype == torch.float16:
        return losses.divergence(logits_NK, share_NK)
    return reference.divergence(logits_NK, share_NK)
