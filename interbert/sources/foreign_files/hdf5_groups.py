"""Small groups of plain arrays, read where they lie in the file: without HDF5, which takes several times as long.

Of the format only what its library writes of its own accord is understood: groups as symbol tables, and in them
arrays of numbers in one piece, with their headers in one piece too. Whatever else there is, or is damaged, is left to
HDF5, and to what refuses it there (`hdf5.py`).
"""

import math
import struct
from functools import cache
from pathlib import Path

import h5py
import numpy as np

from interbert.sources.foreign_files.lying import Bytes, LyingArray
from interbert.sources.record import MOST_BYTES

_SUPERBLOCK = struct.Struct("<8sB4xBB9xQ")
_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_GROUP = struct.Struct("<BxHII4xHHB3xQQ")
"""A header of one message, a symbol table: places of the tree and of the names."""
_HEAP = struct.Struct("<4sB3x16xQ")
_TREE = struct.Struct("<4sBBH16x")
_LEAVES, _LEAF = struct.Struct("<8xQ"), struct.Struct("<4sBxH")
_ENTRY = struct.Struct("<QQI20x")
_HEADER, _MESSAGE = struct.Struct("<BxHII4x"), struct.Struct("<HHB3x")
_SPACE, _LAYOUT = struct.Struct("<BBB5x"), struct.Struct("<BBQQ")
_NOTHING, _IS_SPACE, _IS_TYPE, _IS_FILL, _IS_LAYOUT, _IS_TABLE, _IS_TIME = 0, 1, 3, 5, 8, 17, 18
_SHARED = 2
"""A flag: the message is in another place."""
_MOST_ENTRIES, _LONGEST_NAME = 64, 256


class _Unlike(ValueError):
    """It is something that is left to HDF5."""


class SmallGroups:
    """Of one file; of its headers the pages are mapped, numbers are read."""

    def __init__(self, path: Path, data: Bytes) -> None:
        self._headers, self._data = np.memmap(path, np.uint8, "r").data, data

    @classmethod
    def of(cls, path: Path, data: Bytes) -> "SmallGroups | None":
        """None where the file does not begin as those do: addresses of eight bytes, counted from its beginning."""
        found = cls(path, data)
        try:
            begun = _SUPERBLOCK.unpack_from(found._headers)
        except struct.error:
            return None
        return found if begun == (_SIGNATURE, 0, 8, 8, 0) else None

    def arrays(self, place: int, names: frozenset[str]) -> dict[str, np.ndarray] | None:
        """Those of the names that the group with its header at `place` has; None where HDF5 is to be asked."""
        self._data.refuse_if_cut()
        try:
            found = {name: at for name, at in _entries(self._headers, place) if name in names}
            arrays = {name: _array(self._headers, self._data, at) for name, at in found.items()}
        except (struct.error, ValueError, OverflowError, IndexError):
            return None
        return {name: array.whole() for name, array in arrays.items()}


def _entries(data: memoryview, place: int) -> list[tuple[str, int]]:
    version, messages, _, _, kind, _, flags, tree, heap = _GROUP.unpack_from(data, place)
    if (version, messages, kind, flags & _SHARED) != (1, 1, _IS_TABLE, 0):
        raise _Unlike
    mark, version, texts = _HEAP.unpack_from(data, heap)
    tree_mark, node, level, leaves = _TREE.unpack_from(data, tree)
    if (mark, version, tree_mark, node, level) != (b"HEAP", 0, b"TREE", 0, 0):
        raise _Unlike
    found: list[tuple[str, int]] = []
    for leaf in range(leaves):
        (at,) = _LEAVES.unpack_from(data, tree + _TREE.size + leaf * _LEAVES.size)
        mark, version, entries = _LEAF.unpack_from(data, at)
        if (mark, version) != (b"SNOD", 1) or len(found) + entries > _MOST_ENTRIES:
            raise _Unlike
        for entry in range(entries):
            text, header, cached = _ENTRY.unpack_from(data, at + _LEAF.size + entry * _ENTRY.size)
            if cached > 1:  # a link to another name
                raise _Unlike
            name, end, _ = bytes(data[texts + text : texts + text + _LONGEST_NAME]).partition(b"\0")
            if not end:
                raise _Unlike
            found.append((name.decode(), header))
    return found


def _array(headers: memoryview, data: Bytes, place: int) -> LyingArray:
    version, messages, _, size = _HEADER.unpack_from(headers, place)
    if version != 1:
        raise _Unlike
    place += _HEADER.size
    end, parts = place + size, {}
    for _ in range(messages):
        kind, size, flags = _MESSAGE.unpack_from(headers, place)
        if kind in (_IS_SPACE, _IS_TYPE, _IS_LAYOUT) and not flags & _SHARED and kind not in parts:
            parts[kind] = headers[place + _MESSAGE.size : place + _MESSAGE.size + size]
        elif kind not in (
            _NOTHING,
            _IS_FILL,
            _IS_TIME,
        ):  # filters, numbers in other files, headers that go on …
            raise _Unlike
        place += _MESSAGE.size + size
    if place > end or len(parts) != 3:
        raise _Unlike
    shape, kind = _shape(parts[_IS_SPACE]), _types().get(bytes(parts[_IS_TYPE]))
    version, layout, at, size = _LAYOUT.unpack_from(parts[_IS_LAYOUT])
    if kind is None or (version, layout) != (3, 1):
        raise _Unlike
    if not 0 < math.prod(shape) * kind.itemsize == size <= MOST_BYTES or at + size > data.size:
        raise _Unlike
    return LyingArray(data, at, shape, kind)


def _shape(space: memoryview) -> tuple[int, ...]:
    version, sides, _ = _SPACE.unpack_from(space)
    if version != 1:
        raise _Unlike
    return struct.unpack_from(f"<{sides}Q", space, _SPACE.size)


@cache
def _types() -> dict[bytes, np.dtype]:
    """Plain numbers by how their type is written."""
    kinds = [
        np.dtype(name) for name in ("<f2", "<f4", "<f8", *(f"<{k}{n}" for k in "iu" for n in (1, 2, 4, 8)))
    ]
    written = {h5py.h5t.py_create(kind).encode()[2:]: kind for kind in kinds}
    return {text + bytes(-len(text) % 8): kind for text, kind in written.items()}
