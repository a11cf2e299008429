"""What the tasks of fine-tuning have in common: a head that stands on the model, and token ids of what is learnt."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from interbert.config import Settings
from interbert.corpus.corpus import Corpus
from interbert.corpus.examples import Examples
from interbert.corpus.tokens import TokenTable
from interbert.model.shape.shape import Shape, TaskShape
from interbert.ranks.distributed import Ranks
from interbert.tasks.finetuning.starting import begun_from, head_prefixes, shape_with_head, why_new
from interbert.tasks.finetuning.words import words_of
from interbert.tokenizer import Tokenizer
from interbert.train.start.settle import Lengths
from interbert.train.task import Task, Term

if TYPE_CHECKING:  # torch takes seconds, and a dry run does without it
    from torch import nn

    from interbert.batches.batch import Batch
    from interbert.batches.endless import EndlessPlan, Position
    from interbert.batches.loader import Loader
    from interbert.model.beginning import Read
    from interbert.model.interbert import InterBertForPreTraining
    from interbert.model.shape.configuration import InterBertConfig


class HeadedTask(Task):
    """Whoever inherits says what is learnt from (`described`, `sketch`), and how it is judged."""

    corpus: Corpus | None
    """None where the examples are text alone."""

    def __init__(
        self,
        settings: Settings,
        corpus: Corpus | None,
        tokenizer: Tokenizer,
        lengths: Lengths,
        head: TaskShape,
        tokens: TokenTable,
        examples: Examples | None = None,
    ) -> None:
        """tokens: of the examples' texts, or, without examples, of the captions that sets are drawn from."""
        super().__init__(settings, corpus, tokenizer, lengths)
        self.head, self.tokens, self.examples = head, tokens, examples

    @property
    def terms(self) -> dict[str, Term]:
        from interbert.tasks.finetuning.step import term_of

        return term_of(self.settings.task)

    @property
    def head_parameters(self) -> tuple[str, ...]:
        """One of its own, or where pairs are matched the one of pretraining."""
        return head_prefixes(self.head.kind)

    @property
    def words(self) -> Path:
        return words_of(self.settings)

    def shape(self) -> Shape:
        """A head that is not to be gone on with is refused here too, for a dry run builds no model."""
        begun = begun_from(self.settings, self.corpus, self.tokenizer)
        why_new(begun, self.head, self.settings)
        return Shape(**shape_with_head(begun, self.head))

    def start(self) -> tuple[InterBertForPreTraining, Read]:
        from interbert.tasks.finetuning.starting import start_of_task

        return start_of_task(self.settings, self.corpus, self.tokenizer, self.head)

    def step(self, model: nn.Module) -> nn.Module:
        from interbert.tasks.finetuning.step import FineTuneStep

        return FineTuneStep(model, self.settings.task, self.head.soft)

    def plan(self, settings: Settings, ranks: Ranks) -> EndlessPlan:
        """The sketch itself, where nothing about it takes long to make."""
        return self.sketch(settings)

    def loader(self, settings: Settings, plan: EndlessPlan, ranks: Ranks, start: Position) -> Loader:
        from interbert.batches.loader import Loader
        from interbert.batches.prepare_examples import ExamplePreparer

        preparer = ExamplePreparer(self.corpus, self.tokens, plan, settings, self.examples)
        return Loader(preparer, plan, settings, ranks.rank, ranks.world_size, start)

    def probe(self, config: InterBertConfig) -> Batch:
        from interbert.tasks.finetuning.probe import with_groups

        return with_groups(super().probe(config), self.settings.task, self.head)
