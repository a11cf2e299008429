"""What is trained on, in which order: an endless sequence of micro-batches, a pure function of the settings.

Nothing of it depends on ranks or threads, and it has no state but a `Position`.
"""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from enum import IntFlag
from typing import Any

import numpy as np

from interbert.batches.capacities import Capacities, cut
from interbert.batches.mismatch import Mismatcher
from interbert.config import Settings
from interbert.corpus.tokens import TokenTable
from interbert.mining.negatives import CandidateTable
from interbert.rng import Purpose, generator

TEXT_OBJECTIVES = frozenset({"msm", "mlm"})
REGION_OBJECTIVES = frozenset({"mrm", "moc", "mrfr"})
_EPOCHS_KEPT = 3

Draw = Callable[..., np.random.Generator]
"""(purpose, epoch[, micro-batch]) -> the generator that belongs there."""


class MaskKind(IntFlag):
    """Which sides of a pair are masked."""

    NONE = 0
    TEXT = 1
    REGIONS = 2
    BOTH = 3


@dataclass(frozen=True, order=True)
class Position:
    """The next micro-batch to come: all the state that the data side of a run has."""

    epoch: int = 0
    index: int = 0


@dataclass(frozen=True)
class Rows:
    """Rows of a plan, as parallel arrays."""

    image: np.ndarray
    """int32, image index in the corpus."""
    caption: np.ndarray
    """int32, index in the corpus' caption space (swapped captions included)."""
    is_match: np.ndarray
    """bool: the caption is one of the image's own."""
    mask_kind: np.ndarray
    """uint8, a MaskKind."""
    group: np.ndarray
    """int32: rows of one group belong together. In pretraining each row is a group of its own."""

    def __getitem__(self, rows: slice) -> "Rows":
        return Rows(
            self.image[rows], self.caption[rows], self.is_match[rows], self.mask_kind[rows], self.group[rows]
        )

    def __len__(self) -> int:
        return len(self.image)


@dataclass(frozen=True)
class EpochPlan:
    """One epoch: its rows, and where they are cut into micro-batches."""

    rows: Rows
    starts: np.ndarray
    """int64 [micro_batches + 1]; the last micro-batch may be short."""

    @property
    def micro_batches(self) -> int:
        return len(self.starts) - 1

    def micro_batch(self, index: int) -> Rows:
        return self.rows[int(self.starts[index]) : int(self.starts[index + 1])]


class Plan:
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
        self.draw = make_draw(settings.train.seed, validation)
        self._corpus = corpus
        self._text_lengths = tokens.lengths
        self._regions = np.minimum(corpus.region_counts, settings.data.max_regions).astype(np.int32)
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
            self._regions,
        )
        # Mismatches bring any caption to any image: refuse now what some later epoch could not fit.
        self.capacities.check(int(self._text_lengths.max()), int(self._regions.max()))
        self._planner = ThreadPoolExecutor(1, thread_name_prefix="plan")
        self._epochs: dict[int, Future[EpochPlan]] = {}

    def epoch(self, epoch: int) -> EpochPlan:
        """The plan of one epoch. To be called from one thread only."""
        for wanted in (epoch, epoch + 1):
            if wanted not in self._epochs:
                self._epochs[wanted] = self._planner.submit(self.make, wanted)
        while len(self._epochs) > _EPOCHS_KEPT:
            # The farthest from here, the earlier one of two that are equally far.
            del self._epochs[max(self._epochs, key=lambda e: (abs(e - epoch), -e))]
        return self._epochs[epoch].result()

    def step(self, position: Position, micro_batches: int) -> list[tuple[int, int]]:
        """(epoch, index) of the next micro-batches from `position` on; they run on into later epochs."""
        found: list[tuple[int, int]] = []
        epoch, index = position.epoch, position.index
        while len(found) < micro_batches:
            end = self.epoch(epoch).micro_batches
            taken = range(index, min(end, index + micro_batches - len(found)))
            found += [(epoch, i) for i in taken]
            if len(found) < micro_batches:
                epoch, index = epoch + 1, 0
        return found

    def after(self, position: Position, micro_batches: int) -> Position:
        """The position that many micro-batches later."""
        epoch, index = position.epoch, position.index + micro_batches
        while index >= (end := self.epoch(epoch).micro_batches):
            epoch, index = epoch + 1, index - end
        return Position(epoch, index)

    def close(self) -> None:
        self._planner.shutdown(wait=True, cancel_futures=True)

    def make(self, epoch: int) -> EpochPlan:
        """The plan of an epoch, computed here and now and not kept."""
        captions = self._captions_of(epoch)
        order = captions[self.draw(Purpose.ORDER, epoch).permutation(len(captions))]
        image = self._corpus.caption_image[order].astype(np.int32)
        caption = order.copy()
        is_match = np.ones(len(order), dtype=bool)
        if self._mismatcher is not None:
            self._mismatcher.apply(self.draw(Purpose.MISMATCH, epoch), image, caption, is_match)
        mask_kind = self._kinds[(order + epoch) & 1]
        rows = Rows(image, caption, is_match, mask_kind, np.arange(len(order), dtype=np.int32))
        starts = cut(self.capacities, self._text_lengths[caption], self._regions[image])
        return EpochPlan(rows, starts)

    def _captions_of(self, epoch: int) -> np.ndarray:
        """int32: the true captions of an epoch, as often as each comes."""
        if not self._weights:
            return np.arange(self._corpus.captions, dtype=np.int32)
        parts = []
        for number, (mine, weight) in enumerate(zip(self._corpus.caption_ranges, self._weights, strict=True)):
            captions = np.arange(mine.start, mine.stop, dtype=np.int32)
            rest = round(weight % 1 * len(captions))
            drawn = self.draw(Purpose.MIXTURE, epoch, number).permutation(len(captions))[:rest]
            parts += [captions] * int(weight) + [captions[drawn]]
        found = np.concatenate(parts)
        if len(found) == 0:
            raise ValueError(f"data.weights {self._weights} leave no caption of {self._corpus.captions}")
        return found


def make_draw(seed: int, validation: bool = False) -> Draw:
    """The draws of training, or those of validation, which share nothing with them."""
    if validation:
        return lambda purpose, *where: generator(seed, Purpose.VALIDATION, int(purpose), *where)
    return lambda purpose, *where: generator(seed, purpose, *where)


def _mask_kinds(settings: Settings) -> np.ndarray:
    """uint8 [2]: the MaskKind of captions whose index + epoch is even, and odd."""
    names = set(settings.objectives)
    text = MaskKind.TEXT if names & TEXT_OBJECTIVES else MaskKind.NONE
    regions = MaskKind.REGIONS if names & REGION_OBJECTIVES else MaskKind.NONE
    if settings.masks.sides == "alternate" and text and regions:
        return np.array([text, regions], dtype=np.uint8)
    return np.array([text | regions] * 2, dtype=np.uint8)
