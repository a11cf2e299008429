"""How well texts fit items, from the rows that both bring to their meeting: one packed micro-batch a call."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from interbert.model.layers.heads import match_log_odds
from interbert.model.shared.head import match_head
from interbert.model.shared.sides import Side, summed
from interbert.search.encoder import Encoder


class Ranker:
    def __init__(self, encoder: Encoder) -> None:
        self._match, self._device = encoder.match, encoder.device
        self._head = match_head(encoder.model)

    @torch.inference_mode()
    def log_odds(
        self,
        texts: Sequence[Side],
        items_SH: Tensor,
        lengths_I: np.ndarray,
        texts_P: np.ndarray,
        items_P: np.ndarray,
    ) -> np.ndarray:
        """float32 [P]: of the pairs (texts_P[p], items_P[p]). items_SH: the rows of all items, one after another, so
        many of each; texts: sides of one text each."""
        captions, images = joined(texts), self._side_of_items(items_SH, lengths_I)
        pairs = self._match.pairs(images, captions, items_P, texts_P)
        odds_P = match_log_odds(self._head(self._match.run(pairs)))
        return odds_P.cpu().numpy()

    def _side_of_items(self, items_SH: Tensor, lengths_I: np.ndarray) -> Side:
        x_SH = items_SH.to(self._device, non_blocking=True)
        meets = self._match.sides.meets["image"]
        return Side(summed(lengths_I), x_SH, None if meets is None else meets.qkv(x_SH))


def joined(sides: Sequence[Side]) -> Side:
    """Several as one."""
    if len(sides) == 1:
        return sides[0]
    qkv = [side.qkv_S for side in sides if side.qkv_S is not None]
    return Side(
        summed(np.concatenate([side.lengths for side in sides])),
        torch.cat([side.x_SH for side in sides]),
        torch.cat(qkv) if qkv else None,
    )


def split(side: Side) -> list[Side]:
    """Each text, or image, for itself."""
    return [
        Side(
            np.array([0, stop - start]),
            side.x_SH[start:stop],
            None if side.qkv_S is None else side.qkv_S[start:stop],
        )
        for start, stop in zip(side.cu[:-1].tolist(), side.cu[1:].tolist(), strict=True)
    ]
