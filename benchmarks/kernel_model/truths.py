"""Predicates: comparisons, and what is made of their outcomes."""

from collections.abc import Callable

import numpy as np

from benchmarks.kernel_model.code import Instruction
from benchmarks.kernel_model.operands import as_int, place_of, predicate, put, source
from benchmarks.kernel_model.values import signed, uniform


def predicate_logic(i: Instruction, _) -> Callable:
    first, second = place_of(i.operands[0]), place_of(i.operands[1])
    sources = [predicate(x) for x in i.operands[2:5]]
    tables = [int(x, 16) for x in i.operands[5:7]]

    def one(table, values):
        """Also with unknowns, where they do not matter."""
        outcomes = set()
        arrays = any(isinstance(x, np.ndarray) for x in values)
        if arrays:
            if any(x is None for x in values):
                return None
            a, b, c = (np.asarray(x, dtype=bool) for x in values)
            return uniform((table >> (4 * a + 2 * b + c * 1) & 1).astype(bool) | np.zeros(32, bool))
        for k in range(8):
            bits = (k >> 2 & 1, k >> 1 & 1, k & 1)
            if all(v is None or bool(v) == bool(b) for v, b in zip(values, bits, strict=True)):
                outcomes.add(bool(table >> k & 1))
        return outcomes.pop() if len(outcomes) == 1 else None

    def action(w, mask):
        values = [x(w) for x in sources]
        for place, table in zip((first, second), tables, strict=False):
            if place:
                put(w, place, one(table, values), mask)

    return action


COMPARE = {
    "LT": lambda a, b: a < b,
    "LE": lambda a, b: a <= b,
    "GT": lambda a, b: a > b,
    "GE": lambda a, b: a >= b,
    "EQ": lambda a, b: a == b,
    "NE": lambda a, b: a != b,
}
JOIN = {"AND": lambda a, b: a & b, "OR": lambda a, b: a | b, "XOR": lambda a, b: a ^ b}


def compare(i: Instruction, _) -> Callable:
    parts = i.name.split(".")
    relation = next(x for x in parts if x in COMPARE)
    compared, joined = COMPARE[relation], JOIN[next(x for x in parts if x in JOIN)]
    unsigned, extended = "U32" in parts, "EX" in parts
    p, q, a, b, other, *rest = i.operands
    places = place_of(p), place_of(q)
    sources = [source(a), source(b)]
    before = predicate(other)
    below = predicate(rest[0]) if rest else None
    strict = COMPARE[{"LE": "LT", "GE": "GT"}.get(relation, relation)]

    def result(w):
        x, y = (s(w) for s in sources)
        if x is None or y is None:
            return None
        if not unsigned:
            x, y = signed(x), signed(y)
        if not extended:
            return compared(x, y)
        low = below(w)
        if low is None:
            return None
        if relation == "EQ":
            return (x == y) & low
        if relation == "NE":
            return (x != y) | low
        return strict(x, y) | ((x == y) & low)

    def action(w, mask):
        found, with_what = result(w), before(w)
        if found is None or with_what is None:
            absorbing = joined is JOIN["AND"]
            known = with_what if found is None else found
            sure = (
                not isinstance(known, np.ndarray) and known is (not absorbing) and joined is not JOIN["XOR"]
            )
            value = known if sure else None
            other_value = None
        else:
            value = joined(found, with_what)
            turned = ~found if isinstance(found, np.ndarray) else not found
            other_value = joined(turned, with_what)
        if places[0]:
            put(w, places[0], value, mask)
        if places[1]:
            put(w, places[1], other_value, mask)

    return action


def predicates_out(i: Instruction, _) -> Callable:
    place, kept = place_of(i.operands[0]), int(i.operands[-1], 16)

    def action(w, mask):
        bits = 0
        for k in range(7):
            if kept >> k & 1:
                x = w.p[k]
                if x is None:
                    bits = None
                    break
                bits = bits | as_int(x) << k
        if place:
            put(w, place, bits, mask)

    return action


def predicates_in(i: Instruction, _) -> Callable:
    value, kept = source(i.operands[1]), int(i.operands[2], 16)

    def action(w, mask):
        x = value(w)
        for k in range(7):
            if kept >> k & 1:
                put(w, ("p", k), None if x is None else (x >> k & 1) != 0, mask)

    return action
