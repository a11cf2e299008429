"""Where a warp goes on: branches, meetings of lanes that parted, ends, calls."""

from collections.abc import Callable

import numpy as np

from benchmarks.kernel_model.code import Instruction
from benchmarks.kernel_model.effects import Unknown
from benchmarks.kernel_model.operands import is_predicate, predicate, source


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
