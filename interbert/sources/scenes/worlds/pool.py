"""The scenes that examples are about: those of one store, found by what is in them.

Shape legend: N scenes, 6 places for objects.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from interbert.corpus.boxes import overlaps_RB
from interbert.sources.scenes.captions import Draws
from interbert.sources.scenes.detector import CHUNK, DEFAULT_REGIONS, detect
from interbert.sources.scenes.forms import Phrase, kinds_matching, phrase_of
from interbert.sources.scenes.world import KINDS, WINDOW, Scene, Split, sample_window

_TRIES = 40
_SHOWS = 0.5
"""Overlap from above which a region shows an object: that by which regions are judged."""


class _Seen(NamedTuple):
    """What the detector reports of a chunk of scenes."""

    boxes_R4: np.ndarray
    first_N: np.ndarray
    """[N + 1]: where the regions of each scene begin."""


class Pool:
    def __init__(
        self, seed: int, split: Split, images: int, regions: tuple[int, int] = DEFAULT_REGIONS
    ) -> None:
        """The scenes of a store written with these options."""
        self.seed, self.split, self._regions = seed, split, regions
        self._windows = [sample_window(seed, split, number) for number in range(-(-images // WINDOW))]
        self._kinds_N6 = np.concatenate([window.kinds_N6 for window in self._windows])[:images]
        self._scenes: dict[int, Scene] = {}
        self._counts: dict[Phrase, np.ndarray] = {}
        self._seen: dict[int, _Seen] = {}

    def __len__(self) -> int:
        return len(self._kinds_N6)

    def scene(self, number: int) -> Scene:
        if number not in self._scenes:
            self._scenes[number] = self._windows[number // WINDOW].scene(number % WINDOW)
        return self._scenes[number]

    def any_scene(self, draws: Draws) -> Scene:
        return self.scene(draws.below(len(self)))

    def counts_N(self, phrase: Phrase) -> np.ndarray:
        """How many objects of each scene the phrase describes."""
        if phrase not in self._counts:
            matching = np.zeros(KINDS + 1, dtype=bool)
            matching[list(kinds_matching(phrase))] = True
            self._counts[phrase] = matching[self._kinds_N6].sum(axis=1)
        return self._counts[phrase]

    def find(self, likely_N: np.ndarray, draws: Draws, fits: Callable[[int], bool]) -> int | None:
        """A random scene among the likely ones (bool) that fits; None where some tries find none."""
        rows = np.flatnonzero(likely_N)
        for _ in range(min(_TRIES, 2 * len(rows))):
            number = int(draws.choice(rows))
            if fits(number):
                return number
        return None

    def showing(self, number: int, thing: int) -> list[int]:
        """The regions, as numbered in the store, that show an object of a scene; the most alike first."""
        chunk, row = divmod(number, CHUNK)
        if chunk not in self._seen:
            window = self._windows[number // WINDOW]
            found = detect(window, chunk, self._regions)
            self._seen[chunk] = _Seen(found.boxes_R4, np.concatenate([[0], np.cumsum(found.counts_N)]))
        boxes_R4, first_N = self._seen[chunk]
        own_R4 = boxes_R4[first_N[row] : first_N[row + 1]]
        overlap_R = overlaps_RB(own_R4, np.array([self.scene(number).boxes[thing]]))[:, 0]
        return [int(region) for region in np.argsort(-overlap_R) if overlap_R[region] > _SHOWS]


def some_phrase(scene: Scene, draws: Draws, colour: float, shape: float, size: float) -> Phrase:
    """One of the scene's objects by some of its attributes, each named with that probability, one at least."""
    kind = draws.choice(scene.kinds)
    while True:
        named = [draws.unit() < share for share in (colour, shape, size)]
        if any(named):
            return phrase_of(kind, *named)
