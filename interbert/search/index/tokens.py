"""Images as they are before they meet a text: rows of all items in one file, which only grows.

Rows are on the disk before the database speaks of them; what no row of the database speaks of is written over.
"""

import os
import threading
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

NAME = "tokens.bin"
DTYPES = {"fp32": (np.dtype(np.float32), torch.float32), "bf16": (np.dtype(np.uint16), torch.bfloat16)}
"""In which a model computes: in no other are its scores the same. Of bf16 NumPy only knows the bits."""


class TokenFile:
    """Any number of threads read while one appends."""

    def __init__(self, path: Path, hidden: int, precision: str, end: int, read_only: bool = False) -> None:
        """end: rows that are spoken of. ValueError where there are fewer."""
        self.path, self.hidden = path, hidden
        self._held, self.dtype = DTYPES[precision]
        self._row_bytes = hidden * self._held.itemsize
        flags = os.O_RDONLY if read_only else os.O_RDWR | os.O_CREAT
        self._file = os.open(path, flags | os.O_CLOEXEC, 0o644)
        self._lock, self.end = threading.Lock(), end
        there = os.fstat(self._file).st_size // self._row_bytes
        if there < end:
            os.close(self._file)
            raise ValueError(
                f"{path}: {there:,} rows, and the index speaks of {end:,}; restore it, or build it anew"
            )

    def append(self, rows_SH: Tensor) -> int:
        """Written and on the disk; the place of the first."""
        assert rows_SH.dtype == self.dtype and rows_SH.shape[1] == self.hidden
        data = rows_SH.contiguous().view(torch.uint8).numpy().tobytes()
        with self._lock:
            place, written = self.end, 0
            while written < len(data):
                written += os.pwrite(self._file, data[written:], place * self._row_bytes + written)
            os.fdatasync(self._file)
            self.end += len(rows_SH)
            return place

    def read(self, places: list[tuple[int, int]]) -> Tensor:
        """[S, H]: the rows of several items, (first, how many) each, one item after another."""
        total = sum(count for _, count in places)
        found, at = np.empty((total, self.hidden), self._held), 0
        flat = found.reshape(-1).view(np.uint8)
        for first, count in places:
            part = flat[at * self._row_bytes : (at + count) * self._row_bytes]
            got = os.preadv(self._file, [part.data], first * self._row_bytes)
            if got != len(part):
                raise OSError(f"{self.path}: rows {first} to {first + count} are not there")
            at += count
        return torch.from_numpy(found).view(self.dtype)

    @property
    def bytes(self) -> int:
        return self.end * self._row_bytes

    def close(self) -> None:
        os.close(self._file)
