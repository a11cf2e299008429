"""Regions, and what stands for a whole image, as tokens."""

import torch
from torch import Tensor

from interbert.model.packing.layout import Layout

WHOLE_IMAGE = (0.0, 0.0, 1.0, 1.0, 1.0)


def image_tokens(
    features_RD: Tensor,
    boxes_R5: Tensor,
    zeroed_R: Tensor | None,
    cu_regions: Tensor,
    layout: Layout,
    kind: str,
) -> tuple[Tensor, Tensor]:
    """Features and boxes of all image tokens: masked regions zeroed, the global token first in each pair.

    `kind` is the configuration's `global_token`. The mean is over all regions, zeroed ones included.
    """
    seen_RD = features_RD if zeroed_R is None else features_RD.masked_fill(zeroed_R[:, None], 0)
    if kind == "none":
        return seen_RD, boxes_R5
    averaged_RD = seen_RD if kind == "after_masking" else features_RD
    mean_PD = mean_of_segments(averaged_RD, cu_regions).to(features_RD.dtype)
    whole_P5 = boxes_R5.new_tensor(WHOLE_IMAGE).expand(len(mean_PD), 5)
    features_VD = torch.cat([seen_RD, mean_PD])[layout.image_from_V]
    boxes_V5 = torch.cat([boxes_R5, whole_P5])[layout.image_from_V]
    return features_VD, boxes_V5


def whole_images(features_RD: Tensor, zeroed_R: Tensor | None, cu_regions: Tensor) -> Tensor:
    """fp32 [P, D]: the mean of each pair's regions, masked ones as zeros."""
    seen_RD = features_RD if zeroed_R is None else features_RD.masked_fill(zeroed_R[:, None], 0)
    return mean_of_segments(seen_RD, cu_regions)


def mean_of_segments(x_RD: Tensor, cu: Tensor) -> Tensor:
    """fp32 means of the rows cu[p]:cu[p+1]; zeros for an empty segment."""
    if x_RD.shape[0] == 0:
        return x_RD.new_zeros(cu.numel() - 1, x_RD.shape[1], dtype=torch.float32)
    means_PD = torch.segment_reduce(  # ty: ignore[missing-attribute]  # torch's own types lack it
        x_RD.float(), "mean", offsets=cu.long(), initial=None, axis=0
    )
    return means_PD.nan_to_num(0.0)
