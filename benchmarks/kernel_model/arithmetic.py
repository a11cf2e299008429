"""Integers: sums, products, shifts, logic, and as much of floats as division of integers needs."""

from collections.abc import Callable

import numpy as np

from benchmarks.kernel_model.code import Instruction
from benchmarks.kernel_model.operands import (
    as_int,
    computed,
    forgotten,
    is_predicate,
    place_of,
    predicate,
    put,
    results_and_rest,
    source,
    split_carries,
)
from benchmarks.kernel_model.values import FULL, float_bits, lanes, of_bits, signed


def add(i: Instruction, _) -> Callable:
    results, rest = results_and_rest(i)
    numbers, carries = split_carries(rest)
    sources = [source(x, open_sign=".X" not in i.name) for x in numbers]

    def rule(*values):
        total = sum(values[: len(sources)]) + sum(as_int(x) for x in values[len(sources) :])
        out = [total & FULL]
        if len(results) > 1:
            out.append(total >> 32 >= 1)
        if len(results) > 2:
            out.append(total >> 32 >= 2)
        return out

    return computed(i, results, sources + carries, rule)


def multiply_add(i: Instruction, _) -> Callable:
    results, rest = results_and_rest(i)
    numbers, carries = split_carries(rest)
    parts = i.name.split(".")
    unsigned = "U32" in parts
    a, b, c = (source(x) for x in numbers)
    carry = carries or [lambda w: False]
    up = source(numbers[2], high=True) if numbers[2] not in ("RZ", "URZ") else (lambda w: 0)
    if "WIDE" in parts:
        first = place_of(results[0])
        second = (first[0], first[1] + 1) if first else None

        def rule_wide(a, b, c, up, carry):
            product = a * b if unsigned else signed(a) * signed(b)
            total = product + (c | up << 32)
            if not isinstance(total, np.ndarray):
                out = [total & FULL, total >> 32 & FULL]
                full = (product & (1 << 64) - 1) + (c | up << 32)
            else:
                out = [total & FULL, (total >> 32) & FULL]
                full = None
            if len(results) > 1:
                out.append(None if full is None else full >> 64 >= 1)
            return out

        return computed(i, [first, second, *results[1:]], [a, b, c, up, carry[0]], rule_wide)

    def rule_high(a, b, c, up):
        """The upper half of the product and a pair."""
        low = c | up << 32
        if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
            a, b = lanes(a).astype(object), lanes(b).astype(object)
        total = (a * b if unsigned else signed(a) * signed(b)) + low >> 32 & FULL
        return [total.astype(np.int64) if isinstance(total, np.ndarray) else total]

    if "HI" in parts:
        return computed(i, results[:1], [a, b, c, up], rule_high)

    def rule(a, b, c, carry):
        return [(a * b + c + as_int(carry)) & FULL]

    return computed(i, results[:1], [a, b, c, carry[0]], rule)


def shift(i: Instruction, _) -> Callable:
    parts = i.name.split(".")
    d, a, n, c = i.operands
    long, is_signed = ("U64" in parts or "S64" in parts), ("S32" in parts or "S64" in parts)

    def rule(a, n, c):
        if "W" not in parts:
            n = np.minimum(n, 63) if isinstance(n, np.ndarray) else min(n, 63)
        if "L" in parts:
            if "HI" in parts:
                return [((a | c << 32) << n) >> 32 & FULL]
            return [(a << n) & FULL]
        high = signed(c) if is_signed else c
        if long or "HI" not in parts:
            both = a | high << 32
            return [(both >> n) >> (32 if "HI" in parts else 0) & FULL]
        return [(high >> n) & FULL]

    return computed(i, [d], [source(a), source(n), source(c)], rule)


def scaled_add(i: Instruction, _) -> Callable:
    results, rest = results_and_rest(i)
    numbers, carries = split_carries(rest)
    parts = i.name.split(".")
    if "HI" not in parts:
        a, b, n = (source(x, open_sign=True) for x in numbers[:3])

        def rule(a, b, n):
            total = (a << n & FULL) + b
            return [total & FULL] + [total >> 32 >= 1] * (len(results) > 1)

        return computed(i, results, [a, b, n], rule)
    extended = "SX32" in parts
    a, b = source(numbers[0]), source(numbers[1], open_sign=True)
    high = source("RZ") if extended else source(numbers[2])
    n = source(numbers[-1])
    carry = carries[-1] if carries and "X" in parts else (lambda w: False)

    def rule_high(a, b, high, n, carry):
        both = signed(a) if extended else a | high << 32
        total = (both << n >> 32 & FULL) + b + as_int(carry)
        return [total & FULL] + [total >> 32 >= 1] * (len(results) > 1)

    return computed(i, results, [a, b, high, n, carry], rule_high)


def logic_of(table: int) -> Callable:
    simple = {
        0xC0: lambda a, b, c: a & b,
        0xFC: lambda a, b, c: a | b,
        0x3C: lambda a, b, c: a ^ b,
        0x33: lambda a, b, c: ~b & FULL,
        0x0F: lambda a, b, c: ~a & FULL,
        0xFE: lambda a, b, c: a | b | c,
        0x96: lambda a, b, c: a ^ b ^ c,
    }
    if table in simple:
        return simple[table]

    def rule(a, b, c):
        out = 0
        for k in range(8):
            if table >> k & 1:
                out |= (a if k & 4 else ~a) & (b if k & 2 else ~b) & (c if k & 1 else ~c)
        return out & FULL

    return rule


def logic(i: Instruction, _) -> Callable:
    operands = list(i.operands)
    results = [operands.pop(0)]
    if is_predicate(results[0]):
        results.append(operands.pop(0))
    table = logic_of(int(operands[3], 16))

    def rule(a, b, c):
        value = table(a, b, c)
        return [value] if len(results) == 1 else [value != 0, value]

    return computed(i, results, [source(x) for x in operands[:3]], rule)


def choose(i: Instruction, _) -> Callable:
    d, a, b, p = i.operands
    place, a, b, p = place_of(d), source(a), source(b), predicate(p)

    def action(w, mask):
        which = p(w)
        if which is None:
            value = None
        elif isinstance(which, np.ndarray):
            x, y = a(w), b(w)
            value = None if x is None or y is None else np.where(which, x, y)
        else:
            value = a(w) if which else b(w)
        if place:
            put(w, place, value, mask)

    return action


def move(i: Instruction, _) -> Callable:
    if ".64" in i.name:
        first = place_of(i.operands[0])
        return computed(
            i,
            [first, (first[0], first[1] + 1)],
            [source(i.operands[1]), source(i.operands[1], high=True)],
            lambda a, b: [a, b],
        )
    return computed(i, [i.operands[0]], [source(i.operands[1])], lambda a: [a])


def extreme(i: Instruction, _) -> Callable:
    results, rest = results_and_rest(i)
    numbers, which = split_carries(rest)
    parts = i.name.split(".")
    added = i.base == "VIADDMNMX"

    def rule(*values):
        *x, least = values
        if "U32" not in parts:
            x = [signed(v) for v in x]
        if added:
            x = [signed((x[0] + x[1]) & FULL), x[2]]
        small, large = np.minimum(x[0], x[1]), np.maximum(x[0], x[1])
        out = small if least else large
        if "RELU" in parts:
            out = np.maximum(out, 0)
        return [(out if isinstance(out, np.ndarray) else int(out)) & FULL]

    return computed(i, results[:1], [*(source(x) for x in numbers), which[-1]], rule)


def absolute(i: Instruction, _) -> Callable:
    return computed(i, [i.operands[0]], [source(i.operands[1])], lambda a: [abs(signed(a)) & FULL])


def by_lane(rule: Callable[[int], int]) -> Callable:
    """Of one number, or of each lane's."""
    return lambda a: [np.array([rule(int(x)) for x in a]) if isinstance(a, np.ndarray) else rule(a)]


def to_float(i: Instruction, _) -> Callable:
    """As far as division of integers needs it."""
    if "U64" in i.name or "S64" in i.name or "F64" in i.name:
        return forgotten(i)
    rule = by_lane(lambda a: float_bits(a if "U32" in i.name else signed(a)))
    return computed(i, [i.operands[0]], [source(i.operands[1])], rule)


def to_integer(i: Instruction, _) -> Callable:
    if "64" in i.name:
        return forgotten(i)
    least, most = (0, FULL) if "U32" in i.name else (-(2**31), 2**31 - 1)

    def rule(a: int) -> int:
        x = of_bits(a)
        return 0 if np.isnan(x) else int(min(max(x, least), most)) & FULL

    return computed(i, [i.operands[0]], [source(i.operands[1])], by_lane(rule))


def special(i: Instruction, _) -> Callable:
    if "RCP" not in i.name or "64" in i.name:
        return forgotten(i)

    def rule(a: int) -> int:
        x = of_bits(a)
        return float_bits(1 / x if x else np.copysign(np.inf, x))

    return computed(i, [i.operands[0]], [source(i.operands[1])], by_lane(rule))


def permute(i: Instruction, _) -> Callable:
    """Four bytes chosen out of eight, by the selector's digits."""

    def rule(a, selector, b):
        if isinstance(selector, np.ndarray) or selector & 0x8888:
            return [None]
        both, out = a | b << 32, 0
        for k in range(4):
            out = out | (both >> 8 * (selector >> 4 * k & 7) & 0xFF) << 8 * k
        return [out]

    return computed(i, [i.operands[0]], [source(x) for x in i.operands[1:4]], rule)


def population(i: Instruction, _) -> Callable:
    return computed(
        i,
        [i.operands[0]],
        [source(i.operands[1])],
        lambda a: [None if isinstance(a, np.ndarray) else a.bit_count()],
    )
