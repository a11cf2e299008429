"""Batches with nothing masked and nothing to predict: for retrieval and for pictures."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from interbert.data.batch import Batch
from interbert.data.prepare import box_shares
from interbert.data.tokens import TokenTable


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
) -> Batch:
    """All on the device of `input_ids_T`, which are int64."""
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
