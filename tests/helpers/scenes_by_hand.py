"""An evaluator of captions of its own: reads the English, looks at the boxes, knows nothing of forms."""

import re
from itertools import permutations
from typing import NamedTuple

from interbert.sources.scenes.world import Scene, describe

NOUN = r"(?:(small|large) )?(?:(red|green|blue|yellow|purple|orange|black|white) )?"
NOUN += r"(ball|cube|cone|ring|star|cross|thing)(?:e?s)?"
NUMBER = {word: n for n, word in enumerate(["one", "two", "three", "four", "five", "six", "seven"], start=1)}
ALONGSIDE = r"(to the left of|to the right of|left of|right of|above|over|below|under)"
FRAMES = (r"there (?:is|are) (.*)", r"(.*) can be seen", r"we count (.*)", r"this scene has (.*)")
NO_FRAMES = (r"there is (no .*)", r"we see (no .*)", r"a scene (without any .*)", r"the picture has (no .*)")
OPENINGS = ("here is ", "we see ", "the picture shows ", "this scene has ")


class Claim(NamedTuple):
    nouns: list[tuple[str | None, ...]]
    relations: list[tuple[int, str, int]]
    counts: list[tuple[int, tuple[str | None, ...]]]


def read(text: str) -> Claim:
    counts = []
    for frame in NO_FRAMES:
        if whole := re.fullmatch(frame, text):
            text = f" {whole[1]}"
    for frame in FRAMES:
        whole = re.fullmatch(frame, text)
        if whole and re.fullmatch(rf"(?:exactly )?({'|'.join(NUMBER)}) {NOUN}", whole[1]):
            text = f" in a scene with {whole[1]}"
    if tail := re.search(rf" (?:but no|no|without any) {NOUN}$", text):
        counts.append((0, tail.groups()))
        text = text[: tail.start()]
    if tail := re.search(rf" in a scene with (?:exactly )?(\w+) {NOUN}$", text):
        counts.append((NUMBER[tail[1]], tail.groups()[1:]))
        text = text[: tail.start()]
    for opening in OPENINGS:
        text = text.removeprefix(opening)
    text = re.sub(r" (in the picture|in this scene)$", "", text)
    nouns = [match.groups() for match in re.finditer(rf"\b(?:an?|another) {NOUN}\b", text)]
    numbers = iter(range(len(nouns)))
    text = re.sub(rf"\b(?:an?|another) {NOUN}\b", lambda _: f"#{next(numbers)}", text)
    return Claim(nouns, _relations(text), counts)


def _relations(text: str) -> list[tuple[int, str, int]]:
    main, _, rest = text.partition(", with ")
    for listing in (rest, main if not re.search(ALONGSIDE, main) else ""):
        assert re.fullmatch(r"|(#\d, )*#\d( and #\d)?", listing), text
    found = []
    if re.search(ALONGSIDE, main):
        for clause in main.split(" while "):
            parts = re.fullmatch(rf"#(\d)(?: is)? {ALONGSIDE} #(\d)(?: and {ALONGSIDE} #(\d))?", clause)
            assert parts, text
            found.append((int(parts[1]), parts[2], int(parts[3])))
            if parts[4]:
                found.append((int(parts[1]), parts[4], int(parts[5])))
    return found


def true_of(claim: Claim, scene: Scene) -> bool:
    objects = [tuple(describe(kind).split()) for kind in scene.kinds]
    for number, noun in claim.counts:
        if sum(_is(words, noun) for words in objects) != number:
            return False
    if not all(any(_is(words, noun) for words in objects) for noun in claim.nouns):
        return False
    return any(
        all(_is(objects[o], noun) for o, noun in zip(chosen, claim.nouns, strict=True))
        and all(_stands(scene.boxes[chosen[a]], how, scene.boxes[chosen[b]]) for a, how, b in claim.relations)
        for chosen in permutations(range(len(objects)), len(claim.nouns))
    )


def _is(words: tuple[str, ...], noun: tuple[str | None, ...]) -> bool:
    return all(want in (None, "thing", word) for want, word in zip(noun, words, strict=True))


def _stands(first: tuple, how: str, second: tuple) -> bool:
    right = (first[0] + first[2] - second[0] - second[2]) / 2
    down = (first[1] + first[3] - second[1] - second[3]) / 2
    if how.endswith("left of"):
        return right <= -80
    if how.endswith("right of"):
        return right >= 80
    return down <= -80 if how in ("above", "over") else down >= 80
