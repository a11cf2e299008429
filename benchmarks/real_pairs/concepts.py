"""Which names are one concept: what differs in gender, skin, hair or a word is kept on one side of every split."""

import hashlib
import re
from collections.abc import Sequence

_PEOPLE = frozenset(
    [
        "man",
        "men",
        "woman",
        "women",
        "person",
        "people",
        "boy",
        "boys",
        "girl",
        "girls",
        "mr",
        "mrs",
        "male",
        "female",
        "he",
        "she",
        "lady",
        "guy",
        "old",
    ]
)
_LOOKS = frozenset(
    ["skin", "tone", "light", "medium", "dark", "hair", "red", "curly", "white", "bald", "blond", "beard"]
)
_SMALL = frozenset(["a", "an", "the", "of", "with", "and", "in", "on", "at", "to", "for", "its", "s"])
_GENERIC = frozenset(["face", "button", "symbol", "sign"])
ALIKE = 0.5
"""Names of two words and more that share this part of all their words are one concept."""


def words_of(name: str) -> frozenset[str]:
    """What is left of a name when it does not matter who, how coloured and how many; of people alone, that."""
    words = {_singular(word) for word in re.findall(r"[\w’']+", name.lower())} - _SMALL
    looks = _LOOKS if ":" in name or words & _PEOPLE else frozenset()
    left = words - _PEOPLE - looks
    return frozenset((left - _GENERIC) or left or {"person"})


def _singular(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


def grouped(names: Sequence[str]) -> list[str]:
    """Of each name its group: the first name of those that are one concept, by however many steps."""
    words = [words_of(name) for name in names]
    first = list(range(len(names)))

    def root(at: int) -> int:
        while first[at] != at:
            first[at] = first[first[at]]
            at = first[at]
        return at

    having: dict[str, list[int]] = {}
    for number, own in enumerate(words):
        near = {other for word in own for other in having.get(word, ()) if alike(own, words[other])}
        for other in near:
            low, high = sorted((root(number), root(other)))
            first[high] = low
        for word in own:
            having.setdefault(word, []).append(number)
    return [names[root(number)] for number in range(len(names))]


def alike(a: frozenset[str], b: frozenset[str]) -> bool:
    return a == b or (min(len(a), len(b)) > 1 and len(a & b) / len(a | b) >= ALIKE)


def drawn(group: str) -> float:
    """A number from 0 to 1 that depends on nothing but the group's name."""
    return int.from_bytes(hashlib.sha256(group.encode()).digest()[:6], "big") / 2**48
