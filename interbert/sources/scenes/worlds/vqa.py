"""Questions about a scene. Each is asked of two scenes where its answer differs, so the words do not tell it."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from interbert.sources.scenes.captions import Draws
from interbert.sources.scenes.forms import Phrase, count_of, related
from interbert.sources.scenes.wording import RELATIONS, noun, with_article
from interbert.sources.scenes.world import COLOURS, SHAPES, SIZES, Scene, parts_of
from interbert.sources.scenes.worlds.pool import Pool, some_phrase
from interbert.sources.scenes.worlds.reference import Reference, objects_of, only_referent, say_reference

YES, NO = "yes", "no"
MOST = 3
"""The largest number that is asked for."""
ATTRIBUTES = (("colour", COLOURS), ("shape", SHAPES), ("size", SIZES))
"""Name and values of each field of a Phrase."""


class Question(NamedTuple):
    type: str
    """existence, count, colour, shape, size, relation, more, equal"""
    things: tuple[Phrase, ...]
    reference: Reference | None = None
    """Whose colour, shape or size is asked for."""
    relation: int | None = None
    """In which the first of the things stands to the second, or not."""


def answer_of(question: Question, scene: Scene) -> str | None:
    """None where the question does not arise: it speaks of the one red ball, and there are two, or none."""
    if question.reference is not None:
        thing = only_referent(question.reference, scene)
        field = [name for name, _ in ATTRIBUTES].index(question.type)
        return None if thing is None else ATTRIBUTES[field][1][parts_of(scene.kinds[thing])[field]]
    if question.type == "relation":
        found = [objects_of(phrase, scene) for phrase in question.things]
        if any(len(things) != 1 for things in found) or found[0] == found[1]:
            return None
        return _yes(related(scene, found[0][0], question.relation, found[1][0]))
    counts = [count_of(phrase, scene) for phrase in question.things]
    if question.type == "existence":
        return _yes(counts[0] > 0)
    if question.type == "count":
        return str(counts[0]) if counts[0] <= MOST else None
    return _yes(counts[0] > counts[1] if question.type == "more" else counts[0] == counts[1])


def _yes(true: bool) -> str:
    return YES if true else NO


def answers_to(question: Question) -> tuple[str, ...]:
    if question.reference is not None:
        return dict(ATTRIBUTES)[question.type]
    return tuple(map(str, range(MOST + 1))) if question.type == "count" else (YES, NO)


def draw_vqa(pool: Pool, draws: Draws) -> list[dict[str, Any]]:
    """Two lines with the same question; none where it has no two answers here."""
    question = draw_question(pool.any_scene(draws), draws)
    answers, text = answers_to(question), say_question(question, draws)
    lines = []
    for answer in (answers[place] for place in draws.sample(len(answers), 2)):
        number = find_scene(question, answer, pool, draws)
        if number is None:
            return []
        images = [pool.scene(number).image_id]
        lines.append({"images": images, "texts": [text], "label": answer, "type": question.type})
    return lines


def find_scene(question: Question, answer: str, pool: Pool, draws: Draws) -> int | None:
    """A scene where this is the answer."""
    likely_N = likely_scenes(question, answer, pool)
    return pool.find(likely_N, draws, lambda number: answer_of(question, pool.scene(number)) == answer)


def draw_question(scene: Scene, draws: Draws) -> Question:
    return _DRAWN[draws.below(len(_DRAWN))](scene, draws)


def _existence(scene: Scene, draws: Draws) -> Question:
    return Question("existence", (some_phrase(scene, draws, 0.8, 0.8, 0.3),))


def _count(scene: Scene, draws: Draws) -> Question:
    return Question("count", (some_phrase(scene, draws, 0.5, 0.4, 0.1),))


def _attribute(scene: Scene, draws: Draws) -> Question:
    field = draws.choice((0, 0, 1, 1, 2))
    subject = some_phrase(scene, draws, *(0.0 if own == field else 0.6 for own in range(3)))
    if draws.unit() < 0.5:
        return Question(ATTRIBUTES[field][0], (), Reference(subject))
    anchor = some_phrase(scene, draws, 0.8, 0.8, 0.1)
    subject = draws.choice((Phrase(), subject))
    return Question(ATTRIBUTES[field][0], (), Reference(subject, draws.below(4), anchor))


def _relation(scene: Scene, draws: Draws) -> Question:
    things = tuple(some_phrase(scene, draws, 0.8, 0.8, 0.1) for _ in range(2))
    return Question("relation", things, None, draws.below(4))


def _comparison(scene: Scene, draws: Draws) -> Question:
    """Of two colours, shapes or sizes."""
    field = draws.below(3)
    values = draws.sample(len(ATTRIBUTES[field][1]), 2)
    things = tuple(Phrase()._replace(**{Phrase._fields[field]: value}) for value in values)
    return Question(draws.choice(("more", "equal")), things)


_DRAWN: tuple[Callable[[Scene, Draws], Question], ...] = (
    _existence, _existence, _count, _count, _attribute, _attribute, _attribute, _relation, _relation, _comparison,
)  # fmt: skip
"""As often as each is here."""


def likely_scenes(question: Question, answer: str, pool: Pool) -> np.ndarray:
    """bool [N]: all scenes with this answer, and few others, told by counting objects."""
    if question.reference is not None:
        field = [name for name, _ in ATTRIBUTES].index(question.type)
        value = ATTRIBUTES[field][1].index(answer)
        subject, relation, anchor = question.reference
        answered = subject._replace(**{Phrase._fields[field]: value})
        if relation is None:
            return (pool.counts_N(subject) == 1) & (pool.counts_N(answered) == 1)
        return (pool.counts_N(anchor) == 1) & (pool.counts_N(answered) >= 1)
    counts = [pool.counts_N(phrase) for phrase in question.things]
    if question.type == "relation":
        return (counts[0] == 1) & (counts[1] == 1)
    if question.type == "count":
        return counts[0] == int(answer)
    if question.type == "existence":
        return (counts[0] > 0) == (answer == YES)
    # Two that are both not there would be most of what is equal.
    there = counts[0] + counts[1] > 0
    true = counts[0] > counts[1] if question.type == "more" else counts[0] == counts[1]
    return there & (true == (answer == YES))


def say_question(question: Question, draws: Draws) -> str:
    if question.reference is not None:
        return f"what {question.type} is the {say_reference(question.reference, draws)}"
    one, many = noun(question.things[0]), noun(question.things[0], plural=True)
    if question.type == "existence":
        return draws.choice(("is there {}", "can {} be seen")).format(with_article(one))
    if question.type == "count":
        return draws.choice(("how many {} are there", "how many {} can be seen")).format(many)
    if question.type == "relation":
        return f"is the {one} {draws.choice(RELATIONS[question.relation])} the {noun(question.things[1])}"
    how = "more {} than {}" if question.type == "more" else "as many {} as {}"
    return f"are there {how.format(many, noun(question.things[1], plural=True))}"
