"""Post-LayerNorm transformer layers.

A layer sees rows [N, H] and a function that does the attention between them. So the same layer serves packed
rows, padded ones, and whatever a test wants to look at.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from interbert.kernels.attend.fused import draw_rng
from interbert.kernels.rows.serving import serves
from interbert.model.layers.linear import Linear, apart, feed_forward, passing
from interbert.model.layers.norm import AddNorm
from interbert.model.shape.shape import Stage

Attend = Callable[[Tensor, float], Tensor]
"""(qkv [N, 3, heads, width], dropout probability) -> [N, heads, width]"""

Ask = Callable[[str, Tensor, Tensor, float], Tensor]
"""(who asks: image or text, its queries, the other's qkv, dropout probability) -> [N, heads, width]"""


class Layer(nn.Module):
    def __init__(self, hidden_size: int, stage: Stage, eps: float) -> None:
        super().__init__()
        self.heads, self.head_width = stage.heads, hidden_size // stage.heads
        self.hidden_dropout = stage.hidden_dropout
        self.attention_dropout = stage.attention_dropout
        self.qkv = Linear(hidden_size, 3 * hidden_size)
        self.out = Linear(hidden_size, hidden_size)
        self.attention_norm = AddNorm(hidden_size, eps)
        self.up = Linear(hidden_size, stage.intermediate_size)
        self.down = Linear(stage.intermediate_size, hidden_size)
        self.norm = AddNorm(hidden_size, eps)

    def forward(self, x_NH: Tensor, attend: Attend) -> Tensor:
        qkv_N, x_NH = passing(self.qkv, x_NH)
        return self.finish(x_NH, attend(self.in_heads(qkv_N), self.dropout_of_attention))

    @property
    def dropout_of_attention(self) -> float:
        return self.attention_dropout if self.training else 0.0

    def finish(self, x_NH: Tensor, attended: Tensor) -> Tensor:
        """What follows the attention, whoever made it."""
        dropout = self.hidden_dropout if self.training else 0.0
        rng = draw_rng(x_NH.device) if dropout and serves(x_NH) else None
        out_NH, bias_H = apart(self.out, attended.flatten(1))
        x_NH = self.attention_norm(out_NH, x_NH, dropout, bias_H, rng, 0)
        down_NH, bias_H, x_NH = feed_forward(self.up, self.down, x_NH)
        return self.norm(down_NH, x_NH, dropout, bias_H, rng, 1)

    def split_heads(self, x_NH: Tensor) -> Tensor:
        """Queries, keys and values [N, 3, heads, width]."""
        return self.in_heads(self.qkv(x_NH))

    def in_heads(self, qkv_N: Tensor) -> Tensor:
        return qkv_N.unflatten(-1, (3, self.heads, self.head_width))


class _Layers(nn.ModuleList):
    """Layers that may be told, by the names that transformers has for it, to keep only what goes into each."""

    gradient_checkpointing = False
    _gradient_checkpointing_func: Callable

    def run(self, layer: Callable, *inputs: Any) -> Any:
        if self.gradient_checkpointing and self.training and torch.is_grad_enabled():
            return self._gradient_checkpointing_func(layer, *inputs)
        return layer(*inputs)


class StageLayers(_Layers):
    """The layers of one stage."""

    def __init__(self, hidden_size: int, stage: Stage, eps: float) -> None:
        super().__init__(Layer(hidden_size, stage, eps) for _ in range(stage.layers))
        self.kind = stage.kind

    def forward(self, x_NH: Tensor, attend: Attend, seen: Callable | None = None) -> Tensor:
        """seen: is shown what each layer makes."""
        for layer in self:
            x_NH = self.run(layer, x_NH, attend)
            if seen is not None:
                seen(x_NH)
        return x_NH


class CrossLayers(_Layers):
    """Layers in which each stream's queries ask the other stream (ViLBERT's co-attention)."""

    def __init__(self, hidden_size: int, stage: Stage, eps: float) -> None:
        super().__init__(
            nn.ModuleDict({name: Layer(hidden_size, stage, eps) for name in ("text", "image")})
            for _ in range(stage.layers)
        )
        self.kind = stage.kind

    def forward(
        self, image_VH: Tensor, text_TH: Tensor, ask: Ask, seen: Callable | None = None
    ) -> tuple[Tensor, Tensor]:
        for layer in self:
            assert isinstance(layer, nn.ModuleDict)
            image_VH, text_TH = self.run(partial(meet, layer), image_VH, text_TH, ask)
            if seen is not None:
                seen(image_VH, text_TH)
        return image_VH, text_TH


def meet(layer: nn.ModuleDict, image_VH: Tensor, text_TH: Tensor, ask: Ask) -> tuple[Tensor, Tensor]:
    """One layer of co-attention."""
    image, text = layer["image"], layer["text"]
    assert isinstance(image, Layer) and isinstance(text, Layer)
    of_image, of_text = image.split_heads(image_VH), text.split_heads(text_TH)
    seen_by_image = ask("image", of_image[:, 0], of_text, image.dropout_of_attention)
    seen_by_text = ask("text", of_text[:, 0], of_image, text.dropout_of_attention)
    return image.finish(image_VH, seen_by_image), text.finish(text_TH, seen_by_text)


def layers_of(hidden_size: int, stage: Stage, eps: float) -> nn.ModuleList:
    return (CrossLayers if stage.kind == "cross" else StageLayers)(hidden_size, stage, eps)
