"""What the trainer knows of a task. Pretraining is one, and so is whatever a model is fine-tuned on.

Light to import: a dry run opens a task too.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from interbert.train.start.provide import tokenizer_folder

if TYPE_CHECKING:
    from pathlib import Path

    from PIL import Image
    from torch import nn

    from interbert.batches.batch import Batch
    from interbert.batches.endless import EndlessPlan, Position
    from interbert.batches.loader import Loader
    from interbert.config import Settings
    from interbert.corpus.corpus import Corpus
    from interbert.model.beginning import Read
    from interbert.model.interbert import InterBertForPreTraining
    from interbert.model.shape.configuration import InterBertConfig
    from interbert.model.shape.shape import Shape
    from interbert.ranks.distributed import Ranks
    from interbert.tokenizer import Tokenizer
    from interbert.train.engine.engine import Engine
    from interbert.train.start.settle import Lengths


@dataclass(frozen=True)
class Term:
    """One of the sums that a task's loss is made of."""

    weight: float
    counted_by: str
    """The entry of `Batch.counts()` that its sum is divided by, over the whole step."""
    judged: bool = True
    """Whether its predictions are right or wrong, so that an accuracy can be told."""


class Judge(Protocol):
    """How a task is judged while it is trained, and at its end: alike on all ranks."""

    figure: str
    """Which of the figures checkpoints are compared by."""
    larger: bool
    """Whether more of it is better."""

    def names(self, terms: dict[str, Term]) -> list[str]:
        """Of the figures that it will tell."""

    def figures(self, engine: Engine, ranks: Ranks) -> dict[str, float]:
        """By name, the same on every rank."""

    def picture(self, engine: Engine, ranks: Ranks) -> Image.Image | None:
        """For the log, from the main rank."""


class Task(ABC):
    """A task with its data open: once for a run, handed down to whatever needs it."""

    head_parameters: tuple[str, ...] = ()
    """Names or dotted prefixes of the parameters that are its head: they have a rate of their own, and learn whole
    where all else learns by adapters."""
    judged_by: str = "--set data.validation=[STORE]"
    """What a person gives for the task to be judged."""

    def __init__(self, settings: Settings, corpus: Corpus, tokenizer: Tokenizer, lengths: Lengths) -> None:
        self.settings, self.corpus, self.tokenizer, self.lengths = settings, corpus, tokenizer, lengths

    @property
    @abstractmethod
    def terms(self) -> dict[str, Term]:
        """By name, in the order of the rows of a step module's stats."""

    @property
    def words(self) -> Path:
        """The tokenizer's folder."""
        return tokenizer_folder(self.settings)

    @abstractmethod
    def described(self) -> str:
        """What is learnt from, in a few words."""

    def fingerprints(self) -> dict[str, str]:
        """Of all that is learnt from, to be compared on resuming."""
        return {
            "data fingerprint": self.corpus.fingerprint,
            "data fingerprint covers": "content",
            "tokenizer fingerprint": self.tokenizer.fingerprint,
        }

    @abstractmethod
    def shape(self) -> Shape:
        """Of the model, told without building it."""

    @abstractmethod
    def start(self) -> tuple[InterBertForPreTraining, Read]:
        """The model, empty, and what reads its first weights one by one."""

    @abstractmethod
    def step(self, model: nn.Module) -> nn.Module:
        """What the engine wraps: (batch, scales) -> the step's share of the loss, and [terms, 2] sums of losses and
        of right answers. A term's sum counts `weight * scales[name]` times."""

    @abstractmethod
    def plan(self, settings: Settings, ranks: Ranks) -> EndlessPlan:
        """Which pairs come in which micro-batch. Settings are this run's, with the step settled."""

    @abstractmethod
    def sketch(self, settings: Settings) -> EndlessPlan:
        """Such a plan without what takes long to make, to be described."""

    @abstractmethod
    def loader(self, settings: Settings, plan: EndlessPlan, ranks: Ranks, start: Position) -> Loader:
        """That plan from a position on, read and packed."""

    def finisher(self) -> Callable[[Batch], Batch] | None:
        """What is added to each batch once it is on the device."""
        return None

    def probe(self, config: InterBertConfig) -> Batch:
        """A batch of nothing but the model's sizes, whose loss shows whether weights are what they were."""
        from interbert.train.checkpoints.probe import probe_batch

        return probe_batch(config)

    @property
    def judged(self) -> bool:
        """Whether there is something to be judged on."""
        return bool(self.settings.data.validation)

    @abstractmethod
    def judge(self, settings: Settings) -> Judge | None:
        """None where there is nothing to be judged on."""

    def finish(self, engine: Engine, folder: Path, chosen: str, ranks: Ranks) -> None:  # noqa: B027 (often nothing)
        """What a run leaves besides its export. chosen: which weights were exported, in words. Call on all ranks."""


@dataclass(frozen=True)
class Kind:
    """How a command comes by its task."""

    provide: Callable[[Settings, Ranks], Settings]
    """Makes what data the recipe makes itself; the settings with all data named."""
    open: Callable[[Settings, Ranks], Task]
    glance: Callable[[Settings, Ranks], Task]
    """The same without the seconds of imports, to be described."""
