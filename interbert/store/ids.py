"""The ids of a store's images, read where they lie in the file, a block at a time.

Those of variable length lie all over the file: they are held in memory, at a fixed width.
"""

from collections.abc import Iterator

import h5py
import numpy as np
import xxhash

from interbert.store.direct_reader import DirectReader
from interbert.store.format import Extent, Layout, StoreError
from interbert.store.guarded import VLEN
from interbert.store.rows import MAX_ID_BYTES

_AT_A_TIME = 65536
_NAME = "image_ids"


class Ids:
    def __init__(self, layout: Layout, reader: DirectReader) -> None:
        self._path, self._extent, self._reader = layout.path, layout.ids, reader
        self._held = _held_ids(layout, reader) if layout.ids.dtype == VLEN else None

    def __len__(self) -> int:
        return self._extent.shape[0]

    def __getitem__(self, image: int) -> bytes:
        return self.block(image, image + 1)[0]

    def block(self, start: int, stop: int) -> list[bytes]:
        if self._held is not None:
            return self._held[start:stop].tolist()
        return self._reader.read_rows(_NAME, start, stop).tolist()

    def blocks(self) -> Iterator[list[bytes]]:
        for start in range(0, len(self), _AT_A_TIME):
            yield self.block(start, min(start + _AT_A_TIME, len(self)))

    def check(self) -> np.ndarray:
        """uint64 [I]: a hash of each; StoreError where one is not fit to be an id, or comes twice."""
        hash_I, start = np.empty(len(self), np.uint64), 0
        for block in self.blocks():
            self._refuse_unfit(start, block)
            hash_I[start : start + len(block)] = hashes_of(block)
            start += len(block)
        rising = np.sort(hash_I)
        if (rising[1:] == rising[:-1]).any():
            self._refuse_double()
        return hash_I

    def _refuse_unfit(self, start: int, block: list[bytes]) -> None:
        joined = b"\0".join(block)
        if b"" not in block and max(map(len, block)) <= MAX_ID_BYTES and joined.count(0) == len(block) - 1:
            try:
                joined.decode()
                return
            except UnicodeDecodeError:
                pass
        # One of them is at fault: ask each.
        for row, name in enumerate(block, start):
            fault = _unfit(name)
            if fault:
                raise StoreError(
                    f"{self._path}: dataset {_NAME!r}: row {row}: {fault}; give each image an id of 1 to "
                    f"{MAX_ID_BYTES} bytes of UTF-8, and write the file anew"
                )

    def _refuse_double(self) -> None:
        """The slow search for the names is for a faulty file only."""
        row_of: dict[bytes, int] = {}
        for row, name in enumerate(name for block in self.blocks() for name in block):
            if name in row_of:
                raise StoreError(
                    f"{self._path}: dataset {_NAME!r}: duplicate id {name.decode()!r} in rows {row_of[name]} and "
                    f"{row}; give each image an id of its own"
                )
            row_of[name] = row


def hashes_of(names: list[bytes]) -> np.ndarray:
    """uint64: xxh3_64 of each."""
    return np.fromiter(map(xxhash.xxh3_64_intdigest, names), np.uint64, len(names))


def _unfit(name: bytes) -> str:
    if not name:
        return "the id is empty"
    if len(name) > MAX_ID_BYTES:
        return f"an id of {len(name)} bytes"
    if 0 in name:
        return f"the id {name!r} has a NUL in it"
    try:
        name.decode()
    except UnicodeDecodeError as error:
        return f"the id {name!r} is not UTF-8 ({error})"
    return ""


def _held_ids(layout: Layout, reader: DirectReader) -> np.ndarray:
    """All ids at the width of the longest. Their lengths are looked at before HDF5 makes strings of them: a place may
    claim any, and any number of places may be of one string."""
    widest = _widest(layout, reader)
    held = np.empty(layout.images, f"S{widest}")
    try:
        with h5py.File(layout.path, "r", locking=False) as file:
            for start in range(0, layout.images, _AT_A_TIME):
                block = file[_NAME][start : start + _AT_A_TIME]
                held[start : start + _AT_A_TIME] = [
                    value.encode() if isinstance(value, str) else bytes(value) for value in block.tolist()
                ]
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        raise StoreError(
            f"{layout.path}: dataset {_NAME!r}: cannot be read ({error}); write the file anew"
        ) from None
    return held


def _widest(layout: Layout, reader: DirectReader) -> int:
    widest = 1
    for start in range(0, layout.images, _AT_A_TIME):
        lengths = reader.read_rows(_NAME, start, min(start + _AT_A_TIME, layout.images))["bytes"]
        if int(lengths.max()) > MAX_ID_BYTES:
            row = start + int(np.flatnonzero(lengths > MAX_ID_BYTES)[0])
            raise StoreError(
                f"{layout.path}: dataset {_NAME!r}: row {row}: an id of {lengths[row - start]} bytes; give each "
                f"image an id of 1 to {MAX_ID_BYTES} bytes of UTF-8, and write the file anew"
            )
        widest = max(widest, int(lengths.max()))
    return widest


def extents_with_ids(layout: Layout) -> dict[str, Extent]:
    """What is read by offset."""
    return {**layout.extents, _NAME: layout.ids}
