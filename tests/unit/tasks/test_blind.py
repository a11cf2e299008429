"""Baselines that do not look: they find what words or habit give away, and nothing where nothing is given away."""

import numpy as np
import pytest

from interbert.sources.scenes.worlds.write import WORLDS, draw_lines
from interbert.tasks.blind.blind import blind

RNG = np.random.default_rng(0)


def questions(count: int, given_away: bool) -> list[dict]:
    lines = []
    for _ in range(count):
        label, word = str(RNG.choice(["yes", "no"])), RNG.choice(["red", "blue", "green"])
        told = {"yes": "truly", "no": "hardly"}[label] if given_away else RNG.choice(["truly", "hardly"])
        lines.append({"texts": [f"is it {told} {word}"], "label": label, "type": str(word)})
    return lines


def test_words_that_give_the_answer_away_are_found():
    told = blind("classify", questions(400, True), questions(200, True))
    assert told.baseline == "words" and told.value == 1 and told.each["most frequent answer"] < 0.65
    kept = blind("classify", questions(400, False), questions(200, False))
    assert 0.4 < kept.each["words"] < 0.6 and kept.low < 0.5 < kept.high


def test_a_habit_of_a_type_is_found():
    lines = [{"texts": ["what"], "label": "ab"[n % 2], "type": "cd"[n % 2]} for n in range(40)]
    told = blind("classify", lines, lines)
    assert told.baseline == "most frequent answer of the type" and told.value == told.low == 1
    assert told.each["words"] == 0.5 and told.as_json()["each"] == told.each


def test_choices_that_are_like_their_question_are_found():
    lines = []
    for n in range(300):
        right = int(RNG.integers(4))
        choices = [RNG.choice(["red ball", "blue cube", "green star"]) for _ in range(4)]
        asked = RNG.choice(["one", "two", "six"])
        choices[right] += f" {asked}" if n % 3 else ""
        lines.append({"texts": [[f"why {asked}", own] for own in choices], "label": right, "type": "x"})
    told = blind("choose", lines[:200], lines[200:])
    assert told.baseline == "words" and told.value > 0.6 and told.each["most frequent answer"] < 0.4


def test_one_picture_that_tells_is_found():
    def line() -> dict:
        parts = [str(RNG.choice(["yes", "no"])) for _ in range(2)]
        return {
            "texts": ["both have a ball"],
            "label": str(parts == ["yes", "yes"]),
            "parts": parts,
            "type": "x",
        }

    told = blind("classify", [line() for _ in range(300)], [line() for _ in range(300)])
    assert told.each["first picture and words"] > 0.7

    def equal() -> dict:
        made = line()
        return made | {"label": str(made["parts"][0] == made["parts"][1])}

    told = blind("classify", [equal() for _ in range(300)], [equal() for _ in range(300)])
    assert told.value < 0.62, "both pictures are needed"


def test_one_answer_is_always_said():
    lines = [{"texts": ["is it"], "label": "yes", "type": "x"}] * 2
    judged = [*lines, {"texts": ["is it"], "label": "no", "type": "x"}]
    assert set(blind("classify", lines, judged).each.values()) == {2 / 3}


def test_the_region_that_is_right_most_often():
    lines = [{"texts": ["it"], "shown_by": [2, 5] if n % 4 else [0]} for n in range(40)]
    told = blind("point", lines, lines)
    assert told.value == 0.75 and told.low < 0.75 < told.high


CHANCE = {"entailment": 1 / 3, "nlvr2": 1 / 2, "text": 1 / 2, "vcr": 1 / 4}
"""vqa has answers of several types, and regions are not equally many: their chance is measured, not known."""


@pytest.mark.parametrize("world", CHANCE)
def test_the_embedded_worlds_are_near_chance(world):
    train, judged = (draw_lines(world, 800, 2000, 4, split) for split in ("train", "validation"))
    told = blind(WORLDS[world][0], train, judged)
    assert all(abs(value - CHANCE[world]) < 0.07 for value in told.each.values()), told


def test_words_add_nothing_to_the_type_of_a_question():
    train, judged = (draw_lines("vqa", 1500, 2000, 4, split) for split in ("train", "validation"))
    told = blind("classify", train, judged)
    assert told.each["words"] < told.each["most frequent answer of the type"] + 0.06 < 0.5, told
