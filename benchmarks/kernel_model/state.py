"""Warps, blocks and device memory, as far as they decide which way a kernel goes."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from benchmarks.kernel_model import meanings
from benchmarks.kernel_model.code import Instruction, Kernel
from benchmarks.kernel_model.effects import Unknown
from benchmarks.kernel_model.machine import UNIT_OF
from benchmarks.kernel_model.values import LANES, lanes, uniform

PARAMETERS = 0x210
"""Where a kernel's arguments begin in its constants, on sm_90."""


class Code:
    """A kernel with the meaning of each instruction."""

    def __init__(self, kernel: Kernel) -> None:
        self.instructions: list[Instruction] = kernel.instructions
        self.meanings = [meanings.meaning(i, kernel.labels) for i in kernel.instructions]
        strange = {i.base for i in kernel.instructions} - set(UNIT_OF)
        if strange:
            raise Unknown(
                f"{kernel.name}: machine.py does not say which unit {', '.join(sorted(strange))} needs"
            )
        self.units = [UNIT_OF[i.base] for i in kernel.instructions]

    def number_at(self, place: int) -> int:
        return self._numbers[place]

    @cached_property
    def _numbers(self) -> dict[int, int]:
        return {i.at: n for n, i in enumerate(self.instructions)}


@dataclass
class Region:
    """Of device memory: what kernels are given. `words`: known numbers; `counter`: drawn by atomic additions."""

    begin: int
    size: int
    words: np.ndarray | None = None
    in_L2: bool = False
    counter: "Counter | None" = None


@dataclass
class Counter:
    """Of a grid, of which one multiprocessor is looked at: between its draws the others draw as often."""

    value: int
    step: int

    def draw(self) -> int:
        now = self.value
        self.value += self.step
        return now


class Memory:
    def __init__(self, regions: list[Region], in_bulk: Region | None = None) -> None:
        """in_bulk: where all copies in bulk read; None: from device memory, whatever others have brought."""
        self.regions, self.in_bulk = regions, in_bulk

    def region(self, place: int) -> Region | None:
        return next((x for x in self.regions if x.begin <= place < x.begin + x.size), None)

    def read(self, places):
        if not isinstance(places, np.ndarray):
            region = self.region(places)
            if region is None or region.words is None:
                return None
            at = (places - region.begin) // 4
            return int(region.words[at]) & 0xFFFFFFFF if at < len(region.words) else None
        values = [self.read(int(x)) for x in places]
        return None if any(x is None for x in values) else uniform(np.array(values, dtype=np.int64))

    def draw(self, places, mask):
        region = self.region(int(lanes(places)[0] if mask is None else lanes(places)[np.argmax(mask)]))
        return region.counter.draw() if region and region.counter else None


@dataclass
class Arrivals:
    """An mbarrier: a phase ends when all have arrived and all announced bytes are there."""

    count: int
    left: int = 0
    phase: int = 0
    bytes_left: int = 0
    announced: int = 0
    ready: float = 0
    passed: float = 0
    """When the last phase ended."""
    waiting: list = field(default_factory=list)


class Block:
    def __init__(
        self, number: int | tuple[int, int, int], threads: int, code: Code, constants: dict, memory: Memory
    ) -> None:
        self.number = number if isinstance(number, tuple) else (number, 0, 0)
        self.threads = threads
        self.words: dict[int, int | None] = {}
        self.arrivals: dict[int, Arrivals] = {}
        self.meetings: dict[int, list] = {}
        self.warps = [Warp(n, self, code, constants, memory) for n in range(-(-threads // 32))]

    def read(self, places):
        if not self.words:
            return None
        if not isinstance(places, np.ndarray):
            return self.words.get(places)
        values = [self.words.get(int(x)) for x in places]
        return None if any(x is None for x in values) else uniform(np.array(values, dtype=np.int64))

    def write(self, places, value, mask) -> None:
        if value is None and not self.words:
            return
        if not isinstance(places, np.ndarray) and not isinstance(value, np.ndarray):
            self.words[places] = value
            return
        values = [None] * 32 if value is None else lanes(value)
        for place, x, there in zip(lanes(places), values, mask, strict=True):
            if there:
                self.words[int(place)] = None if x is None else int(x)


class Warp:
    def __init__(self, number: int, block: Block, code: Code, constants: dict, memory: Memory) -> None:
        self.number, self.block, self.code = number, block, code
        self.constants, self.memory = constants, memory
        self.r: list = [0] * 257
        self.u: list = [None] * 63 + [0] + [0]
        self.p: list = [None] * 7 + [True]
        self.up: list = [None] * 7 + [True]
        self.local: dict = {}
        self.at = 0
        self.done = False
        # Lanes that are on the way; None: all. Others wait at a meeting, or are to be gone on with later.
        self.mask: np.ndarray | None = None
        self.gone = np.zeros(32, bool)
        self.meeting: dict[int, np.ndarray] = {}
        self.arrived: dict[int, np.ndarray] = {}
        self.later: list[tuple[int, np.ndarray]] = []
        # Of the clock.
        self.slot = 0
        self.ready = self.since = 0.0
        self.reason = "start"
        self.counters: list[float] = [0.0] * 8
        self.causes: list[str] = [""] * 8
        self.copies = 0.0
        self.groups: list[float] = []
        self.products = 0.0
        self.product_groups: list[float] = []

    def active(self) -> np.ndarray:
        return ~self.gone if self.mask is None else self.mask

    def special(self, name: str):
        if name == "SR_TID.X":
            return 32 * self.number + LANES
        if name == "SR_LANEID":
            return LANES
        if name.startswith("SR_CTAID."):
            return self.block.number["XYZ".index(name[-1])]
        if name.startswith(("SR_CLOCK", "SR_GLOBALTIMER")):
            return None
        return 0

    def step(self):
        """The next instruction is done; what it means to the clock is returned."""
        at = self.at
        self.at = at + 1
        return self.code.meanings[at](self)

    def jump(self, target: int, mask: np.ndarray | None) -> None:
        now = self.active()
        if mask is None or (mask == now).all():
            self.at = target
            return
        self.later.append((target, mask.copy()))
        self._go(self.at, now & ~mask)

    def _go(self, at: int, mask: np.ndarray) -> None:
        self.at = at
        self.mask = None if mask.all() else mask

    def join(self, number: int) -> None:
        if number not in self.meeting:
            return
        here = self.arrived.get(number, np.zeros(32, bool)) | self.active()
        missing = self.meeting[number] & ~here & ~self.gone
        if missing.any():
            self.arrived[number] = here
            self._resume((self.at, number))
            return
        self.arrived.pop(number, None)
        self._go(self.at, here & ~self.gone)

    def _resume(self, why) -> None:
        assert self.later, f"lanes are missing at {why}"
        self._go(*self.later.pop())

    def leave(self, mask: np.ndarray | None) -> None:
        now = self.active()
        out = now if mask is None else mask & now
        self.gone = self.gone | out
        rest = now & ~out
        if rest.any():
            self._go(self.at, rest)
        elif self.later:
            self._resume("the end")
        else:
            self.done = True


def constants_of(arguments: bytes, threads: int, blocks: int) -> dict[int, int]:
    """What stands in a kernel's constant memory, by its place."""
    known = dict.fromkeys(range(0, PARAMETERS, 4), 0)
    known.update({0x0: threads, 0x4: 1, 0x8: 1, 0xC: blocks, 0x10: 1, 0x14: 1})
    for k in range(0, len(arguments) // 4 * 4, 4):
        known[PARAMETERS + k] = int.from_bytes(arguments[k : k + 4], "little")
    return known
