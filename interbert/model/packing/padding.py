"""Between padded tensors, as Hugging Face users hold them, and packed rows.

B pairs have L places for tokens and R for regions.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from interbert.model.packing.layout import Layout, layout
from interbert.model.shape.configuration import InterBertConfig


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
    tagged_words_S: Tensor | None = None
    tagged_regions_S: Tensor | None = None


def pack(
    config: InterBertConfig,
    input_ids: Tensor | None,
    attention_mask: Tensor | None,
    token_type_ids: Tensor | None,
    region_features: Tensor | None,
    region_boxes: Tensor | None,
    region_mask: Tensor | None,
    add_global: bool,
    tags: Tensor | None = None,
) -> PackedInputs:
    """tags [S, 3]: pair, token, region."""
    _check(config, input_ids, region_features, region_boxes, add_global)
    some = input_ids if input_ids is not None else region_features
    assert some is not None
    pairs, device = some.shape[0], some.device
    has_text, has_image = input_ids is not None, region_features is not None
    added = int(add_global and has_image)

    if input_ids is None:
        input_ids = torch.zeros(pairs, 0, dtype=torch.int64, device=device)
        attention_mask = token_type_ids = None
    if region_features is None or region_boxes is None:
        region_features = torch.zeros(pairs, 0, config.feature_width, device=device)
        region_boxes, region_mask = torch.zeros(pairs, 0, 5, device=device), None
    real_BL = _mask(attention_mask, input_ids.shape, device)
    real_BR = _mask(region_mask, region_features.shape[:2], device)
    if has_text:
        _refuse_empty("attention_mask", real_BL)
    if has_image and not added:
        _refuse_empty("region_mask", real_BR)
    real_BV = torch.cat([real_BR.new_ones(pairs, added), real_BR], dim=1)
    text_places_T, image_places_V = real_BL.flatten().nonzero()[:, 0], real_BV.flatten().nonzero()[:, 0]
    features_RD, boxes_R5 = region_features[real_BR], region_boxes[real_BR]

    width = input_ids.shape[1]
    arranged = layout(
        _offsets(real_BL),
        cu_regions := _offsets(real_BR),
        tokens=text_places_T.numel(),
        regions=features_RD.shape[0],
        max_text=width,
        max_regions=region_features.shape[1],
        global_token=bool(added),
    )
    types = torch.zeros_like(input_ids) if token_type_ids is None else token_type_ids
    return PackedInputs(
        input_ids_T=input_ids.flatten()[text_places_T],
        token_types_T=types.flatten()[text_places_T],
        features_RD=features_RD,
        boxes_R5=boxes_R5,
        zeroed_R=None,
        cu_regions=cu_regions,
        # As in BERT a position is a column of the padded tensor, whatever stands before it.
        layout=replace(arranged, positions_T=text_places_T % max(width, 1)),
        global_token=config.global_token if added else "none",
        text_places_T=text_places_T if has_text else None,
        image_places_V=image_places_V if has_image else None,
        pairs=pairs,
        text_width=width,
        image_width=real_BV.shape[1],
        **({} if tags is None else _tagged(tags, real_BL, real_BR)),
    )


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


def _mask(mask: Tensor | None, shape: tuple[int, ...], device: torch.device) -> Tensor:
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


def _check(
    config: InterBertConfig,
    input_ids: Tensor | None,
    region_features: Tensor | None,
    region_boxes: Tensor | None,
    add_global: bool,
) -> None:
    if input_ids is None and region_features is None:
        raise ValueError("give input_ids, region_features, or both")
    if (region_features is None) != (region_boxes is None):
        raise ValueError("region_features and region_boxes come together")
    if add_global and config.global_token == "none":
        raise ValueError("add_global=True, but this model's configuration has global_token 'none'")
    if input_ids is not None and input_ids.shape[1] > config.max_position_embeddings:
        raise ValueError(
            f"input_ids has {input_ids.shape[1]} places; this model knows "
            f"{config.max_position_embeddings} positions"
        )
    if region_features is None:
        return
    if region_features.shape[-1] != config.feature_width:
        raise ValueError(
            f"region_features are {region_features.shape[-1]} wide; this model takes {config.feature_width}"
        )
    if input_ids is not None and input_ids.shape[0] != region_features.shape[0]:
        raise ValueError(
            f"{input_ids.shape[0]} texts and {region_features.shape[0]} images: they come in pairs"
        )
