"""Laying a store out as an HDF5 file in which every dataset has one place, and copying spooled rows to it."""

import os
from pathlib import Path
from typing import Any, BinaryIO

import h5py
import numpy as np

from interbert.files import fsync, replaced
from interbert.store.checksums import index_checksum
from interbert.store.format import FIELDS, SCHEMA, VERSION

_BLOCK = 4 << 20
_AT_ONCE = 1 << 30
_PAGE = 4096


def write_file(
    path: Path,
    attributes: dict[str, Any],
    ids: list[bytes],
    arrays: dict[str, np.ndarray],
    spools: dict[str, tuple[BinaryIO, tuple[int, ...]]],
) -> None:
    """Write the store at `path` from small arrays and spooled ones (file, shape); whole or not at all."""
    with replaced(path) as partial:
        places = _create(
            partial, attributes, ids, arrays, {name: shape for name, (_, shape) in spools.items()}
        )
        with open(partial, "r+b") as target:
            for name, place in places.items():
                _copy(spools[name][0], target.fileno(), place)
    fsync(path.parent)


def _create(
    path: Path,
    attributes: dict[str, Any],
    ids: list[bytes],
    arrays: dict[str, np.ndarray],
    shapes: dict[str, tuple[int, ...]],
) -> dict[str, int]:
    """The file with everything but the spooled rows; returns the places in it that are kept for those."""
    # Version 1.10 of the format is read by every HDF5 since 2016. Large datasets start on a page.
    with _new_file(path) as file:
        file.attrs["schema"] = SCHEMA
        file.attrs["version"] = VERSION
        for name, value in attributes.items():
            file.attrs[name] = value
        file.attrs["index_checksum"] = np.uint64(index_checksum(arrays, ids))
        ids_I = np.array(ids, dtype=h5py.string_dtype("utf-8", max(map(len, ids))))
        for name, values in {"image_ids": ids_I, **arrays}.items():
            dataset = _contiguous(file, name, values.shape, values.dtype)
            if values.size:
                dataset.write_direct(values)
        spooled = {name: _contiguous(file, name, shape, FIELDS[name].dtype) for name, shape in shapes.items()}
        return {name: dataset.id.get_offset() for name, dataset in spooled.items() if dataset.size}


def _new_file(path: Path) -> h5py.File:
    """An empty HDF5 file that keeps no times, so that the same content is the same bytes."""
    creation = h5py.h5p.create(h5py.h5p.FILE_CREATE)
    creation.set_obj_track_times(False)
    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    access.set_fclose_degree(h5py.h5f.CLOSE_STRONG)
    access.set_libver_bounds(h5py.h5f.LIBVER_V110, h5py.h5f.LIBVER_V110)
    access.set_alignment(_PAGE, _PAGE)
    return h5py.File(h5py.h5f.create(os.fsencode(path), h5py.h5f.ACC_TRUNC, creation, access))


def _groups_without_times(file: h5py.File, name: str) -> None:
    group, _, _ = name.rpartition("/")
    if group and group not in file:
        creation = h5py.h5p.create(h5py.h5p.GROUP_CREATE)
        creation.set_obj_track_times(False)
        h5py.h5g.create(file.id, group.encode(), gcpl=creation)


def _contiguous(file: h5py.File, name: str, shape: tuple[int, ...], dtype: Any) -> h5py.Dataset:
    """A dataset that has its place in the file from the start."""
    _groups_without_times(file, name)
    creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    creation.set_obj_track_times(False)
    creation.set_layout(h5py.h5d.CONTIGUOUS)
    creation.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    creation.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    kind = h5py.h5t.py_create(np.dtype(dtype), logical=True)
    space = h5py.h5s.create_simple(shape)
    return h5py.Dataset(h5py.h5d.create(file.id, name.encode(), kind, space, creation))


def _copy(source: BinaryIO, target: int, place: int) -> None:
    source.flush()
    done = _copy_in_kernel(source.fileno(), target, place)
    buffer = memoryview(bytearray(_BLOCK))
    while count := os.preadv(source.fileno(), [buffer], done):
        written = 0
        while written < count:
            written += os.pwrite(target, buffer[written:count], place + done + written)
        done += count


def _copy_in_kernel(source: int, target: int, place: int) -> int:
    """How many bytes the system has copied by itself, which saves a third of the time where it can at all."""
    done = 0
    try:
        while count := os.copy_file_range(source, target, _AT_ONCE, done, place + done):
            done += count
    except (
        OSError,
        AttributeError,
    ):  # not between these files, not on this system; a full disk shows itself again
        pass
    return done
