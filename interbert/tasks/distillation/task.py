"""Vectors of each stream run alone, learnt from the model that sees both: one more task of the trainer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from interbert.batches.candidate_plan import CandidatePlan, pairs_of_a_set
from interbert.config import Settings, SettingsError
from interbert.corpus.corpus import DISTINCTIVE, Corpus
from interbert.corpus.tokens import TokenTable, token_table
from interbert.corpus.unknown import refuse_unknown
from interbert.files import write_json
from interbert.model.shape.shape import Shape
from interbert.ranks.distributed import Ranks
from interbert.tasks.finetuning.words import words_of
from interbert.tasks.pretraining.wanted_model import check_sizes, shape_in
from interbert.tokenizer import Tokenizer, glance_at_tokenizer, load_tokenizer
from interbert.train.start.provide import provide_data
from interbert.train.start.settle import Lengths
from interbert.train.task import Judge, Kind, Task, Term

if TYPE_CHECKING:  # torch takes seconds, and a dry run does without it
    from torch import nn

    from interbert.batches.batch import Batch
    from interbert.batches.endless import EndlessPlan, Position
    from interbert.batches.loader import Loader
    from interbert.model.beginning import Read
    from interbert.model.interbert import InterBertForPreTraining
    from interbert.model.shape.configuration import InterBertConfig
    from interbert.train.engine.engine import Engine

HEAD = "heads.search"
FIGURES = "search.json"
"""What a run leaves: how good the two stages are on its held-out data."""


class Distillation(Task):
    head_parameters = (HEAD,)

    def __init__(
        self,
        settings: Settings,
        corpus: Corpus,
        tokenizer: Tokenizer,
        tokens: TokenTable,
        captions_C: np.ndarray,
    ) -> None:
        pairs = pairs_of_a_set(settings)
        pair = Lengths.of_captions(
            tokens, corpus.caption_image[: corpus.captions], corpus.region_counts, settings.data.max_regions
        )
        super().__init__(settings, corpus, tokenizer, Lengths(pair.mean, pairs * pair.longest, pairs))
        self.tokens, self.captions_C = tokens, captions_C

    @property
    def terms(self) -> dict[str, Term]:
        return {name: Term(weight, "groups") for name, weight in self.settings.distill.weights.items()}

    @property
    def words(self) -> Path:
        return words_of(self.settings)

    def described(self) -> str:
        pairs, trunk = pairs_of_a_set(self.settings), self.settings.distill.trunk
        return f"sets of {pairs} images for each of {len(self.captions_C)} captions, above a {trunk} trunk"

    def shape(self) -> Shape:
        base = shape_in(Path(self.settings.model.inherit_from))
        check_sizes(base, self.settings, self.corpus, self.tokenizer)
        return Shape(**with_search(base, self.settings))

    def start(self) -> tuple[InterBertForPreTraining, Read]:
        from interbert.model.beginning import drawn
        from interbert.model.interbert import InterBertForPreTraining
        from interbert.model.loading import open_ours
        from interbert.model.shape.configuration import InterBertConfig
        from interbert.train.engine.frozen import belongs

        there, read_there = open_ours(self.settings.model.inherit_from)
        check_sizes(there.config, self.settings, self.corpus, self.tokenizer)
        config = InterBertConfig(**with_search(there.config, self.settings))
        model = InterBertForPreTraining.empty(config)
        fresh = drawn(model, self.settings.train.seed, config.initializer_range)
        goes_on = "search" in there.heads and there.config.search_width == config.search_width
        return model, lambda name: (fresh if belongs(name, [HEAD]) and not goes_on else read_there)(name)

    def step(self, model: nn.Module) -> nn.Module:
        from interbert.model.loading import load_ours
        from interbert.tasks.distillation.step import DistillStep

        asked = self.settings.distill
        teacher = None
        if asked.trunk == "shared" and asked.weights.keys() & {"imitation", "match"}:
            teacher = load_ours(self.settings.model.inherit_from).to(next(model.parameters()).dtype)
            teacher.requires_grad_(False)
        return DistillStep(model, asked, teacher)

    def plan(self, settings: Settings, ranks: Ranks) -> EndlessPlan:
        from interbert.tasks.distillation.mined import mined_images

        def mine() -> Any:
            return mined_images(self.corpus, self.tokens, self.captions_C, settings, ranks.device)

        ranks.main_only(lambda: mine() is None)  # once, by one rank; the others read what it kept
        return CandidatePlan(self.corpus, self.tokens, settings, self.captions_C, mine())

    def sketch(self, settings: Settings) -> EndlessPlan:
        return CandidatePlan(self.corpus, self.tokens, settings, self.captions_C, None)

    def loader(self, settings: Settings, plan: EndlessPlan, ranks: Ranks, start: Position) -> Loader:
        from interbert.batches.loader import Loader
        from interbert.batches.prepare_examples import ExamplePreparer

        preparer = ExamplePreparer(self.corpus, self.tokens, plan, settings)
        return Loader(preparer, plan, settings, ranks.rank, ranks.world_size, start)

    def probe(self, config: InterBertConfig) -> Batch:
        from interbert.tasks.distillation.probe import sets_of

        return sets_of(super().probe(config))

    def judge(self, settings: Settings) -> Judge | None:
        if not settings.data.validation:
            return None
        from interbert.tasks.distillation.judge import StagesJudge

        return StagesJudge(settings, self.tokenizer, self.corpus.features_of)

    def finish(self, engine: Engine, folder: Path, chosen: str, ranks: Ranks) -> None:
        judge = self.judge(engine.settings)
        if judge is not None:
            figures = judge.figures(engine, ranks)
            about = {"chosen": chosen, "data": engine.settings.data.validation, **judge.sizes}
            ranks.main_only(lambda: write_json(folder / FIGURES, figures | about))


def with_search(base: Shape, settings: Settings) -> dict[str, Any]:
    """Fields of the model that comes of it: it matches and has vectors, and nothing else."""
    where = settings.model.inherit_from
    if base.task is not None or "match" not in (base.prediction_heads or ()):
        raise SettingsError(
            f"{where}: the model has no match head to learn from (prediction_heads in config.json); take one "
            "that was pretrained with the objective itm, or fine-tuned for retrieval"
        )
    kept = {field.name: getattr(base, field.name) for field in fields(Shape)}
    return kept | {"prediction_heads": ["match", "search"], "search_width": settings.distill.width}


def open_distillation(
    settings: Settings, ranks: Ranks, read_tokenizer: Callable[[Path], Tokenizer] = load_tokenizer
) -> Distillation:
    corpus = Corpus(settings.data.train)
    tokenizer, longest = read_tokenizer(words_of(settings)), settings.data.max_text_tokens
    ranks.main_only(lambda: token_table(corpus, tokenizer, longest) and None)  # once, by one rank
    tokens = token_table(corpus, tokenizer, longest)
    stores = ", ".join(settings.data.train)
    refuse_unknown(tokens, tokenizer, stores, corpus.caption_text, settings.data.max_unknown)
    if corpus.images < 2 or not corpus.captions:
        raise SettingsError(
            f"{stores}: {corpus.images} image(s), {corpus.captions} captions: nothing to search among"
        )
    return Distillation(settings, corpus, tokenizer, tokens, captions_in(corpus, settings))


def captions_in(corpus: Corpus, settings: Settings) -> np.ndarray:
    """int64: those that are learnt from."""
    if settings.distill.captions == "all":
        return np.arange(corpus.captions)
    found = np.flatnonzero(corpus.caption_kind[: corpus.captions] == DISTINCTIVE)
    if not len(found):
        raise SettingsError(
            "distill.captions is 'distinctive', and the data marks no caption as such (captions/kind); set "
            "distill.captions=all"
        )
    return found


def provide(settings: Settings, ranks: Ranks) -> Settings:
    """The settings with their stores named, and of a frozen trunk with what does not learn."""
    settings = provide_data(settings, ranks)
    if settings.distill.trunk == "shared":
        return settings
    frozen = list(dict.fromkeys([*settings.train.frozen, "interbert", "heads.match"]))
    return settings.model_copy(update={"train": settings.train.model_copy(update={"frozen": frozen})})


def glance_at_distillation(settings: Settings, ranks: Ranks) -> Distillation:
    return open_distillation(settings, ranks, glance_at_tokenizer)


DISTILLATION = Kind(provide, open_distillation, glance_at_distillation)
