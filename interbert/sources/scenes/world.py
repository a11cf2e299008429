"""The embedded world: scenes of 3-6 objects with colour, shape, size and place, drawn by the thousand.

Scenes are drawn a window at a time. A window is a pure function of (seed, split, number), so a file of 200
images is the beginning of one of 2,000, and any scene can be drawn again from its image id alone.

Shape legend: N scenes of a window, 6 places for objects (unused ones hold NO_KIND).
"""

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import numpy as np

from interbert.rng import Purpose, generator

COLOURS = ("red", "green", "blue", "yellow", "purple", "orange", "black", "white")
SHAPES = ("ball", "cube", "cone", "ring", "star", "cross")
SIZES = ("small", "large")
KINDS = len(COLOURS) * len(SHAPES) * len(SIZES)
NO_KIND = KINDS
MIN_OBJECTS, MAX_OBJECTS = 3, 6
WINDOW = 4096
"""Scenes of a window: no two hold the same objects, and distinctive captions are checked against all."""

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
_SPLIT_OF_TENTH = np.array([0] * 8 + [1, 2])

_IMAGE_SIZES = np.array([(640, 480), (480, 640), (480, 480)], dtype=np.int64)
_CELL = 160
"""Objects stand in different cells of a grid: they hardly overlap, and relations are never a close call."""
_WANDER = 16
_EXTENT = np.array([(44, 64), (92, 124)])
"""Shortest and longest side of small and large objects, in pixels."""
_COPIED_COLOUR, _COPIED_SHAPE = 0.30, 0.30
"""How often an object takes the colour (shape) of an earlier one; counting and telling apart then matter."""


@dataclass(frozen=True)
class Scene:
    """One scene as it truly is; boxes are x1 y1 x2 y2 in whole pixels."""

    image_id: str
    width: int
    height: int
    kinds: tuple[int, ...]
    boxes: tuple[tuple[int, int, int, int], ...]

    @cached_property
    def centres(self) -> tuple[tuple[float, float], ...]:
        return tuple(((x1 + x2) / 2, (y1 + y2) / 2) for x1, y1, x2, y2 in self.boxes)


@dataclass(frozen=True)
class Window:
    seed: int
    split: Split
    number: int
    kinds_N6: np.ndarray
    """uint8, NO_KIND where there is no object."""
    boxes_N64: np.ndarray
    """int32."""
    sizes_N2: np.ndarray
    """int32, width and height."""

    @property
    def counts_N(self) -> np.ndarray:
        return (self.kinds_N6 != NO_KIND).sum(1)

    def image_id(self, row: int) -> str:
        return image_id(self.seed, self.split, self.number * WINDOW + row)

    def scene(self, row: int) -> Scene:
        count = int((self.kinds_N6[row] != NO_KIND).sum())
        width, height = self.sizes_N2[row].tolist()
        kinds = tuple(self.kinds_N6[row, :count].tolist())
        boxes = tuple(map(tuple, self.boxes_N64[row, :count].tolist()))
        return Scene(self.image_id(row), width, height, kinds, boxes)


def kind_of(colour: int, shape: int, size: int) -> int:
    return (colour * len(SHAPES) + shape) * len(SIZES) + size


def parts_of(kind: int) -> tuple[int, int, int]:
    """Colour, shape and size of a kind."""
    rest, size = divmod(kind, len(SIZES))
    colour, shape = divmod(rest, len(SHAPES))
    return colour, shape, size


def describe(kind: int) -> str:
    colour, shape, size = parts_of(kind)
    return f"{SIZES[size]} {COLOURS[colour]} {SHAPES[shape]}"


def image_id(seed: int, split: Split, index: int) -> str:
    return f"{split}-s{seed}-{index:07d}"


def parse_image_id(text: str) -> tuple[int, Split, int]:
    """(seed, split, index) of a scene's image id."""
    match = re.fullmatch(r"(train|validation|test)-s(\d+)-(\d{7,})", text)
    if match is None:
        raise ValueError(f"image id {text!r} is not a scene's; they look like {image_id(1, 'train', 12)}")
    return int(match[2]), match[1], int(match[3])


def check_split(split: str) -> Split:
    if split not in SPLITS:
        raise ValueError(f"no split {split!r}: take one of {', '.join(SPLITS)}")
    return split


def splits_of(kinds_N6: np.ndarray) -> np.ndarray:
    """Number in SPLITS of each scene. It depends on the objects alone, not on their places or on any seed:
    no two splits, of whatever seeds, ever hold scenes of the same objects."""
    return _SPLIT_OF_TENTH[(_mix(_content(kinds_N6)) % np.uint64(10)).astype(np.int64)]


def sample_window(seed: int, split: Split, number: int) -> Window:
    code = SPLITS.index(check_split(split))
    rng = generator(seed, Purpose.SCENES, stream(split, "world"), number)
    kept: list[np.ndarray] = []
    seen = np.empty(0, dtype=np.uint64)
    while len(seen) < WINDOW:
        kinds = _draw_kinds(rng, WINDOW)
        kinds = kinds[splits_of(kinds) == code]
        content = _content(kinds)
        _, first = np.unique(content, return_index=True)
        first.sort()
        first = first[~np.isin(content[first], seen)]
        kept.append(kinds[first])
        seen = np.concatenate([seen, content[first]])
    kinds_N6 = np.concatenate(kept)[:WINDOW]
    boxes_N64, sizes_N2 = _place(rng, kinds_N6)
    return Window(seed, split, number, kinds_N6, boxes_N64, sizes_N2)


Use = Literal["world", "boxes", "noise", "captions", "swapped", "faults", "examples"]


def stream(split: Split, use: Use) -> int:
    """First index of the counter-based generators: every use in every split draws from its own stream."""
    return 8 * SPLITS.index(split) + get_args(Use).index(use)


def _draw_kinds(rng: np.random.Generator, count: int) -> np.ndarray:
    colour = rng.integers(0, len(COLOURS), (count, MAX_OBJECTS))
    shape = rng.integers(0, len(SHAPES), (count, MAX_OBJECTS))
    size = rng.integers(0, len(SIZES), (count, MAX_OBJECTS))
    rows = np.arange(count)
    for place in range(1, MAX_OBJECTS):
        for attribute, share in ((colour, _COPIED_COLOUR), (shape, _COPIED_SHAPE)):
            earlier = attribute[rows, rng.integers(0, place, count)]
            attribute[:, place] = np.where(rng.random(count) < share, earlier, attribute[:, place])
    kinds = kind_of(colour, shape, size)
    objects = rng.integers(MIN_OBJECTS, MAX_OBJECTS + 1, count)
    return np.where(np.arange(MAX_OBJECTS) < objects[:, None], kinds, NO_KIND).astype(np.uint8)


def _place(rng: np.random.Generator, kinds_N6: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    count = len(kinds_N6)
    sizes = _IMAGE_SIZES[rng.integers(0, len(_IMAGE_SIZES), count)]
    columns, lines = (sizes // _CELL).T
    most = int((_IMAGE_SIZES // _CELL).prod(1).max())
    order = rng.random((count, most))
    order[np.arange(most) >= (columns * lines)[:, None]] = np.inf
    cells = order.argsort(axis=1)[:, :MAX_OBJECTS]
    corner = np.stack([cells % columns[:, None], cells // columns[:, None]], axis=2) * _CELL
    centre = corner + _CELL // 2 + rng.integers(-_WANDER, _WANDER + 1, corner.shape)
    shortest, longest = _EXTENT[kinds_N6 % len(SIZES)].transpose(2, 0, 1)[..., None]
    extent = shortest + (rng.random(corner.shape) * (longest - shortest + 1)).astype(np.int64)
    low = centre - extent // 2
    boxes = np.concatenate([low, low + extent], axis=2)
    boxes[kinds_N6 == NO_KIND] = 0
    return boxes.astype(np.int32), sizes.astype(np.int32)


def _content(kinds_N6: np.ndarray) -> np.ndarray:
    """The objects of a scene as one exact number, whatever their order and places."""
    ordered = np.sort(kinds_N6, axis=1).astype(np.uint64)
    return (ordered << (np.arange(MAX_OBJECTS, dtype=np.uint64) * np.uint64(7))).sum(axis=1, dtype=np.uint64)


def _mix(x: np.ndarray) -> np.ndarray:
    """splitmix64's finaliser."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
