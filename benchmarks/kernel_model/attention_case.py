"""What the attention kernels are given: lengths, and where their tensors lie."""

import ctypes
from dataclasses import dataclass

import numpy as np

from benchmarks.kernel_model.launch import OF_ALL
from benchmarks.kernel_model.machine import Machine
from benchmarks.kernel_model.state import PARAMETERS, Counter, Memory, Region
from interbert.kernels.attend.fused_build import Problem
from interbert.kernels.dropout import threshold

APART = 1 << 40
"""From one tensor's place to the next one's."""

ALIGNED = 128
"""Of a description of rows, its size as well, and so of what holds one."""


@dataclass
class Case:
    lengths: np.ndarray
    heads: int
    width: int
    dropout_p: float

    @property
    def tokens(self) -> int:
        return int(self.lengths.sum())

    @property
    def row(self) -> int:
        """Bytes of a token, over all heads."""
        return self.heads * self.width * 2

    def floor_bytes(self, backward: bool) -> int:
        """Queries, keys, values, result; backward their gradients as well."""
        return (7 if backward else 4) * self.tokens * self.row

    def arguments(self, machine: Machine, described: bool) -> tuple[bytes, Memory]:
        """`described`: to a kernel that is given the engine's description of rows as well, as GivenForward is."""
        offsets = np.concatenate([[0], np.cumsum(self.lengths)])
        sequences = np.argsort(-self.lengths, kind="stable")
        order = (sequences[:, None] * self.heads + np.arange(self.heads)).ravel()
        sizes = {
            "qkv": 3 * self.tokens * self.row,
            "grad": self.tokens * self.row,
            "out": 3 * self.tokens * self.row,
            "logsum": 4 * self.heads * self.tokens,
        }
        tables = {"offsets": offsets, "order": order, "rng": None, "counter": None}
        draws = Counter(OF_ALL, machine.multiprocessors)
        regions = {name: Region((n + 1) * APART, size) for n, (name, size) in enumerate(sizes.items())}
        for n, (name, words) in enumerate(tables.items(), start=len(regions) + 1):
            size = 64 if words is None else 4 * len(words)
            regions[name] = Region(n * APART, size, words, in_L2=True, counter=draws)
        numbers = {
            "tokens": self.tokens,
            "sequences": len(self.lengths),
            "heads": self.heads,
            "longest": int(self.lengths.max()),
            "threshold": threshold(self.dropout_p),
            "bfloat16": 1,
            "most_blocks": 0,
        }
        problem = Problem()
        for name, kind in Problem._fields_:
            if kind is ctypes.c_void_p:
                setattr(problem, name, regions[name].begin)
            elif kind is ctypes.c_int32:
                setattr(problem, name, numbers[name])
        given = bytes(problem)
        if described:
            given = bytes(-PARAMETERS % ALIGNED) + given + bytes(-len(given) % ALIGNED)
            rows = (regions["qkv"].begin, 3 * self.row, self.tokens)
            given += bytes(ALIGNED) + b"".join(x.to_bytes(8, "little") for x in rows)
        return given, Memory(list(regions.values()))
