"""Statements about two scenes. Each is written to four pairs of them, two where it is true and two where it is not,
so that neither its words nor one of the pictures tells: what is asked of each picture has one of two answers, and all
four combinations come, of which either the equal ones are true or the unequal ones.
"""

from typing import Any, NamedTuple

from interbert.sources.scenes.captions import Draws
from interbert.sources.scenes.wording import NUMBERS, noun, with_article
from interbert.sources.scenes.world import Scene
from interbert.sources.scenes.worlds.pool import Pool, some_phrase
from interbert.sources.scenes.worlds.vqa import NO, YES, Question, answer_of, find_scene


class Statement(NamedTuple):
    type: str
    """one: in one picture alone; alike: in both or in none; equal: as many in each; sum: so many in both together"""
    question: Question
    """What is asked of each picture."""
    total: int = 0
    """Of `sum`."""


def is_true(statement: Statement, left: Scene, right: Scene) -> bool | None:
    """None where the question does not arise in one of them."""
    parts = [answer_of(statement.question, scene) for scene in (left, right)]
    return None if None in parts else true_of_parts(statement, *parts)


def true_of_parts(statement: Statement, left: str, right: str) -> bool:
    if statement.type == "sum":
        return int(left) + int(right) == statement.total
    return (left != right) if statement.type == "one" else (left == right)


def draw_nlvr2(pool: Pool, draws: Draws) -> list[dict[str, Any]]:
    statement, answers = _draw_statement(pool.any_scene(draws), draws)
    text = say_statement(statement, draws)
    lines = []
    for left in answers:
        for right in answers:
            parts = (left, right)
            found = [find_scene(statement.question, part, pool, draws) for part in parts]
            if None in found or found[0] == found[1]:
                return []
            label = str(true_of_parts(statement, *parts))
            images = [pool.scene(number).image_id for number in found]
            line = {"images": images, "texts": [text], "label": label, "type": statement.type}
            lines.append(line | {"parts": list(parts)})
    return lines


def _draw_statement(scene: Scene, draws: Draws) -> tuple[Statement, tuple[str, str]]:
    """And the two answers that its question has in the pictures."""
    what = draws.unit()
    if what < 0.6:
        question = Question("existence", (some_phrase(scene, draws, 0.8, 0.8, 0.1),))
        return Statement("one" if what < 0.3 else "alike", question), (YES, NO)
    question = Question("count", (some_phrase(scene, draws, 0.4, 0.4, 0.1),))
    low = draws.below(3)
    high = low + 1 + draws.below(3 - low)
    answers = (str(low), str(high))
    if what < 0.8:
        return Statement("equal", question), answers
    return Statement("sum", question, low + high), answers


_SAYINGS: dict[str, tuple[str, ...]] = {
    "one": ("one picture has {a}, the other has none", "{a} is in just one picture"),
    "alike": ("{a} is in both or in no picture", "both or none have {a}"),
    "equal": ("there are as many {many} left as right", "the pictures have as many {many}"),
    "sum": ("there are {number} {many} in the two pictures", "the pictures have {number} {many} in all"),
}


def say_statement(statement: Statement, draws: Draws) -> str:
    phrase = statement.question.things[0]
    return draws.choice(_SAYINGS[statement.type]).format(
        a=with_article(noun(phrase)),
        many=noun(phrase, plural=statement.type == "equal" or statement.total != 1),
        number=NUMBERS[statement.total],
    )
