"""Each stream run alone: vectors of texts and of images whose inner product says how well they fit.

Letters as in batches/batch.py, B texts or images, W the width of a vector.
"""

from typing import Literal

import torch
from torch import Tensor

from interbert.batches.batch import unmasked_batch
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
    nobody_P = _nobody(cu_text)
    batch = unmasked_batch(
        ids_T,
        cu_text,
        nothing.new_zeros(0, model.config.feature_width),
        nothing.new_zeros(0, 5, dtype=torch.float32),
        torch.zeros_like(cu_text),
        max_text=longest,
        max_regions=0,
        images_P=nobody_P,
        captions_P=nobody_P,
        text_only=True,
    )
    return model.interbert.encode(batch, model.interbert.layout_of(batch)).text_TH


def image_rows(
    model: InterBertForPreTraining, features_RD: Tensor, boxes_R5: Tensor, cu_regions: Tensor, most: int
) -> tuple[Tensor, Tensor]:
    """[V, H]: the last hidden states of images that no text was given to; and the offsets of each one's."""
    ids_T = torch.zeros(0, dtype=torch.int64, device=features_RD.device)
    nobody_P = _nobody(cu_regions)
    batch = unmasked_batch(
        ids_T,
        torch.zeros_like(cu_regions),
        features_RD,
        boxes_R5,
        cu_regions,
        max_text=0,
        max_regions=most,
        images_P=nobody_P,
        captions_P=nobody_P,
    )
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
    return (head.classifier.bias[MATCH] - head.classifier.bias[1 - MATCH]).item()


def _nobody(cu: Tensor) -> Tensor:
    """[P]: numbers of images, or of captions, that no data set has."""
    return torch.full((len(cu) - 1,), -1, dtype=torch.int64, device=cu.device)
