"""Making pairs false: which caption or image takes the place of the true one."""

from typing import Any

import numpy as np

from interbert.config import MismatchSettings
from interbert.data.negatives import CandidateTable


class Mismatcher:
    """Draws the mismatches of a whole epoch at once.

    Every row is made false with probability `share`. A replaced image is any other one. A replaced caption
    is, by `swap_share` and `hard_share`, one of the true caption's falsified versions, one of its candidates
    (near in TF-IDF, of another image), or any caption of another image; the last also where there is no
    falsified version or no candidate.
    """

    def __init__(self, corpus: Any, settings: MismatchSettings, candidates: CandidateTable | None) -> None:
        self._settings = settings
        if settings.share == 0:
            return
        self._images = corpus.images
        self._candidates = candidates.rows if candidates is not None and settings.hard_share > 0 else None
        self._by_image = _Groups(corpus.caption_image[: corpus.captions], corpus.images)
        self._swapped = _Groups(corpus.swapped_of, corpus.captions) if corpus.swapped else None
        self._captions = corpus.captions
        self._check(corpus, candidates)

    def apply(
        self, rng: np.random.Generator, image: np.ndarray, caption: np.ndarray, is_match: np.ndarray
    ) -> None:
        """Make a share of the rows false, in place."""
        settings = self._settings
        if settings.share == 0:
            return
        false = np.flatnonzero(rng.random(len(image)) < settings.share)
        is_match[false] = False
        if settings.side == "either":
            on_caption = rng.random(len(false)) < 0.5
        else:
            on_caption = np.full(len(false), settings.side == "caption")
        by_image, by_caption = false[~on_caption], false[on_caption]
        image[by_image] = self._other_images(rng, image[by_image])
        caption[by_caption] = self._other_captions(rng, image[by_caption], caption[by_caption])

    def _other_images(self, rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
        drawn = rng.integers(0, self._images - 1, len(image))
        return drawn + (drawn >= image)

    def _other_captions(self, rng: np.random.Generator, image: np.ndarray, caption: np.ndarray) -> np.ndarray:
        settings = self._settings
        new = self._random_captions(rng, image)
        kind, pick = rng.random(len(caption)), rng.random(len(caption))
        swap = kind < settings.swap_share
        hard = ~swap & (kind < settings.swap_share + settings.hard_share)
        if self._swapped is not None:
            rows = np.flatnonzero(swap)
            rows = rows[self._swapped.counts[caption[rows]] > 0]
            new[rows] = self._captions + self._swapped.pick(caption[rows], pick[rows])
        if self._candidates is not None:
            rows = np.flatnonzero(hard)
            filled = (self._candidates[caption[rows]] >= 0).sum(axis=1)
            rows, filled = rows[filled > 0], filled[filled > 0]
            new[rows] = self._candidates[caption[rows], (pick[rows] * filled).astype(np.int64)]
        return new

    def _random_captions(self, rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
        """A caption of any other image: drawn among the captions sorted by image, stepping over its own."""
        first, own = self._by_image.starts[image], self._by_image.counts[image]
        drawn = (rng.random(len(image)) * (self._captions - own)).astype(np.int64)
        return self._by_image.order[drawn + np.where(drawn >= first, own, 0)]

    def _check(self, corpus: Any, candidates: CandidateTable | None) -> None:
        settings = self._settings
        captioned = int((self._by_image.counts > 0).sum())
        if corpus.images < 2 or (settings.side != "image" and captioned < 2):
            raise ValueError(
                f"a mismatched pair needs two images with captions, but the data set has {corpus.images} "
                f"images, {captioned} of them with captions: set mismatch.share=0"
            )
        if settings.side == "image":
            return
        if settings.swap_share + settings.hard_share > 1:
            raise ValueError(
                f"mismatch.swap_share {settings.swap_share} + mismatch.hard_share {settings.hard_share} > 1: "
                "they are shares of the same mismatched captions; lower one of them"
            )
        if settings.swap_share > 0 and corpus.swapped == 0:
            raise ValueError(
                f"mismatch.swap_share is {settings.swap_share}, but the data set holds no swapped captions: "
                "set mismatch.swap_share=0, or write a store that has them"
            )
        if settings.hard_share > 0 and candidates is None:
            raise ValueError(
                f"mismatch.hard_share is {settings.hard_share}, but no table of candidate captions was "
                "given: give one, or set mismatch.hard_share=0"
            )
        if candidates is not None and len(candidates.rows) != corpus.captions:
            raise ValueError(
                f"the table of candidate captions has {len(candidates.rows)} rows, the data set "
                f"{corpus.captions} captions: it was mined from other captions"
            )


class _Groups:
    """Members of each of `groups` groups, one group after another in `order`."""

    def __init__(self, group_of: np.ndarray, groups: int) -> None:
        self.order = np.argsort(group_of, kind="stable").astype(np.int32)
        self.counts = np.bincount(group_of, minlength=groups).astype(np.int32)
        self.starts = np.cumsum(self.counts, dtype=np.int64) - self.counts

    def pick(self, group: np.ndarray, uniform: np.ndarray) -> np.ndarray:
        """A member of each given (non-empty) group, by a number drawn from [0, 1)."""
        return self.order[self.starts[group] + (uniform * self.counts[group]).astype(np.int64)]
