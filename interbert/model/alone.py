"""Each stream run alone: vectors of texts and of images whose inner product says how well they fit.

Letters as in batches/batch.py, B texts or images, W the width of a vector.
"""

from typing import Literal

import torch
from torch import Tensor

from interbert.batches.batch import Batch
from interbert.model.interbert import InterBertForPreTraining
from interbert.model.layers.heads import MATCH, FusedMatchHead

Alone = Literal["distilled", "product"]
"""Where vectors come from. distilled: the head `search`, which learnt to. product: the match head is a product of two
pooled vectors, so that log-odds of streams that never met are exactly (W0 - W1) * t times v and a constant."""


def vectors_from(model: InterBertForPreTraining) -> Alone:
    """ValueError where a model has neither."""
    if "search" in model.heads:
        return "distilled"
    reason = why_no_product(model)
    if reason:
        raise ValueError(
            f"the model has no vectors of texts and images alone: {reason}; `interbert distill` gives it heads that "
            "make them"
        )
    return "product"


def why_no_product(model: InterBertForPreTraining) -> str | None:
    """None where the match head is a product of a text's vector and an image's."""
    if "match" not in model.heads:
        return "it has no match head"
    head = model.heads["match"]
    if not isinstance(head, FusedMatchHead):
        return "its match head reads the caption's first token, which has seen the image"
    if head.fusion != "mul":
        return "its match head adds the two vectors, so that every text would order the images alike"
    return None


def text_rows(model: InterBertForPreTraining, ids_T: Tensor, cu_text: Tensor, longest: int) -> Tensor:
    """[T, H]: the last hidden states of texts that no image was given to."""
    nothing = model.interbert.image_embeddings.boxes.weight
    batch = _batch(
        ids_T,
        cu_text,
        longest,
        nothing.new_zeros(0, model.config.feature_width),
        nothing.new_zeros(0, 5, dtype=torch.float32),
        torch.zeros_like(cu_text),
        0,
        text_only=True,
    )
    return model.interbert.encode(batch, model.interbert.layout_of(batch)).text_TH


def image_rows(
    model: InterBertForPreTraining, features_RD: Tensor, boxes_R5: Tensor, cu_regions: Tensor, most: int
) -> tuple[Tensor, Tensor]:
    """[V, H]: the last hidden states of images that no text was given to; and the offsets of each one's."""
    ids_T = torch.zeros(0, dtype=torch.int64, device=features_RD.device)
    batch = _batch(ids_T, torch.zeros_like(cu_regions), 0, features_RD, boxes_R5, cu_regions, most)
    layout = model.interbert.layout_of(batch)
    return model.interbert.encode(batch, layout).image_VH, layout.cu_image


def text_vectors(model: InterBertForPreTraining, x_TH: Tensor, cu: Tensor) -> Tensor:
    """fp32 [B, W] of the last hidden states."""
    if "search" in model.heads:
        return model.heads.get_submodule("search.text")(x_TH, cu)
    head, pooler = model.heads["match"], model.interbert.text_pooler
    assert isinstance(head, FusedMatchHead) and pooler is not None
    weight_2Q = head.classifier.weight.float()
    pooled_BQ = pooler.of_first(x_TH.index_select(0, cu[:-1].long())).float()
    return pooled_BQ * (weight_2Q[MATCH] - weight_2Q[1 - MATCH])


def image_vectors(model: InterBertForPreTraining, x_VH: Tensor, cu: Tensor) -> Tensor:
    """fp32 [B, W] of the last hidden states."""
    if "search" in model.heads:
        return model.heads.get_submodule("search.image")(x_VH, cu)
    pooler = model.interbert.image_pooler
    assert pooler is not None
    return pooler.of_first(x_VH.index_select(0, cu[:-1].long())).float()


def vector_width(model: InterBertForPreTraining) -> int:
    return model.config.search_width if "search" in model.heads else model.config.pooler_size


def constant(model: InterBertForPreTraining) -> float:
    """Log-odds of a pair are the inner product of its vectors, and this; of distilled vectors it is 0."""
    if "search" in model.heads:
        return 0.0
    head = model.heads["match"]
    assert isinstance(head, FusedMatchHead)
    return float(head.classifier.bias[MATCH] - head.classifier.bias[1 - MATCH])


def _batch(
    ids_T: Tensor,
    cu_text: Tensor,
    longest: int,
    features_RD: Tensor,
    boxes_R5: Tensor,
    cu_regions: Tensor,
    most: int,
    text_only: bool = False,
) -> Batch:
    nothing = torch.zeros(0, dtype=torch.int64, device=ids_T.device)
    nobody_P = torch.full((len(cu_text) - 1,), -1, dtype=torch.int64, device=ids_T.device)
    return Batch(
        input_ids_T=ids_T,
        token_types_T=torch.zeros_like(ids_T),
        cu_text=cu_text,
        features_RD=features_RD,
        boxes_R5=boxes_R5,
        zeroed_R=torch.zeros(len(boxes_R5), dtype=torch.bool, device=ids_T.device),
        cu_regions=cu_regions,
        masked_tokens_M=nothing,
        token_targets_M=nothing,
        masked_regions_N=nothing,
        class_probs_NK=None,
        class_labels_N=None,
        is_match_P=torch.full_like(nobody_P, -100),
        max_text=longest,
        max_regions=most,
        images_P=nobody_P,
        captions_P=nobody_P,
        text_only=text_only,
    )
