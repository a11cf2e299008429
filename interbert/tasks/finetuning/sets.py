"""Fine-tuned retrieval: sets of a true pair and false ones, drawn anew in each epoch from the captions of a store."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from interbert.batches.set_plan import SetPlan, pairs_of_a_set, random_in_place_of
from interbert.config import Settings
from interbert.corpus.corpus import Corpus
from interbert.corpus.tokens import TokenTable, token_table
from interbert.corpus.unknown import refuse_unknown
from interbert.mining.negatives import candidates_by
from interbert.mining.neighbours import NeighbourTable, neighbours_for
from interbert.model.shape.shape import TaskShape
from interbert.ranks.distributed import Ranks
from interbert.tasks.finetuning.headed import HeadedTask
from interbert.tasks.finetuning.words import words_of
from interbert.tokenizer import Tokenizer
from interbert.train.checkpoints.identity import LOOK_ALIKES
from interbert.train.start.settle import Lengths
from interbert.train.task import Judge

if TYPE_CHECKING:  # torch takes seconds, and a dry run does without it
    from interbert.batches.endless import EndlessPlan
    from interbert.train.engine.engine import Engine


class SetTuning(HeadedTask):
    corpus: Corpus

    def __init__(self, settings: Settings, corpus: Corpus, tokenizer: Tokenizer, tokens: TokenTable) -> None:
        images_C = corpus.caption_image[: corpus.captions]
        pairs = pairs_of_a_set(settings)
        pair = Lengths.of_captions(tokens, images_C, corpus.region_counts, settings.data.max_regions)
        lengths = Lengths(pair.mean, pairs * pair.longest, pairs)
        super().__init__(settings, corpus, tokenizer, lengths, TaskShape("match"), tokens)

    def described(self) -> str:
        pairs = pairs_of_a_set(self.settings)
        return f"sets of {pairs} pairs, of {self.corpus.captions} captions of {self.corpus.images} images"

    @cached_property
    def near(self) -> NeighbourTable | None:
        """Look-alikes, where sets have any."""
        return neighbours_for(self.corpus, self.settings.task.sets)

    def fingerprints(self) -> dict[str, str]:
        return super().fingerprints() | ({LOOK_ALIKES: self.near.content} if self.near else {})

    def plan(self, settings: Settings, ranks: Ranks) -> EndlessPlan:
        candidates = None
        if settings.task.sets.near_captions:
            ranks.main_only(
                lambda: candidates_by(self.corpus, settings.mismatch) and None
            )  # once, by one rank
            candidates = candidates_by(self.corpus, settings.mismatch)
        return SetPlan(self.corpus, self.tokens, settings, self.near, candidates)

    def sketch(self, settings: Settings) -> EndlessPlan:
        """Nobody waits for candidates to be mined."""
        plain = random_in_place_of(settings, "near_captions")
        return SetPlan(self.corpus, self.tokens, plain, self.near)

    def judge(self, settings: Settings) -> Judge | None:
        if not settings.data.validation:
            return None
        from interbert.tasks.finetuning.judge import SetJudge

        return SetJudge(settings, self.tokenizer, self.corpus.features_of)

    def finish(self, engine: Engine, folder: Path, chosen: str, ranks: Ranks) -> None:
        from interbert.tasks.finetuning.finish_retrieval import leave_note, leave_retrieval

        ranks.main_only(lambda: leave_note(engine.settings, folder, chosen, self.corpus.fingerprint))
        if self.judged:
            leave_retrieval(engine.settings, folder, chosen, ranks)


def open_sets(settings: Settings, ranks: Ranks, read_tokenizer: Callable[[Path], Tokenizer]) -> SetTuning:
    corpus = Corpus(settings.data.train)
    tokenizer, longest = read_tokenizer(words_of(settings)), settings.data.max_text_tokens
    ranks.main_only(lambda: token_table(corpus, tokenizer, longest) and None)  # once, by one rank
    tokens = token_table(corpus, tokenizer, longest)
    refuse_unknown(
        tokens, tokenizer, ", ".join(settings.data.train), corpus.caption_text, settings.data.max_unknown
    )
    return SetTuning(settings, corpus, tokenizer, tokens)
