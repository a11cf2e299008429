"""Texts and images through a model, each alone: what they bring to their meeting, and their vectors.

Both come from the same rows: those of the first layers, which know one stream only (`model/shared`), are kept for
ranking, and run on without the other stream to the vector. `model/alone.py` is the plain twin.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from interbert.batches.unmasked import read_regions
from interbert.kernels import attention
from interbert.kernels.cpu import native
from interbert.kernels.cpu.bf16 import has_bf16
from interbert.model import alone
from interbert.model.interbert import InterBertForPreTraining
from interbert.model.layers.linear import lay_out
from interbert.model.shared.match import SharedMatch
from interbert.model.shared.sides import Side

CPU_TOKENS, GPU_TOKENS = 4096, 32_768
"""Of a micro-batch."""


def budget_of(device: torch.device) -> int:
    return CPU_TOKENS if device.type == "cpu" else GPU_TOKENS


def placed(
    model: InterBertForPreTraining, device: torch.device, precision: str
) -> tuple[InterBertForPreTraining, str]:
    """The model where it will run, and its precision. Requests have every length: 16-bit products that are compiled
    anew for each (all on a CPU but our own) are not what auto means."""
    if precision == "auto":
        fast = has_bf16(device) if device.type == "cuda" else native.library() is not None
        precision = "bf16" if fast else "fp32"
    return model.to(device, torch.bfloat16 if precision == "bf16" else torch.float32).eval(), precision


@dataclass(frozen=True)
class Encoded:
    """Some texts, or some images."""

    side: Side
    vectors: np.ndarray | None
    """float32 [B, W]; None of a model that has none."""


class Encoder:
    """Of a model in evaluation mode, whole on this rank."""

    def __init__(self, model: InterBertForPreTraining) -> None:
        self.model, self.match = model, SharedMatch(model)
        try:
            self.vectors_from: alone.Alone | None = alone.vectors_from(model)
        except ValueError:
            self.vectors_from = None

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    @property
    def width(self) -> int:
        """Of a vector; 0 where there is none."""
        return alone.vector_width(self.model) if self.vectors_from else 0

    def texts(self, ids: list[np.ndarray]) -> Encoded:
        side = self.text_side(ids)
        return Encoded(side, self.vectors("text", side))

    def images(self, features_RD: Tensor, boxes_R5: Tensor, regions_B: np.ndarray) -> Encoded:
        side = self.image_side(features_RD, boxes_R5, regions_B)
        return Encoded(side, self.vectors("image", side))

    @torch.inference_mode()
    def text_side(self, ids: list[np.ndarray]) -> Side:
        lengths_B = np.array([len(one) for one in ids], np.int64)
        ids_T = torch.from_numpy(np.concatenate(ids).astype(np.int64)).to(self.device)
        return self.match.sides.captions(ids_T, lengths_B)

    @torch.inference_mode()
    def image_side(self, features_RD: Tensor, boxes_R5: Tensor, regions_B: np.ndarray) -> Side:
        return self.match.sides.images(features_RD.to(self.device), boxes_R5.to(self.device), regions_B)

    @torch.inference_mode()
    def vectors(self, name: Literal["text", "image"], side: Side) -> np.ndarray | None:
        """float32 [B, W]; None of a model that has none. Costs all layers of a stream, where ranking needs none."""
        if self.vectors_from is None:
            return None
        cu = torch.from_numpy(side.cu.astype(np.int32)).to(self.device)
        x_SH = self._alone(name, side, cu, int(side.lengths.max()))
        of = alone.text_vectors if name == "text" else alone.image_vectors
        return of(self.model, x_SH, cu).cpu().numpy()

    def _alone(self, name: str, side: Side, cu: Tensor, longest: int) -> Tensor:
        """The last hidden states, without the other stream."""
        x_SH = side.x_SH
        for number, (kind, layer) in enumerate(self.match.from_the_meeting):
            if kind == "cross":  # there is nobody to ask
                own = layer[name]
                x_SH = own.finish(x_SH, x_SH.new_zeros(len(x_SH), own.heads, own.head_width))
            elif kind in ("joint", name):
                met = number == 0 and side.qkv_S is not None
                qkv = layer.in_heads(side.qkv_S) if met else layer.split_heads(x_SH)
                x_SH = layer.finish(x_SH, attention(qkv, cu, longest, 0.0))
        return x_SH


def images_of(
    encoder: Encoder, corpus: Any, images_I: np.ndarray, budget: int, max_regions: int | None = None
) -> Iterator[tuple[slice, Encoded]]:
    """Images of a data set in micro-batches, in their order: which of images_I, and what they are."""
    counts_I = np.asarray(corpus.region_counts)[images_I].astype(np.int64)
    keep_I = counts_I if max_regions is None else np.minimum(counts_I, max_regions)
    for part in parts_of(keep_I + 1, budget):
        features_RD, boxes_R5, _ = read_regions(corpus, images_I[part], keep_I[part])
        yield part, encoder.images(features_RD, boxes_R5, keep_I[part])


def texts_of(encoder: Encoder, ids: list[np.ndarray], budget: int) -> Iterator[tuple[slice, Encoded]]:
    """Texts in micro-batches, in their order."""
    for part in parts_of(np.array([len(one) for one in ids], np.int64), budget):
        yield part, encoder.texts(ids[part])


def image_vectors_of(
    encoder: Encoder, corpus: Any, images_I: np.ndarray, budget: int, max_regions: int | None = None
) -> np.ndarray:
    """float32 [I, W]"""
    return _joined(images_of(encoder, corpus, images_I, budget, max_regions), encoder.width)


def text_vectors_of(encoder: Encoder, ids: list[np.ndarray], budget: int) -> np.ndarray:
    """float32 [B, W]"""
    return _joined(texts_of(encoder, ids, budget), encoder.width)


def _joined(found: Iterator[tuple[slice, Encoded]], width: int) -> np.ndarray:
    blocks = [encoded.vectors for _, encoded in found if encoded.vectors is not None]
    return np.concatenate(blocks) if blocks else np.zeros((0, width), np.float32)


def parts_of(tokens_B: np.ndarray, budget: int) -> Iterator[slice]:
    """Neighbours that together have at most so many tokens; one that has more is alone."""
    ends, start = np.cumsum(tokens_B), 0
    while start < len(tokens_B):
        before = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + budget, side="right")))
        yield slice(start, stop)
        start = stop


def model_in(folder: Path, device: torch.device, precision: str = "auto") -> tuple[Encoder, str]:
    """The model of a directory, ready; and its precision."""
    from interbert.model.loading import load_ours

    model, precision = placed(load_ours(folder), device, precision)
    lay_out(model.interbert)
    if "match" not in model.heads:
        raise ValueError(
            f"{folder}: the model has no match head (prediction_heads in config.json): it ranks nothing"
        )
    return Encoder(model), precision
