"""One multiprocessor, clock by clock: which of its warps' instructions are issued when, and what they wait for.

Each of the four schedulers issues one instruction a clock, of the warp that has waited longest of those that may go
on: whose clocks of stall have passed, whose counters have fallen, whose unit is free. Shared memory takes a wavefront
a clock. Device memory is a queue of bytes at this multiprocessor's share of a measured copy, and a latency.
"""

import heapq
from collections import Counter as Tally
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from benchmarks.kernel_model.code import NONE
from benchmarks.kernel_model.effects import OFF, Effect, Unknown
from benchmarks.kernel_model.machine import Machine
from benchmarks.kernel_model.state import Arrivals, Block, Memory, Warp
from benchmarks.kernel_model.values import lanes, wavefronts

NEVER = float("inf")
SECTOR = 32


def _sectors(places, size: int, mask: np.ndarray) -> list[int]:
    first = lanes(places)[mask]
    return np.unique(np.concatenate([first, first + size - 1]) // SECTOR).tolist()


@dataclass
class Report:
    clocks: float = 0
    issued: Tally = field(default_factory=Tally)
    """By unit; `off`: instructions that no lane did."""
    held: Tally = field(default_factory=Tally)
    """Clocks of units, of one scheduler each."""
    named: Tally = field(default_factory=Tally)
    waits: Tally = field(default_factory=Tally)
    """Clocks of warps, by what they waited for."""
    wavefronts: Tally = field(default_factory=Tally)
    """By what they were for."""
    read: int = 0
    written: int = 0


class Clock:
    """`blocks`: this multiprocessor's; `at_once` of them at a time, a new one where one has ended."""

    def __init__(self, machine: Machine, memory: Memory, blocks: Iterator[Block], at_once: int) -> None:
        self.machine, self.memory, self.blocks = machine, memory, blocks
        self.report = Report()
        self.warps: list[list[Warp]] = [[] for _ in range(machine.schedulers)]
        self.busy = [dict.fromkeys(machine.busy, 0.0) for _ in range(machine.schedulers)]
        self.shared_free = self.memory_free = self.L2_free = 0.0
        self.seen: set[int] = set()
        self.events: list[tuple[float, int]] = []
        self.pending: list[float] = [NEVER] * machine.schedulers
        for _ in range(at_once):
            self._begin(0.0)

    def _begin(self, now: float) -> None:
        """The next block's warps go to the schedulers that have fewest."""
        block = next(self.blocks, None)
        for warp in block.warps if block else ():
            warp.slot = min(range(len(self.warps)), key=lambda slot: len(self.warps[slot]))
            warp.since = now
            self.warps[warp.slot].append(warp)
            self.wake(warp, now)

    def run(self) -> Report:
        while self.events:
            now, slot = heapq.heappop(self.events)
            if now < self.pending[slot]:
                continue
            following = self._turn(now, slot)
            if following < NEVER:
                self.pending[slot] = following
                heapq.heappush(self.events, (following, slot))
        left = [w for group in self.warps for w in group]
        assert not left, (
            f"warps wait for ever: {[(w.block.number, w.number, w.at, w.reason) for w in left][:4]}"
        )
        self.report.clocks = max(self.report.clocks, self.memory_free)
        return self.report

    def wake(self, warp: Warp, at: float) -> None:
        warp.ready = at
        if at < self.pending[warp.slot] or self.pending[warp.slot] == NEVER:
            self.pending[warp.slot] = at
            heapq.heappush(self.events, (at, warp.slot))

    def _turn(self, now: float, slot: int) -> float:
        """Issues at most one instruction; when to come again."""
        busy, best, soonest = self.busy[slot], None, NEVER
        for warp in self.warps[slot]:
            at = warp.ready
            unit = warp.code.units[warp.at]
            if at <= now:
                # A unit takes the next instruction in the clock in which it gets free.
                if busy[unit] < now + 1:
                    if best is None or warp.since < best.since:
                        best = warp
                    continue
                at = busy[unit]
            if at < soonest:
                soonest = at
        if best is None:
            self.pending[slot] = NEVER
            return soonest
        self._issue(now, slot, best)
        return now + 1

    def _issue(self, now: float, slot: int, warp: Warp) -> None:
        instruction = warp.code.instructions[warp.at]
        unit = warp.code.units[warp.at]
        report = self.report
        if now > warp.ready:
            report.waits["turn or unit " + unit] += now - warp.ready
        if warp.ready > warp.since:
            report.waits[warp.reason] += warp.ready - warp.since
        effect = warp.step()
        if effect is OFF:
            report.issued["off"] += 1
        else:
            report.issued[unit] += 1
            report.named[instruction.base] += 1
            free = self.busy[slot]
            holds = self._holds(unit, effect)
            free[unit] = max(free[unit], now) + holds
            report.held[unit] += holds
        warp.since = now
        report.clocks = max(report.clocks, now + 1)
        if warp.done:
            self.warps[slot].remove(warp)
            self._met(warp.block, now)
            if all(w.done for w in warp.block.warps):
                self._begin(now + self.machine.latency["block"])
            return
        arrival = now
        if effect is not None and effect is not OFF:
            arrival = self._effect(now, warp, effect)
            if arrival == NEVER:
                self._count(now, warp, instruction, now)
                return
        elif effect is None:
            arrival = now + self._latency(instruction.base, unit)
        self._count(now, warp, instruction, arrival, effect)
        self._next(now, warp, instruction)

    def _holds(self, unit: str, effect: Effect | None) -> float:
        if effect is not None and effect.kind == "product":
            return effect.address / self.machine.group_columns_per_clock
        return self.machine.busy[unit]

    def _latency(self, base: str, unit: str) -> float:
        latency = self.machine.latency
        if base in ("LDC", "ULDC", "S2R", "S2UR"):
            return latency["constant"]
        return latency.get(unit, latency["special"])

    def _count(self, now: float, warp: Warp, instruction, arrival: float, effect=None) -> None:
        base = instruction.base
        if base == "LDGDEPBAR":
            warp.groups.append(warp.copies)
            return
        if instruction.raises != NONE:
            warp.counters[instruction.raises] = max(warp.counters[instruction.raises], arrival)
            warp.causes[instruction.raises] = effect.kind if isinstance(effect, Effect) else base
        if instruction.holds != NONE:
            read = now + 12 if not isinstance(effect, Effect) else max(now + 12, self.shared_free)
            warp.counters[instruction.holds] = max(warp.counters[instruction.holds], read)
            warp.causes[instruction.holds] = "sources"

    def _next(self, now: float, warp: Warp, instruction) -> None:
        """From when on the warp's next instruction may go."""
        ready, warp.reason = now + max(instruction.stall, 1), "stall"
        following = warp.code.instructions[warp.at]
        for n in following.awaits:
            if warp.counters[n] > ready:
                ready, warp.reason = warp.counters[n], warp.causes[n]
        if following.base == "DEPBAR" and warp.groups:
            allowed = int(following.operands[-1], 16) if len(following.operands) > 1 else 0
            waited = warp.groups[: len(warp.groups) - allowed]
            if waited and max(waited) > ready:
                ready, warp.reason = max(waited), "copy"
            warp.groups = warp.groups[len(waited) :]
        if following.name.startswith("WARPGROUP.DEPBAR"):
            allowed = int(following.operands[-1], 16)
            waited = warp.product_groups[: max(len(warp.product_groups) - allowed, 0)]
            if waited and waited[-1] > ready:
                ready, warp.reason = waited[-1], "product"
            warp.product_groups = warp.product_groups[len(waited) :]
        warp.ready = ready

    # What instructions do to what warps share.

    def _shared(self, now: float, passes: int, what: str) -> float:
        """When its last wavefront is through."""
        self.report.wavefronts[what] += passes
        self.shared_free = max(self.shared_free, now) + passes
        return self.shared_free

    def _read(self, now: float, place: int, size: int) -> float:
        """When bytes of global memory are here."""
        region = self.memory.region(place)
        latency = self.machine.latency
        self.L2_free = max(self.L2_free, now) + size / self.machine.L2_bytes_per_clock
        if region is not None and region.in_L2:
            return self.L2_free + latency["L2"]
        self.report.read += size
        return max(self.L2_free, self._transfer(now, size)) + latency["memory"]

    def _transfer(self, now: float, size: int) -> float:
        self.memory_free = max(self.memory_free, now) + size / self.machine.bytes_per_clock
        return self.memory_free

    def _effect(self, now: float, warp: Warp, effect: Effect) -> float:
        latency, kind = self.machine.latency, effect.kind
        if kind == "shuffle":
            return self._shared(now, 1, kind) + latency["shuffle"]
        if kind == "local":
            return self._shared(now, effect.size // 4, kind) + latency["L1"]
        if kind in ("shared", "matrices", "stored"):
            passes = wavefronts(effect.address, effect.size, effect.mask)
            if kind == "matrices":
                passes = effect.size // 4 if effect.address is None else wavefronts(effect.address, 16)
            return self._shared(now, passes, kind) + latency["shared"]
        if kind == "product":
            return self._product(now, warp, effect)
        if kind in ("load", "store", "copy", "atomic"):
            return self._global(now, warp, effect)
        if kind in ("meet", "arrive at meeting"):
            return self._meet(now, warp, effect)
        if kind == "make barrier":
            assert effect.value is not None, "an mbarrier's count is unknown"
            warp.block.arrivals[effect.address] = Arrivals(effect.value, effect.value)
            return now + latency["shared"]
        if kind == "arrive":
            return self._arrive(now, warp, effect)
        if kind == "mbarrier":
            return self._await(now, warp, effect)
        if kind == "bulk":
            return self._bulk(now, warp, effect)
        raise AssertionError(kind)

    def _product(self, now: float, warp: Warp, effect: Effect) -> float:
        """Nobody waits for it but who asks whether its group is done."""
        read = self._shared(now, effect.size // self.machine.shared_wavefront_bytes, effect.kind)
        done = max(read, self.busy[warp.slot]["tensor"]) + self.machine.latency["group"]
        warp.products = max(warp.products, done)
        if effect.value:
            warp.product_groups.append(warp.products)
        return now

    def _global(self, now: float, warp: Warp, effect: Effect) -> float:
        latency, places = self.machine.latency, effect.address
        if effect.kind == "atomic":
            return self._shared(now, 1, effect.kind) + latency["L2"]
        if places is None:
            at = warp.code.instructions[warp.at - 1].at
            raise Unknown(f"{at:#x}: the address of a {effect.kind} depends on data")
        mask = warp.active() if effect.mask is None else effect.mask
        if effect.kind == "copy":
            to, mask = effect.value
            went = self._shared(now, 2 * wavefronts(to, effect.size), "copy")  # once to ask, once to fill
            arrival = went + latency["shared"]
            sectors = _sectors(places, effect.size, mask)
            if len(sectors):
                arrival = self._read(now, sectors[0] * SECTOR, SECTOR * len(sectors))
            warp.copies = max(warp.copies, arrival)
            return arrival
        sectors = _sectors(places, effect.size, mask)
        went = self._shared(now, max(1, -(-len(sectors) // 4)), effect.kind)
        if effect.kind == "store":
            self.report.written += SECTOR * len(sectors)
            self._transfer(now, SECTOR * len(sectors))
            return went
        lines = {x // 4 for x in sectors}
        if lines <= self.seen:
            return went + latency["L1"]
        self.seen |= lines
        return self._read(went, sectors[0] * SECTOR, SECTOR * len(sectors))

    def _meet(self, now: float, warp: Warp, effect: Effect) -> float:
        waiting = warp.block.meetings.setdefault(effect.address, [])
        waiting.append((warp if effect.kind == "meet" else None, effect.size, now))
        if effect.kind == "meet":
            warp.ready, warp.reason = NEVER, "barrier"
        self._met(warp.block, now)
        return NEVER if effect.kind == "meet" else now

    def _met(self, block: Block, now: float) -> None:
        """Lets go those that wait at barriers where nobody is missing."""
        there = sum(not w.done for w in block.warps)
        for number, waiting in block.meetings.items():
            wanted = waiting[0][1] // 32 if waiting and waiting[0][1] else there
            if waiting and len(waiting) >= wanted:
                block.meetings[number] = []
                for warp, _, _ in waiting:
                    if warp is not None:
                        self._release(warp, now + self.machine.latency["barrier"])

    def _release(self, warp: Warp, at: float) -> None:
        reason = warp.reason
        self._next(at - 1, warp, warp.code.instructions[warp.at - 1])
        if warp.reason == "stall":
            warp.reason = reason
        self.wake(warp, max(warp.ready, at))

    def _arrive(self, now: float, warp: Warp, effect: Effect) -> float:
        barrier = warp.block.arrivals[effect.address]
        assert effect.value is not None, "the bytes that an mbarrier is to expect are unknown"
        barrier.left -= effect.size
        barrier.bytes_left += effect.value
        barrier.announced += effect.value
        barrier.ready = max(barrier.ready, now + self.machine.latency["shared"])
        self._settle(barrier)
        return self._shared(now, 1, effect.kind) + self.machine.latency["shared"]

    def _settle(self, barrier: Arrivals) -> None:
        if barrier.left > 0 or barrier.bytes_left > 0:
            return
        barrier.phase ^= 1
        barrier.left = barrier.count
        waiting, barrier.waiting = barrier.waiting, []
        barrier.passed = barrier.ready
        barrier.ready = 0.0
        for warp, write in waiting:
            write()
            self._release(warp, barrier.passed)

    def _await(self, now: float, warp: Warp, effect: Effect) -> float:
        barrier = warp.block.arrivals[effect.address]
        assert effect.value is not None, "the parity of an mbarrier is unknown"
        went = self._shared(now, 1, effect.kind) + self.machine.latency["shared"]
        if barrier.phase != effect.value:
            effect.write()
            return max(went, barrier.passed)
        warp.ready, warp.reason = NEVER, "mbarrier"
        barrier.waiting.append((warp, effect.write))
        return NEVER

    def _bulk(self, now: float, warp: Warp, effect: Effect) -> float:
        """One that does not tell its size brings what was announced to its barrier and is not on its way yet."""
        barrier = warp.block.arrivals[effect.address]
        size = barrier.announced if effect.value is None else min(effect.value, barrier.announced)
        barrier.announced -= size
        if size == 0:
            return now
        self._shared(now, -(-size // self.machine.shared_wavefront_bytes), effect.kind)
        place = -1 if self.memory.in_bulk is None else self.memory.in_bulk.begin
        arrival = self._read(now, place, size) + self.machine.latency["bulk"]
        barrier.ready = max(barrier.ready, arrival)
        barrier.bytes_left -= size
        self._settle(barrier)
        return now
