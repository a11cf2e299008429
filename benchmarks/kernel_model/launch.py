"""A kernel's launch, as one multiprocessor sees it."""

import itertools
from collections.abc import Iterable

from benchmarks.kernel_model.clock import Clock, Report
from benchmarks.kernel_model.code import Kernel
from benchmarks.kernel_model.machine import Machine
from benchmarks.kernel_model.state import Block, Code, Memory, constants_of

OF_ALL = 66
"""The multiprocessor that is looked at: one in the middle, for work that is handed out from large to small."""


def run(
    machine: Machine,
    kernel: Kernel,
    shared: int,
    arguments: bytes,
    memory: Memory,
    blocks: Iterable[int | tuple[int, int, int]] | None = None,
) -> tuple[Report, int]:
    """What it takes, and how many blocks there are at once. `blocks`: those of the looked at multiprocessor, in their
    order; None for a grid of as many as there are at once, which take their work themselves."""
    at_once = machine.blocks_at_once(kernel.threads, kernel.registers, shared)
    assert at_once, f"{kernel.name} fits on no multiprocessor"
    if blocks is None:
        blocks = range(OF_ALL, machine.multiprocessors * at_once, machine.multiprocessors)
    constants = constants_of(arguments, kernel.threads, machine.multiprocessors * at_once)
    code = Code(kernel)
    made = (Block(n, kernel.threads, code, constants, memory) for n in itertools.chain(blocks))
    return Clock(machine, memory, made, at_once).run(), at_once
