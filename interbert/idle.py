"""Settings that a run has no use for: refused, for who says one means something by it.

A setting that stands at its default is never said to be idle, so recipes and whole config.yaml files may carry all.
"""

import json
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from interbert.config import Settings, SettingsError


@dataclass(frozen=True)
class Use:
    """What some settings serve."""

    settings: tuple[str, ...]
    """Names, or SECTION.* for a whole section."""
    serve: str
    served: Callable[[Settings], bool]
    remedy: str
    """What to say for them to count."""


def _pretrains(settings: Settings) -> bool:
    return settings.task is None and settings.distill is None


def _of_kind(*kinds: str) -> Callable[[Settings], bool]:
    return lambda settings: settings.task is not None and settings.task.kind in kinds


def _has_sets(settings: Settings) -> bool:
    return settings.task is not None and settings.task.sets is not None


def _has_near_captions(settings: Settings) -> bool:
    sets = settings.task.sets if settings.task is not None else None
    return sets is not None and sets.near_captions > 0


def _has_triplets(settings: Settings) -> bool:
    return settings.task is not None and (settings.task.kind, settings.task.loss) == ("match", "triplet")


USES = (
    Use(
        ("train.decay_at", "train.decay_factor"),
        "the schedule steps",
        lambda settings: settings.train.schedule == "steps",
        "train.schedule=steps",
    ),
    Use(("train.head_rate",), "a task's head", lambda settings: not _pretrains(settings), "a task"),
    Use(
        ("distill.match",),
        "a trunk that learns",
        lambda settings: settings.distill is not None and settings.distill.trunk == "shared",
        "distill.trunk=shared",
    ),
    Use(("task.labels",), "the kind classify", _of_kind("classify"), "task.kind=classify"),
    Use(
        ("task.head", "task.tags"),
        "a head of the task's own, and match takes pretraining's",
        _of_kind("classify", "score", "choose", "point"),
        "another task.kind",
    ),
    Use(
        ("task.margin",),
        "the triplet loss of the kind match",
        _has_triplets,
        "task.kind=match with task.loss=triplet",
    ),
    Use(
        ("masks.*", "objectives", "mismatch.share", "mismatch.side", "mismatch.hard_share"),
        "pretraining",
        _pretrains,
        "a recipe of pretraining",
    ),
    Use(
        ("mismatch.swap_share", "mismatch.text_loss", "mismatch.region_loss"),
        "pretraining",
        _pretrains,
        "a recipe of pretraining",
    ),
    Use(
        ("data.masked_token_capacity", "data.masked_region_capacity"),
        "pretraining",
        _pretrains,
        "a recipe of pretraining",
    ),
    Use(
        ("mismatch.hard_top", "mismatch.hard_max_similarity", "mismatch.hard_words", "mismatch.hard_table"),
        "pretraining, and sets with near_captions",
        lambda settings: _pretrains(settings) or _has_near_captions(settings),
        "task.sets.near_captions",
    ),
    Use(
        ("data.weights",),
        "pretraining, and sets of pairs",
        lambda settings: settings.task is None or _has_sets(settings),
        "task.sets instead of examples",
    ),
)
"""A number at 0 is no such case: what goes with it stays, for a grid to come back to."""


def refuse_idle(settings: Settings) -> None:
    """Names the first setting that differs from its default and serves nothing of this run, or of a stage of it."""
    for each in settings.stages or [settings]:
        for use in USES:
            for name in _names(use):
                if _said(each, name) != _default(name) and not use.served(each):
                    raise SettingsError(_told(each, name, use))


def _told(settings: Settings, name: str, use: Use) -> str:
    default = _default(name)
    plain = "" if default is None else shlex.quote(json.dumps(default))
    return (
        f"recipe {settings.name!r}: {name} is {_said(settings, name)!r}, which serves {use.serve}: take it back "
        f"(--set {name}={plain}), or ask for {use.remedy}"
    )


def _names(use: Use) -> list[str]:
    return [each for name in use.settings for each in _expanded(name)]


def _expanded(name: str) -> list[str]:
    section, _, field = name.partition(".")
    if field != "*":
        return [name]
    return [f"{section}.{each}" for each in _model(section).model_fields]


def _said(settings: Settings, name: str) -> Any:
    section, _, field = name.partition(".")
    found = getattr(settings, section)
    if not field:
        return found
    return _default(name) if found is None else getattr(found, field)


def _default(name: str) -> Any:
    section, _, field = name.partition(".")
    fields = _model(section).model_fields if field else Settings.model_fields
    return fields[field or section].get_default(call_default_factory=True)


def _model(section: str) -> Any:
    kind = Settings.model_fields[section].annotation
    return next(each for each in getattr(kind, "__args__", (kind,)) if hasattr(each, "model_fields"))
