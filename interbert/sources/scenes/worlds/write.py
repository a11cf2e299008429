"""Writes examples of a world: about the scenes of a store, in the format of docs/examples.md."""

import json
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

from interbert.config import Kind, World
from interbert.files import replaced
from interbert.rng import Purpose, generator
from interbert.sources.scenes.captions import Draws
from interbert.sources.scenes.detector import DEFAULT_REGIONS
from interbert.sources.scenes.world import Split, stream
from interbert.sources.scenes.worlds.entailment import draw_entailment
from interbert.sources.scenes.worlds.nlvr2 import draw_nlvr2
from interbert.sources.scenes.worlds.pool import Pool
from interbert.sources.scenes.worlds.referring import draw_referring
from interbert.sources.scenes.worlds.text import draw_text
from interbert.sources.scenes.worlds.vcr import draw_vcr
from interbert.sources.scenes.worlds.vqa import draw_vqa

Draw = Callable[[Pool, Draws], list[dict[str, Any]]]
"""A few lines that are balanced together; none where that did not come about."""

WORLDS: dict[World, tuple[Kind, Draw]] = {
    "vqa": ("classify", draw_vqa),
    "entailment": ("classify", draw_entailment),
    "nlvr2": ("classify", draw_nlvr2),
    "referring": ("point", draw_referring),
    "text": ("classify", draw_text),
    "vcr": ("choose", draw_vcr),
}
_VAIN = 20_000
"""Draws in a row without any example, after which there is no hope."""


def write_examples(
    path: str | Path,
    world: World,
    count: int,
    images: int,
    seed: int,
    split: Split = "train",
    regions: tuple[int, int] = DEFAULT_REGIONS,
) -> None:
    """About the scenes of a store that was written with the same images, seed, split and regions."""
    path = Path(path)
    lines = draw_lines(world, count, images, seed, split, regions)
    with replaced(path) as partial, open(partial, "w", encoding="utf-8") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)


def draw_lines(
    world: World,
    count: int,
    images: int,
    seed: int,
    split: Split,
    regions: tuple[int, int] = DEFAULT_REGIONS,
) -> list[dict[str, Any]]:
    if count < 1:
        raise ValueError(f"{count} examples: a file holds at least 1")
    place = list(WORLDS).index(world)
    draws = Draws(generator(seed, Purpose.SCENES, stream(split, "examples"), place))
    _, draw = WORLDS[world]
    groups = _groups(draw, Pool(seed, split, images, regions), draws, world)
    lines = islice((line for group in groups for line in group), count)
    return [{"id": f"{world}-{split}-s{seed}-{number:06d}", **line} for number, line in enumerate(lines)]


def _groups(draw: Draw, pool: Pool, draws: Draws, world: World):
    """In each group the order of its lines is random, so that a place in the file tells nothing."""
    vain = 0
    while vain < _VAIN:
        group = draw(pool, draws)
        yield [group[place] for place in draws.sample(len(group), len(group))]
        vain = 0 if group else vain + 1
    raise ValueError(
        f"{len(pool)} scenes are too few for examples of {world}, which ask the same of different scenes: take more"
    )
