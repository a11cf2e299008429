"""Sets of true and false pairs, drawn anew for each epoch from the captions of a data set.

Letters: S sets, which are the captions of an epoch; K pairs of a set.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from interbert.batches.capacities import cut
from interbert.batches.endless import EndlessPlan, EpochPlan, MaskKind, Rows, captions_of_epoch, make_draw
from interbert.batches.example_plan import capacities_of_groups
from interbert.batches.members import Members
from interbert.config import Settings
from interbert.corpus.corpus import DISTINCTIVE
from interbert.corpus.sameness import Truth, texts_of_tokens
from interbert.corpus.tokens import TokenTable
from interbert.mining.negatives import CandidateTable
from interbert.mining.neighbours import NeighbourTable
from interbert.rng import Purpose

_ROUNDS = 16
"""Times that what turned out true is drawn again, before it is sought among all captions."""


def pairs_of_a_set(settings: Settings) -> int:
    return 1 + settings.task.sets.false_pairs


def random_in_place_of(settings: Settings, kind: str) -> Settings:
    """The same with random captions for this kind of false pairs."""
    sets = settings.task.sets
    plain = sets.model_copy(update={"random_captions": sets.random_captions + getattr(sets, kind), kind: 0})
    return settings.model_copy(update={"task": settings.task.model_copy(update={"sets": plain})})


class SetPlan(EndlessPlan):
    """For each caption of an epoch, in an order drawn from (seed, ORDER, epoch), one set: the true pair; its image
    with captions of other images; its caption with other images, each as often as it has captions; its image with
    captions of its look-alikes; its image with captions that read alike.

    No false pair is true by `Truth`. Where no look-alike serves, or nothing reads alike, any false caption comes
    instead.
    """

    def __init__(
        self,
        corpus: Any,
        tokens: TokenTable,
        settings: Settings,
        neighbours: NeighbourTable | None = None,
        candidates: CandidateTable | None = None,
        validation: bool = False,
    ) -> None:
        assert len(tokens.offsets) == corpus.captions + corpus.swapped + 1, "tokens of another corpus"
        sets = settings.task.sets
        if corpus.captions == 0:
            raise ValueError("the data set holds no captions: there are no sets to draw")
        if sets.near_images and neighbours is None:
            raise ValueError(
                "task.sets.near_images: no table of look-alikes was given; set near_images=0, or mine one"
            )
        assert not sets.near_captions or candidates is not None, "near captions are mined"
        self._corpus = corpus
        self._sets = sets
        self._pairs = pairs_of_a_set(settings)
        self._weights = settings.data.weights
        self._text_lengths = tokens.lengths
        self._regions = np.minimum(corpus.region_counts, settings.data.max_regions).astype(np.int32)
        self._truth = Truth(corpus, texts_of_tokens(tokens))
        self._serves_C = self._serving()
        self._captions = captions = np.flatnonzero(self._serves_C).astype(np.int32)
        self._captions_of = Members(captions, corpus.caption_image[captions], corpus.images)
        self._near = self._look_alikes(neighbours.rows) if sets.near_images else None
        self._alike = self._reading_alike(candidates.rows) if sets.near_captions else None
        # Any caption may meet any image: refuse now what some later epoch could not fit.
        text, regions = int(self._text_lengths[captions].max()), int(self._regions.max())
        largest = (self._pairs * text, self._pairs * regions, self._pairs)
        image = corpus.caption_image[captions]
        super().__init__()
        self.draw = make_draw(settings.train.seed, validation)
        self.capacities = capacities_of_groups(
            settings, self._text_lengths[captions], self._regions[image], largest, "a set (task.sets)"
        )

    def _serving(self) -> np.ndarray:
        """bool [captions]: which sets are drawn from."""
        if self._sets.captions == "all":
            return np.ones(self._corpus.captions, bool)
        serves_C = self._corpus.caption_kind[: self._corpus.captions] == DISTINCTIVE
        if not serves_C.any():
            raise ValueError(
                "task.sets.captions is 'distinctive', and the data marks no caption as such (captions/kind); set "
                "task.sets.captions=all"
            )
        return serves_C

    def make(self, epoch: int) -> EpochPlan:
        captions = captions_of_epoch(self._corpus, self._weights, self.draw, epoch)
        captions = captions[self._serves_C[captions]]
        own = captions[self.draw(Purpose.ORDER, epoch).permutation(len(captions))]
        image = self._corpus.caption_image[own].astype(np.int32)
        image_SK = np.repeat(image[:, None], self._pairs, axis=1)
        caption_SK = np.repeat(own[:, None], self._pairs, axis=1)
        sets, start = self._sets, 1
        for part, (count, draw) in enumerate(
            (
                (sets.random_captions, self._random_captions),
                (sets.random_images, self._random_images),
                (sets.near_images, self._captions_of_look_alikes),
                (sets.near_captions, self._near_captions),
            )
        ):
            stop = start + count
            if count:
                rng = self.draw(Purpose.SETS, epoch, part)
                draw(rng, image_SK[:, start:stop], caption_SK[:, start:stop])
            start = stop
        image, caption = image_SK.ravel(), caption_SK.ravel()
        is_match_SK = np.zeros(image_SK.shape, bool)
        is_match_SK[:, 0] = True
        group = np.repeat(np.arange(len(own), dtype=np.int32), self._pairs)
        rows = Rows(image, caption, is_match_SK.ravel(), np.full(len(image), MaskKind.NONE, np.uint8), group)
        ends = np.arange(len(own) + 1) * self._pairs
        return EpochPlan(rows, cut(self.capacities, self._text_lengths[caption], self._regions[image], ends))

    def _random_captions(
        self, rng: np.random.Generator, image_SK: np.ndarray, caption_SK: np.ndarray
    ) -> None:
        image = image_SK.ravel()
        caption_SK[:] = self._false_captions(rng, image, np.arange(len(image))).reshape(caption_SK.shape)

    def _false_captions(self, rng: np.random.Generator, image: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """int32: for each of these rows any caption that is not true of its image."""
        found, captions = np.empty(len(rows), np.int32), self._captions
        mine = image[rows]
        left = _draw_again(
            found,
            lambda some: captions[rng.integers(0, len(captions), len(some), np.int32)],
            lambda some: self._truth.holds(mine[some], found[some]),
        )
        for row in left.tolist():
            false = captions[self._false_of_all(np.full(len(captions), mine[row]), captions)]
            if len(false) == 0:
                name = self._corpus.image_id(int(mine[row]))
                raise ValueError(
                    f"image {name!r}: every caption of the data set is true of it, or reads alike, so there is no "
                    "false pair; bring more data, or set task.sets.random_captions=0 and near_images=0"
                )
            found[row] = false[int(rng.random() * len(false))]
        return found

    def _random_images(self, rng: np.random.Generator, image_SK: np.ndarray, caption_SK: np.ndarray) -> None:
        caption, found = caption_SK.ravel(), np.empty(image_SK.size, np.int32)
        images = self._corpus.caption_image[self._captions].astype(np.int32)
        left = _draw_again(
            found,
            lambda some: images[rng.integers(0, len(images), len(some))],
            lambda some: self._truth.holds(found[some], caption[some]),
        )
        for row in left.tolist():
            false = self._false_of_all(images, np.full(len(images), caption[row]))
            if len(false) == 0:
                text = self._corpus.caption_text(int(caption[row]))
                raise ValueError(
                    f"caption {text!r}: true of every image that has captions, so there is no false pair; bring more "
                    "data, or set task.sets.random_images=0"
                )
            found[row] = images[false[int(rng.random() * len(false))]]
        image_SK[:] = found.reshape(image_SK.shape)

    def _captions_of_look_alikes(
        self, rng: np.random.Generator, image_SK: np.ndarray, caption_SK: np.ndarray
    ) -> None:
        image = image_SK.ravel()

        def draw(rows: np.ndarray) -> np.ndarray:
            near = self._near.pick(image[rows], rng.random(len(rows)))
            return self._captions_of.pick(near, rng.random(len(rows)))

        self._captions_or_any(rng, image, self._near.counts[image] > 0, draw, caption_SK)

    def _near_captions(self, rng: np.random.Generator, image_SK: np.ndarray, caption_SK: np.ndarray) -> None:
        own = caption_SK.ravel().copy()

        def draw(rows: np.ndarray) -> np.ndarray:
            return self._alike.pick(own[rows], rng.random(len(rows)))

        self._captions_or_any(rng, image_SK.ravel(), self._alike.counts[own] > 0, draw, caption_SK)

    def _captions_or_any(
        self,
        rng: np.random.Generator,
        image: np.ndarray,
        has: np.ndarray,
        draw: Callable[[np.ndarray], np.ndarray],
        caption_SK: np.ndarray,
    ) -> None:
        """Into caption_SK a false caption for each image: drawn for the rows that have some, and any for the rest."""
        have, found = np.flatnonzero(has), np.empty(len(image), np.int32)
        drawn = np.empty(len(have), np.int32)
        left = _draw_again(
            drawn,
            lambda some: draw(have[some]),
            lambda some: self._truth.holds(image[have[some]], drawn[some]),
        )
        found[have] = drawn
        rest = np.sort(np.concatenate([np.flatnonzero(~has), have[left]]))
        found[rest] = self._false_captions(rng, image, rest)
        caption_SK[:] = found.reshape(caption_SK.shape)

    def _look_alikes(self, rows: np.ndarray) -> Members:
        """Of each image the near ones that have captions, but never itself."""
        usable = (rows >= 0) & (rows != np.arange(len(rows), dtype=rows.dtype)[:, None])
        usable &= self._captions_of.counts[rows] > 0
        return Members(rows[usable], np.nonzero(usable)[0], len(rows))

    def _reading_alike(self, rows_CK: np.ndarray) -> Members:
        """Of each caption its candidates, as far as sets are drawn from them."""
        usable = (rows_CK >= 0) & self._serves_C[rows_CK]
        return Members(rows_CK[usable], np.nonzero(usable)[0], len(rows_CK))

    def _false_of_all(self, image_N: np.ndarray, caption_N: np.ndarray) -> np.ndarray:
        return np.flatnonzero(~self._truth.holds(image_N, caption_N))


def _draw_again(
    values: np.ndarray,
    draw: Callable[[np.ndarray], np.ndarray],
    bad: Callable[[np.ndarray], np.ndarray],
) -> np.ndarray:
    """Draw every value, and those that are bad again, a few times; returns where they still are."""
    left = np.arange(len(values))
    for _ in range(_ROUNDS):
        if len(left) == 0:
            break
        values[left] = draw(left)
        left = left[bad(left)]
    return left
