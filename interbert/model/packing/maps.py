"""What layers attend to, as rectangles: the places are those of `hidden_states`, image tokens before words."""

from collections.abc import Sequence

import torch
from torch import Tensor

from interbert.model.packing.attention import Maps
from interbert.model.packing.padding import PackedInputs
from interbert.model.shape.shape import Stage

_CROSS = {"image_to_text": ("image", "text"), "text_to_image": ("text", "image")}
"""Who asks, and who is seen."""


def padded_maps(stages: Sequence[Stage], maps: Maps, inputs: PackedInputs) -> tuple[Tensor, ...]:
    """Of each layer [B, heads, image tokens + words, the same]: zeros where there is no token, and where a layer of
    one stream does not look."""
    places = _places(inputs)
    left = {name: iter(layers) for name, layers in maps.items()}
    found = []
    for stage in stages:
        parts = _CROSS if stage.kind == "cross" else {stage.kind: (stage.kind, stage.kind)}
        for _ in range(stage.layers):
            of_layer = [
                (next(left[name]), places[asks], places[seen]) for name, (asks, seen) in parts.items()
            ]
            found.append(_rectangle(of_layer, inputs.image_width + inputs.text_width))
    return tuple(found)


def _rectangle(of_layer: list[tuple[list[Tensor], list[Tensor], list[Tensor]]], width: int) -> Tensor:
    first = of_layer[0][0]
    whole_BHSS = first[0].new_zeros(len(first), first[0].shape[0], width, width)
    for maps, asks, seen in of_layer:
        for pair, (map_HQK, places_Q, places_K) in enumerate(zip(maps, asks, seen, strict=True)):
            whole_BHSS[pair, :, places_Q[:, None], places_K] = map_HQK
    return whole_BHSS


def _places(inputs: PackedInputs) -> dict[str, list[Tensor]]:
    """By stream, of each pair the columns of its tokens."""
    layout, nothing = inputs.layout, inputs.input_ids_T.new_zeros(0)
    image_V = nothing if inputs.image_places_V is None else inputs.image_places_V % inputs.image_width
    text_T = nothing if inputs.text_places_T is None else inputs.text_places_T % inputs.text_width
    of_image = image_V.split(layout.cu_image.diff().tolist())
    of_text = (inputs.image_width + text_T).split(layout.cu_text.diff().tolist())
    return {
        "image": list(of_image),
        "text": list(of_text),
        "joint": [torch.cat(both) for both in zip(of_image, of_text, strict=True)],
    }
