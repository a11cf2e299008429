"""What a caption says, as symbols, and whether that is true of a scene.

A form holds of a scene when its things can be found there as *different* objects that stand in the relations
it names, and each of its counts is exact. "left of": the centre lies at least MARGIN pixels further left.
"""

from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import numpy as np

from interbert.sources.scenes.world import COLOURS, KINDS, SHAPES, SIZES, Scene, Window, parts_of

MARGIN = 80
"""Pixels between two centres from which on a relation holds: half the distance of two neighbouring cells."""
LEFT, RIGHT, ABOVE, BELOW = range(4)
OPPOSITE = {LEFT: RIGHT, RIGHT: LEFT, ABOVE: BELOW, BELOW: ABOVE}


class Phrase(NamedTuple):
    """A kind of object, described by any of its attributes; None is left open."""

    colour: int | None = None
    shape: int | None = None
    size: int | None = None


class Form(NamedTuple):
    things: tuple[Phrase, ...] = ()
    relations: tuple[tuple[int, int, int], ...] = ()
    """(thing, relation, thing)"""
    counts: tuple[tuple[int, Phrase], ...] = ()
    """Exactly so many; 0 says that there is none."""


@cache
def kinds_matching(phrase: Phrase) -> frozenset[int]:
    """The kinds of object that a phrase describes."""
    return frozenset(kind for kind in range(KINDS) if _fits(phrase, kind))


def _fits(phrase: Phrase, kind: int) -> bool:
    return all(want is None or want == has for want, has in zip(phrase, parts_of(kind), strict=True))


def related(scene: Scene, a: int, relation: int, b: int) -> bool:
    (ax, ay), (bx, by) = scene.centres[a], scene.centres[b]
    lead = (bx - ax, ax - bx, by - ay, ay - by)[relation]
    return lead >= MARGIN


def count_of(phrase: Phrase, scene: Scene) -> int:
    matching = kinds_matching(phrase)
    return sum(kind in matching for kind in scene.kinds)


def holds(form: Form, scene: Scene) -> bool:
    """Whether what the form says is true of the scene."""
    if any(count_of(phrase, scene) != count for count, phrase in form.counts):
        return False
    return next(_findings(form, scene, ()), None) is not None


def _findings(form: Form, scene: Scene, found: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """Every way to find the form's things as different objects of the scene."""
    thing = len(found)
    if thing == len(form.things):
        yield found
        return
    matching = kinds_matching(form.things[thing])
    for candidate, kind in enumerate(scene.kinds):
        if kind in matching and candidate not in found:
            longer = (*found, candidate)
            if all(
                related(scene, longer[a], relation, longer[b])
                for a, relation, b in form.relations
                if max(a, b) == thing
            ):
                yield from _findings(form, scene, longer)


class Uniqueness:
    """Tells whether a form is true of one scene of a window alone, quickly.

    For each phrase a bit set says in which scenes at least n objects match it; the sets of a form's parts,
    intersected, leave a handful of scenes, on which the form is evaluated.
    """

    def __init__(self, window: Window) -> None:
        self._window = window
        self._scenes: dict[int, Scene] = {}
        self._at_least: dict[tuple[Phrase, int], int] = {}
        self._everywhere = (1 << len(window.kinds_N6)) - 1

    def scene(self, row: int) -> Scene:
        if row not in self._scenes:
            self._scenes[row] = self._window.scene(row)
        return self._scenes[row]

    def alone(self, form: Form, row: int) -> bool:
        """Whether the form, true of scene `row`, is true of no other scene."""
        rest = self._candidates(form) & ~(1 << row)
        while rest:
            lowest = rest & -rest
            if holds(form, self.scene(lowest.bit_length() - 1)):
                return False
            rest ^= lowest
        return True

    def _candidates(self, form: Form) -> int:
        rows = self._everywhere
        for phrase in form.things:
            rows &= self._with(phrase, 1)
        for count, phrase in form.counts:
            rows &= self._with(phrase, count) & ~self._with(phrase, count + 1)
        return rows

    def _with(self, phrase: Phrase, count: int) -> int:
        """Bit set of the scenes in which at least `count` objects match the phrase."""
        key = (phrase, count)
        if key not in self._at_least:
            if count == 0:
                self._at_least[key] = self._everywhere
            else:
                matching = np.zeros(KINDS + 1, dtype=bool)
                matching[list(kinds_matching(phrase))] = True
                enough = matching[self._window.kinds_N6].sum(axis=1) >= count
                self._at_least[key] = int.from_bytes(
                    np.packbits(enough, bitorder="little").tobytes(), byteorder="little"
                )
        return self._at_least[key]


def phrase_of(kind: int, colour: bool = True, shape: bool = True, size: bool = False) -> Phrase:
    """The phrase that names these attributes of a kind."""
    has = parts_of(kind)
    return Phrase(has[0] if colour else None, has[1] if shape else None, has[2] if size else None)


ATTRIBUTE_VALUES = (len(COLOURS), len(SHAPES), len(SIZES))
"""How many values each field of a Phrase has."""
