"""A phrase that is meant to name one object: by its attributes, or by where it stands to another one."""

from typing import NamedTuple

from interbert.sources.scenes.captions import Draws
from interbert.sources.scenes.forms import Phrase, kinds_matching, related
from interbert.sources.scenes.wording import RELATIONS, noun
from interbert.sources.scenes.world import Scene


class Reference(NamedTuple):
    subject: Phrase
    relation: int | None = None
    anchor: Phrase | None = None
    """What the relation is to: there must be just one such object, or nothing is named."""


def objects_of(phrase: Phrase, scene: Scene) -> list[int]:
    matching = kinds_matching(phrase)
    return [thing for thing, kind in enumerate(scene.kinds) if kind in matching]


def referents(reference: Reference, scene: Scene) -> list[int]:
    """The objects that the phrase describes."""
    things = objects_of(reference.subject, scene)
    if reference.relation is None:
        return things
    anchors = objects_of(reference.anchor, scene)
    if len(anchors) != 1:
        return []
    return [
        thing
        for thing in things
        if thing != anchors[0] and related(scene, thing, reference.relation, anchors[0])
    ]


def only_referent(reference: Reference, scene: Scene) -> int | None:
    """The object that is named; None where it is none, or one of several."""
    things = referents(reference, scene)
    return things[0] if len(things) == 1 else None


def say_reference(reference: Reference, draws: Draws) -> str:
    """`ball left of the red cube`, without an article."""
    words = noun(reference.subject)
    if reference.relation is None:
        return words
    return f"{words} {draws.choice(RELATIONS[reference.relation])} the {noun(reference.anchor)}"
