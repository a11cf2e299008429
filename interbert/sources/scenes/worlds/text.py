"""Text alone: whether a sentence follows from another one or contradicts it, and whether words are in the order of
a sentence. Whatever the answer, the words are the same: their order decides.
"""

import re
from typing import Any

from interbert.sources.scenes.captions import Draws
from interbert.sources.scenes.forms import ABOVE, LEFT, OPPOSITE, Form, Phrase, phrase_of
from interbert.sources.scenes.wording import CLOSINGS, OPENINGS, RELATIONS, noun, say, with_article
from interbert.sources.scenes.world import COLOURS, SHAPES, SIZES, Scene, parts_of
from interbert.sources.scenes.worlds.pool import Pool

YES, NO = "yes", "no"
Fact = tuple[int, int, int]
"""(thing, relation, thing)"""
_ARTICLE = "(?:an?|another)"
_NOUN = rf"{_ARTICLE} (?:(?:{'|'.join(SIZES)}) )?(?:(?:{'|'.join(COLOURS)}) )?(?:{'|'.join(SHAPES)}|thing)"
_STANDS = f"(?:{'|'.join(words for pair in RELATIONS for words in pair)})"
_LIST = r"N(?: , N)*(?: and N)?"
_CLAUSES = rf"N (?:is )?{_STANDS} N(?: and {_STANDS} N)?(?: while N is {_STANDS} N)*"
_SENTENCE = re.compile(
    rf"(?:(?:{'|'.join(filter(None, OPENINGS))}) )?(?:{_LIST}|{_CLAUSES}(?: , with {_LIST})?)"
    rf"(?: (?:{'|'.join(filter(None, CLOSINGS))}))?"
)


def draw_text(pool: Pool, draws: Draws) -> list[dict[str, Any]]:
    what, scene = draws.unit(), pool.any_scene(draws)
    if what < 0.4:
        return _of_relations(scene, draws)
    return _of_attributes(scene, draws) if what < 0.6 else _of_order(scene, draws)


def follows(fact: Fact, facts: tuple[Fact, ...]) -> bool | None:
    """Whether what is said of places makes a fact true (or false; None: it leaves it open): what is left of
    something stands left of all that is right of it."""
    left_of = {(a, axis_of(r), b) if r == axis_of(r) else (b, axis_of(r), a) for a, r, b in facts}
    while True:
        more = {(a, axis, d) for a, axis, b in left_of for c, other, d in left_of if (b, axis) == (c, other)}
        if more <= left_of:
            break
        left_of |= more
    a, relation, b = fact
    if relation != axis_of(relation):
        a, b = b, a
    found = {(a, axis_of(relation), b): True, (b, axis_of(relation), a): False}
    return next((true for known, true in found.items() if known in left_of), None)


def axis_of(relation: int) -> int:
    """LEFT for left and right, ABOVE for above and below."""
    return relation if relation in (LEFT, ABOVE) else OPPOSITE[relation]


def _of_relations(scene: Scene, draws: Draws) -> list[dict[str, Any]]:
    """One or two facts about two or three things in a row, and one that is true or false with them."""
    things = 2 + draws.below(2)
    names = [noun(phrase_of(scene.kinds[thing])) for thing in draws.sample(len(scene.kinds), things)]
    if len(set(names)) < things:
        return []
    relations = draws.choice(((LEFT, OPPOSITE[LEFT]), (ABOVE, OPPOSITE[ABOVE])))
    facts = tuple(_either_way((n, relations[0], n + 1), draws) for n in range(things - 1))
    facts = tuple(facts[place] for place in draws.sample(len(facts), len(facts)))
    premise = " and ".join(_say_fact(fact, names, draws) for fact in facts)
    a, b = draws.sample(things, 2)
    fact, wording = (a, draws.choice(relations), b), draws.below(2)
    pair = [fact, (b, fact[1], a)]
    lines = []
    for own in pair:
        said = f"the {names[own[0]]} is {RELATIONS[own[1]][wording]} the {names[own[2]]}"
        true = follows(own, facts)
        assert true is not None, "things in a row"
        lines.append({"texts": [[premise, said]], "label": YES if true else NO, "type": "relation"})
    return lines


def _either_way(fact: Fact, draws: Draws) -> Fact:
    """The same said from the other side, or not."""
    a, relation, b = fact
    return fact if draws.unit() < 0.5 else (b, OPPOSITE[relation], a)


def _say_fact(fact: Fact, names: list[str], draws: Draws) -> str:
    return f"the {names[fact[0]]} is {draws.choice(RELATIONS[fact[1]])} the {names[fact[2]]}"


def _of_attributes(scene: Scene, draws: Draws) -> list[dict[str, Any]]:
    """Two things of different shapes, and which of them has a colour or size; also with that exchanged."""
    first, second = (scene.kinds[thing] for thing in draws.sample(len(scene.kinds), 2))
    field = draws.choice((0, 2))
    if parts_of(first)[1] == parts_of(second)[1] or parts_of(first)[field] == parts_of(second)[field]:
        return []
    things = [phrase_of(first, size=True), phrase_of(second, size=True)]
    name = Phrase._fields[field]
    exchanged = [
        one._replace(**{name: other[field]}) for one, other in zip(things, reversed(things), strict=True)
    ]
    asked = draws.below(2)
    lines = []
    for premise in (things, exchanged):
        for value in (things[0][field], things[1][field]):
            said = f"the {SHAPES[things[asked].shape]} is {(COLOURS, (), SIZES)[field][value]}"
            label = YES if premise[asked][field] == value else NO
            text = " and ".join(with_article(noun(phrase)) for phrase in premise)
            lines.append({"texts": [[f"we see {text}", said]], "label": label, "type": "attribute"})
    return lines


def _of_order(scene: Scene, draws: Draws) -> list[dict[str, Any]]:
    """A caption, and its words in an order that no caption has."""
    total = len(scene.kinds)
    order = draws.sample(total, min(total, 2 + draws.below(2)))
    relations = ((0, draws.below(4), 1),) if draws.unit() < 0.6 else ()
    form = Form(tuple(phrase_of(scene.kinds[thing], size=draws.unit() < 0.3) for thing in order), relations)
    words = re.findall(r"\w+|,", say(form, draws.style()))
    assert may_be_sentence(words), words
    jumbled = _jumbled(words, draws)
    return [
        {"texts": [" ".join(own)], "label": label, "type": "order"}
        for own, label in ((words, YES), (jumbled, NO))
    ]


def _jumbled(words: list[str], draws: Draws) -> list[str]:
    """Two words exchanged, or more and more of them, until it is no sentence any more."""
    other = list(words)
    while may_be_sentence(other):
        a, b = draws.sample(len(other), 2)
        other[a], other[b] = other[b], other[a]
    return other


def may_be_sentence(words: list[str]) -> bool:
    """Whether words are in an order in which the captions without counts have them, or in one very like it."""
    return _SENTENCE.fullmatch(re.sub(rf"\b{_NOUN}\b", "N", " ".join(words))) is not None
