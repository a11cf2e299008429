"""What a layer asks of a GPU besides its products: launches and bytes of each operation, counted and not measured.

The layer runs on tensors without numbers, and each operation that reaches torch's dispatcher is written down. Views
and empty memory are nothing; whatever else is a launch, of our own operations as many as they start. Bytes are those
of what goes in and comes out, each once. Of a product and of attention what they are made of and one result are not
counted, whatever else they read or write is: a residual's gradient that a product adds to; of a product that GELU is
a part of its slope, written and read, bias, and sums of columns.
"""

from dataclasses import dataclass, field
from functools import partial
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from interbert.kernels.attend.fused import attention_fused
from interbert.kernels.rows.gelu import SLAB
from interbert.kernels.rows.gelu_product import COLUMNS, WARPS
from interbert.kernels.rows.serving import everywhere
from interbert.model import InterBertConfig
from interbert.model.layers import norm
from interbert.model.layers.encoder import Layer

LAUNCHES = {"row_norm_backward": 2, "bias_gelu_backward": 2, "gelu_product_backward": 2}
"""Of operations that start more than one kernel: the second adds up what the first left of each column."""

PRODUCTS = {"mm", "addmm", "addmm_", "attention", "attention_backward"}
NOTHING = {"empty", "new_empty", "empty_like", "_unsafe_view", "empty_strided", "new_empty_strided"}
BLOCKS = 132
"""Of one H200, that leave sums of columns."""


@dataclass
class Count:
    launches: int = 0
    bytes: int = 0

    def add(self, launches: int, amount: int) -> None:
        self.launches, self.bytes = self.launches + launches, self.bytes + amount


@dataclass
class Trace(TorchDispatchMode):
    """By operation's name."""

    seen: dict[str, Count] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        name = func._schema.name.split("::")[1]
        if name not in NOTHING and not _is_view(func):
            amount = 0 if name in PRODUCTS else _bytes((args, kwargs, out)) + _scratch(name, args)
            if name == "addmm_":
                amount, name = _bytes(args[0]), "addmm_ (the residual's gradient)"
            if name.startswith("gelu_product"):
                amount -= _bytes((args[0], args[1], out[0]))
            self.seen.setdefault(name, Count()).add(LAUNCHES.get(name, 1), amount)
        return out

    @property
    def launches(self) -> int:
        return sum(count.launches for count in self.seen.values())

    @property
    def bytes(self) -> int:
        return sum(count.bytes for count in self.seen.values())


def trace_layer(tokens: int, fused: bool, preset: str = "base") -> tuple[Trace, Trace]:
    """Forward and backward of one joint layer of InterBERT in bf16, in training; without `fused`, by torch's own
    operations as they are on CUDA."""
    config = InterBertConfig.from_preset(preset, "interbert")
    stage = config.encoder_stages[0]
    with torch.device("meta"):
        layer = Layer(config.hidden_size, stage, config.layer_norm_eps).bfloat16().train()
        x = torch.empty(tokens, config.hidden_size, dtype=torch.bfloat16, requires_grad=True)
        grad = torch.empty_like(x)
        # What is of the step, and not of a layer.
        cu, order = torch.empty(2, dtype=torch.int32), torch.empty(stage.heads, dtype=torch.int32)
    attend = partial(_attend, cu=cu, order=order)
    inner = x.view_as(x)  # not a leaf, as in a stack
    with everywhere() if fused else patch.object(norm, "dropout_add", _drop_add), Trace() as forward:
        out = layer(inner, attend)
    with Trace() as backward:
        out.backward(grad)
    return forward, backward


def table(forward: Trace, backward: Trace, tokens: int) -> list[list[Any]]:
    """Pass, operation, launches, and kilobytes (1,000) a token."""
    rows = [
        [name, operation, count.launches, f"{count.bytes / tokens / 1e3:.1f}"]
        for name, trace in (("forward", forward), ("backward", backward))
        for operation, count in sorted(trace.seen.items(), key=lambda item: -item[1].bytes)
    ]
    for name, trace in (("forward", forward), ("backward", backward)):
        rows.append([name, "all", trace.launches, f"{trace.bytes / tokens / 1e3:.1f}"])
    return rows


def _drop_add(x: Tensor, residual: Tensor, p: float, training: bool) -> Tensor:
    """As on CUDA, where one operation drops, and leaves a mask of bytes."""
    return residual + torch.native_dropout(x, p, training)[0]


def _attend(qkv: Tensor, p: float, cu: Tensor, order: Tensor) -> Tensor:
    return attention_fused(qkv, cu, 64, p, None, order)


def _is_view(func: Any) -> bool:
    returned = [r.alias_info for r in func._schema.returns]
    return bool(returned) and all(alias is not None and not alias.is_write for alias in returned)


def _bytes(x: Any) -> int:
    return sum(leaf.numel() * leaf.element_size() for leaf in tree_leaves(x) if isinstance(leaf, Tensor))


def _scratch(name: str, args: tuple) -> int:
    """What blocks leave of each column, written and read again."""
    if name == "row_norm_backward":
        return 2 * BLOCKS * 4 * args[1].shape[1] * (2 + (args[7] is not None))
    if name == "bias_gelu_backward":
        return 2 * 4 * args[1].shape[1] * -(-args[1].shape[0] // SLAB)
    if name == "gelu_product_backward":
        width = args[2].shape[1]
        return 2 * 4 * width * WARPS * (-(-BLOCKS // (width // COLUMNS)) + 1)
    return 0
