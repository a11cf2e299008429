"""What does not fit a query, of what fits others: first of those that share words with it."""

import re
from collections import defaultdict
from collections.abc import Iterable

from interbert.rng import Purpose, generator
from interbert.script import HAN

_WORD = re.compile(rf"[{HAN}]|[^\W{HAN}]+")
_TRIES = 20
"""Draws for each one wanted that may meet what fits, or what was drawn before."""


class Negatives:
    def __init__(self, pairs: Iterable[tuple[str, str]], count: int, seed: int) -> None:
        """pairs: a query's text and an item that fits. Queries that read alike are one."""
        self._count, self._seed = count, seed
        numbers: dict[str, int] = {}
        self._items: list[list[str]] = []
        for text, item in pairs:
            number = numbers.setdefault(_plain(text), len(numbers))
            if number == len(self._items):
                self._items.append([])
            self._items[number].append(item)
        self._numbers = numbers
        self._with_word: dict[str, list[int]] = defaultdict(list)
        for text, number in numbers.items():
            for word in set(_WORD.findall(text)):
                self._with_word[word].append(number)
        if count and len(numbers) < 2:
            raise ValueError("there is only one query: of others, whose items do not fit it, there are none")

    def of(self, text: str, item: str, row: int) -> list[str]:
        """As many as asked for, or as there are; a function of the seed and the row."""
        own = self._numbers[_plain(text)]
        taken = {item, *self._items[own]}
        words = [word for word in sorted(set(_WORD.findall(_plain(text)))) if len(self._with_word[word]) > 1]
        rng = generator(self._seed, Purpose.NEGATIVES, row)
        found: list[str] = []
        for attempt in range(_TRIES * self._count):
            if len(found) == self._count:
                break
            # In the end any query will do.
            near = words and attempt < _TRIES * self._count // 2
            pool = self._with_word[words[rng.integers(len(words))]] if near else range(len(self._items))
            items = self._items[pool[rng.integers(len(pool))]]
            drawn = items[rng.integers(len(items))]
            if drawn not in taken:
                taken.add(drawn)
                found.append(drawn)
        return found


def _plain(text: str) -> str:
    return " ".join(text.lower().split())
