"""HDF5 files of strangers: nothing is followed out of the file, and what is no image's array is not read."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from interbert.sources.foreign_files.lying import Bytes, LyingArray
from interbert.sources.record import MOST_BYTES, ImportFault

_BROKEN = (OSError, KeyError, RuntimeError)
"""What HDF5 says of damaged pages, chunks and links."""


def open_hdf5(path: Path) -> h5py.File:
    try:
        return h5py.File(path, "r", locking=False)
    except OSError as error:
        raise ImportFault(f"{path}: not a readable HDF5 file ({error})") from None


@contextmanager
def told_if_damaged() -> Iterator[None]:
    try:
        yield
    except _BROKEN as error:
        raise ImportFault(f"cannot be read ({error}); copy the file again") from None


def place_of(group: h5py.Group, name: str) -> int:
    """Where in the file the header of this object is; no link to another file, or to another name in this one."""
    link = group.id.links.get_info(name.encode())
    if link.type != h5py.h5l.TYPE_HARD:
        raise ImportFault(f"{name} is a link; give the file that it leads to")
    return link.u


def dataset_in(group: h5py.Group, name: str) -> h5py.Dataset:
    """One whose numbers are in this file."""
    place_of(group, name)
    dataset = group[name]
    if not isinstance(dataset, h5py.Dataset):
        raise ImportFault(f"{name} is a group, not an array")
    _refuse_elsewhere(dataset.id, name)
    return dataset


def bytes_of(file: h5py.File) -> Bytes:
    """Of all the file, by their places."""
    return Bytes(file.filename)


def array_in(group: h5py.Group, name: str, data: Bytes) -> LyingArray | h5py.Dataset:
    """The dataset; without HDF5, which takes several times as long, where it lies in one piece. data: the file's."""
    found = dataset_in(group, name)
    if not _is_plain(found.id):
        return found
    return _in_place(data, found.id.get_offset(), found.shape, found.dtype, name)


def values_in(group: h5py.Group, name: str, data: Bytes) -> Any:
    """The whole of a small one, in the same way."""
    place_of(group, name)
    found = h5py.h5o.open(group.id, name.encode())
    if not isinstance(found, h5py.h5d.DatasetID):
        raise ImportFault(f"{name} is a group, not an array")
    shape, kind = found.shape or (), found.dtype
    _refuse_large(shape, kind, name)
    _refuse_elsewhere(found, name)
    if not _is_plain(found):
        return group[name][()]
    return _in_place(data, found.get_offset(), shape, kind, name).whole()


def _is_plain(dataset: h5py.h5d.DatasetID) -> bool:
    """Numbers in one piece, bit for bit numpy's: HDF5 has others (bfloat16, or 12 bits), and converts them."""
    kind = dataset.dtype
    if dataset.get_offset() is None or kind.kind not in "fiu" or kind.metadata:
        return False
    return dataset.get_type().equal(h5py.h5t.py_create(kind))


def _in_place(data: Bytes, place: int, shape: tuple[int, ...], kind: np.dtype, name: str) -> LyingArray:
    if place + math.prod(shape) * kind.itemsize > data.size:
        raise ImportFault(f"{name}: the file ends within it; copy the file again")
    return LyingArray(data, place, shape, kind)


def rows_of(dataset: h5py.Dataset | LyingArray, rows: int | slice, name: str) -> np.ndarray:
    """An image's; only as many as may be."""
    count = 1 if isinstance(rows, int) else max(rows.stop - rows.start, 0)
    _refuse_large((count, *dataset.shape[1:]), dataset.dtype, name)
    return dataset[rows]


def _refuse_elsewhere(dataset: h5py.h5d.DatasetID, name: str) -> None:
    creation = dataset.get_create_plist()
    if creation.get_external_count() or creation.get_layout() == h5py.h5d.VIRTUAL:
        raise ImportFault(f"{name}: its numbers are in another file; write them into this one")
    if dataset.get_space_status() == h5py.h5d.SPACE_STATUS_NOT_ALLOCATED and math.prod(dataset.shape or (0,)):
        raise ImportFault(f"{name} was never written: its writer ended before it came to that")


def _refuse_large(shape: tuple[int, ...], kind: np.dtype, name: str) -> None:
    size = math.prod(shape) * kind.itemsize
    if size > MOST_BYTES:
        raise ImportFault(f"{name}: {size:,} bytes by its shape; {MOST_BYTES:,} are the most of an image")
