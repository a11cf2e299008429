"""The memory a micro-batch is prepared in, made once and used again."""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from interbert.batches.batch import Batch
from interbert.batches.capacities import Capacities


@dataclass
class Slot:
    """Tensors of a Batch at full capacity; pinned where a GPU will read them."""

    input_ids_T: Tensor
    token_types_T: Tensor
    cu_text: Tensor
    features_RD: Tensor
    boxes_R5: Tensor
    zeroed_R: Tensor
    cu_regions: Tensor
    masked_tokens_M: Tensor
    token_targets_M: Tensor
    masked_regions_N: Tensor
    class_probs_NK: Tensor | None
    class_labels_N: Tensor | None
    is_match_P: Tensor
    images_P: Tensor
    captions_P: Tensor
    order_3P: Tensor

    @classmethod
    def make(
        cls, sizes: Capacities, feature_width: int, classes: int, evidence: str | None, pin: bool
    ) -> "Slot":
        def tensor(*shape: int, dtype: torch.dtype = torch.int64) -> Tensor:
            return torch.zeros(shape, dtype=dtype, pin_memory=pin)

        return cls(
            input_ids_T=tensor(sizes.text),
            token_types_T=tensor(sizes.text),
            cu_text=tensor(sizes.pairs + 1, dtype=torch.int32),
            features_RD=tensor(sizes.regions, feature_width, dtype=torch.float16),
            boxes_R5=tensor(sizes.regions, 5, dtype=torch.float32),
            zeroed_R=tensor(sizes.regions, dtype=torch.bool),
            cu_regions=tensor(sizes.pairs + 1, dtype=torch.int32),
            masked_tokens_M=tensor(sizes.masked_tokens),
            token_targets_M=tensor(sizes.masked_tokens),
            masked_regions_N=tensor(sizes.masked_regions),
            class_probs_NK=(
                tensor(sizes.masked_regions, classes, dtype=torch.float16)
                if evidence == "class_probs"
                else None
            ),
            class_labels_N=tensor(sizes.masked_regions) if evidence else None,
            is_match_P=tensor(sizes.pairs),
            images_P=tensor(sizes.pairs),
            captions_P=tensor(sizes.pairs),
            # Flat, as a batch may have fewer pairs.
            order_3P=tensor(3 * sizes.pairs, dtype=torch.int32),
        )

    def fill(self, name: str, values: np.ndarray) -> Tensor:
        """Copy values into the front of a tensor; returns that part of it."""
        part = getattr(self, name)[: len(values)]
        np.copyto(part.numpy(), values, casting="same_kind")
        return part

    def batch(self, values: dict[str, np.ndarray], regions: int, **rest: Any) -> Batch:
        """The Batch of these values; features lie in the slot already, and types of tokens, all 0, unless given."""
        parts = {"token_types_T": self.token_types_T[: len(values["input_ids_T"])]}
        parts |= {name: self.fill(name, array) for name, array in values.items()}
        parts["features_RD"] = self.features_RD[:regions]
        parts["order_3P"] = parts["order_3P"].view(3, -1)
        missing = {field.name for field in fields(self)} - set(parts)
        return Batch(**parts, **dict.fromkeys(missing), **rest)
