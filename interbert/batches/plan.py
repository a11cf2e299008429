"""What pretraining learns from, in which order: a pure function of the settings."""

from typing import Any

import numpy as np

from interbert.batches.capacities import Capacities, cut_rows
from interbert.batches.endless import EndlessPlan, EpochPlan, MaskKind, Rows, captions_of_epoch, make_draw
from interbert.batches.mismatch import Mismatcher
from interbert.config import Settings
from interbert.corpus.tokens import TokenTable
from interbert.mining.negatives import CandidateTable
from interbert.rng import Purpose

TEXT_OBJECTIVES = frozenset({"msm", "mlm"})
REGION_OBJECTIVES = frozenset({"mrm", "moc", "mrfr"})


class Plan(EndlessPlan):
    """The endless sequence of micro-batches of a run.

    In epoch e every true caption comes once (or as often as `data.weights` says of its data set), in an order
    drawn from (seed, ORDER, e). A share of the rows is
    then made false (see `Mismatcher`), and consecutive rows are cut into micro-batches by `Capacities`. With
    `masks.sides = alternate` a caption has its words masked in one epoch and its regions in the next.
    Without the objective `itm` nothing is made false; without text (region) objectives nothing of that side
    is masked. The plan of the epoch after the one asked for is made in the background.
    """

    def __init__(
        self,
        corpus: Any,
        tokens: TokenTable,
        settings: Settings,
        candidates: CandidateTable | None = None,
        validation: bool = False,
    ) -> None:
        assert len(tokens.offsets) == corpus.captions + corpus.swapped + 1, "tokens of another corpus"
        assert corpus.captions + corpus.swapped < 2**31 and corpus.images < 2**31
        if corpus.captions == 0:
            raise ValueError("the data set holds no captions: there is nothing to train on")
        super().__init__()
        self.draw = make_draw(settings.train.seed, validation)
        self._corpus = corpus
        self._text_lengths = tokens.lengths
        self._most_regions = settings.data.max_regions
        self._kinds = _mask_kinds(settings)
        self._weights = settings.data.weights
        objectives = set(settings.objectives)
        self._mismatcher = (
            Mismatcher(corpus, tokens, settings.mismatch, candidates) if "itm" in objectives else None
        )
        self.capacities = Capacities.derive(
            settings.token_budget,
            settings.data,
            settings.masks,
            self._text_lengths[: corpus.captions],
            np.minimum(corpus.region_counts, self._most_regions),
        )
        # Mismatches bring any caption to any image: refuse now what some later epoch could not fit.
        self.capacities.check(
            int(self._text_lengths.max()), min(int(corpus.region_counts.max()), self._most_regions)
        )

    def make(self, epoch: int) -> EpochPlan:
        """The plan of an epoch, computed here and now and not kept."""
        captions = captions_of_epoch(self._corpus, self._weights, self.draw, epoch)
        caption = self.draw(Purpose.ORDER, epoch).permutation(captions)
        del captions  # what is not needed any more goes at once: there may be a hundred million of them
        even, odd = self._kinds[epoch & 1], self._kinds[(epoch + 1) & 1]
        mask_kind = np.where((caption & 1).astype(bool), odd, even)
        image = self._corpus.caption_image[caption].astype(np.int32, copy=False)
        is_match = np.ones(len(caption), dtype=bool)
        if self._mismatcher is not None:
            self._mismatcher.apply(self.draw(Purpose.MISMATCH, epoch), image, caption, is_match)

        def lengths(start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
            regions = np.minimum(self._corpus.region_counts[image[start:stop]], self._most_regions)
            return self._text_lengths[caption[start:stop]], regions

        return EpochPlan(
            Rows(image, caption, is_match, mask_kind), cut_rows(self.capacities, len(caption), lengths)
        )


def _mask_kinds(settings: Settings) -> np.ndarray:
    """uint8 [2]: the MaskKind of captions whose index + epoch is even, and odd."""
    names = set(settings.objectives)
    text = MaskKind.TEXT if names & TEXT_OBJECTIVES else MaskKind.NONE
    regions = MaskKind.REGIONS if names & REGION_OBJECTIVES else MaskKind.NONE
    if settings.masks.sides == "alternate" and text and regions:
        return np.array([text, regions], dtype=np.uint8)
    return np.array([text | regions] * 2, dtype=np.uint8)
