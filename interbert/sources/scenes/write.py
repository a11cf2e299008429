"""Writes scenes, what a detector reports of them, and captions as a store, with the tokenizer beside it."""

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from interbert.config import Language, Tongue
from interbert.rng import Purpose, generator
from interbert.sources.scenes.captions import Caption, Draws, captions_of, falsified
from interbert.sources.scenes.detector import (
    CHUNK,
    CLASS_NAMES,
    CLASSES,
    DEFAULT_REGIONS,
    Detections,
    check_regions,
    detect,
    features_of,
)
from interbert.sources.scenes.forms import Uniqueness
from interbert.sources.scenes.noise import disturbed
from interbert.sources.scenes.tongues import tongues_of, vocabulary_of
from interbert.sources.scenes.world import WINDOW, Scene, Split, Window, check_split, sample_window, stream
from interbert.store.writer import StoreWriter
from interbert.tokenizer import write_word_vocabulary

MAX_SWAPPED = 3
"""Most falsified versions of a caption."""


class Told(NamedTuple):
    """What is said of one scene."""

    captions: list[Caption]
    """The first one is distinctive, unless it is noisy; in two languages the same is said in each, one after the
    other."""
    noisy: list[bool]
    swapped: list[tuple[int, Caption]]
    """Falsified versions, each with the number (within the scene) of the caption it was made from."""

    def distinctive(self, place: int) -> bool:
        return self.captions[place].form is self.captions[0].form and not self.noisy[place]


def write_scenes(
    path: str | Path,
    images: int,
    seed: int,
    split: Split = "train",
    feature_width: int = 256,
    captions: int = 5,
    swapped: int = 0,
    regions: tuple[int, int] = DEFAULT_REGIONS,
    noise: float = 0.0,
    language: Language = "en",
) -> None:
    """Write a store of scenes and, where it is missing, the folder `tokenizer` beside it.

    `swapped`: falsified captions a scene. `regions`: fewest and most regions of an image. `noise`: the share of
    captions that speak of another scene or have lost words. `language`: with `both` each caption, true or false, is
    said in English and in Chinese.
    """
    _check(images, seed, split, captions, swapped, noise)
    check_regions(regions)
    path = Path(path)
    source = f"scenes seed={seed} split={split} regions={regions[0]}:{regions[1]}"
    source += f" noise={noise}" if noise else ""
    source += f" language={language}" if language != "en" else ""
    with StoreWriter(
        path, feature_width, classes=CLASSES, evidence="class_probs", source=source, class_names=CLASS_NAMES
    ) as store:
        for chunk in range(-(-images // CHUNK)):
            count = min(CHUNK, images - chunk * CHUNK)
            window = window_of(seed, split, chunk * CHUNK // WINDOW)
            found = detect(window, chunk, regions)
            features_RD = features_of(found, window, chunk, feature_width)
            _add_images(store, window, chunk, count, found, features_RD)
            first = chunk * CHUNK
            of_scenes = tell(window, chunk, count, captions, swapped, noise, language)
            for image, told in enumerate(of_scenes, start=first):
                _add_captions(store, image, told)
    write_words(path.parent, language)


def write_words(folder: Path, language: Language = "en") -> None:
    """The folder `tokenizer` beside stores and examples, where it is missing."""
    if not (folder / "tokenizer").exists():
        write_word_vocabulary(vocabulary_of(language), folder / "tokenizer")


def tell(
    window: Window,
    chunk: int,
    count: int,
    captions: int,
    swapped: int,
    noise: float,
    language: Language = "en",
) -> Iterator[Told]:
    """The captions of the first `count` images of a chunk, one image after another."""
    draws = Draws(generator(window.seed, Purpose.SCENES, stream(window.split, "captions"), chunk))
    swaps = Draws(generator(window.seed, Purpose.SCENES, stream(window.split, "swapped"), chunk))
    faults = Draws(generator(window.seed, Purpose.SCENES, stream(window.split, "faults"), chunk))
    uniqueness = uniqueness_in(window.seed, window.split, window.number)
    start = chunk * CHUNK - window.number * WINDOW
    tongues = tongues_of(language)
    for row in range(start, start + count):
        scene = uniqueness.scene(row)
        made = captions_of(scene, row, uniqueness, draws, captions, tongues[0])
        false = _falsify(scene, made, swapped, swaps)
        if len(tongues) > 1:
            made, false = _in_each(made, false, tongues)
        noisy = [bool(noise) and faults.unit() < noise for _ in made]
        for place in np.flatnonzero(noisy):
            made[place] = disturbed(made[place], scene, uniqueness, faults)
        yield Told(made, noisy, false)


@lru_cache(maxsize=1)
def uniqueness_in(seed: int, split: Split, number: int) -> Uniqueness:
    return Uniqueness(window_of(seed, split, number))


@lru_cache(maxsize=2)
def window_of(seed: int, split: Split, number: int) -> Window:
    return sample_window(seed, split, number)


def _check(images: int, seed: int, split: str, captions: int, swapped: int, noise: float) -> None:
    check_split(split)
    if images < 1:
        raise ValueError(f"{images} images: a store holds at least 1")
    if not 0 <= seed < 2**63:
        raise ValueError(f"seed {seed}: take a whole number from 0 to 2^63 - 1")
    if not 1 <= captions <= 20:
        raise ValueError(f"{captions} captions a scene: from 1 to 20 are possible")
    if not 0 <= swapped <= MAX_SWAPPED * captions:
        raise ValueError(
            f"{swapped} swapped captions a scene: with {captions} captions from 0 to {MAX_SWAPPED * captions}"
        )
    if not 0 <= noise <= 1:
        raise ValueError(f"noise {noise}: it is a share of the captions, from 0 to 1")
    if noise and swapped:
        raise ValueError("falsified versions are made of true captions: take swapped or noise, not both")


def _falsify(scene: Scene, made: list[Caption], count: int, draws: Draws) -> list[tuple[int, Caption]]:
    """Falsified captions, the scene's captions taken in turn; all differ from each other."""
    found: list[tuple[int, Caption]] = []
    texts: set[str] = set()
    turn = 0
    while len(found) < count:
        assert turn < 100 * count, "captions that cannot be falsified"
        place = turn % len(made)
        turn += 1
        false = falsified(made[place], scene, draws)
        if false is not None and false.text not in texts:
            texts.add(false.text)
            found.append((place, false))
    return found


def _in_each(
    made: list[Caption], false: list[tuple[int, Caption]], tongues: tuple[Tongue, ...]
) -> tuple[list[Caption], list[tuple[int, Caption]]]:
    """Every caption in each tongue, one after the other."""
    many = len(tongues)
    said = [caption.in_tongue(tongue) for caption in made for tongue in tongues]
    swapped = [
        (place * many + which, caption.in_tongue(tongue))
        for place, caption in false
        for which, tongue in enumerate(tongues)
    ]
    return said, swapped


def _add_images(
    store: StoreWriter, window: Window, chunk: int, count: int, found: Detections, features_RD: np.ndarray
) -> None:
    start = chunk * CHUNK - window.number * WINDOW
    regions = int(found.counts_N[:count].sum())
    store.add_images(
        [window.image_id(row) for row in range(start, start + count)],
        window.sizes_N2[start : start + count],
        found.counts_N[:count],
        found.boxes_R4[:regions],
        features_RD[:regions],
        found.class_probs_RK[:regions],
    )


def _add_captions(store: StoreWriter, image: int, told: Told) -> None:
    kinds = [int(told.distinctive(place)) for place in range(len(told.captions))]
    first = store.add_captions(image, [caption.text for caption in told.captions], kinds)
    for place, false in told.swapped:
        store.add_swapped(first + place, false.text)
