"""Batches with nothing masked and nothing to predict: for retrieval and for pictures."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from interbert.batches.batch import Batch, unmasked_batch
from interbert.batches.prepare import box_shares
from interbert.corpus.tokens import TokenTable


def filled_up(batch: Batch, step: int) -> Batch:
    """With one more pair, of zeros, that brings its text rows and image rows to multiples of `step`."""
    if step == 1:
        return batch
    more_T = -batch.input_ids_T.numel() % step
    more_R = -(len(batch.boxes_R5) + batch.pairs + 1) % step
    rows_R = {name: F.pad(getattr(batch, name), (0, 0, 0, more_R)) for name in ("features_RD", "boxes_R5")}
    return replace(
        batch,
        input_ids_T=F.pad(batch.input_ids_T, (0, more_T)),
        token_types_T=F.pad(batch.token_types_T, (0, more_T)),
        cu_text=torch.cat([batch.cu_text, batch.cu_text[-1:] + more_T]),
        **rows_R,
        zeroed_R=F.pad(batch.zeroed_R, (0, more_R)),
        cu_regions=torch.cat([batch.cu_regions, batch.cu_regions[-1:] + more_R]),
        is_match_P=F.pad(batch.is_match_P, (0, 1), value=-100),
        max_text=max(batch.max_text, more_T),
        max_regions=max(batch.max_regions, more_R),
        images_P=F.pad(batch.images_P, (0, 1), value=-1),
        captions_P=F.pad(batch.captions_P, (0, 1), value=-1),
    )


def without_masks(batch: Batch) -> Batch:
    """The same pairs, of which nothing is hidden and nothing is to be predicted."""
    nothing = torch.zeros(0, dtype=torch.int64, device=batch.input_ids_T.device)
    return replace(
        batch,
        zeroed_R=torch.zeros_like(batch.zeroed_R),
        masked_tokens_M=nothing,
        token_targets_M=nothing,
        masked_regions_N=nothing,
        class_probs_NK=None,
        class_labels_N=None,
    )


def read_regions(corpus: Any, images_P: np.ndarray, keep_P: np.ndarray) -> tuple[Tensor, Tensor, np.ndarray]:
    """Features [R, D] as stored, box shares [R, 5], and the boxes [R, 4] as stored."""
    rows = int(keep_P.sum())
    features_RD = np.empty((rows, corpus.feature_width), dtype=np.float16)
    boxes_R4 = np.empty((rows, 4), dtype=np.float32)
    corpus.read(images_P, keep_P, features_RD, boxes_R4)
    shares_R5 = box_shares(boxes_R4, keep_P, np.asarray(corpus.sizes)[images_P])
    return torch.from_numpy(features_RD), torch.from_numpy(shares_R5), boxes_R4


def pair_batch(
    corpus: Any, tokens: TokenTable, image: int, caption: int, max_regions: int
) -> tuple[Batch, np.ndarray]:
    """A batch of one pair, and its boxes as stored."""
    images, captions = np.array([image]), np.array([caption])
    keep = np.minimum(np.asarray(corpus.region_counts)[images], max_regions).astype(np.int64)
    features_RD, boxes_R5, boxes_R4 = read_regions(corpus, images, keep)
    ids_T, cu_text = tokens.gather(captions)
    batch = unmasked_batch(
        torch.from_numpy(ids_T.astype(np.int64)),
        torch.from_numpy(cu_text),
        features_RD,
        boxes_R5,
        torch.tensor([0, int(keep[0])], dtype=torch.int32),
        max_text=len(ids_T),
        max_regions=int(keep[0]),
        images_P=torch.from_numpy(images),
        captions_P=torch.from_numpy(captions),
    )
    return batch, boxes_R4
