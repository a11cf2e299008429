"""Dropout, in one place."""

from torch import Tensor
from torch.nn import functional as F


def dropout(x: Tensor, p: float, training: bool) -> Tensor:
    return F.dropout(x, p, training)
