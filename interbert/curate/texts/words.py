"""Words of a text, of whatever script: what lengths are counted in, and what is the same but for its writing."""

import re
from collections.abc import Sequence

import xxhash

_WORD = re.compile(r"[^\W\d_]+(?:['’\-][^\W\d_]+)*|\d+(?:[.,]\d+)*")
_SPACELESS = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\u0e00-\u0e7f\u0e80-\u0eff\u1780-\u17ff]+")
"""Kana, Han, Thai, Lao, Khmer."""
_LETTERS = re.compile(r"[^\W\d_]+")


def words_of(text: str) -> list[str]:
    """Lower-cased; of a script without spaces two letters at a time."""
    found = []
    for word in _WORD.findall(text.lower()):
        if _SPACELESS.search(word):
            found += [word[place : place + 2] for place in range(0, len(word), 2)]
        else:
            found.append(word)
    return found


def letters_alone(text: str) -> str:
    """ "Photo 12!" and "photo 3" are the same."""
    return " ".join(_LETTERS.findall(text.casefold()))


def text_key(text: str) -> int:
    return xxhash.xxh3_64_intdigest(letters_alone(text).encode())


def grams(text: str) -> set[str]:
    """Groups of four letters."""
    plain = f" {letters_alone(text)} "
    return {plain[place : place + 4] for place in range(max(len(plain) - 3, 1))}


def alike(first: set[str], second: set[str]) -> float:
    """Jaccard's measure, of groups of letters."""
    both = len(first & second)
    return both / (len(first) + len(second) - both)


def is_alike(own: set[str], others: Sequence[set[str]], most: float) -> bool:
    """Whether one of the others shares so much with it."""
    return any(alike(own, other) >= most for other in others)
