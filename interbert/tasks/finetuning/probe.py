"""The batch by whose loss weights are recognised, with something to answer."""

from dataclasses import replace

import torch

from interbert.batches.batch import Batch, Groups
from interbert.batches.selection import pairs_of
from interbert.batches.unmasked import without_masks
from interbert.config import TaskSettings
from interbert.model.shape.shape import TaskShape


def with_groups(batch: Batch, task: TaskSettings, head: TaskShape) -> Batch:
    """A group a pair, or one of all; of two images, of the first two pairs."""
    pairs, regions = batch.pairs, len(batch.boxes_R5)
    each = 2 if head.images == 2 else (pairs if task.kind in ("choose", "match") else 1)
    if head.images == 2:
        batch, pairs = pairs_of(batch, torch.arange(2), None), 2
        regions = len(batch.boxes_R5)
    count = pairs // each
    classes = len(head.classes or [])
    some = torch.arange(count)
    known = {
        "classify": {
            "labels_G": some % max(classes, 1),
            "scores_GK": torch.eye(max(classes, 1))[some % max(classes, 1)],
        },
        "choose": {"labels_G": some},
        "score": {"values_G": some.float()},
        "point": {"overlaps_R": torch.arange(regions) / regions},
        "match": {},
    }[task.kind]
    groups = Groups(
        cu_group=torch.arange(0, pairs + 1, each, dtype=torch.int32),
        examples_G=some,
        largest=each,
        known=count,
        sought=regions,
        **known,
    )
    matches = torch.tensor([1] + [0] * (pairs - 1))
    return replace(without_masks(batch), is_match_P=matches, groups=groups)
