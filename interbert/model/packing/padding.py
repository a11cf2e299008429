"""Between padded tensors, as Hugging Face users hold them, and packed rows.

B pairs have L places for tokens and R for regions.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from interbert.model.packing.layout import Layout, layout
from interbert.model.shape.configuration import InterBertConfig


@dataclass
class PaddedInputs:
    """What a model is given, as rectangles. Text alone and image alone are allowed."""

    input_ids: Tensor | None = None
    """[B, L]"""
    attention_mask: Tensor | None = None
    token_type_ids: Tensor | None = None
    position_ids: Tensor | None = None
    """[B, L], or [1, L] for all; without, 0, 1, 2 …"""
    inputs_embeds: Tensor | None = None
    """[B, L, H], instead of input_ids."""
    region_features: Tensor | None = None
    """[B, R, D]"""
    region_boxes: Tensor | None = None
    """[B, R, 5]: x1/W, y1/H, x2/W, y2/H, area share."""
    region_mask: Tensor | None = None
    add_global: bool = False
    """Put the global token in front of the regions: mean feature, whole image."""
    tags: Tensor | None = None
    """[S, 3]: pair, token, region."""

    @property
    def words(self) -> Tensor | None:
        """Whatever the text is told by."""
        return self.input_ids if self.inputs_embeds is None else self.inputs_embeds

    @property
    def added(self) -> int:
        """Image tokens in front of the regions that are given."""
        return int(self.add_global and self.region_features is not None)


@dataclass
class PackedInputs:
    """The fields of a Batch that the encoder reads, and how to find back to the padded places."""

    input_ids_T: Tensor
    token_types_T: Tensor
    features_RD: Tensor
    boxes_R5: Tensor
    zeroed_R: None
    cu_regions: Tensor
    layout: Layout
    global_token: str
    text_places_T: Tensor | None
    """Row in [B * L] of each token; None when there is no text."""
    image_places_V: Tensor | None
    """Row in [B * (R + added global token)] of each image token; None when there is no image."""
    pairs: int
    text_width: int
    image_width: int
    words_TH: Tensor | None = None
    """Vectors that stand for the ids."""
    tagged_words_S: Tensor | None = None
    tagged_regions_S: Tensor | None = None


def pack(config: InterBertConfig, given: PaddedInputs) -> PackedInputs:
    _check(config, given)
    words, region_features, region_boxes = given.words, given.region_features, given.region_boxes
    has_text, has_image = words is not None, region_features is not None
    some = region_features if words is None else words
    assert some is not None
    pairs, device, added = some.shape[0], some.device, given.added
    width = 0 if words is None else words.shape[1]
    if region_features is None or region_boxes is None:
        region_features = torch.zeros(pairs, 0, config.feature_width, device=device)
        region_boxes = torch.zeros(pairs, 0, 5, device=device)
    real_BL = _mask(given.attention_mask if has_text else None, (pairs, width), device)
    real_BR = _mask(given.region_mask if has_image else None, region_features.shape[:2], device)
    if has_text:
        _refuse_empty("attention_mask", real_BL)
    if has_image and not added:
        _refuse_empty("region_mask", real_BR)
    real_BV = torch.cat([real_BR.new_ones(pairs, added), real_BR], dim=1)
    text_places_T, image_places_V = real_BL.flatten().nonzero()[:, 0], real_BV.flatten().nonzero()[:, 0]
    features_RD, boxes_R5 = region_features[real_BR], region_boxes[real_BR]

    arranged = layout(
        _offsets(real_BL),
        cu_regions := _offsets(real_BR),
        tokens=text_places_T.numel(),
        regions=features_RD.shape[0],
        max_text=width,
        max_regions=region_features.shape[1],
        global_token=bool(added),
    )
    # As in BERT a position is a column of the padded tensor, whatever stands before it.
    positions_T = text_places_T % max(width, 1)
    if has_text and given.position_ids is not None:
        positions_T = given.position_ids.expand(pairs, width).flatten()[text_places_T]
    return PackedInputs(
        input_ids_T=_at(given.input_ids, text_places_T),
        token_types_T=_at(given.token_type_ids if has_text else None, text_places_T),
        features_RD=features_RD,
        boxes_R5=boxes_R5,
        zeroed_R=None,
        cu_regions=cu_regions,
        layout=replace(arranged, positions_T=positions_T),
        global_token=config.global_token if added else "none",
        text_places_T=text_places_T if has_text else None,
        image_places_V=image_places_V if has_image else None,
        pairs=pairs,
        text_width=width,
        image_width=real_BV.shape[1],
        words_TH=None if given.inputs_embeds is None else given.inputs_embeds.flatten(0, 1)[text_places_T],
        **({} if given.tags is None else _tagged(given.tags, real_BL, real_BR)),
    )


def _at(x_BL: Tensor | None, places_T: Tensor) -> Tensor:
    """int64 zeros where nothing is given."""
    return torch.zeros_like(places_T) if x_BL is None else x_BL.flatten()[places_T]


def _tagged(tags_S3: Tensor, real_BL: Tensor, real_BR: Tensor) -> dict[str, Tensor]:
    """The rows of tagged tokens and of their regions, those of padding left out."""
    pair_S, token_S, region_S = tags_S3.long().unbind(1)
    kept_S = real_BL[pair_S, token_S] & real_BR[pair_S, region_S]
    rows_BL, rows_BR = (real.flatten().cumsum(0).view(real.shape) - 1 for real in (real_BL, real_BR))
    return {
        "tagged_words_S": rows_BL[pair_S, token_S][kept_S],
        "tagged_regions_S": rows_BR[pair_S, region_S][kept_S],
    }


def unpack(x_NH: Tensor | None, places_N: Tensor | None, pairs: int, width: int) -> Tensor | None:
    """[B, width, H] with zeros at the places that hold nothing."""
    if x_NH is None or places_N is None:
        return None
    padded = x_NH.new_zeros(pairs * width, x_NH.shape[1])
    return padded.index_copy(0, places_N, x_NH).view(pairs, width, -1)


def _mask(mask: Tensor | None, shape: Sequence[int], device: torch.device) -> Tensor:
    if mask is None:
        return torch.ones(shape, dtype=torch.bool, device=device)
    return mask.bool()


def _refuse_empty(name: str, real_BL: Tensor) -> None:
    """A pooled vector is that of a stream's first token: without one it would be a neighbour's."""
    empty = (~real_BL.any(1)).nonzero()
    if len(empty):
        raise ValueError(f"{name}, row {int(empty[0])}: hides everything; leave that pair out")


def _offsets(real_BL: Tensor) -> Tensor:
    cu = real_BL.new_zeros(real_BL.shape[0] + 1, dtype=torch.int32)
    cu[1:] = real_BL.sum(1).cumsum(0)
    return cu


def _check(config: InterBertConfig, given: PaddedInputs) -> None:
    words, features = given.words, given.region_features
    if given.input_ids is not None and given.inputs_embeds is not None:
        raise ValueError("input_ids and inputs_embeds are both given; give one of them")
    if words is None and features is None:
        raise ValueError("give input_ids (or inputs_embeds), region_features, or both")
    if (features is None) != (given.region_boxes is None):
        raise ValueError("region_features and region_boxes come together")
    if given.add_global and config.global_token == "none":
        raise ValueError("add_global=True, but this model's configuration has global_token 'none'")
    if words is not None and words.shape[1] > config.max_position_embeddings:
        raise ValueError(
            f"the texts have {words.shape[1]} places; this model knows {config.max_position_embeddings} positions"
        )
    if features is None:
        return
    if features.shape[-1] != config.feature_width:
        raise ValueError(
            f"region_features are {features.shape[-1]} wide; this model takes {config.feature_width}"
        )
    if words is not None and words.shape[0] != features.shape[0]:
        raise ValueError(f"{words.shape[0]} texts and {features.shape[0]} images: they come in pairs")
