"""The packed batch: the one contract between data and model.

Shape legend, used throughout the project:
    P pairs   T text tokens   R regions (the stored ones)   V image tokens = R + P (one global token a pair)
    J joint tokens = V + T    M masked tokens   N masked regions   D feature width   K classes   H hidden width

Nothing is padded: the text tokens of all pairs stand one after another, pair p owning rows
cu_text[p]:cu_text[p+1]; likewise its regions. Trailing pairs may be empty (repeated last offset), which is how
shapes can be held static.
"""

from dataclasses import dataclass, fields

import torch
from torch import Tensor


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

    @property
    def pairs(self) -> int:
        return self.cu_text.numel() - 1

    @property
    def tokens(self) -> int:
        """Text tokens, regions and global image tokens."""
        return self.input_ids_T.numel() + self.boxes_R5.shape[0] + self.pairs

    def counts(self) -> dict[str, int]:
        """How many predictions each family of objectives makes here: the divisors of the losses' means."""
        return {
            "tokens": self.masked_tokens_M.numel(),
            "regions": self.masked_regions_N.numel(),
            "pairs": int((self.is_match_P != -100).sum()),
        }

    def tensors(self) -> list[Tensor]:
        values = (getattr(self, field.name) for field in fields(self))
        return [value for value in values if isinstance(value, Tensor)]

    def to(self, device: torch.device | str, non_blocking: bool = True) -> "Batch":
        return self._map(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin(self) -> "Batch":
        return self._map(Tensor.pin_memory)

    def _map(self, function) -> "Batch":
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return Batch(**{k: function(v) if isinstance(v, Tensor) else v for k, v in values.items()})
