"""Draws what is said of a scene: distinctive captions, vaguer ones, and falsified ones."""

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import numpy as np

from interbert.config import Tongue
from interbert.sources.scenes.forms import (
    ATTRIBUTE_VALUES,
    Form,
    Phrase,
    Uniqueness,
    count_of,
    holds,
    phrase_of,
    related,
)
from interbert.sources.scenes.tongues import say_in
from interbert.sources.scenes.wording import Style
from interbert.sources.scenes.world import Scene

T = TypeVar("T")
_TRIES = 60
_DISTINCTIVE_STAGES = (
    # things, share of sizes named, share with a relation, with the number of things
    (3, 0.5, 0.4, False),
    (3, 0.5, 0.4, False),
    (3, 1.0, 0.5, False),
    (4, 0.4, 0.4, False),
    (4, 0.8, 0.5, False),
    (4, 1.0, 0.8, False),
    (3, 1.0, 0.0, True),
    (4, 1.0, 0.0, True),
)


class Caption(NamedTuple):
    form: Form
    style: Style
    text: str
    tongue: Tongue = "en"

    @classmethod
    def of(cls, form: Form, style: Style, tongue: Tongue = "en") -> "Caption":
        return cls(form, style, say_in(tongue, form, style), tongue)

    def in_tongue(self, tongue: Tongue) -> "Caption":
        """The same said in that tongue."""
        return self if tongue == self.tongue else Caption.of(self.form, self.style, tongue)


class Draws:
    """Small numbers drawn one at a time at little cost, from a generator asked for many at once."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._pool: list[float] = []

    def unit(self) -> float:
        if not self._pool:
            self._pool = self._rng.random(4096).tolist()
        return self._pool.pop()

    def below(self, n: int) -> int:
        return int(self.unit() * n)

    def choice(self, items: Sequence[T]) -> T:
        return items[self.below(len(items))]

    def sample(self, n: int, k: int) -> list[int]:
        """k different numbers below n, in random order."""
        order = list(range(n))
        for place in range(k):
            other = place + self.below(n - place)
            order[place], order[other] = order[other], order[place]
        return order[:k]

    def style(self) -> Style:
        return Style(*(self.below(60) for _ in Style._fields))


def captions_of(
    scene: Scene, row: int, uniqueness: Uniqueness, draws: Draws, count: int, tongue: Tongue = "en"
) -> list[Caption]:
    """The first is distinctive: true of no other scene of the window. The rest may be vaguer."""
    made: list[Caption] = []
    texts: set[str] = set()
    for _ in range(count + _TRIES):
        form = vaguer(scene, draws) if made else _distinctive(scene, row, uniqueness, draws)
        caption = Caption.of(form, draws.style(), tongue)
        if caption.text not in texts:
            texts.add(caption.text)
            made.append(caption)
            if len(made) == count:
                return made
    raise AssertionError(f"the grammar has too few sentences for {count} captions of one scene")


def falsified(caption: Caption, scene: Scene, draws: Draws) -> Caption | None:
    """The caption with one attribute, relation, number or the order changed, so that it is false."""
    for _ in range(_TRIES):
        form = draws.choice(_CHANGES)(caption.form, draws)
        if form is not None and not holds(form, scene):
            return Caption.of(form, caption.style, caption.tongue)
    return None


def _distinctive(scene: Scene, row: int, uniqueness: Uniqueness, draws: Draws) -> Form:
    total = len(scene.kinds)
    for things, sized, with_relation, numbered in _DISTINCTIVE_STAGES:
        if things > total:
            continue
        for _ in range(2):
            order = draws.sample(total, things)
            phrases = tuple(phrase_of(scene.kinds[i], size=draws.unit() < sized) for i in order)
            relations = _some_relations(scene, order, draws) if draws.unit() < with_relation else ()
            form = Form(phrases, relations, ((total, Phrase()),) if numbered else ())
            if uniqueness.alone(form, row):
                return form
    # No two scenes of a window hold the same objects, so naming all of them always tells.
    phrases = tuple(phrase_of(kind, size=True) for kind in scene.kinds)
    form = Form(phrases, (), ((total, Phrase()),))
    assert uniqueness.alone(form, row)
    return form


def _some_relations(scene: Scene, order: list[int], draws: Draws) -> tuple[tuple[int, int, int], ...]:
    """One relation between the first two things, or two: of the first to a third, or of the next two."""
    pairs = [(0, 1)]
    if len(order) >= 3 and draws.unit() < 0.3:
        pairs.append((0, 2))
    elif len(order) >= 4 and draws.unit() < 0.5:
        pairs.append((2, 3))
    found = []
    for a, b in pairs:
        true = [relation for relation in range(4) if related(scene, order[a], relation, order[b])]
        if true:
            found.append((a, draws.choice(true), b))
    return tuple(found) if found and found[0][:1] == (0,) else ()


def vaguer(scene: Scene, draws: Draws) -> Form:
    """Something true of the scene, and perhaps of others."""
    what = draws.unit()
    total = len(scene.kinds)
    if what < 0.44:
        return Form(_some_phrases(scene, draws.sample(total, 2 + draws.below(2)), draws))
    if what < 0.84:
        order = draws.sample(total, min(total, 2 + draws.below(3)))
        relations = _some_relations(scene, order, draws)
        kept = order if relations else order[:2]
        return Form(_some_phrases(scene, kept, draws), relations)
    # Alone, a count or a negation is true of many scenes, and so a poor teacher: seldom, and mostly with company.
    head = () if draws.unit() < 0.25 else _some_phrases(scene, draws.sample(total, 1 + draws.below(2)), draws)
    if what < 0.92:
        phrase = _counted_phrase(scene, draws)
        return Form(head, (), ((count_of(phrase, scene), phrase),))
    return Form(head, (), ((0, _absent_phrase(scene, draws)),))


def _some_phrases(scene: Scene, order: list[int], draws: Draws) -> tuple[Phrase, ...]:
    return tuple(_some_phrase(scene.kinds[i], draws) for i in order)


def _some_phrase(kind: int, draws: Draws) -> Phrase:
    what = draws.unit()
    if what < 0.6:
        return phrase_of(kind)
    if what < 0.8:
        return phrase_of(kind, size=True)
    if what < 0.88:
        return phrase_of(kind, shape=False, size=what < 0.84)
    return phrase_of(kind, colour=False, size=what < 0.94)


def _counted_phrase(scene: Scene, draws: Draws) -> Phrase:
    kind = draws.choice(scene.kinds)
    what = draws.below(5)
    if what == 0:
        return Phrase()
    return phrase_of(kind, colour=what in (1, 3), shape=what in (2, 3), size=what == 4)


def _absent_phrase(scene: Scene, draws: Draws) -> Phrase:
    """Something near to what is there, but not there."""
    while True:
        phrase = phrase_of(draws.choice(scene.kinds), shape=draws.unit() < 0.8)
        changed = _with_attribute(phrase, draws)
        if changed is not None and count_of(changed, scene) == 0:
            return changed


def _with_attribute(phrase: Phrase, draws: Draws) -> Phrase | None:
    """The phrase with another value of one attribute it names."""
    named = [field for field, value in enumerate(phrase) if value is not None]
    if not named:
        return None
    field = draws.choice(named)
    others = ATTRIBUTE_VALUES[field] - 1
    value = (phrase[field] + 1 + draws.below(others)) % ATTRIBUTE_VALUES[field]
    return Phrase(*phrase[:field], value, *phrase[field + 1 :])


def _change_attribute(form: Form, draws: Draws) -> Form | None:
    place = draws.below(len(form.things) + len(form.counts))
    if place < len(form.things):
        changed = _with_attribute(form.things[place], draws)
        return changed and form._replace(things=_put(form.things, place, changed))
    place -= len(form.things)
    count, phrase = form.counts[place]
    changed = _with_attribute(phrase, draws)
    return changed and form._replace(counts=_put(form.counts, place, (count, changed)))


def _exchange_attribute(form: Form, draws: Draws) -> Form | None:
    """Two things exchange their colour, shape or size: the same words in another order."""
    if len(form.things) < 2:
        return None
    a, b = draws.sample(len(form.things), 2)
    field = draws.below(3)
    first, second = form.things[a], form.things[b]
    if None in (first[field], second[field]) or first[field] == second[field]:
        return None
    things = _put(form.things, a, Phrase(*first[:field], second[field], *first[field + 1 :]))
    return form._replace(things=_put(things, b, Phrase(*second[:field], first[field], *second[field + 1 :])))


def _exchange_things(form: Form, draws: Draws) -> Form | None:
    """The two sides of a relation change places: the same words in another order."""
    if not form.relations:
        return None
    a, _, b = draws.choice(form.relations)
    return form._replace(things=_put(_put(form.things, a, form.things[b]), b, form.things[a]))


def _change_relation(form: Form, draws: Draws) -> Form | None:
    if not form.relations:
        return None
    place = draws.below(len(form.relations))
    a, relation, b = form.relations[place]
    changed = (relation + 1 + draws.below(3)) % 4
    return form._replace(relations=_put(form.relations, place, (a, changed, b)))


def _change_count(form: Form, draws: Draws) -> Form | None:
    counted = [place for place, (count, _) in enumerate(form.counts) if count > 0]
    if not counted:
        return None
    place = draws.choice(counted)
    count, phrase = form.counts[place]
    changed = count + 1 if count == 1 or draws.unit() < 0.5 else count - 1
    return form._replace(counts=_put(form.counts, place, (changed, phrase)))


_CHANGES = (_change_attribute, _exchange_attribute, _exchange_things, _change_relation, _change_count)


def _put(items: tuple, place: int, item) -> tuple:
    return (*items[:place], item, *items[place + 1 :])
