"""Making pairs false: which caption or image takes the place of the true one."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from interbert.batches.exchange import deal
from interbert.batches.members import Members
from interbert.config import MismatchSettings
from interbert.corpus.sameness import Truth, texts_of_tokens
from interbert.corpus.tokens import TokenTable
from interbert.mining.negatives import CandidateTable

_ROWS_AT_A_TIME = 1 << 18


class Mismatcher:
    """Draws the mismatches of a whole epoch at once.

    Every row is made false with probability `share`. The false rows exchange their captions (or their images)
    among each other, those of a data set with their like. So each caption and each image comes as often as without
    mismatches, and whether a pair is true cannot be told from its caption, its image or its data set alone.

    By `swap_share` and `hard_share` a row gets one of its caption's falsified versions instead, or one of its
    candidates (near in TF-IDF, of another image), as far as another false row has one to give. Falsified versions
    are never true: that much they do tell. For each one that comes, a caption of the same data set stays out.

    No pair is made of an image and a caption that is true of it by `Truth`. Rows for which nothing else is found
    (they are many only where most captions are of one image, or read alike) stay true.
    """

    def __init__(
        self,
        corpus: Any,
        tokens: TokenTable,
        settings: MismatchSettings,
        candidates: CandidateTable | None,
    ) -> None:
        self._settings = settings
        if settings.share == 0:
            return
        _check(corpus, settings, candidates)
        texts = texts_of_tokens(tokens)
        if len(texts) and (texts[: corpus.captions] == texts[0]).all():
            raise ValueError(
                "all captions are the same to the tokenizer, so none can be false: give a tokenizer that knows "
                "their words (data.tokenizer), or set mismatch.share=0"
            )
        self._captions = corpus.captions
        self._ends_of_sets = np.array([captions.stop for captions in corpus.caption_ranges])
        self._truth = Truth(corpus, texts)
        self._candidates = candidates.rows if candidates is not None and settings.hard_share > 0 else None
        self._swapped = self._false_versions(corpus) if settings.swap_share > 0 else None

    def apply(
        self, rng: np.random.Generator, image: np.ndarray, caption: np.ndarray, is_match: np.ndarray
    ) -> None:
        """Make a share of the rows false, in place."""
        settings = self._settings
        if settings.share == 0:
            return
        false = np.flatnonzero(_by_chance(rng, len(image), settings.share)).astype(np.int32)
        if settings.side == "either":
            on_caption = _by_chance(rng, len(false), 0.5)
        else:
            on_caption = np.full(len(false), settings.side == "caption")
        is_match[false] = False
        of_image, of_caption = false[~on_caption], false[on_caption]
        del false, on_caption
        is_match[self._exchange_images(rng, image, caption, of_image)] = True
        is_match[self._exchange_captions(rng, image, caption, of_caption)] = True

    def _exchange_images(
        self, rng: np.random.Generator, image: np.ndarray, caption: np.ndarray, rows: np.ndarray
    ) -> np.ndarray:
        """Gives the rows other images, in place; returns the rows that keep their own."""
        own, fixed = image[rows], caption[rows]
        new, stuck = deal(
            rng,
            own,
            lambda some, images: self._truth.holds(images, fixed[some]),
            self._both_sets(fixed, fixed),
        )
        new[stuck] = own[stuck]
        image[rows] = new
        return rows[stuck]

    def _exchange_captions(
        self, rng: np.random.Generator, image: np.ndarray, caption: np.ndarray, rows: np.ndarray
    ) -> np.ndarray:
        """Gives the rows other captions, in place; returns the rows that keep their own."""
        fixed, own = image[rows], caption[rows]
        new, pool = self._chosen_captions(rng, fixed, own)
        rest = np.flatnonzero(new < 0)
        fixed_rest = fixed[rest]
        new[rest], stuck = deal(
            rng,
            pool,
            lambda some, captions: self._truth.holds(fixed_rest[some], captions),
            self._both_sets(pool, own[rest]),
        )
        stuck = rest[stuck]
        new[stuck] = own[stuck]
        caption[rows] = new
        return rows[stuck]

    def _chosen_captions(
        self, rng: np.random.Generator, image: np.ndarray, own: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Falsified versions and candidates, -1 in the other rows, and the captions left for those."""
        new, pool = np.full_like(own, -1), own
        if self._swapped is None and self._candidates is None:
            return new, pool
        settings = self._settings
        kind, pick = rng.random(len(own)), rng.random(len(own))
        swap = kind < settings.swap_share
        hard = ~swap & (kind < settings.swap_share + settings.hard_share)
        del kind
        if self._swapped is not None:
            rows = np.flatnonzero(swap)
            rows = rows[self._swapped.counts[own[rows]] > 0]
            new[rows] = self._swapped.pick(own[rows], pick[rows])
            pool = self._without_as_many(rng, own, own[rows])
        if self._candidates is not None:
            rows = np.flatnonzero(hard).astype(np.int32)
            pick = pick[rows]
            new[rows], pool = self._hard_captions(image[rows], own[rows], pick, pool)
        return new, pool

    def _hard_captions(
        self, image: np.ndarray, own: np.ndarray, pick: np.ndarray, pool: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """A candidate of each row's own caption that is in the pool, -1 where there is none; and what is left."""
        new = np.full_like(own, -1)
        free = np.zeros(self._captions, np.int32)
        for part in _parts(len(pool)):
            np.add.at(free, pool[part], 1)
        filled = self._filled(own)
        claim = np.empty(self._captions, dtype=np.int32)
        for turn in range(filled.max(initial=0)):
            found = [
                self._wishes(part, turn, image, own, pick, new, filled, free) for part in _parts(len(own))
            ]
            asking = np.concatenate([rows for rows, _ in found])
            wish = np.concatenate([wishes for _, wishes in found])
            del found
            claim[wish] = asking  # one gets it: the order of the rows is random
            got = claim[wish] == asking
            new[asking[got]] = wish[got]
            free[wish[got]] -= 1
        del claim, filled
        left = [
            np.repeat(np.arange(part.start, part.start + len(free[part]), dtype=pool.dtype), free[part])
            for part in _parts(len(free))
        ]
        return new, np.concatenate(left)

    def _wishes(
        self,
        part: slice,
        turn: int,
        image: np.ndarray,
        own: np.ndarray,
        pick: np.ndarray,
        new: np.ndarray,
        filled: np.ndarray,
        free: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Of a part of the rows those that have nothing yet, as far as what they now wish for is free; and that.

        Each row begins with any of its candidates and goes on in their order.
        """
        rows = (part.start + np.flatnonzero((new[part] < 0) & (filled[part] > turn))).astype(np.int32)
        place = ((pick[rows] * filled[rows]).astype(np.int64) + turn) % filled[rows]
        wish = self._candidates[own[rows], place]
        good = (free[wish] > 0) & ~self._truth.holds(image[rows], wish)
        return rows[good], wish[good]

    def _filled(self, own: np.ndarray) -> np.ndarray:
        """int32: how many candidates each of these captions has."""
        filled = np.empty(len(own), np.int32)
        for part in _parts(len(own)):
            filled[part] = (self._candidates[own[part]] >= 0).sum(axis=1)
        return filled

    def _without_as_many(
        self, rng: np.random.Generator, captions: np.ndarray, swapped: np.ndarray
    ) -> np.ndarray:
        """The captions without some, drawn from all of a set: as many of each set as are among the swapped."""
        shuffled = rng.permutation(captions)
        sets = self._sets(shuffled)
        drop = np.bincount(self._sets(swapped), minlength=len(self._ends_of_sets))
        kept = [shuffled[sets == number][count:] for number, count in enumerate(drop.tolist())]
        return np.concatenate(kept)

    def _both_sets(self, pool: np.ndarray, own: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        return (self._sets(pool), self._sets(own)) if len(self._ends_of_sets) > 1 else None

    def _sets(self, captions: np.ndarray) -> np.ndarray:
        """The number of the data set that each caption is of."""
        return np.searchsorted(self._ends_of_sets, captions, side="right").astype(np.uint16)

    def _false_versions(self, corpus: Any) -> Members:
        """The swapped captions of each caption, without those that say what another true one says."""
        numbers = np.arange(corpus.captions, corpus.captions + corpus.swapped, dtype=np.int32)
        false = ~self._truth.holds(corpus.caption_image[numbers], numbers)
        return Members(numbers[false], corpus.swapped_of[false], corpus.captions)


def _by_chance(rng: np.random.Generator, count: int, share: float) -> np.ndarray:
    """bool: each true with that probability; the same as if all numbers were drawn at once."""
    true = np.empty(count, bool)
    for part in _parts(count):
        true[part] = rng.random(len(true[part])) < share
    return true


def _parts(count: int) -> Iterator[slice]:
    for start in range(0, count, _ROWS_AT_A_TIME):
        yield slice(start, start + _ROWS_AT_A_TIME)


def _check(corpus: Any, settings: MismatchSettings, candidates: CandidateTable | None) -> None:
    captioned = np.count_nonzero(np.bincount(corpus.image_group[corpus.caption_image[: corpus.captions]]))
    if captioned < 2:
        raise ValueError(
            f"a mismatched pair needs two images with captions, but the data set has {corpus.images} images, "
            f"{captioned} of them with captions: set mismatch.share=0"
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
