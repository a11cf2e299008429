"""The streams that layers work on, apart or joined."""

import torch
from torch import Tensor

from interbert.model.packing.layout import Layout


class Streams:
    """Text and image rows of a packed batch, apart or joined, whichever was asked for last."""

    def __init__(self, image_VH: Tensor, text_TH: Tensor, layout: Layout) -> None:
        self._layout = layout
        self._apart: tuple[Tensor, Tensor] | None = (image_VH, text_TH)
        self._joint: Tensor | None = None

    @classmethod
    def joined(cls, joint_JH: Tensor, layout: Layout) -> "Streams":
        streams = cls(joint_JH, joint_JH, layout)
        streams.put("joint", joint_JH)
        return streams

    def held(self) -> tuple[Tensor, ...]:
        """The joint rows, or image rows and text rows, whichever are there."""
        return self._apart or (self.joint_JH,)

    def apart(self) -> tuple[Tensor, Tensor]:
        """Image rows and text rows."""
        return self._split()

    @property
    def joint_JH(self) -> Tensor:
        if self._joint is None:
            rows_SH = torch.cat(self._split())
            self._joint = Permute.apply(rows_SH, self._layout.stream_of_J, self._layout.joint_of_S)
        return self._joint

    @property
    def image_VH(self) -> Tensor:
        return self._split()[0]

    @property
    def text_TH(self) -> Tensor:
        return self._split()[1]

    def get(self, kind: str) -> Tensor:
        return {"joint": lambda: self.joint_JH, "text": lambda: self.text_TH, "image": lambda: self.image_VH}[
            kind
        ]()

    def put_apart(self, image_VH: Tensor, text_TH: Tensor) -> None:
        self._apart, self._joint = (image_VH, text_TH), None

    def put(self, kind: str, x_NH: Tensor) -> None:
        if kind == "joint":
            self._joint, self._apart = x_NH, None
        else:
            image_VH, text_TH = self._split()
            self._apart = (image_VH, x_NH) if kind == "text" else (x_NH, text_TH)
            self._joint = None

    def _split(self) -> tuple[Tensor, Tensor]:
        if self._apart is None:
            rows_SH = Permute.apply(self._joint, self._layout.joint_of_S, self._layout.stream_of_J)
            image_VH, text_TH = torch.split(rows_SH, [self._layout.image_tokens, self._layout.text_tokens])
            self._apart = image_VH, text_TH
        return self._apart


class Permute(torch.autograd.Function):
    """Rows in another order. Knowing the inverse, its backward is a gather too, no scatter with additions."""

    @staticmethod
    def forward(ctx, x_NH: Tensor, index_N: Tensor, inverse_N: Tensor) -> Tensor:
        ctx.save_for_backward(inverse_N)
        return x_NH.index_select(0, index_N)

    @staticmethod
    def backward(ctx, grad_NH: Tensor) -> tuple[Tensor, None, None]:
        (inverse_N,) = ctx.saved_tensors
        return grad_NH.index_select(0, inverse_N), None, None
