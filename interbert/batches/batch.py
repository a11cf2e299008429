"""The packed batch: the one contract between data and model.

Shape legend, used throughout the project:
    P pairs   T text tokens   R regions (the stored ones)   V image tokens = R + P (one global token a pair)
    J joint tokens = V + T    M masked tokens   N masked regions   D feature width   K classes   H hidden width

    G groups of pairs that belong together: examples of a task, or sets of true and false pairs
    S words that point at regions

Nothing is padded: the text tokens of all pairs stand one after another, pair p owning rows
cu_text[p]:cu_text[p+1]; likewise its regions. Trailing pairs may be empty (repeated last offset), which is how
shapes can be held static.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Self

import torch
from torch import Tensor

COUNTS = ("tokens", "regions", "pairs", "groups", "sought")
"""What losses are counted by: masked words, masked regions, pairs, examples or sets, regions that may be meant."""


@dataclass
class Tensors:
    """A dataclass of tensors, some of which may lie one level deeper."""

    def _map(self, function: Callable[[Tensor], Tensor]) -> Self:
        def mapped(value):
            if isinstance(value, Tensor):
                return function(value)
            return value._map(function) if isinstance(value, Tensors) else value

        return type(self)(**{f.name: mapped(getattr(self, f.name)) for f in fields(self)})


@dataclass
class Groups(Tensors):
    """What is right of pairs that belong together, as far as it is known."""

    cu_group: Tensor
    """int32 [G+1]: group g owns pairs cu_group[g]:cu_group[g+1]."""
    examples_G: Tensor
    """int64 number of the example in its file, or of the set in its epoch."""
    largest: int
    """Most pairs of a group."""
    known: int
    """Groups of which something is known."""
    damaged_G: Tensor | None = None
    """bool: an image of it could not be had, so that it counts for nothing. None: all could."""
    sought: int = 0
    """Regions of pairs of which it is known what is meant."""
    labels_G: Tensor | None = None
    """int64 class or choice; -100 unknown."""
    scores_GK: Tensor | None = None
    """float32 weight of each class; nan where unknown."""
    values_G: Tensor | None = None
    """float32; nan unknown."""
    overlaps_R: Tensor | None = None
    """float32 overlap of each region with what is meant; nan unknown."""


@dataclass
class Batch(Tensors):
    """Pairs of images and captions, packed: their tokens one after another, and so their regions."""

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
    groups: Groups | None = None
    """Of a task; pretraining has none."""
    tagged_words_S: Tensor | None = None
    """int64 rows of T that mean a region. None: none do."""
    tagged_regions_S: Tensor | None = None
    """int64 the rows of R that they mean."""
    text_only: bool = False
    """Without images, and so without global tokens."""
    epoch: int = 0
    index: int = 0
    """Number of this micro-batch within its epoch."""
    damaged: tuple[str, ...] = ()
    """Of each pair whose image could not be had, what was wrong: file, row and id. It counts for nothing."""

    @property
    def pairs(self) -> int:
        return self.cu_text.numel() - 1

    @property
    def tokens(self) -> int:
        """Text tokens, regions and global image tokens."""
        images = 0 if self.text_only else self.boxes_R5.shape[0] + self.pairs
        return self.input_ids_T.numel() + images

    def counts(self) -> dict[str, int]:
        """How many predictions each family of objectives makes here: the divisors of the losses' means."""
        return {
            "tokens": self.masked_tokens_M.numel(),
            "regions": self.masked_regions_N.numel(),
            "pairs": int((self.is_match_P != -100).sum()),
            "groups": self.groups.known if self.groups else 0,
            "sought": self.groups.sought if self.groups else 0,
        }

    def tensors(self) -> list[Tensor]:
        """All that it holds."""
        found: list[Tensor] = []
        self._map(lambda tensor: found.append(tensor) or tensor)
        return found

    def to(self, device: torch.device | str, non_blocking: bool = True) -> "Batch":
        """The same on another device."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin(self) -> "Batch":
        """The same in memory that a GPU copies from by itself."""
        return self._map(Tensor.pin_memory)


def unmasked_batch(
    input_ids_T: Tensor,
    cu_text: Tensor,
    features_RD: Tensor,
    boxes_R5: Tensor,
    cu_regions: Tensor,
    *,
    max_text: int,
    max_regions: int,
    images_P: Tensor,
    captions_P: Tensor,
    text_only: bool = False,
) -> Batch:
    """With nothing masked and nothing to predict. All on the device of `input_ids_T`, which are int64."""
    device = input_ids_T.device
    nothing = torch.zeros(0, dtype=torch.int64, device=device)
    return Batch(
        input_ids_T=input_ids_T,
        token_types_T=torch.zeros_like(input_ids_T),
        cu_text=cu_text,
        features_RD=features_RD,
        boxes_R5=boxes_R5,
        zeroed_R=torch.zeros(len(boxes_R5), dtype=torch.bool, device=device),
        cu_regions=cu_regions,
        masked_tokens_M=nothing,
        token_targets_M=nothing,
        masked_regions_N=nothing,
        class_probs_NK=None,
        class_labels_N=None,
        is_match_P=torch.full((len(images_P),), -100, dtype=torch.int64, device=device),
        max_text=max_text,
        max_regions=max_regions,
        images_P=images_P,
        captions_P=captions_P,
        text_only=text_only,
    )
