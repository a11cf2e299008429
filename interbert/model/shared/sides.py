"""What images and captions bring to their meeting, each computed once.

Letters as in batches/batch.py, and S the rows of a side, B its images or captions.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from interbert.kernels import attention
from interbert.model.base import InterBertModel
from interbert.model.layers.encoder import Layer
from interbert.model.packing.image_tokens import image_tokens, whole_images
from interbert.model.packing.layout import layout


@dataclass
class Side:
    """Some images, or some captions, as they are before they meet."""

    cu: np.ndarray
    """int64 [B+1]: rows of each."""
    x_SH: Tensor
    """Of captions whose words see the image, of which there is nothing to share: their ids, [S]."""
    qkv_S: Tensor | None
    """Queries, keys and values [S, 3H] in the layer of the meeting; None where it does not take all of them."""
    whole_BD: Tensor | None = None
    """Mean feature of each image, where words see it."""

    @property
    def lengths(self) -> np.ndarray:
        return np.diff(self.cu)

    def rows(self, which_P: np.ndarray, lengths_P: np.ndarray, device: torch.device) -> Tensor:
        """int64: the first rows, so many of each, of these images or captions, one after another."""
        total = int(lengths_P.sum())
        shift_P = torch.from_numpy(self.cu[which_P] - (np.cumsum(lengths_P) - lengths_P))
        counts_P = torch.from_numpy(lengths_P).to(device, non_blocking=True)
        shift = shift_P.to(device, non_blocking=True).repeat_interleave(counts_P, output_size=total)
        # What only fills up a batch may ask for more rows than there are.
        return (shift + torch.arange(total, device=device)).clamp(max=int(self.cu[-1]) - 1)


class Sides:
    """Makes sides: embeddings, the layers before the meeting, and the first products of the meeting itself."""

    def __init__(
        self, base: InterBertModel, alone: list[tuple[str, nn.Module]], meets: dict[str, Layer | None]
    ) -> None:
        """meets: of each stream the layer in which it meets the other, if that takes all its rows."""
        self.base, self.config, self.alone, self.meets = base, base.config, alone, meets

    @property
    def added(self) -> int:
        """Global tokens of an image."""
        return int(self.config.global_token != "none")

    def images(self, features_RD: Tensor, boxes_R5: Tensor, regions_B: np.ndarray) -> Side:
        cu_regions = offsets(regions_B, features_RD.device)
        alone = layout(
            torch.zeros_like(cu_regions),
            cu_regions,
            tokens=0,
            regions=len(boxes_R5),
            max_text=0,
            max_regions=int(regions_B.max()),
            global_token=bool(self.added),
        )
        kind = self.config.global_token
        tokens = image_tokens(features_RD, boxes_R5, None, cu_regions, alone, kind)
        side = self._finished("image", self.base.embed_image(*tokens), regions_B + self.added)
        if self.config.words_see_image:
            side.whole_BD = whole_images(features_RD, None, cu_regions)
        return side

    def captions(self, ids_T: Tensor, lengths_B: np.ndarray) -> Side:
        if self.config.words_see_image:
            return Side(summed(lengths_B), ids_T, None)
        return self._captions(ids_T, lengths_B, None)

    def captions_before_images(self, ids_T: Tensor, lengths_P: np.ndarray, whole_PD: Tensor) -> Side:
        """One caption for each pair, its words adding what its image is."""
        lengths = torch.from_numpy(lengths_P).to(ids_T.device, non_blocking=True)
        whole_TD = whole_PD.repeat_interleave(lengths, 0, output_size=len(ids_T))
        return self._captions(ids_T, lengths_P, whole_TD)

    def _captions(self, ids_T: Tensor, lengths_B: np.ndarray, whole_TD: Tensor | None) -> Side:
        cu = summed(lengths_B)
        positions_T = torch.from_numpy(np.arange(cu[-1]) - np.repeat(cu[:-1], lengths_B)).to(ids_T.device)
        x_TH = self.base.text_embeddings(ids_T, positions_T, torch.zeros_like(ids_T), whole_TD)
        return self._finished("text", x_TH, lengths_B)

    def _finished(self, name: str, x_SH: Tensor, lengths_B: np.ndarray) -> Side:
        cu, longest = offsets(lengths_B, x_SH.device), int(lengths_B.max())
        for kind, layer in self.alone:
            if kind == name:
                x_SH = layer(x_SH, lambda qkv, dropout_p: attention(qkv, cu, longest, dropout_p))
        meets = self.meets[name]
        return Side(summed(lengths_B), x_SH, None if meets is None else meets.qkv(x_SH))


def summed(lengths_B: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(lengths_B, dtype=np.int64)])


def offsets(lengths_B: np.ndarray, device: torch.device) -> Tensor:
    return torch.from_numpy(summed(lengths_B).astype(np.int32)).to(device, non_blocking=True)
