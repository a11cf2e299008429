"""What a warp is told, and what its lanes tell each other."""

from collections.abc import Callable

import numpy as np

from benchmarks.kernel_model.code import Instruction
from benchmarks.kernel_model.effects import Effect
from benchmarks.kernel_model.operands import (
    CONSTANT,
    NUMBER,
    computed,
    is_predicate,
    place_of,
    predicate,
    put,
    source,
    words_of,
)
from benchmarks.kernel_model.values import FULL, LANES, lanes, signed


def special_register(i: Instruction, _) -> Callable:
    place, name = place_of(i.operands[0]), i.operands[1]
    two = i.base == "CS2R" and "32" not in i.name

    def action(w, mask):
        value = w.special(name)
        if place:
            put(w, place, value, mask)
            if two:
                put(w, (place[0], place[1] + 1), 0 if name == "SRZ" else None, mask)

    return action


def constant(i: Instruction, _) -> Callable:
    first = place_of(i.operands[0])
    count = words_of(i)
    match = CONSTANT.match(i.operands[1])
    known = match and match[2] == "0" and NUMBER.match(match[3])
    gets = [source(i.operands[1], high=k) for k in range(count)]
    at = int(match[3], 16) if known else 0

    def action(w, mask):
        for k in range(count):
            put(w, (first[0], first[1] + k), w.constants.get(at + 4 * k) if known else gets[0](w), mask)

    return action


def to_uniform(i: Instruction, _) -> Callable:
    *_, d, a = i.operands
    return computed(i, [d], [source(a)], lambda a: [int(a[0]) if isinstance(a, np.ndarray) else a])


def shuffle(i: Instruction, _) -> Callable:
    p, d, a, b, _ = i.operands
    place, a, b, p = place_of(d), source(a), source(b), place_of(p)
    kind = i.name.split(".")[1]

    def action(w, mask):
        x, n = a(w), b(w)
        value = None
        if x is not None and not isinstance(x, np.ndarray):
            value = x
        elif x is not None and n is not None:
            to = {"IDX": n + 0 * LANES, "BFLY": LANES ^ n, "DOWN": LANES + n, "UP": LANES - n}[kind]
            value = x[np.where((to < 0) | (to > 31), LANES, to)]
        if place:
            put(w, place, value, mask)
        if p:
            put(w, p, True, mask)
        return Effect("shuffle")

    return action


def vote(i: Instruction, _) -> Callable:
    results = [place_of(x) for x in i.operands[:-1]]
    asked, kind = predicate(i.operands[-1]), i.name.split(".")[1]

    def action(w, mask):
        x = asked(w)
        active = w.active() if mask is None else mask
        values = {}
        if x is not None:
            bits = lanes(x).astype(bool) & active
            whole = {"ALL": bool((bits | ~active).all()), "ANY": bool(bits.any())}
            values = {"p": whole.get(kind), "r": int((bits.astype(np.int64) << LANES).sum())}
        for place in results:
            if place:
                put(w, place, values.get("p" if "p" in place[0] else "r"), None)

    return action


def reduction(i: Instruction, _) -> Callable:
    """The largest of lanes that agree."""
    action = computed(i, [i.operands[0]], [source(i.operands[-1])], lambda a: [of_largest(a)])

    def reduced(w, mask):
        action(w, mask)
        return Effect("shuffle")

    return reduced


def of_largest(x):
    return int(signed(x).max()) & FULL if isinstance(x, np.ndarray) else x


def elect(i: Instruction, _) -> Callable:
    results = [place_of(x) for x in i.operands if is_predicate(x)]

    def action(w, mask):
        first = np.zeros(32, bool)
        first[int(np.argmax(w.active()))] = True
        for place in results[:1]:
            if place:
                put(w, place, first, mask)

    return action
