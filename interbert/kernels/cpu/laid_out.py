"""Weights of a model that is only asked, not trained, on a CPU in fp32: laid out once as oneDNN's products read them.

torch's own product lays a weight out anew at each call, first copies the bias into what comes out, and leaves GELU to
a pass of its own. oneDNN compiles a product anew for each number of rows, so rows are filled up to one of some
hundred numbers.
"""

import logging
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

log = logging.getLogger(__name__)

STEPS = ((128, 8), (512, 16), (2048, 32))
"""Up to so many rows, filled up to a multiple of; beyond, of `STEP`."""
STEP = 64


class LaidOut:
    """x weight^T + bias, of a weight that stays what it is."""

    def __init__(self, weight_OI: Tensor, bias_O: Tensor) -> None:
        self._weight = torch.ops.mkldnn._reorder_linear_weight(weight_OI.detach(), 256)
        self._bias_O = bias_O.detach()

    def __call__(self, x_NI: Tensor, gelu: bool = False) -> Tensor:
        behind, how = ("gelu", "none") if gelu else ("none", "")
        y_NO = torch.ops.mkldnn._linear_pointwise(
            with_more_rows(x_NI, filled(len(x_NI))), self._weight, self._bias_O, behind, [], how
        )
        return y_NO[: len(x_NI)]


def with_more_rows(x_NI: Tensor, rows: int) -> Tensor:
    """What stands in the others nobody reads: what lies behind these in memory, as behind the product before, or
    nothing in particular."""
    if rows == len(x_NI):
        return x_NI
    end = x_NI.storage_offset() + rows * x_NI.shape[1]
    if x_NI.is_contiguous() and end * x_NI.itemsize <= x_NI.untyped_storage().nbytes():
        return x_NI.as_strided((rows, x_NI.shape[1]), (x_NI.shape[1], 1))
    more_NI = x_NI.new_empty(rows, x_NI.shape[1])
    more_NI[: len(x_NI)] = x_NI
    return more_NI


def filled(rows: int) -> int:
    step = next((step for most, step in STEPS if rows <= most), STEP)
    return -(-rows // step) * step


def serves(x_NI: Tensor) -> bool:
    """Nobody asks for a gradient, in which the layout has no part."""
    return x_NI.dim() == 2 and len(x_NI) > 0 and not torch.is_grad_enabled() and x_NI.dtype == torch.float32


def laid_out(weight_OI: Tensor, bias_O: Tensor) -> LaidOut | None:
    """None where there is no such thing: on another device, in another precision, in this torch."""
    if weight_OI.device.type != "cpu" or weight_OI.dtype != torch.float32 or _refusal():
        return None
    return LaidOut(weight_OI, bias_O)


@cache
def _refusal() -> str | None:
    """What inductor calls is not promised to anybody: it is tried, and held to torch's own product."""
    generator = torch.Generator().manual_seed(0)
    x_NI, weight_OI = (torch.randn(n, 48, generator=generator) for n in (9, 40))
    bias_O = torch.randn(40, generator=generator)
    try:
        with torch.inference_mode():
            layer = LaidOut(weight_OI, bias_O)
            for gelu in (False, True):
                plain_NO = F.linear(x_NI, weight_OI, bias_O)
                plain_NO = F.gelu(plain_NO) if gelu else plain_NO
                assert torch.allclose(layer(x_NI, gelu), plain_NO, atol=1e-4), "other numbers come out"
    except (AttributeError, RuntimeError, NotImplementedError, AssertionError) as error:
        log.info("weights are not laid out for oneDNN: %s", str(error).partition("\n")[0])
        return str(error)
    return None
