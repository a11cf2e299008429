"""How far a parameter lies below the top of the encoder."""

import re

from interbert.model.shape.shape import Stage

LAYER = re.compile(r"(?:^|\.)stages\.(\d+)\.(\d+)\.")
EMBEDDINGS = re.compile(r"(?:^|\.)(text|image)_embeddings\.")
STREAMS_OF = {"text": ("text",), "image": ("image",), "joint": ("text", "image"), "cross": ("text", "image")}


def depth_of(name: str, stages: list[Stage]) -> int:
    """Layers from the top: 0 for heads and poolers, 1 for the last layer of a stream, and for a stream's embeddings
    one more than for its lowest layer. Streams are counted each for itself until they meet."""
    above, whole = layers_above(stages)
    if found := LAYER.search(name):
        stage, layer = map(int, found.groups())
        return above[stage] + stages[stage].layers - layer
    if found := EMBEDDINGS.search(name):
        return whole[found[1]] + 1
    return 0


def layers_above(stages: list[Stage]) -> tuple[list[int], dict[str, int]]:
    """Above each stage, on the longer way where it is of both streams; and of each stream in all."""
    heights, above = {"text": 0, "image": 0}, []
    for stage in reversed(stages):
        streams = STREAMS_OF[stage.kind]
        above.append(max(heights[stream] for stream in streams))
        heights |= dict.fromkeys(streams, above[-1] + stage.layers)
    return above[::-1], heights
