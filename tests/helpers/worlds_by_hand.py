"""Reads the English of examples, and looks at boxes: knows nothing of questions, claims and references as symbols."""

import re
from itertools import permutations

from scenes_by_hand import ALONGSIDE, NOUN, NUMBER, _is, _stands

from interbert.sources.scenes.world import WINDOW, Scene, describe, parse_image_id, sample_window

_WINDOWS = {}


def scene_named(image_id: str) -> Scene:
    seed, split, index = parse_image_id(image_id)
    key = seed, split, index // WINDOW
    if key not in _WINDOWS:
        _WINDOWS[key] = sample_window(*key)
    return _WINDOWS[key].scene(index % WINDOW)


def found(words: str, scene: Scene) -> list[int]:
    """Objects that `small red ball` or `ball left of the red cube` describes; the one that it is to must be alone."""
    parts = re.fullmatch(rf"{NOUN}(?: {ALONGSIDE} (?:the|an?) (.*))?", words)
    assert parts, words
    *noun, how, other = parts.groups()
    things = [n for n, kind in enumerate(scene.kinds) if _is(tuple(describe(kind).split()), tuple(noun))]
    if how is None:
        return things
    anchors = found(other, scene)
    assert len(anchors) == 1, (words, scene)
    boxes = scene.boxes
    return [n for n in things if n not in anchors and _stands(boxes[n], how, boxes[anchors[0]])]


def answer_to(question: str, scene: Scene) -> str:
    if match := re.fullmatch(r"what (colour|shape|size) is the (.*)", question):
        (thing,) = found(match[2], scene)
        return describe(scene.kinds[thing]).split()[("size", "colour", "shape").index(match[1])]
    if match := re.fullmatch(r"how many (.*) (?:are there|can be seen)", question):
        return str(len(found(match[1], scene)))
    if match := re.fullmatch(r"is there an? (.*)|can an? (.*) be seen", question):
        return _yes(found(match[1] or match[2], scene))
    if match := re.fullmatch(r"are there (more|as many) (.*) (?:than|as) (.*)", question):
        first, second = (len(found(words, scene)) for words in match.groups()[1:])
        return _yes(first > second if match[1] == "more" else first == second)
    match = re.fullmatch(rf"is the ({NOUN}) ({ALONGSIDE} the .*)", question)
    (thing,) = found(match[1], scene)
    return _yes(thing in found(f"{match[1]} {match[5]}", scene))


def _yes(true) -> str:
    return "yes" if true else "no"


def label_of_claim(text: str, scene: Scene) -> str:
    match = re.fullmatch(r"the (.*) (?:we see|in the picture|in this scene) is (.*)", text)
    things, said = found(match[1], scene), match[2]
    if how := re.fullmatch(rf"{ALONGSIDE} an? (.*)", said):
        boxes, others = scene.boxes, found(how[2], scene)
        true = [any(n != o and _stands(boxes[n], how[1], boxes[o]) for o in others) for n in things]
    else:
        true = [said.split()[-1] in describe(scene.kinds[n]).split() for n in things]
    assert len(things) > 1, (text, scene)
    return "entailment" if all(true) else "neutral" if any(true) else "contradiction"


def statement_holds(text: str, left: Scene, right: Scene) -> bool:
    scenes = (left, right)
    for frame in (r"one picture has an? (.*), the other has none", r"an? (.*) is in just one picture"):
        if match := re.fullmatch(frame, text):
            return sum(bool(found(match[1], scene)) for scene in scenes) == 1
    for frame in (r"an? (.*) is in both or in no picture", r"both or none have an? (.*)"):
        if match := re.fullmatch(frame, text):
            return sum(bool(found(match[1], scene)) for scene in scenes) != 1
    for frame in (r"there are as many (.*) left as right", r"the pictures have as many (.*)"):
        if match := re.fullmatch(frame, text):
            return len({len(found(match[1], scene)) for scene in scenes}) == 1
    for frame in (r"there are (\w+) (.*) in the two pictures", r"the pictures have (\w+) (.*) in all"):
        if match := re.fullmatch(frame, text):
            return sum(len(found(match[2], scene)) for scene in scenes) == NUMBER[match[1]]
    raise AssertionError(text)


def choice_holds(question: str, choice: str, scene: Scene) -> bool:
    question, _, answer = question.partition(" , ")
    if match := re.fullmatch(r"it is (?:an? )?(.*)", choice):
        return answer_to(question, scene) == match[1]
    if match := re.fullmatch(r"there (?:is|are) (.*)", choice):
        return int(answer_to(question, scene)) == ("none", "one", "two", "three").index(match[1])
    assert choice_holds(question, answer, scene)
    if match := re.fullmatch(r"the (.*) is (.*)", choice):
        return len(found(f"{match[1]} {match[2]}", scene)) == 1
    named = sorted(re.sub("^an? ", "", each) for each in choice.removeprefix("we see ").split(" and "))
    things = found(re.fullmatch(r"how many (.*) are there", question)[1], scene)
    seen = sorted(describe(scene.kinds[n]).split(" ", 1)[1] for n in things)
    return seen == named


_WAYS = {
    "left": (0, -1),
    "right": (0, 1),
    "above": (1, -1),
    "over": (1, -1),
    "below": (1, 1),
    "under": (1, 1),
}


def follows_from(premise: str, said: str) -> bool:
    """Of places: by trying every order of the things. Of attributes: by what the first sentence says of each."""
    if premise.startswith("we see "):
        things = [set(part.split()) for part in premise.removeprefix("we see ").split(" and ")]
        name, value = re.fullmatch(r"the (\w+) is (\w+)", said).groups()
        (own,) = [words for words in things if name in words]
        return value in own
    facts = [_fact(part) for part in premise.split(" and ")]
    asked = _fact(said)
    things = sorted({thing for a, _, b in facts for thing in (a, b)})
    worlds = [dict(zip(order, range(len(things)), strict=True)) for order in permutations(things)]
    possible = [world for world in worlds if all(_true(fact, world) for fact in facts)]
    told = {_true(asked, world) for world in possible}
    assert len(told) == 1, (premise, said)
    assert len({_WAYS[how][0] for _, how, _ in [*facts, asked]}) == 1
    return told.pop()


def _fact(text: str) -> tuple[str, str, str]:
    match = re.fullmatch(rf"the (.*) is {ALONGSIDE} the (.*)", text)
    return match[1], re.search("left|right|above|over|below|under", match[2])[0], match[3]


def _true(fact: tuple[str, str, str], world: dict[str, int]) -> bool:
    a, how, b = fact
    return (world[a] - world[b]) * _WAYS[how][1] > 0
