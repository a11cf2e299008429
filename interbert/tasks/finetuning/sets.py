"""Fine-tuned retrieval: sets of a true pair and false ones, drawn anew in each epoch from the captions of a store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from interbert.batches.set_plan import SetPlan, pairs_of_a_set
from interbert.config import Settings
from interbert.corpus.corpus import Corpus
from interbert.corpus.tokens import TokenTable, token_table
from interbert.mining.neighbours import neighbours_for
from interbert.model.shape import Shape, TaskShape
from interbert.ranks.distributed import Ranks
from interbert.tasks.finetuning.starting import begun_from, shape_with_head
from interbert.tasks.finetuning.words import words_of
from interbert.tokenizer import Tokenizer
from interbert.train.start.settle import Lengths
from interbert.train.task import Judge, Task, Term

if TYPE_CHECKING:  # torch takes seconds, and a dry run does without it
    from torch import nn

    from interbert.batches.batch import Batch
    from interbert.batches.endless import EndlessPlan, Position
    from interbert.batches.loader import Loader
    from interbert.model.beginning import Read
    from interbert.model.configuration import InterBertConfig
    from interbert.model.interbert import InterBertForPreTraining
    from interbert.train.engine.engine import Engine

HEAD = TaskShape("match")


class SetTuning(Task):
    def __init__(self, settings: Settings, corpus: Corpus, tokenizer: Tokenizer, tokens: TokenTable) -> None:
        images_C = corpus.caption_image[: corpus.captions]
        pairs = pairs_of_a_set(settings)
        pair = Lengths.of_captions(tokens, images_C, corpus.region_counts, settings.data.max_regions)
        super().__init__(settings, corpus, tokenizer, Lengths(pair.mean, pairs * pair.longest, pairs))
        self.tokens = tokens

    @property
    def terms(self) -> dict[str, Term]:
        from interbert.tasks.finetuning.step import term_of

        return term_of(self.settings.task)

    @property
    def words(self) -> Path:
        return words_of(self.settings)

    def described(self) -> str:
        pairs = pairs_of_a_set(self.settings)
        return f"sets of {pairs} pairs, of {self.corpus.captions} captions of {self.corpus.images} images"

    def shape(self) -> Shape:
        return Shape(**shape_with_head(begun_from(self.settings, self.corpus, self.tokenizer), HEAD))

    def start(self) -> tuple[InterBertForPreTraining, Read]:
        from interbert.tasks.finetuning.starting import start_of_task

        return start_of_task(self.settings, self.corpus, self.tokenizer, HEAD)

    def step(self, model: nn.Module) -> nn.Module:
        from interbert.tasks.finetuning.step import FineTuneStep

        return FineTuneStep(model, self.settings.task)

    def plan(self, settings: Settings, ranks: Ranks) -> EndlessPlan:
        near = neighbours_for(self.corpus, settings.task.sets)
        return SetPlan(self.corpus, self.tokens, settings, near)

    def sketch(self, settings: Settings) -> EndlessPlan:
        return SetPlan(self.corpus, self.tokens, settings, neighbours_for(self.corpus, settings.task.sets))

    def loader(self, settings: Settings, plan: EndlessPlan, ranks: Ranks, start: Position) -> Loader:
        from interbert.batches.loader import Loader
        from interbert.batches.prepare_examples import ExamplePreparer

        preparer = ExamplePreparer(self.corpus, self.tokens, plan, settings)
        return Loader(preparer, plan, settings, ranks.rank, ranks.world_size, start)

    def probe(self, config: InterBertConfig) -> Batch:
        from interbert.tasks.finetuning.probe import with_groups

        return with_groups(super().probe(config), self.settings.task, HEAD)

    def judge(self, settings: Settings) -> Judge | None:
        if not settings.data.validation:
            return None
        from interbert.tasks.finetuning.judge import SetJudge

        return SetJudge(settings, self.tokenizer, self.corpus.features_of)

    def finish(self, engine: Engine, folder: Path, chosen: str, ranks: Ranks) -> None:
        if self.settings.data.validation:
            from interbert.tasks.finetuning.finish import leave_retrieval

            leave_retrieval(engine.settings, folder, chosen, self.corpus.fingerprint, ranks)


def open_sets(settings: Settings, ranks: Ranks, read_tokenizer: Callable[[Path], Tokenizer]) -> SetTuning:
    corpus = Corpus(settings.data.train)
    tokenizer, longest = read_tokenizer(words_of(settings)), settings.data.max_text_tokens
    ranks.main_only(lambda: token_table(corpus, tokenizer, longest) and None)  # once, by one rank
    return SetTuning(settings, corpus, tokenizer, token_table(corpus, tokenizer, longest))
