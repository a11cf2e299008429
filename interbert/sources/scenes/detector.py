"""What an object detector would report of the scenes: not the truth, but jittered, doubled, missed, imagined
boxes with noisy features and a soft, sometimes wrong, distribution over the classes.

Drawn a chunk of images at a time, a pure function of (seed, split, chunk). Boxes and classes come from
another stream than the noise of the features, so they do not depend on the feature width.

Shape legend: N images of a chunk, S slots an image (candidates for regions, most of them unused), R regions,
D feature width, K classes (0 is background).
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from interbert.rng import Purpose, generator
from interbert.sources.scenes.world import (
    COLOURS,
    KINDS,
    MAX_OBJECTS,
    NO_KIND,
    SHAPES,
    SIZES,
    WINDOW,
    Window,
    parts_of,
    stream,
)

CHUNK = 256
assert WINDOW % CHUNK == 0
CLASS_NAMES = ("background", *(f"{colour} {shape}" for colour in COLOURS for shape in SHAPES))
CLASSES = len(CLASS_NAMES)
DEFAULT_REGIONS = (6, 14)

_MISSED = 0.03
_AGAIN = (0.75, 0.40)
"""How often an object has a second and a third box."""
_WRONG_COLOUR, _WRONG_SHAPE = 0.05, 0.05
_BACKGROUNDS = 6
"""Kinds of background that spurious boxes look like."""
_NOISE = 0.9
"""Standard deviation of the noise on a feature whose signal has about 1."""
_NOISE_OF_DICE = np.float32(_NOISE / np.sqrt(2 * (16**2 - 1) / 12))
_BLOCK = 1 << 15
"""Values of features made at a time: they stay in the cache, and torch starts no threads for them."""
_DETECTOR_SEED = 20200307
"""The detector is one and the same for every data set: what is learnt on one seed holds on another."""


@dataclass(frozen=True)
class Detections:
    """Regions of all images of a chunk, one image after another, by falling confidence."""

    counts_N: np.ndarray
    boxes_R4: np.ndarray
    class_probs_RK: np.ndarray
    confidence_R: np.ndarray
    kinds_R: np.ndarray
    """What stands there: NO_KIND for a spurious box."""
    objects_R: np.ndarray
    """Which object of its scene; -1 for a spurious box."""
    spots_R2: np.ndarray
    """Centre as shares of the image, for the features."""
    backgrounds_R: np.ndarray


def check_regions(regions: tuple[int, int]) -> tuple[int, int]:
    low, high = regions
    if not (1 <= low <= high and high >= MAX_OBJECTS):
        raise ValueError(
            f"regions {low}:{high}: write MIN:MAX with 1 <= MIN <= MAX and MAX at least {MAX_OBJECTS}, "
            "the most objects of a scene"
        )
    return regions


def detect(window: Window, chunk: int, regions: tuple[int, int] = DEFAULT_REGIONS) -> Detections:
    """The regions of images chunk * CHUNK … of the split, which lie in `window`."""
    low, high = check_regions(regions)
    start = chunk * CHUNK - window.number * WINDOW
    rows = slice(start, start + CHUNK)
    rng = generator(window.seed, Purpose.SCENES, stream(window.split, "boxes"), chunk)
    kinds_N6, sizes_N2 = window.kinds_N6[rows], window.sizes_N2[rows]
    wanted_N = rng.integers(low, high + 1, len(kinds_N6))
    kept_NS = _choose_slots(rng, kinds_N6, wanted_N, high)

    images_R, slots_R = np.nonzero(kept_NS)
    seen = slots_R < 3 * MAX_OBJECTS
    objects_R = np.where(seen, slots_R % MAX_OBJECTS, -1)
    kinds_R = np.where(seen, kinds_N6[images_R, objects_R], NO_KIND).astype(np.int64)
    true_R4 = window.boxes_N64[rows][images_R, objects_R].astype(np.float64)
    first = seen & (slots_R < MAX_OBJECTS)
    boxes_R4 = np.where(
        seen[:, None], _jittered(rng, true_R4, first), _spurious_boxes(rng, sizes_N2[images_R])
    )
    boxes_R4 = _inside(boxes_R4, sizes_N2[images_R])
    probs_RK = _class_distributions(rng, kinds_R)
    confidence_R = probs_RK[:, 1:].max(axis=1) * (1 - 0.1 * ~first)
    backgrounds_R = rng.integers(0, _BACKGROUNDS, len(kinds_R))

    order = np.lexsort((-confidence_R, images_R))
    boxes_R4 = boxes_R4[order]
    return Detections(
        counts_N=np.bincount(images_R, minlength=len(kinds_N6)),
        boxes_R4=boxes_R4.astype(np.float32),
        class_probs_RK=probs_RK[order].astype(np.float16),
        confidence_R=confidence_R[order].astype(np.float32),
        kinds_R=kinds_R[order],
        objects_R=objects_R[order],
        spots_R2=(boxes_R4[:, :2] + boxes_R4[:, 2:]) / 2 / sizes_N2[images_R],
        backgrounds_R=backgrounds_R[order],
    )


def features_of(detections: Detections, window: Window, chunk: int, width: int) -> np.ndarray:
    """float16 [R, D]: what is seen there (colour, shape, size, a little of the place), and noise."""
    import torch  # slow to import, and needed for this alone

    raw = generator(window.seed, Purpose.SCENES, stream(window.split, "noise"), chunk).bit_generator
    looks, places = _embeddings(width)
    look_R = np.where(detections.kinds_R == NO_KIND, KINDS + detections.backgrounds_R, detections.kinds_R)
    spots_R2 = (2 * detections.spots_R2 - 1).astype(np.float32)
    features_RD = torch.empty(len(look_R), width, dtype=torch.float16)
    step = max(1, _BLOCK // width)
    for start in range(0, len(look_R), step):
        rows = slice(start, start + step)
        signal = looks[look_R[rows]]
        signal += spots_R2[rows] @ places
        dice = raw.random_raw(-(-signal.size // 8)).view(np.uint8)[: signal.size].reshape(signal.shape)
        # Each byte is two dice of 16 sides. Their sum is bell-shaped enough, at a tenth of the cost of exact
        # normal numbers, which would be most of the time that writing a store takes.
        signal += ((dice & 15) + (dice >> 4)) * _NOISE_OF_DICE
        features_RD[rows] = torch.from_numpy(signal)  # converts five times as quickly as numpy
    return features_RD.numpy()


def _choose_slots(
    rng: np.random.Generator, kinds_N6: np.ndarray, wanted_N: np.ndarray, most: int
) -> np.ndarray:
    """bool [N, S]: the first, second and third box of each of 6 objects, then spurious boxes.

    Every slot gets a key and the lowest are kept: first boxes before all others, and what cannot be, last.
    """
    count = len(kinds_N6)
    there = kinds_N6 != NO_KIND
    found = there & (rng.random(kinds_N6.shape) >= _MISSED)
    keys = rng.random((count, 3 * MAX_OBJECTS + most))
    keys[:, :MAX_OBJECTS] = np.where(found, 0, np.inf)
    for box, share in enumerate(_AGAIN, start=1):
        place = slice(box * MAX_OBJECTS, (box + 1) * MAX_OBJECTS)
        keys[:, place] = np.where(found & (rng.random(found.shape) < share), keys[:, place], np.inf)
    # Few spurious boxes among the rest, unless there is nothing else to fill up with.
    spurious = keys[:, 3 * MAX_OBJECTS :]
    spurious[:, 2:] += 1
    lowest = keys.argsort(axis=1, kind="stable")
    kept = np.zeros(keys.shape, dtype=bool)
    np.put_along_axis(kept, lowest, np.arange(keys.shape[1]) < wanted_N[:, None], axis=1)
    return kept


def _jittered(rng: np.random.Generator, boxes_R4: np.ndarray, first_R: np.ndarray) -> np.ndarray:
    spread = np.where(first_R, 0.04, 0.10)[:, None]
    centre = (boxes_R4[:, :2] + boxes_R4[:, 2:]) / 2
    extent = boxes_R4[:, 2:] - boxes_R4[:, :2]
    centre = centre + extent * spread * rng.standard_normal(centre.shape)
    extent = extent * np.exp(1.5 * spread * rng.standard_normal(centre.shape))
    return np.concatenate([centre - extent / 2, centre + extent / 2], axis=1)


def _spurious_boxes(rng: np.random.Generator, sizes_R2: np.ndarray) -> np.ndarray:
    extent = 30 + 130 * rng.random(sizes_R2.shape)
    low = rng.random(sizes_R2.shape) * (sizes_R2 - extent)
    return np.concatenate([low, low + extent], axis=1)


def _inside(boxes_R4: np.ndarray, sizes_R2: np.ndarray) -> np.ndarray:
    low = np.clip(boxes_R4[:, :2], 0, sizes_R2 - 2)
    high = np.clip(boxes_R4[:, 2:], low + 1, sizes_R2)
    return np.concatenate([low, high], axis=1)


def _class_distributions(rng: np.random.Generator, kinds_R: np.ndarray) -> np.ndarray:
    """A softmax over colour and shape, its peak elsewhere now and then; spurious boxes lean to background."""
    count = len(kinds_R)
    spurious = kinds_R == NO_KIND
    colour, shape, _ = parts_of(np.where(spurious, rng.integers(0, KINDS, count), kinds_R))
    for attribute, values, share in (
        (colour, len(COLOURS), _WRONG_COLOUR),
        (shape, len(SHAPES), _WRONG_SHAPE),
    ):
        wrong = rng.random(count) < share
        attribute[wrong] = (attribute + rng.integers(1, values, count))[wrong] % values
    sure = np.where(spurious, 0.8, 3.5) + 0.5 * rng.standard_normal(count)
    scores = 0.6 * rng.standard_normal((count, len(COLOURS), len(SHAPES)))
    everyone = np.arange(count)
    scores[everyone, colour] += sure[:, None]
    scores[everyone, :, shape] += sure[:, None]
    background = np.where(spurious, 5.0, 1.0) + rng.standard_normal(count)
    scores = np.concatenate([background[:, None], scores.reshape(count, -1)], axis=1)
    scores = np.exp(scores - scores.max(axis=1, keepdims=True))
    return scores / scores.sum(axis=1, keepdims=True)


@lru_cache(maxsize=2)
def _embeddings(width: int) -> tuple[np.ndarray, np.ndarray]:
    """Fixed looks [kinds + backgrounds, D], less the mean of the noise, and directions of place [2, D]."""
    rng = generator(_DETECTOR_SEED, Purpose.SCENES, width)
    parts = [rng.standard_normal((n, width)) for n in (len(COLOURS), len(SHAPES), len(SIZES))]
    colour, shape, size = parts_of(np.arange(KINDS))
    kinds = 0.65 * parts[0][colour] + 0.65 * parts[1][shape] + 0.4 * parts[2][size]
    backgrounds = 0.8 * rng.standard_normal((_BACKGROUNDS, width))
    looks = (np.concatenate([kinds, backgrounds]) - 15 * _NOISE_OF_DICE).astype(np.float32)
    return looks, (0.15 * rng.standard_normal((2, width))).astype(np.float32)
