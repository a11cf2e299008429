"""Which region of a store shows which object of VCR's images."""

from functools import lru_cache

import numpy as np

from interbert.corpus.boxes import overlaps_RB
from interbert.corpus.corpus import Corpus
from interbert.sources.official.vcr import Boxes

_SHOWS = 0.5
"""Overlap from which on a region shows an object."""


class Regions:
    def __init__(self, corpus: Corpus) -> None:
        self._corpus = corpus
        self._boxes_of = lru_cache(64)(self._read)  # rows of one image follow one another
        self.objects = self.shown = 0
        """Of all rows so far: how many objects, and how many of them a region shows."""

    def showing(self, image: str, objects: Boxes) -> dict[int, int]:
        """The region of each object that overlaps it most, where that is half of what the two cover or more.

        With given boxes at the front of the store (`interbert join`) it is the object's own.
        """
        regions_R4, sized = self._boxes_of(image)
        boxes_N4 = objects.boxes_N4 * np.tile(sized / np.array(objects.size), 2)
        found = _best(regions_R4, boxes_N4) if len(regions_R4) and len(boxes_N4) else {}
        self.objects, self.shown = self.objects + len(boxes_N4), self.shown + len(found)
        return found

    def refuse(self) -> None:
        """ValueError where no region shows any object: boxes and regions are of two kinds, or of other images."""
        if self.objects and not self.shown:
            raise ValueError(
                f"no region of the data shows one of the {self.objects:,} objects (boxes that overlap by a half), so "
                "that there is nothing to tag; give the stores of these images, whose sizes are known or shares"
            )

    def _read(self, image: str) -> tuple[np.ndarray, np.ndarray]:
        """The image's regions, and its width and height: 1 and 1 where boxes are shares."""
        number = self._corpus.image_of(image)
        count = self._corpus.region_counts[[number]]
        boxes_R4 = np.empty((int(count[0]), 4), np.float32)
        self._corpus.read(np.array([number]), count, boxes_R4=boxes_R4)
        size = self._corpus.sizes[number].astype(float)
        return boxes_R4, size if (size > 0).all() else np.ones(2)


def _best(regions_R4: np.ndarray, boxes_N4: np.ndarray) -> dict[int, int]:
    overlaps_RN = overlaps_RB(regions_R4, boxes_N4)
    best_N = overlaps_RN.argmax(axis=0)
    return {n: int(best) for n, best in enumerate(best_N) if overlaps_RN[best, n] >= _SHOWS}
