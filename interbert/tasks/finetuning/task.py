"""Fine-tuning on a file of examples of what is right."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from interbert.batches.example_plan import ExamplePlan, regions_of
from interbert.config import Settings, SettingsError
from interbert.corpus.corpus import Corpus
from interbert.corpus.example_line import NAME_IT
from interbert.corpus.examples import Examples, open_examples
from interbert.corpus.tokens import TokenTable, text_table
from interbert.corpus.unknown import refuse_unknown
from interbert.model.shape.shape import TaskShape
from interbert.ranks.distributed import Ranks
from interbert.tasks.finetuning.headed import HeadedTask
from interbert.tasks.finetuning.provide import provide_examples
from interbert.tasks.finetuning.sets import open_sets
from interbert.tasks.finetuning.words import words_of
from interbert.tokenizer import Tokenizer, glance_at_tokenizer, load_tokenizer
from interbert.train.start.provide import provide_data
from interbert.train.start.settle import Lengths
from interbert.train.task import Judge, Kind, Task

if TYPE_CHECKING:  # torch takes seconds, and a dry run does without it
    from interbert.batches.endless import EndlessPlan
    from interbert.train.engine.engine import Engine


@dataclass
class Judged:
    """Examples to be judged on, with their token ids."""

    examples: Examples
    tokens: TokenTable


class FineTuning(HeadedTask):
    judged_by = "--validation FILE"

    def __init__(
        self,
        settings: Settings,
        corpus: Corpus | None,
        tokenizer: Tokenizer,
        train: Judged,
        held_out: Judged | None,
    ) -> None:
        lengths, head = lengths_of(train, corpus, settings), head_of(settings, train.examples)
        super().__init__(settings, corpus, tokenizer, lengths, head, train.tokens, train.examples)
        self.train, self.held_out = train, held_out

    def described(self) -> str:
        examples = self.train.examples
        return f"{len(examples)} examples ({examples.kind}) of {len(examples.image_P)} pairs"

    def fingerprints(self) -> dict[str, str]:
        data = self.corpus.fingerprint if self.corpus else "no images"
        return {
            "data fingerprint": data,
            "data fingerprint covers": "content",
            "examples fingerprint": self.train.examples.fingerprint,
            "tokenizer fingerprint": self.tokenizer.fingerprint,
        }

    def sketch(self, settings: Settings) -> EndlessPlan:
        return ExamplePlan(self.train.examples, self.corpus, self.train.tokens, settings)

    @property
    def judged(self) -> bool:
        return self.held_out is not None

    def judge(self, settings: Settings) -> Judge | None:
        if self.held_out is None:
            return None
        from interbert.tasks.finetuning.judge import ExampleJudge

        return ExampleJudge(self.held_out.examples, self.held_out.tokens, self.corpus, settings)

    def finish(self, engine: Engine, folder: Path, chosen: str, ranks: Ranks) -> None:
        from interbert.tasks.finetuning.finish import leave_note, leave_results

        if self.held_out is None:
            ranks.main_only(lambda: leave_note(self, engine.settings, folder, chosen) and None)
        else:
            leave_results(self, engine, folder, chosen, ranks)


def head_of(settings: Settings, examples: Examples) -> TaskShape:
    task = settings.task
    two = task.kind == "classify" and examples.pairs_each == 2
    soft = examples.scores is not None
    if task.tags and examples.tags is None:
        raise SettingsError(
            f"{examples.path}: task.tags is set, and no example has tags (docs/examples.md); leave it out"
        )
    return TaskShape(task.kind, task.head, 2 if two else 1, examples.classes or None, soft, task.tags)


def lengths_of(judged: Judged, corpus: Corpus | None, settings: Settings) -> Lengths:
    examples = judged.examples
    text_P = judged.tokens.lengths[examples.text_P]
    regions_P = regions_of(examples, corpus, settings.data.max_regions)
    global_P = 0 if examples.text_only else 1
    return Lengths.of_groups(text_P + regions_P + global_P, examples.first_pair)


def open_finetuning(
    settings: Settings, ranks: Ranks, read_tokenizer: Callable[[Path], Tokenizer] = load_tokenizer
) -> Task:
    task = settings.task
    if task.sets is not None:
        return open_sets(settings, ranks, read_tokenizer)
    if task.examples is None:
        raise SettingsError("no examples to train on: give --examples FILE (docs/examples.md)")
    corpus = Corpus(settings.data.train) if settings.data.train else None
    tokenizer = read_tokenizer(words_of(settings))
    classes = list(task.labels) or classes_of_model(settings)
    remedy = NAME_IT if task.labels or not classes else "give --new-head for classes of its own"
    train = open_judged(task.examples, settings, corpus, tokenizer, classes, ranks, remedy)
    if task.kind == "classify" and not classes:
        classes = train.examples.classes
    held_out = None
    if task.validation:
        held_out = open_judged(task.validation, settings, corpus, tokenizer, classes, ranks, remedy)
        _check_alike(train.examples, held_out.examples, task.tags)
    for judged in (train, held_out):
        if judged is not None and not judged.examples.known_N.any():
            raise SettingsError(
                f"{judged.examples.path}: no example says what is right; "
                "launch/evaluate.py predicts what is unlabelled"
            )
    return FineTuning(settings, corpus, tokenizer, train, held_out)


def open_judged(
    path: str,
    settings: Settings,
    corpus: Corpus | None,
    tokenizer: Tokenizer,
    classes: list[str],
    ranks: Ranks,
    remedy: str,
) -> Judged:
    """remedy: what to do about a class that is not among those."""
    examples = open_examples(path, corpus, settings.task.kind, classes or None, remedy)
    longest = settings.data.max_text_tokens
    tags = settings.task.tags
    ranks.main_only(lambda: text_table(examples, tokenizer, longest, tags) and None)  # once, by one rank
    tokens = text_table(examples, tokenizer, longest, tags)
    refuse_unknown(
        tokens,
        tokenizer,
        path,
        lambda number: " / ".join(examples.texts[number]),
        settings.data.max_unknown,
    )
    return Judged(examples, tokens)


def classes_of_model(settings: Settings) -> list[str]:
    """Those of the head that is gone on with."""
    if settings.task.kind != "classify" or not settings.model.inherit_from or settings.task.new_head:
        return []
    from interbert.tasks.pretraining.wanted_model import shape_in

    there = shape_in(Path(settings.model.inherit_from)).task or {}
    return list(there.get("classes") or []) if there.get("kind") == "classify" else []


def _check_alike(train: Examples, held_out: Examples, tags: bool) -> None:
    for ours, theirs in zip(_words_of(train, tags), _words_of(held_out, tags), strict=True):
        if ours != theirs:
            raise SettingsError(
                f"{held_out.path} has {theirs}, and {train.path} {ours}: they are of one task; write both in one "
                "way, or leave task.validation out"
            )


def _words_of(examples: Examples, tags: bool) -> tuple[str, ...]:
    """What all examples of a task have in common. tags: they are learnt with."""
    return (
        "text alone" if examples.text_only else "images",
        f"{examples.pairs_each} image(s) or choices in each example",
        "a label in its lines" if examples.scores is None else "scores in its lines",
        "tags in its lines" if tags and examples.tags is not None else "no tags in its lines",
    )


def provide(settings: Settings, ranks: Ranks) -> Settings:
    """Examples may be text alone, which needs no store."""
    if settings.scenes is None:
        return settings
    return (provide_examples if settings.scenes.world else provide_data)(settings, ranks)


def glance_at_finetuning(settings: Settings, ranks: Ranks) -> Task:
    return open_finetuning(settings, ranks, glance_at_tokenizer)


FINETUNING = Kind(provide, open_finetuning, glance_at_finetuning)
