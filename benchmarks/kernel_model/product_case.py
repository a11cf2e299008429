"""What the product that meets GELU is given: sizes, and where its tensors lie."""

import ctypes
from dataclasses import dataclass

from benchmarks.kernel_model.attention_case import ALIGNED, APART
from benchmarks.kernel_model.state import PARAMETERS, Memory, Region
from interbert.kernels.rows.gelu_product import MOST_BLOCKS
from interbert.kernels.rows.problems import GeluProduct


@dataclass
class Case:
    rows: int
    depth: int
    width: int

    @property
    def operations(self) -> int:
        return 2 * self.rows * self.depth * self.width

    def arguments(self, backward: bool) -> tuple[bytes, Memory]:
        """As GivenGeluProduct. Rows come from device memory once, and for all panels but one from L2."""
        wide = 2 * self.rows * self.width
        sizes = {
            "x": 2 * self.rows * self.depth,
            "weight": 2 * self.width * self.depth,
            "bias": 2 * self.width,
            "slope": wide,
            "y": wide,
            "parts": 4 * 56 * self.width,
            "slices": 64,
        }
        regions = {
            name: Region((n + 1) * APART, size, in_L2=name not in ("slope", "y"))
            for n, (name, size) in enumerate(sizes.items())
        }
        numbers = {
            "rows": self.rows,
            "width": self.width,
            "depth": self.depth,
            "bfloat16": 1,
            "most_blocks": MOST_BLOCKS,
        }
        absent = {"bias"} if backward else {"parts", "slices"}
        problem = GeluProduct()
        for name, kind in GeluProduct._fields_:
            if kind is ctypes.c_void_p:
                setattr(problem, name, None if name in absent else regions[name].begin)
            else:
                setattr(problem, name, numbers[name])
        given = bytes(problem)
        given = bytes(-PARAMETERS % ALIGNED) + given + bytes(-len(given) % ALIGNED)
        rows = (regions["x"].begin, 2 * self.depth, self.rows)
        given += bytes(ALIGNED) + b"".join(x.to_bytes(8, "little") for x in rows)
        given += bytes(-(len(given) + PARAMETERS) % ALIGNED)
        return given, Memory(list(regions.values()), in_bulk=regions["x"])
