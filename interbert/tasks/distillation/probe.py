"""The batch by whose loss weights are recognised, as sets."""

from dataclasses import replace

import torch

from interbert.batches.batch import Batch, Groups


def sets_of(batch: Batch) -> Batch:
    """Two sets of as many pairs, nothing masked."""
    from interbert.batches.selection import pairs_of
    from interbert.batches.unmasked import without_masks

    each = batch.pairs // 2
    plain = replace(
        without_masks(batch),
        is_match_P=(torch.arange(batch.pairs) % each == 0).long(),
        images_P=torch.arange(batch.pairs),
    )
    groups = Groups(
        cu_group=torch.arange(0, 2 * each + 1, each, dtype=torch.int32),
        examples_G=torch.arange(2),
        largest=each,
        known=2,
    )
    return pairs_of(plain, torch.arange(2 * each), groups)
