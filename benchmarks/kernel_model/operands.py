"""Operands of instructions: how a value is read from a warp, and where a result goes.

A result is computed by a rule from the values of sources, and is unknown where one of them is.
"""

import re
from collections.abc import Callable

import numpy as np

from benchmarks.kernel_model.code import Instruction
from benchmarks.kernel_model.values import FULL, merged, signed, uniform, wide

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
