"""Pretraining: masked words, masked regions, and which image belongs to which caption."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from interbert.config import Settings
from interbert.corpus.words import segmenter_name
from interbert.files import read_json_lines
from interbert.ranks.distributed import Ranks
from interbert.tasks.pretraining.planned import build_plan, open_data, plan_without_mining
from interbert.tasks.pretraining.wanted_model import wanted_shape
from interbert.tokenizer import glance_at_tokenizer, load_tokenizer
from interbert.train.start.provide import provide_data
from interbert.train.task import Judge, Kind, Task, Term

if TYPE_CHECKING:  # torch takes seconds, and a dry run does without it
    from torch import nn

    from interbert.batches.batch import Batch
    from interbert.batches.endless import Position
    from interbert.batches.loader import Loader
    from interbert.batches.plan import Plan
    from interbert.corpus.tokens import TokenTable
    from interbert.model.beginning import Read
    from interbert.model.interbert import InterBertForPreTraining
    from interbert.model.shape.shape import Shape
    from interbert.train.engine.engine import Engine


class Pretraining(Task):
    tokens: TokenTable

    @property
    def terms(self) -> dict[str, Term]:
        from interbert.tasks.pretraining.step import terms_of

        return terms_of(self.settings.objectives)

    def described(self) -> str:
        return f"{self.corpus.captions} pairs of {self.corpus.images} images"

    def fingerprints(self) -> dict[str, str]:
        name = segmenter_name(self.settings)
        return super().fingerprints() | ({"words cut by": name} if name else {})

    def shape(self) -> Shape:
        return wanted_shape(self.settings, self.corpus, self.tokenizer)

    def start(self) -> tuple[InterBertForPreTraining, Read]:
        from interbert.tasks.pretraining.starting import start_of

        return start_of(self.settings, self.corpus, self.tokenizer)

    def step(self, model: nn.Module) -> nn.Module:
        from interbert.tasks.pretraining.step import PretrainStep

        return PretrainStep(model, dict(self.settings.objectives))

    def plan(self, settings: Settings, ranks: Ranks) -> Plan:
        return build_plan(settings, self.corpus, self.tokens, ranks)

    def sketch(self, settings: Settings) -> Plan:
        return plan_without_mining(settings, self.corpus, self.tokens)

    def loader(self, settings: Settings, plan: Plan, ranks: Ranks, start: Position) -> Loader:
        from interbert.batches.loader import Loader
        from interbert.batches.masking import Vocabulary
        from interbert.batches.prepare import Preparer

        vocabulary = Vocabulary.of(self.tokenizer)
        preparer = Preparer(self.corpus, self.tokens, plan, settings, vocabulary)
        return Loader(preparer, plan, settings, ranks.rank, ranks.world_size, start)

    def finisher(self) -> Callable[[Batch], Batch] | None:
        from interbert.tasks.pretraining.class_head import class_head_of

        return class_head_of(self.corpus, self.settings)

    def judge(self, settings: Settings) -> Judge | None:
        if not settings.data.validation:
            return None
        from interbert.tasks.pretraining.validation import open_validation

        return open_validation(settings, self.corpus, self.tokenizer)

    def finish(self, engine: Engine, folder: Path, chosen: str, ranks: Ranks) -> None:
        """A card for its model."""
        from interbert.tasks.results.model_card import write_pretraining_card

        settings = engine.settings
        data = {
            "trained on": ", ".join(f"`{path}`" for path in settings.data.train) or "nothing that is named",
            "that is": self.described(),
            **self.fingerprints(),
        }
        figures = last_validation(folder / "metrics.jsonl")
        ranks.main_only(lambda: write_pretraining_card(folder / "export", settings, data, figures, chosen))


def last_validation(metrics: Path) -> dict[str, float]:
    """Its figures by their names."""
    lines = read_json_lines(metrics) if metrics.is_file() else []
    judged = [line for line in lines if any(name.startswith("validation/") for name in line)]
    return {name: value for name, value in judged[-1].items() if name != "step"} if judged else {}


def open_pretraining(
    settings: Settings, ranks: Ranks, read_tokenizer: Callable = load_tokenizer
) -> Pretraining:
    corpus, tokenizer, tokens, lengths = open_data(settings, ranks, read_tokenizer)
    task = Pretraining(settings, corpus, tokenizer, lengths)
    task.tokens = tokens
    return task


def glance_at_pretraining(settings: Settings, ranks: Ranks) -> Pretraining:
    return open_pretraining(settings, ranks, glance_at_tokenizer)


PRETRAINING = Kind(provide_data, open_pretraining, glance_at_pretraining)
