"""What the instructions of sm_90 do to integers, addresses and predicates; of data they make unknowns.

`meaning` turns an instruction into a function of a warp. It returns what the clock must know beyond the instruction's
name: None; OFF, if no lane does it; or an `Effect` on memory, barriers or the path.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.kernel_model.code import Instruction
from benchmarks.kernel_model.values import (
    FULL,
    LANES,
    float_bits,
    lanes,
    merged,
    of_bits,
    signed,
    uniform,
    wide,
)

OFF = "off"


@dataclass(slots=True, frozen=True)
class Effect:
    kind: str
    address: Any = None
    size: int = 0
    mask: np.ndarray | None = None
    value: Any = None
    write: Callable | None = None


class Unknown(Exception):
    """The path depends on something that the model does not know."""


REGISTER = re.compile(r"([-~|!]*)(U?R)(Z|\d+)((?:\.\w+)*)\|?$")
PREDICATE = re.compile(r"(!?)(U?)P(T|\d)$")
CONSTANT = re.compile(r"([-~]?)c\[0x([0-9a-f]+)\]\[(.+)\]$")
NUMBER = re.compile(r"-?0x[0-9a-f]+$|-?\d+$")


def is_predicate(text: str) -> bool:
    return bool(PREDICATE.match(text))


def predicate(text: str) -> Callable:
    turned, is_uniform, number = PREDICATE.match(text).groups()
    if number == "T":
        return lambda w: not turned
    n, where = int(number), "up" if is_uniform else "p"

    def get(w):
        x = getattr(w, where)[n]
        if not turned or x is None:
            return x
        return ~x if isinstance(x, np.ndarray) else not x

    return get


def source(text: str, open_sign: bool = False, high: bool = False) -> Callable:
    """`high`: of a pair of registers, the second. `open_sign`: a negated zero is 2 to the 32, as carries want it."""
    if match := REGISTER.match(text):
        sign, kind, number, _ = match.groups()
        n = (63 if kind == "UR" else 255) if number == "Z" else int(number) + high
        where = "u" if kind == "UR" else "r"
        if not sign:
            return (lambda w: w.u[n]) if where == "u" else (lambda w: w.r[n])
        flip = 1 if "-" in sign else 0
        if "|" in sign:
            return lambda w: None

        def get(w):
            x = getattr(w, where)[n]
            if x is None:
                return None
            x = (x ^ FULL) + flip
            return x if open_sign else x & FULL

        return get
    if NUMBER.match(text):
        value = int(text, 0)
        if high:
            value >>= 32
        return lambda w: value & FULL
    if match := CONSTANT.match(text):
        sign, bank, place = match.groups()
        if bank != "0" or not NUMBER.match(place):
            return lambda w: None
        at = int(place, 16) + 4 * high

        def get(w):
            x = w.constants.get(at)
            if x is None or not sign:
                return x
            x = (x ^ FULL) + (sign == "-")
            return x if open_sign else x & FULL

        return get
    return lambda w: None


def address(text: str) -> Callable:
    """Of the last brackets: registers, pairs, and a number."""
    terms = []
    inside = re.findall(r"\[([^\]]*)\]", text)[-1]
    for sign, term in re.findall(r"([-+]?)([^-+]+)", inside):
        scale = 1
        if match := re.match(r"(.*)\.X(\d+)$", term):
            term, scale = match[1], int(match[2])
        if term.endswith(".64"):
            low, up = source(term.removesuffix(".64")), source(term.removesuffix(".64"), high=True)

            def get(w, low=low, up=up):
                a, b = low(w), up(w)
                return None if a is None or b is None else wide(a, b)

            terms.append(get)
        elif NUMBER.match(term):
            terms.append(lambda w, x=int(sign + term, 0): x)
        else:
            plain = source(term.removesuffix(".U32"))
            # A register beside others may be a negative offset.
            terms.append(
                lambda w, plain=plain, scale=scale: None if (x := plain(w)) is None else signed(x) * scale
            )
    if len(terms) == 1:
        return terms[0]

    def total(w):
        parts = [term(w) for term in terms]
        return None if any(x is None for x in parts) else sum(parts)

    return total


def guard_of(text: str) -> Callable | None:
    return predicate(text) if text else None


def put(w, place: tuple[str, int], value, mask) -> None:
    kind, n = place
    bank = getattr(w, kind)
    if mask is not None and kind in ("r", "p"):
        value = merged(bank[n], value, mask)
    elif isinstance(value, np.ndarray):
        value = uniform(value)
    if isinstance(value, np.bool_):
        value = bool(value)
    bank[n] = value


def place_of(text: str, offset: int = 0) -> tuple[str, int] | None:
    """Where a result goes; None for what always is zero or true."""
    if match := REGISTER.match(text):
        _, kind, number, _ = match.groups()
        return None if number == "Z" else ("u" if kind == "UR" else "r", int(number) + offset)
    match = PREDICATE.match(text)
    assert match, text
    return None if match[3] == "T" else ("up" if match[2] else "p", int(match[3]))


WIDTH = {"64": 2, "128": 4}


def words_of(i: Instruction) -> int:
    """Registers that a load or store moves in each lane."""
    return next((n for mark, n in WIDTH.items() if mark in i.name.split(".")), 1)


def meaning(i: Instruction, targets: dict[str, int]) -> Callable:
    maker = MAKERS.get(i.base)
    action = maker(i, targets) if maker else forgotten(i)
    guard = guard_of(i.guard)
    if guard is None:
        return lambda w: action(w, w.mask)

    def guarded(w):
        go = guard(w)
        if go is False:
            return OFF
        if go is True:
            return action(w, w.mask)
        if go is None:
            if i.base in PATH:
                raise Unknown(f"{i.at:#x}: {i.guard} {i.name} depends on data")
            return action(w, w.mask)
        mask = go if w.mask is None else go & w.mask
        return action(w, mask) if mask.any() else OFF

    return guarded


PATH = {"BRA", "EXIT", "BRX", "RET", "CALL"}


# Results that are computed: a function of the sources' values to the results' values.


def computed(i: Instruction, results: list[str], sources: list[Callable], rule: Callable) -> Callable:
    places = [place_of(x) if isinstance(x, str) else x for x in results]

    def action(w, mask):
        values = [x(w) for x in sources]
        if any(x is None for x in values):
            for place in places:
                if place:
                    put(w, place, None, mask)
            return
        for place, value in zip(places, rule(*values), strict=True):
            if place:
                put(w, place, value, mask)

    return action


def forgotten(i: Instruction) -> Callable:
    """Data: every register that the instruction may write becomes unknown."""
    places = []
    if i.operands and i.base not in ("STS", "STG", "STSM", "NOP", "FENCE", "MEMBAR"):
        count = {"HMMA": 4, "IMMA": 4, "HGMMA": 0, "LDSM": 0}.get(i.base, 2 if ".64" in i.name else 1)
        for text in i.operands[:2] if is_predicate(i.operands[0]) else i.operands[:1]:
            if REGISTER.match(text) or is_predicate(text):
                first = place_of(text)
                places += [(first[0], first[1] + k) for k in range(count)] if first else []

    def action(w, mask):
        for kind, n in places:
            getattr(w, kind)[n] = None

    return action


def results_and_rest(i: Instruction) -> tuple[list[str], list[str]]:
    """A register, and predicates right behind it, are results."""
    operands = list(i.operands)
    taken = [operands.pop(0)]
    if is_predicate(taken[0]):
        taken.append(operands.pop(0))
    while operands and is_predicate(operands[0]) and not operands[0].startswith("!"):
        taken.append(operands.pop(0))
    return taken, operands


def split_carries(rest: list[str]) -> tuple[list[str], list[Callable]]:
    return [x for x in rest if not is_predicate(x)], [predicate(x) for x in rest if is_predicate(x)]


def as_int(x):
    return x.astype(np.int64) if isinstance(x, np.ndarray) else int(x)


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
    if "WIDE" in parts:
        up = source(numbers[2], high=True) if numbers[2] not in ("RZ", "URZ") else (lambda w: 0)
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

    def rule(a, b, c, carry):
        if "HI" in parts:
            product = a * b if unsigned else signed(a) * signed(b)
            if isinstance(product, np.ndarray):
                product = product.view(np.uint64) >> np.uint64(32) if unsigned else product >> 32
                product = product.astype(np.int64)
            else:
                product >>= 32
            return [(product + c) & FULL]
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
                both = a | c << 32 if long else a << 0 | c << 32
                return [(both << n) >> 32 & FULL]
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


def to_float(i: Instruction, _) -> Callable:
    """As far as division of integers needs it."""
    if "U64" in i.name or "S64" in i.name or "F64" in i.name:
        return forgotten(i)
    unsigned = "U32" in i.name

    def rule(a):
        if isinstance(a, np.ndarray):
            return [None]
        return [float_bits(a if unsigned else signed(a))]

    return computed(i, [i.operands[0]], [source(i.operands[1])], rule)


def to_integer(i: Instruction, _) -> Callable:
    if "64" in i.name:
        return forgotten(i)

    def rule(a):
        if isinstance(a, np.ndarray):
            return [None]
        x = of_bits(a)
        return [min(max(int(x), 0), FULL) if "U32" in i.name else int(x) & FULL]

    return computed(i, [i.operands[0]], [source(i.operands[1])], rule)


def special(i: Instruction, _) -> Callable:
    if "RCP" not in i.name or "64" in i.name:
        return forgotten(i)

    def rule(a):
        if isinstance(a, np.ndarray) or of_bits(a) == 0:
            return [None]
        return [float_bits(1 / of_bits(a))]

    return computed(i, [i.operands[0]], [source(i.operands[1])], rule)


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


def elect(i: Instruction, _) -> Callable:
    results = [place_of(x) for x in i.operands if is_predicate(x)]

    def action(w, mask):
        first = np.zeros(32, bool)
        first[int(np.argmax(w.active()))] = True
        for place in results[:1]:
            if place:
                put(w, place, first, mask)

    return action


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


# Memory, barriers, the path.


def load_global(i: Instruction, _) -> Callable:
    d, where = [x for x in i.operands if not is_predicate(x)][:2]
    at, count, first = address(where), words_of(i), place_of(d)

    def action(w, mask):
        places = at(w)
        for k in range(count):
            if first:
                value = None if places is None else w.memory.read(places + 4 * k)
                put(w, (first[0], first[1] + k), value, mask)
        return Effect("load", places, 4 * count, mask)

    return action


def store_global(i: Instruction, _) -> Callable:
    at, count = address(i.operands[0]), words_of(i)
    return lambda w, mask: Effect("store", at(w), 4 * count, mask)


def copy(i: Instruction, _) -> Callable:
    to, at = address(i.operands[0]), address(i.operands[1])
    real = predicate(i.operands[2]) if len(i.operands) > 2 else None
    size = 4 * words_of(i)

    def action(w, mask):
        read = True if real is None else real(w)
        if read is None:
            read = True
        kept = lanes(read).astype(bool) & (w.active() if mask is None else mask)
        return Effect("copy", at(w), size, mask, (to(w), kept))

    return action


def load_shared(i: Instruction, _) -> Callable:
    at, count, first = address(i.operands[1]), words_of(i), place_of(i.operands[0])

    def action(w, mask):
        places = at(w)
        for k in range(count):
            if first:
                value = None if places is None else w.block.read(places + 4 * k)
                put(w, (first[0], first[1] + k), value, mask)
        return Effect("shared", places, 4 * count, mask)

    return action


def store_shared(i: Instruction, _) -> Callable:
    at, count = address(i.operands[0]), words_of(i)
    data = [source(i.operands[1]) if k == 0 else nth(i.operands[1], k) for k in range(count)]

    def action(w, mask):
        places = at(w)
        if places is not None:
            for k in range(count):
                w.block.write(places + 4 * k, data[k](w), w.active() if mask is None else mask)
        return Effect("stored", places, 4 * count, mask)

    return action


def load_local(i: Instruction, _) -> Callable:
    """What a thread had no register for; all lanes' lie at the same place."""
    at, count, first = address(i.operands[1]), words_of(i), place_of(i.operands[0])

    def action(w, mask):
        place = at(w)
        for k in range(count):
            put(w, (first[0], first[1] + k), w.local.get(place + 4 * k), mask)
        return Effect("local", size=4 * count)

    return action


def store_local(i: Instruction, _) -> Callable:
    at, count = address(i.operands[0]), words_of(i)
    data = [source(i.operands[1]) if k == 0 else nth(i.operands[1], k) for k in range(count)]

    def action(w, mask):
        place = at(w)
        for k in range(count):
            w.local[place + 4 * k] = data[k](w)
        return Effect("local", size=4 * count)

    return action


def nth(text: str, k: int) -> Callable:
    place = place_of(text, k)
    return (lambda w: getattr(w, place[0])[place[1]]) if place else (lambda w: 0)


def matrices(i: Instruction, _) -> Callable:
    if i.base == "STSM":
        at = address(i.operands[0])
        return lambda w, mask: Effect("stored", at(w), 16, mask)
    at, first = address(i.operands[1]), place_of(i.operands[0])
    count = int(i.name.split(".")[-1]) if i.name.split(".")[-1] in ("2", "4") else 1

    def action(w, mask):
        for k in range(count):
            w.r[first[1] + k] = None
        return Effect("matrices", at(w), 4 * count, mask)

    return action


def atomic(i: Instruction, _) -> Callable:
    numbers = [x for x in i.operands if not is_predicate(x)]
    has_result = i.base != "RED"
    first = place_of(numbers.pop(0)) if has_result else None
    at = address(numbers[0])

    def action(w, mask):
        places = at(w)
        value = None
        if places is not None and i.base == "ATOMG":
            value = w.memory.draw(places, mask)
        if first:
            put(w, first, value, mask)
        return Effect("atomic", places, 4, mask)

    return action


def block_barrier(i: Instruction, _) -> Callable:
    kind = i.name.split(".")[1]
    operands = [source(x) for x in i.operands]

    def action(w, mask):
        values = [x(w) for x in operands]
        number = values[0] if values else 0
        threads = values[1] if len(values) > 1 else None
        return Effect("meet" if kind == "SYNC" else "arrive at meeting", number, threads or 0)

    return action


def transaction(i: Instruction, _) -> Callable:
    """mbarriers: made, arrived at (with bytes to come), waited for."""
    numbers = [x for x in i.operands if not is_predicate(x)]
    truths = [place_of(x) for x in i.operands if is_predicate(x)]
    where = next(k for k, x in enumerate(numbers) if x.startswith("["))
    at, behind = address(numbers[where]), [source(x) for x in numbers[where + 1 :]]

    def action(w, mask):
        place = uniform(at(w))
        values = [x(w) for x in behind]
        if "EXCH" in i.name:
            # As the compiler writes it: what a count lacks to 2 to the 20, from the second bit on.
            return Effect(
                "make barrier", place, value=None if values[0] is None else (1 << 20) - (values[0] >> 1)
            )
        if "ARRIVE" in i.name:
            how = i.name.split(".")[-1]
            arriving = 0 if "A0" in how else int((w.active() if mask is None else mask).sum())
            announced = 0 if "T0" in how else uniform(values[0])
            return Effect("arrive", place, arriving, value=announced)
        if "PHASECHK" in i.name:
            truth = next((x for x in truths if x), None)

            def passed():
                if truth:
                    put(w, truth, True, mask)

            return Effect(
                "mbarrier", place, value=None if values[0] is None else uniform(values[0]) >> 31, write=passed
            )
        return None

    return action


def bulk(i: Instruction, _) -> Callable:
    """Into shared memory a register names the place, the next one the barrier; the size is in units of 16 bytes."""
    brings = i.base == "UTMALDG" or ".S.G" in i.name
    first = place_of(re.findall(r"\[([^\]]*)\]", i.operands[0])[0])
    size = source(i.operands[2]) if i.base == "UBLKCP" else lambda w: None

    def action(w, mask):
        if not brings:
            raise Unknown(f"{i.at:#x}: {i.name}: the model does not know how many bytes it stores")
        sixteens = size(w)
        return Effect("bulk", w.u[first[1] + 1], value=None if sixteens is None else 16 * sixteens)

    return action


def branch(i: Instruction, targets: dict[str, int]) -> Callable:
    if ".DIV" in i.name:
        return lambda w, mask: None
    together = ".U." in i.name
    condition = None
    if len(i.operands) > 1 and is_predicate(i.operands[0]):
        condition = predicate(i.operands[0])
    target = targets[label(i.operands[-1])]

    def action(w, mask):
        if condition is not None:
            go = condition(w)
            if go is None:
                raise Unknown(f"{i.at:#x}: {i.name} depends on data")
            if not isinstance(go, np.ndarray):
                if not go:
                    return
            else:
                mask = go if mask is None else go & mask
                if not mask.any():
                    return
        w.jump(target, None if together else mask)

    return action


def label(text: str) -> str:
    return text.strip("`()")


def begin_branches(i: Instruction, targets: dict[str, int]) -> Callable:
    number = int(i.operands[0][1:])

    def action(w, mask):
        w.meeting[number] = w.active()

    return action


def end_branches(i: Instruction, _) -> Callable:
    number = int(i.operands[-1][1:])
    return lambda w, mask: w.join(number)


def leave(i: Instruction, _) -> Callable:
    return lambda w, mask: w.leave(mask)


def call(i: Instruction, targets: dict[str, int]) -> Callable:
    target = targets[label(i.operands[-1])]
    return lambda w, mask: w.jump(target, mask)


def give_back(i: Instruction, _) -> Callable:
    """The caller has put the place to return to into a pair of registers."""
    at = source(i.operands[0])

    def action(w, mask):
        place = at(w)
        if place is None:
            raise Unknown(f"{i.at:#x}: {i.name} depends on data")
        w.jump(w.code.number_at(place), mask)

    return action


MAKERS = {
    **dict.fromkeys(["IADD3", "UIADD3", "VIADD", "UVIADD"], add),
    **dict.fromkeys(["IMAD", "UIMAD"], multiply_add),
    **dict.fromkeys(["SHF", "USHF"], shift),
    **dict.fromkeys(["LEA", "ULEA"], scaled_add),
    **dict.fromkeys(["LOP3", "ULOP3"], logic),
    **dict.fromkeys(["PLOP3", "UPLOP3"], predicate_logic),
    **dict.fromkeys(["ISETP", "UISETP"], compare),
    **dict.fromkeys(["SEL", "USEL", "FSEL"], choose),
    **dict.fromkeys(["MOV", "UMOV"], move),
    **dict.fromkeys(["VIMNMX", "VIADDMNMX", "IMNMX"], extreme),
    **dict.fromkeys(["S2R", "S2UR", "CS2R"], special_register),
    **dict.fromkeys(["LDC", "ULDC"], constant),
    **dict.fromkeys(["PRMT", "UPRMT"], permute),
    **dict.fromkeys(["VOTE", "VOTEU"], vote),
    **dict.fromkeys(["LDSM", "STSM"], matrices),
    **dict.fromkeys(["ATOMG", "RED", "ATOMS"], atomic),
    **dict.fromkeys(["UTMALDG", "UBLKCP", "UTMASTG", "UTMAREDG", "UBLKRED"], bulk),
    "IABS": absolute,
    "I2F": to_float,
    "I2FP": to_float,
    "F2I": to_integer,
    "MUFU": special,
    "P2R": predicates_out,
    "R2P": predicates_in,
    "R2UR": to_uniform,
    "SHFL": shuffle,
    "ELECT": elect,
    "POPC": population,
    "FCHK": lambda i, _: computed(i, [i.operands[0]], [], lambda: [False]),
    "LDG": load_global,
    "STG": store_global,
    "LDGSTS": copy,
    "LDL": load_local,
    "STL": store_local,
    "LDS": load_shared,
    "STS": store_shared,
    "BAR": block_barrier,
    "SYNCS": transaction,
    "BRA": branch,
    "BSSY": begin_branches,
    "BSYNC": end_branches,
    "EXIT": leave,
    "CALL": call,
    "RET": give_back,
}
