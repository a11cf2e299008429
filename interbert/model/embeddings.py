"""Words and regions as vectors of one width."""

import torch
from torch import Tensor, nn

from interbert.kernels.dropout import dropout
from interbert.model.configuration import InterBertConfig
from interbert.model.layout import Layout
from interbert.model.linear import Linear
from interbert.model.norm import LayerNorm

WHOLE_IMAGE = (0.0, 0.0, 1.0, 1.0, 1.0)


class TextEmbeddings(nn.Module):
    """Word + position + segment."""

    def __init__(self, config: InterBertConfig) -> None:
        super().__init__()
        self.words = nn.Embedding(config.vocab_size, config.hidden_size)
        self.positions = nn.Embedding(config.max_position_embeddings, config.hidden_size)
        self.types = nn.Embedding(config.type_vocab_size, config.hidden_size)
        # Only where words see the image: what is added to every word of a pair.
        self.image = Linear(config.feature_width, config.hidden_size) if config.words_see_image else None
        self.norm = LayerNorm(config.hidden_size, config.layer_norm_eps)
        self.dropout = config.embedding_dropout

    def forward(
        self, input_ids_T: Tensor, positions_T: Tensor, types_T: Tensor, whole_TD: Tensor | None = None
    ) -> Tensor:
        """whole_TD: the feature of each word's whole image."""
        x_TH = self.words(input_ids_T) + self.positions(positions_T) + self.types(types_T)
        if self.image is not None:
            x_TH = x_TH + self.image(whole_TD.to(x_TH.dtype))
        return dropout(self.norm(x_TH), self.dropout, self.training)


class ImageEmbeddings(nn.Module):
    """Region feature + box."""

    def __init__(self, config: InterBertConfig) -> None:
        super().__init__()
        self.features = Linear(config.feature_width, config.hidden_size)
        self.boxes = nn.Linear(5, config.hidden_size)
        # Segment and position of image tokens: each image token has the same ones.
        self.places = nn.Embedding(2, config.hidden_size) if config.visual_place else None
        self.norm = LayerNorm(config.hidden_size, config.layer_norm_eps)
        self.dropout = config.embedding_dropout

    def forward(self, features_VD: Tensor, boxes_V5: Tensor) -> Tensor:
        dtype = self.features.weight.dtype
        x_VH = self.features(features_VD.to(dtype)) + self.boxes(boxes_V5.to(dtype))
        if self.places is not None:
            x_VH = x_VH + self.places(torch.arange(2, device=x_VH.device)).sum(0)
        return dropout(self.norm(x_VH), self.dropout, self.training)


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
    return torch.segment_reduce(x_RD.float(), "mean", offsets=cu.long(), initial=None, axis=0).nan_to_num(0.0)
