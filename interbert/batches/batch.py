"""The packed batch: the one contract between data and model.

Shape legend, used throughout the project:
    P pairs   T text tokens   R regions (the stored ones)   V image tokens = R + P (one global token a pair)
    J joint tokens = V + T    M masked tokens   N masked regions   D feature width   K classes   H hidden width
    G groups of pairs

Nothing is padded: the text tokens of all pairs stand one after another, pair p owning rows
cu_text[p]:cu_text[p+1]; likewise its regions. Trailing pairs may be empty (repeated last offset), which is how
shapes can be held static.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor


@dataclass
class Groups:
    """Pairs that belong together, and what is right of each group.

    A group of which nothing is known has -100 as its label, NaN as its value, scores and overlaps.
    """

    cu_group: Tensor
    """int32 [G+1]: group g owns the pairs cu_group[g]:cu_group[g+1]."""
    examples_G: Tensor
    """int64 number of the example (or of the set); -1 where the group only fills a rank's round."""
    labels_G: Tensor | None = None
    """int64 class or choice."""
    scores_GK: Tensor | None = None
    """float32 weight of each class."""
    values_G: Tensor | None = None
    """float32."""
    overlaps_R: Tensor | None = None
    """float32 overlap (IoU) of each region with the box that is sought."""

    @property
    def groups(self) -> int:
        return self.cu_group.numel() - 1

    def map(self, function: Callable[[Tensor], Tensor]) -> "Groups":
        return Groups(**_mapped(self, function))


@dataclass
class Batch:
    input_ids_T: Tensor
    """int64, after masking; every caption is [CLS] words [SEP]."""
    token_types_T: Tensor
    """int64, segment of each token."""
    cu_text: Tensor
    """int32 [P+1]."""
    features_RD: Tensor
    """float16 (or float32), as stored, *before* masking."""
    boxes_R5: Tensor
    """float32: x1/W, y1/H, x2/W, y2/H, area share."""
    zeroed_R: Tensor
    """bool: regions whose feature the model must not see."""
    cu_regions: Tensor
    """int32 [P+1]."""
    masked_tokens_M: Tensor
    """int64 rows of T whose word is to be predicted (and counted)."""
    token_targets_M: Tensor
    """int64 original ids of those rows."""
    masked_regions_N: Tensor
    """int64 rows of R whose content is to be predicted (and counted)."""
    class_probs_NK: Tensor | None
    """float16 distribution of the detector for those rows; None where the store has hard labels or nothing."""
    class_labels_N: Tensor | None
    """int64 hard label of the detector for those rows (argmax of class_probs where that is what is stored)."""
    is_match_P: Tensor
    """int64: 1 the caption belongs to the image, 0 mismatched, -100 ignored."""
    max_text: int
    """Longest caption in tokens."""
    max_regions: int
    """Most regions of a pair (without the global token)."""
    images_P: Tensor
    """int64 index of each pair's image in the data set; for logs and pictures, never for the model."""
    captions_P: Tensor
    """int64 index of each pair's caption in the data set."""
    order_3P: Tensor | None = None
    """int32: the pairs by their text tokens, by their regions and by both, most first; for kernels that schedule."""
    epoch: int = 0
    index: int = 0
    """Number of this micro-batch within its epoch."""
    damaged: tuple[str, ...] = ()
    """Of each pair whose image could not be had, what was wrong: file, row and id. It counts for nothing."""
    groups: Groups | None = None
    """Of examples: which pairs belong together, and what is right of them."""
    text_only: bool = False
    """There is no image stream at all, not even the global token."""

    @property
    def pairs(self) -> int:
        return self.cu_text.numel() - 1

    @property
    def tokens(self) -> int:
        """Text tokens, regions and global image tokens."""
        return self.input_ids_T.numel() + self.boxes_R5.shape[0] + (0 if self.text_only else self.pairs)

    def counts(self) -> dict[str, int]:
        """How many predictions each family of objectives makes here: the divisors of the losses' means."""
        counts = {
            "tokens": self.masked_tokens_M.numel(),
            "regions": self.masked_regions_N.numel(),
            "pairs": int((self.is_match_P != -100).sum()),
        }
        if self.groups is None:
            return counts
        return counts | {"groups": int(self.known_G().sum()), "sought": int(self.sought_R().sum())}

    def known_G(self) -> Tensor:
        """bool: of which groups something is known."""
        groups = self.groups
        assert groups is not None
        if groups.labels_G is not None:
            return groups.labels_G != -100
        if groups.scores_GK is not None:
            return ~groups.scores_GK[:, 0].isnan()
        if groups.values_G is not None:
            return ~groups.values_G.isnan()
        if groups.overlaps_R is not None:
            return _any_of(self.sought_R(), self.cu_regions[groups.cu_group.long()])
        return _any_of(self.is_match_P != -100, groups.cu_group)

    def sought_R(self) -> Tensor:
        """bool: regions of pairs whose box is known."""
        assert self.groups is not None
        if self.groups.overlaps_R is None:
            return torch.zeros_like(self.zeroed_R)
        return ~self.groups.overlaps_R.isnan()

    def tensors(self) -> list[Tensor]:
        parts = [self, self.groups] if self.groups is not None else [self]
        values = (getattr(part, field.name) for part in parts for field in fields(part))
        return [value for value in values if isinstance(value, Tensor)]

    def to(self, device: torch.device | str, non_blocking: bool = True) -> "Batch":
        return self._map(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin(self) -> "Batch":
        return self._map(Tensor.pin_memory)

    def _map(self, function: Callable[[Tensor], Tensor]) -> "Batch":
        groups = None if self.groups is None else self.groups.map(function)
        return Batch(**{**_mapped(self, function), "groups": groups})


def _mapped(part: Batch | Groups, function: Callable[[Tensor], Tensor]) -> dict[str, Any]:
    values = {field.name: getattr(part, field.name) for field in fields(part)}
    return {name: function(v) if isinstance(v, Tensor) else v for name, v in values.items()}


def _any_of(rows_N: Tensor, cu: Tensor) -> Tensor:
    """bool: whether any of the rows cu[g]:cu[g+1] is true."""
    before = torch.cat([rows_N.new_zeros(1, dtype=torch.int64), rows_N.cumsum(0)])
    return before[cu[1:].long()] > before[cu[:-1].long()]
