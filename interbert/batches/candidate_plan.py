"""Sets of a caption and some images: its own, some that were taken for it, and some of all. Drawn anew each epoch.

Letters: S sets, which are the captions of an epoch; K pairs of a set; N mined images of a caption.
"""

from typing import Any

import numpy as np

from interbert.batches.capacities import cut
from interbert.batches.endless import EndlessPlan, EpochPlan, MaskKind, Rows, captions_of_epoch, make_draw
from interbert.batches.example_plan import capacities_of_groups
from interbert.config import Settings
from interbert.corpus.tokens import TokenTable
from interbert.rng import Purpose


class CandidatePlan(EndlessPlan):
    """The true pair stands first. What is right of the others the plan does not say: a teacher will."""

    def __init__(
        self,
        corpus: Any,
        tokens: TokenTable,
        settings: Settings,
        captions_C: np.ndarray,
        mined_CN: np.ndarray | None,
    ) -> None:
        """captions_C: which are learnt from. mined_CN: images of each of these, -1 where there are fewer; None:
        images of all stand in their place."""
        super().__init__()
        asked = settings.distill
        self._corpus, self._weights, self._captions = corpus, settings.data.weights, captions_C
        self._place = np.full(corpus.captions, -1, np.int64)
        self._place[captions_C] = np.arange(len(captions_C))
        self._mined_CN = mined_CN
        self._mined, self._random = (
            (asked.mined, asked.random) if mined_CN is not None else (0, asked.mined + asked.random)
        )
        self._text = tokens.lengths
        self._regions = np.minimum(corpus.region_counts, settings.data.max_regions).astype(np.int32)
        self.draw = make_draw(settings.train.seed)
        pairs = pairs_of_a_set(settings)
        text, regions = int(self._text[captions_C].max()), int(self._regions.max())
        self.capacities = capacities_of_groups(
            settings,
            self._text[captions_C],
            self._regions[corpus.caption_image[captions_C]],
            (pairs * text, pairs * regions, pairs),
            "a set (distill)",
        )

    def make(self, epoch: int) -> EpochPlan:
        captions = captions_of_epoch(self._corpus, self._weights, self.draw, epoch)
        captions = captions[self._place[captions] >= 0]
        own = self.draw(Purpose.ORDER, epoch).permutation(captions)
        image = self._corpus.caption_image[own].astype(np.int32)
        rng = self.draw(Purpose.CANDIDATES, epoch)
        parts = [image[:, None], self._from_mined(rng, own), self._from_all(rng, image)]
        image_SK = np.concatenate(parts, axis=1)
        sets, pairs = image_SK.shape
        caption = np.repeat(own, pairs)
        is_match = np.zeros((sets, pairs), bool)
        is_match[:, 0] = True
        rows = Rows(
            image_SK.ravel(),
            caption,
            is_match.ravel(),
            np.full(sets * pairs, MaskKind.NONE, np.uint8),
            np.repeat(np.arange(sets, dtype=np.int32), pairs),
        )
        ends = np.arange(sets + 1) * pairs
        return EpochPlan(rows, cut(self.capacities, self._text[caption], self._regions[rows.image], ends))

    def _from_mined(self, rng: np.random.Generator, own_S: np.ndarray) -> np.ndarray:
        """Of each caption some of its mined images, each at most once; any image where there are too few."""
        if not self._mined:
            return np.zeros((len(own_S), 0), np.int32)
        mined_SN = self._mined_CN[self._place[own_S]]
        keys_SN = rng.random(mined_SN.shape, np.float32)
        keys_SN[mined_SN < 0] = 2.0
        chosen = np.argpartition(keys_SN, self._mined - 1, axis=1)[:, : self._mined]
        found = np.take_along_axis(mined_SN, chosen, axis=1).astype(np.int32)
        lacking = found < 0
        found[lacking] = rng.integers(0, self._corpus.images, int(lacking.sum()))
        return found

    def _from_all(self, rng: np.random.Generator, image_S: np.ndarray) -> np.ndarray:
        """Any other images."""
        found = rng.integers(0, self._corpus.images - 1, (len(image_S), self._random), np.int32)
        return found + (found >= image_S[:, None])


def pairs_of_a_set(settings: Settings) -> int:
    return 1 + settings.distill.mined + settings.distill.random
