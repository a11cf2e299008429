"""Which rows our own kernels serve: the one truth that dispatch, compilation and tests read."""

import torch
from torch import Tensor

from interbert.kernels.attend.fused_table import SHARED_KB

DTYPES = (torch.float16, torch.bfloat16)
ARCHS = tuple(SHARED_KB)
WIDEST_NORM = 1024
"""Elements of a row that a warp holds in registers, backward too, without spills."""

GELU_PRODUCT_ARCHS = (90,)
"""Those where four warps multiply together."""
DEEPEST_PRODUCT = 768
"""Of which the weights of 128 columns leave room for four stages of rows, as in csrc/fused/gelu_product.h."""


def fits(x_NW: Tensor, *others: Tensor | None) -> bool:
    """Rows in whole chunks of 16 bytes, and all that goes with them of one type on one device."""
    return (
        x_NW.dim() == 2
        and x_NW.dtype in DTYPES
        and x_NW.shape[1] > 0
        and x_NW.shape[1] % 8 == 0
        and x_NW.shape[0] < 2**31
        and all(o is None or (o.dtype == x_NW.dtype and o.device == x_NW.device) for o in others)
    )


def norm_fits(x_NW: Tensor, weight_W: Tensor, *others: Tensor | None) -> bool:
    width = x_NW.shape[-1]
    return fits(x_NW, weight_W, *others) and width <= WIDEST_NORM and weight_W.shape == (width,)


def gelu_product_fits(x_NH: Tensor, up_IH: Tensor, bias_I: Tensor, down_HI: Tensor) -> bool:
    """GELU between two products: whole panels of its columns, whole turns of stages, and weights of a panel within
    shared memory."""
    inner, hidden = up_IH.shape
    return (
        fits(x_NH, up_IH, bias_I, down_HI)
        and x_NH.shape[0] * inner < 2**36
        and down_HI.shape == (hidden, inner)
        and inner % 128 == 0
        and hidden % 256 == 0
        and hidden <= DEEPEST_PRODUCT
    )


def loss_fits(logits_NK: Tensor) -> bool:
    """Rows of any length."""
    return logits_NK.dim() == 2 and logits_NK.dtype in DTYPES and 0 < logits_NK.shape[1] < 2**24
