"""Memory and barriers: effects for the clock, and values where they are known."""

import re
from collections.abc import Callable

import numpy as np

from benchmarks.kernel_model.code import Instruction
from benchmarks.kernel_model.effects import Effect, Unknown
from benchmarks.kernel_model.operands import address, is_predicate, place_of, predicate, put, source, words_of
from benchmarks.kernel_model.values import lanes, uniform


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


def group_product(i: Instruction, _) -> Callable:
    """A warp's part of one of four warps: its 16 rows, if read from shared memory, and a quarter of the others."""
    first = place_of(i.operands[0])
    _, columns, depth = (int(x) for x in i.name.split(".")[1].split("x"))
    rows_read = 16 if i.operands[1].startswith("gdesc") else 0
    size = 2 * depth * (rows_read + columns // 4)
    closes = i.operands[-1].startswith("gsb")

    def action(w, mask):
        for k in range(columns // 2 if first else 0):
            w.r[first[1] + k] = None
        return Effect("product", columns, size, value=closes)

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


def of_those(x, there: np.ndarray):
    """What lanes agree on, where others may have anything."""
    return uniform(x[there]) if isinstance(x, np.ndarray) and there.any() else x


def transaction(i: Instruction, _) -> Callable:
    """mbarriers: made, arrived at (with bytes to come), waited for."""
    numbers = [x for x in i.operands if not is_predicate(x)]
    truths = [place_of(x) for x in i.operands if is_predicate(x)]
    where = next(k for k, x in enumerate(numbers) if x.startswith("["))
    at, behind = address(numbers[where]), [source(x) for x in numbers[where + 1 :]]

    def action(w, mask):
        there = w.active() if mask is None else mask
        place, *values = (of_those(x(w), there) for x in (at, *behind))
        if "EXCH" in i.name:
            # As the compiler writes it: what a count lacks to 2 to the 20, from the second bit on.
            return Effect(
                "make barrier", place, value=None if values[0] is None else (1 << 20) - (values[0] >> 1)
            )
        if "ARRIVE" in i.name:
            how = i.name.split(".")[-1]
            arriving = 0 if "A0" in how else int(there.sum())
            announced = 0 if "T0" in how else values[0]
            return Effect("arrive", place, arriving, value=announced)
        if "PHASECHK" in i.name:
            truth = next((x for x in truths if x), None)

            def passed():
                if truth:
                    put(w, truth, True, mask)

            return Effect(
                "mbarrier", place, value=None if values[0] is None else values[0] >> 31, write=passed
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
