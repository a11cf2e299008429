"""The model that fine-tuning begins with: one of ours, BERT's weights or fresh ones; and the head of the task."""

from __future__ import annotations

import logging
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING

from interbert.config import Settings, SettingsError
from interbert.model.shape.shape import Shape, TaskShape
from interbert.tasks.pretraining.wanted_model import check_sizes, shape_in, wanted_shape

if TYPE_CHECKING:  # torch takes seconds, and a dry run does without it
    from interbert.corpus.corpus import Corpus
    from interbert.model.beginning import Read
    from interbert.model.interbert import InterBertForPreTraining
    from interbert.tokenizer import Tokenizer

log = logging.getLogger(__name__)


def head_prefixes(kind: str) -> tuple[str, ...]:
    """Of the names of the head's parameters."""
    return ("heads.match",) if kind == "match" else ("task",)


def shape_with_head(base: Shape, wanted: TaskShape) -> dict:
    """Fields of a model that has this head and no other."""
    kept = {field.name: getattr(base, field.name) for field in fields(Shape)}
    if wanted.kind != "match":
        return kept | {"prediction_heads": [], "task": asdict(wanted)}
    if base.match_head == "none":
        raise SettingsError(
            "task.kind is match, but this architecture does not match captions and images "
            "(match_head is 'none'); take another architecture, or kind classify"
        )
    return kept | {"prediction_heads": ["match"], "task": None}


def begun_from(settings: Settings, corpus: Corpus | None, tokenizer: Tokenizer) -> Shape:
    """The shape, heads aside, told without building anything."""
    if settings.model.inherit_from:
        base = shape_in(Path(settings.model.inherit_from))
        check_sizes(base, settings, corpus, tokenizer)
        return base
    return wanted_shape(for_body(settings), corpus, tokenizer)


def start_of_task(
    settings: Settings, corpus: Corpus | None, tokenizer: Tokenizer, wanted: TaskShape
) -> tuple[InterBertForPreTraining, Read]:
    """Empty, and what reads its weights."""
    from interbert.model.beginning import drawn
    from interbert.model.interbert import InterBertForPreTraining
    from interbert.model.loading import open_ours
    from interbert.model.shape.configuration import InterBertConfig
    from interbert.model.task_head import InterBertFineTuned
    from interbert.tasks.pretraining.starting import start_of
    from interbert.train.engine.frozen import belongs

    if settings.model.inherit_from:
        there, read_there = open_ours(settings.model.inherit_from)
        check_sizes(there.config, settings, corpus, tokenizer)
    else:
        there, read_there = start_of(for_body(settings), corpus, tokenizer)
    config = InterBertConfig(**shape_with_head(there.config, wanted))
    model = (InterBertForPreTraining if wanted.kind == "match" else InterBertFineTuned).empty(config)
    new = why_new(there.config, wanted, settings)
    if new:
        log.info("the head is new: %s", new)
    head = head_prefixes(wanted.kind)
    fresh = drawn(model, settings.train.seed, config.initializer_range)
    return model, lambda name: (fresh if new and belongs(name, head) else read_there)(name)


def for_body(settings: Settings) -> Settings:
    """For whoever makes a model by objectives: none of their heads."""
    override = {"prediction_heads": [], **settings.model.override}
    return settings.model_copy(
        update={"model": settings.model.model_copy(update={"override": override}), "objectives": {}}
    )


def why_new(base: Shape, wanted: TaskShape, settings: Settings) -> str:
    """Why the head is made new; nothing where the one that is there goes on."""
    where = settings.model.inherit_from
    if not where:
        return "the model is"
    if settings.task.new_head:
        return "--new-head"
    if wanted.kind == "match":
        return "" if "match" in base.prediction_heads else f"{where} has no match head"
    if base.task is None:
        return f"{where} has none for a task"
    there = TaskShape(**base.task)
    differ = [
        f"{field.name} {getattr(there, field.name)!r}, here {getattr(wanted, field.name)!r}"
        for field in fields(TaskShape)
        if getattr(there, field.name) != getattr(wanted, field.name)
    ]
    if differ:
        raise SettingsError(
            f"{where} has the head of another task: {'; '.join(differ)}. Give --new-head to make one of its own, or "
            "examples and settings of the task that it was tuned on"
        )
    return ""
