"""The match head by itself, and what a device asks of the rows before it."""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from interbert.kernels.cpu import native


def compiles_for_each_shape(model: Any) -> bool:
    """oneDNN's 16-bit products are compiled anew for every number of rows: a few numbers only, then."""
    parameter = next(model.parameters())
    return (
        parameter.device.type == "cpu" and parameter.dtype != torch.float32 and not native.serves(parameter)
    )


def match_head(model: Any) -> Callable[[tuple[Tensor, ...]], Tensor]:
    """fp32 logits. Those of a 16-bit model are computed anew: rounded to 8 bits, many would be tied."""
    head = model.heads["match"]
    if next(model.parameters()).dtype != torch.float32:
        head = copy.deepcopy(head).float()
    head.eval()
    return lambda read: head(*(x.float() for x in read))
