"""Questions with four answers, and answered questions with four reasons, of which exactly one is true of the scene.

All four fit the words as well; which one is right is drawn first, and then a scene is sought where it is. Tags say
which region words of the question and of a reason mean, and are alike in all four choices.
"""

from typing import Any

from interbert.sources.scenes.captions import Draws
from interbert.sources.scenes.forms import Phrase, count_of
from interbert.sources.scenes.wording import NUMBERS, RELATIONS, noun, with_article
from interbert.sources.scenes.world import parts_of
from interbert.sources.scenes.worlds.pool import Pool, some_phrase
from interbert.sources.scenes.worlds.reference import Reference, objects_of, only_referent
from interbert.sources.scenes.worlds.vqa import ATTRIBUTES

CHOICES = 4
ANSWER, REASON = "answer", "reason"
COLOUR, SHAPE = range(2)


def draw_vcr(pool: Pool, draws: Draws) -> list[dict[str, Any]]:
    """Lines of one scene: a question with its answers, the same with its reasons, or one of them; or none."""
    what = draws.unit()
    if what < 0.6:
        return _attribute(pool, draws)
    return _count(pool, draws) if what < 0.8 else _kinds_counted(pool, draws)


def _attribute(pool: Pool, draws: Draws) -> list[dict[str, Any]]:
    """The colour of something that stands somewhere; the reasons say its shape. Or the other way round."""
    asked = draws.below(2)
    other = 1 - asked
    anchor = some_phrase(pool.any_scene(draws), draws, 1.0, 1.0, 0.0)
    reference = Reference(Phrase(), draws.below(4), anchor)
    answers = draws.sample(len(ATTRIBUTES[asked][1]), CHOICES)
    reasons = draws.sample(len(ATTRIBUTES[other][1]), CHOICES)
    right = draws.below(CHOICES), draws.below(CHOICES)
    meant = _phrase({asked: answers[right[0]], other: reasons[right[1]]})

    def fits(number: int) -> bool:
        scene = pool.scene(number)
        thing = only_referent(reference, scene)
        if thing is None or thing not in objects_of(meant, scene):
            return False
        return all(pool.showing(number, each) for each in (thing, *objects_of(anchor, scene)))

    likely_N = (pool.counts_N(anchor) == 1) & (pool.counts_N(meant) >= 1)
    number = pool.find(likely_N, draws, fits)
    if number is None:
        return []
    scene = pool.scene(number)
    where = f"{draws.choice(RELATIONS[reference.relation])} the {noun(anchor)}"
    question = f"what {ATTRIBUTES[asked][0]} is the thing {where}"
    said = [_value(asked, value) for value in answers]
    known = [_phrase({asked: answers[right[0]], other: value}) for value in reasons]
    whys = [f"the {noun(phrase)} is {where}" for phrase in known]
    regions = [pool.showing(number, only_referent(reference, scene))[0]]
    regions.append(pool.showing(number, objects_of(anchor, scene)[0])[0])
    of_question = _tags(0, question, ("thing", noun(anchor).split()[-1]), regions)
    of_reasons = _tags(1, whys[0], (noun(known[0]).split()[-1], noun(anchor).split()[-1]), regions)
    answered = f"{question} , {said[right[0]]}"
    return [
        _line(scene.image_id, question, said, right[0], ANSWER, of_question),
        _line(scene.image_id, answered, whys, right[1], REASON, [*of_question, *of_reasons]),
    ]


def _count(pool: Pool, draws: Draws) -> list[dict[str, Any]]:
    """How many there are, from none to three."""
    phrase = some_phrase(pool.any_scene(draws), draws, 0.5, 0.5, 0.2)
    numbers = draws.sample(CHOICES, CHOICES)
    right = draws.below(CHOICES)
    likely_N = pool.counts_N(phrase) == numbers[right]
    number = pool.find(likely_N, draws, lambda number: count_of(phrase, pool.scene(number)) == numbers[right])
    if number is None:
        return []
    said = [_there(count) for count in numbers]
    image = pool.scene(number).image_id
    return [_line(image, f"how many {noun(phrase, plural=True)} are there", said, right, ANSWER, [])]


def _kinds_counted(pool: Pool, draws: Draws) -> list[dict[str, Any]]:
    """Why there are one or two balls: the reasons say their colours. Or of a colour, the shapes."""
    named = draws.below(2)
    other = 1 - named
    value = parts_of(draws.choice(pool.any_scene(draws).kinds))[named]
    counted, count = _phrase({named: value}), 1 + draws.below(2)
    values = len(ATTRIBUTES[other][1])
    kinds: list[tuple[int, ...]] = []
    while len(kinds) < CHOICES:
        drawn = tuple(sorted(draws.below(values) for _ in range(count)))
        if drawn not in kinds:
            kinds.append(drawn)
    right = draws.below(CHOICES)

    def fits(number: int) -> bool:
        scene = pool.scene(number)
        found = sorted(parts_of(scene.kinds[thing])[other] for thing in objects_of(counted, scene))
        return tuple(found) == kinds[right]

    likely_N = pool.counts_N(counted) == count
    for one in set(kinds[right]):
        likely_N = likely_N & (pool.counts_N(_phrase({named: value, other: one})) >= 1)
    number = pool.find(likely_N, draws, fits)
    if number is None:
        return []
    names = [[noun(_phrase({named: value, other: one})) for one in drawn] for drawn in kinds]
    whys = [f"we see {' and '.join(map(with_article, each))}" for each in names]
    question = f"how many {noun(counted, plural=True)} are there , {_there(count)}"
    return [_line(pool.scene(number).image_id, question, whys, right, REASON, [])]


def _phrase(values: dict[int, int]) -> Phrase:
    return Phrase()._replace(**{Phrase._fields[field]: value for field, value in values.items()})


def _value(field: int, value: int) -> str:
    name = ATTRIBUTES[field][1][value]
    return f"it is {name if field == COLOUR else with_article(name)}"


def _there(count: int) -> str:
    return "there is one" if count == 1 else f"there are {NUMBERS[count] if count else 'none'}"


def _tags(segment: int, text: str, words: tuple[str, str], regions: list[int]) -> list[list[int]]:
    """[choice, segment, word, region]: the first thing by its first word, the second by the text's last one."""
    split = text.split()
    places = (split.index(words[0]), len(split) - 1)
    assert split[places[1]] == words[1], text
    return [
        [choice, segment, place, region]
        for choice in range(CHOICES)
        for place, region in zip(places, regions, strict=True)
    ]


def _line(
    image: str, question: str, choices: list[str], right: int, type_: str, tags: list[list[int]]
) -> dict[str, Any]:
    texts = [[question, choice] for choice in choices]
    line = {"images": [image], "texts": texts, "label": right, "type": type_}
    return line | ({"tags": tags} if tags else {})
