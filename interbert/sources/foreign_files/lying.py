"""Arrays that lie in one piece in a file, read row by row when they are asked for.

Read and not mapped: each page that is looked at through a mapping for the first time costs more than copying it.
"""

import math
import os
from pathlib import Path

import numpy as np

from interbert.sources.record import ImportFault


def refuse_if_cut(file: int | Path, size: int) -> None:
    """Of a file that is mapped into memory: to look at what is gone would end the process."""
    there = os.stat(file).st_size
    if there < size:
        raise ImportFault(f"the file has {there:,} of {size:,} bytes left; it was cut while it was read")


class Bytes:
    """A file's, by their places."""

    def __init__(self, path: Path | str) -> None:
        self._file = open(path, "rb", buffering=0)  # noqa: SIM115  # open for as long as somebody has this
        self.size = os.fstat(self._file.fileno()).st_size

    def refuse_if_cut(self) -> None:
        refuse_if_cut(self._file.fileno(), self.size)

    def read_into(self, into: memoryview, place: int) -> None:
        """All of it; one call may read less, by a signal or beyond 2 GiB."""
        done = 0
        while done < len(into):
            count = os.preadv(self._file.fileno(), [into[done:]], place + done)
            if not count:
                raise ImportFault(
                    f"the file ends at byte {place + done}, where more was; it was cut while it was read"
                )
            done += count


class LyingArray:
    """C order; the first dimension is asked for by a number or a slice."""

    def __init__(self, data: Bytes, place: int, shape: tuple[int, ...], kind: np.dtype) -> None:
        self.shape, self.dtype, self.ndim = shape, kind, len(shape)
        self._data, self._place = data, place
        self._row_bytes = math.prod(shape[1:]) * kind.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: int | slice) -> np.ndarray:
        if isinstance(rows, slice):
            start, stop, step = rows.indices(len(self))
            assert step == 1, "only neighbours"
            return self._read(start, (max(stop - start, 0), *self.shape[1:]))
        if not -len(self) <= rows < len(self):
            raise IndexError(f"row {rows} of {len(self)}")
        return self._read(rows % len(self), self.shape[1:])

    def whole(self) -> np.ndarray:
        return self._read(0, self.shape)

    def _read(self, row: int, shape: tuple[int, ...]) -> np.ndarray:
        found = np.empty(shape, self.dtype)
        if found.size:
            self._data.read_into(found.reshape(-1).view(np.uint8).data, self._place + row * self._row_bytes)
        return found
