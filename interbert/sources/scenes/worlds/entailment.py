"""Captions that follow from a scene, contradict it or stay open.

`the ball we see is red` speaks of one ball and does not say which. It follows where all balls are red, it
contradicts where none is, and it is open where some are. There are always two balls at least. Each caption is
written to three scenes, one of each label.
"""

from typing import Any, NamedTuple

import numpy as np

from interbert.sources.scenes.captions import Draws
from interbert.sources.scenes.forms import Phrase, related
from interbert.sources.scenes.wording import RELATIONS, noun, with_article
from interbert.sources.scenes.world import COLOURS, SIZES, Scene, parts_of
from interbert.sources.scenes.worlds.pool import Pool, some_phrase
from interbert.sources.scenes.worlds.reference import objects_of

FOLLOWS, OPEN, CONTRADICTS = LABELS = ("entailment", "neutral", "contradiction")
_FRAMES = ("the {} we see is {}", "the {} in the picture is {}", "the {} in this scene is {}")


class Claim(NamedTuple):
    subject: Phrase
    is_: Phrase
    """One more attribute that it has; or what it stands to, where there is a relation."""
    relation: int | None = None


def label_of(claim: Claim, scene: Scene) -> str | None:
    """None where there are not several things that it may speak of."""
    things = objects_of(claim.subject, scene)
    if len(things) < 2:
        return None
    true = [_is(thing, claim, scene) for thing in things]
    return FOLLOWS if all(true) else OPEN if any(true) else CONTRADICTS


def _is(thing: int, claim: Claim, scene: Scene) -> bool:
    others = objects_of(claim.is_, scene)
    if claim.relation is None:
        return thing in others
    return any(other != thing and related(scene, thing, claim.relation, other) for other in others)


def draw_entailment(pool: Pool, draws: Draws) -> list[dict[str, Any]]:
    claim = _draw_claim(pool.any_scene(draws), draws)
    text = say_claim(claim, draws)
    lines = []
    for label in LABELS:
        likely_N = _likely_scenes(claim, label, pool)
        number = pool.find(likely_N, draws, lambda number: label_of(claim, pool.scene(number)) == label)  # noqa: B023
        if number is None:
            return []
        kind = "attribute" if claim.relation is None else "relation"
        images = [pool.scene(number).image_id]
        lines.append({"images": images, "texts": [text], "label": label, "type": kind})
    return lines


def _draw_claim(scene: Scene, draws: Draws) -> Claim:
    if draws.unit() < 0.4:
        subject = some_phrase(scene, draws, 0.5, 0.5, 0.1)
        return Claim(subject, some_phrase(scene, draws, 0.7, 0.7, 0.1), draws.below(4))
    field = draws.choice((0, 0, 1, 1, 2))
    subject = some_phrase(scene, draws, *(0.0 if own == field else 0.6 for own in range(3)))
    value = parts_of(draws.choice(scene.kinds))[field]
    return Claim(subject, Phrase()._replace(**{Phrase._fields[field]: value}))


def _likely_scenes(claim: Claim, label: str, pool: Pool) -> np.ndarray:
    """bool [N]: all scenes with this label, told by counting objects; of relations others too."""
    things = pool.counts_N(claim.subject)
    if claim.relation is not None:
        return (things >= 2) & (pool.counts_N(claim.is_) >= 1)
    both = Phrase(*(a if b is None else b for a, b in zip(claim.subject, claim.is_, strict=True)))
    true = pool.counts_N(both)
    if label == OPEN:
        return (things >= 2) & (true > 0) & (true < things)
    return (things >= 2) & (true == (things if label == FOLLOWS else 0))


def say_claim(claim: Claim, draws: Draws) -> str:
    colour, shape, size = claim.is_
    if claim.relation is not None:
        said = f"{draws.choice(RELATIONS[claim.relation])} {with_article(noun(claim.is_))}"
    elif shape is not None:
        said = with_article(noun(claim.is_))
    else:
        said = COLOURS[colour] if colour is not None else SIZES[size]
    return draws.choice(_FRAMES).format(noun(claim.subject), said)
