"""An endless sequence of micro-batches: epoch after epoch, each planned before it is asked for.

Nothing of it depends on ranks or threads, and it has no state but a `Position`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from enum import IntFlag
from typing import Any

import numpy as np

from interbert.batches.capacities import Capacities
from interbert.rng import Purpose, generator

_EPOCHS_KEPT = 2

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
    group: np.ndarray | None = None
    """int32: rows of one group belong together. None: each row is a group of its own, as in pretraining."""

    @classmethod
    def joined(cls, parts: list["Rows"]) -> "Rows":
        """One after another; all of them with groups."""
        names = ("image", "caption", "is_match", "mask_kind", "group")
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))

    def __getitem__(self, rows: slice) -> "Rows":
        group = None if self.group is None else self.group[rows]
        return Rows(self.image[rows], self.caption[rows], self.is_match[rows], self.mask_kind[rows], group)

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


class EndlessPlan(ABC):
    """What its heirs say is which rows an epoch has (`make`).

    A plan of a hundred million pairs is large. So there are two at most: that of the epoch that steps are asked for,
    and that of the next, which is made in the background once half of the first is gone.
    """

    capacities: Capacities
    draw: Draw

    def __init__(self) -> None:
        self._planner = ThreadPoolExecutor(1, thread_name_prefix="plan")
        self._epochs: dict[int, Future[EpochPlan]] = {}

    @abstractmethod
    def make(self, epoch: int) -> EpochPlan:
        """The plan of an epoch, computed here and now and not kept."""

    def epoch(self, epoch: int) -> EpochPlan:
        """The plan of one epoch. To be called from one thread only."""
        self._ask_for(epoch, around=epoch)
        return self._epochs[epoch].result()

    def _ask_for(self, epoch: int, around: int) -> None:
        if epoch in self._epochs:
            return
        while len(self._epochs) >= _EPOCHS_KEPT:
            # The farthest from there, the earlier one of two that are equally far.
            del self._epochs[max(self._epochs, key=lambda e: (abs(e - around), -e))]
        self._epochs[epoch] = self._planner.submit(self.make, epoch)

    def step(self, position: Position, micro_batches: int) -> list[tuple[int, int]]:
        """(epoch, index) of the next micro-batches from `position` on; they run on into later epochs."""
        found: list[tuple[int, int]] = []
        epoch, index = position.epoch, position.index
        for gone in [e for e in self._epochs if e < epoch]:
            del self._epochs[gone]
        while len(found) < micro_batches:
            end = self.epoch(epoch).micro_batches
            taken = range(index, min(end, index + micro_batches - len(found)))
            found += [(epoch, i) for i in taken]
            if len(found) < micro_batches:
                epoch, index = epoch + 1, 0
        if 2 * (found[-1][1] + 1) >= end:
            self._ask_for(epoch + 1, around=epoch)
        return found

    def after(self, position: Position, micro_batches: int) -> Position:
        """The position that many micro-batches later."""
        epoch, index = position.epoch, position.index + micro_batches
        while index >= (end := self.epoch(epoch).micro_batches):
            epoch, index = epoch + 1, index - end
        return Position(epoch, index)

    def close(self) -> None:
        self._planner.shutdown(wait=True, cancel_futures=True)


def captions_of_epoch(corpus: Any, weights: list[float], draw: Draw, epoch: int) -> np.ndarray:
    """int32: the true captions of an epoch, as often as each comes by the weights of their data sets."""
    if not weights:
        return np.arange(corpus.captions, dtype=np.int32)
    parts = []
    for number, (mine, weight) in enumerate(zip(corpus.caption_ranges, weights, strict=True)):
        captions = np.arange(mine.start, mine.stop, dtype=np.int32)
        rest = round(weight % 1 * len(captions))
        drawn = draw(Purpose.MIXTURE, epoch, number).permutation(len(captions))[:rest]
        parts += [captions] * int(weight) + [captions[drawn]]
    found = np.concatenate(parts)
    if len(found) == 0:
        raise ValueError(f"data.weights {weights} leave no caption of {corpus.captions}")
    return found


def make_draw(seed: int, validation: bool = False) -> Draw:
    """The draws of training, or those of validation, which share nothing with them."""
    if validation:
        return lambda purpose, *where: generator(seed, Purpose.VALIDATION, int(purpose), *where)
    return lambda purpose, *where: generator(seed, purpose, *where)
