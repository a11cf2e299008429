"""Laying a store out as an HDF5 file in which every dataset has one place, and copying spooled rows to it."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from interbert.files import fsync, replaced
from interbert.store.checksums import index_checksum
from interbert.store.format import SCHEMA, VERSION
from interbert.store.spool import Names, Spool, name_file

_BLOCK = 4 << 20
_AT_ONCE = 1 << 30
_PAGE = 4096
ROWS_AT = 1 << 20
"""Where a large file's first rows lie, so that they can be written there before there is a file."""
_LARGE = 16 << 20


Content = dict[str, tuple[Spool | np.ndarray, tuple[int, ...]]]
"""Of each dataset what is in it, and its shape; in the order in which they lie in the file."""


def write_file(path: Path, attributes: dict[str, Any], names: Names, content: Content, rows: str) -> None:
    """Write the store at `path`; whole or not at all.

    rows: a dataset whose spool begins at ROWS_AT. Where there is much in it, its file becomes the store's.
    """
    with replaced(path) as partial:
        spool = content[rows][0]
        assert isinstance(spool, Spool)
        first = [rows] if spool.bytes >= _LARGE else []
        places = _create(partial, attributes, names, content, first)
        in_place = bool(first) and places[rows] == ROWS_AT and _given_body(partial, spool, places, content)
        with open(partial, "r+b") as target:
            _write_names(names, target.fileno(), places["image_ids"])
            for name, (values, _) in content.items():
                if name in places and isinstance(values, Spool) and not (in_place and name == rows):
                    _copy(values, target.fileno(), places[name])
    fsync(path.parent)


def _create(
    path: Path, attributes: dict[str, Any], names: Names, content: Content, first: list[str]
) -> dict[str, int]:
    """The file with everything but what waits in spools; returns the places of all datasets that are not empty.

    first: datasets that lie before all others, the first of them at ROWS_AT.
    """
    # Version 1.10 of the format is read by every HDF5 since 2016. Large datasets start on a page.
    with _opened(h5py.h5f.create, path, h5py.h5f.ACC_TRUNC, (_LARGE, ROWS_AT), _without_times()) as file:
        file.attrs["schema"] = SCHEMA
        file.attrs["version"] = VERSION
        for name, value in attributes.items():
            file.attrs[name] = value
        checksum = index_checksum(lambda name: _blocks(content, name), names.joined())
        file.attrs["index_checksum"] = np.uint64(checksum)
        for name in first:
            _contiguous(file, name, content[name][1], content[name][0].dtype)
    with _opened(h5py.h5f.open, path, h5py.h5f.ACC_RDWR, (_PAGE, _PAGE)) as file:
        ids = h5py.string_dtype("utf-8", names.widest)
        datasets = {"image_ids": _contiguous(file, "image_ids", (names.count,), ids)}
        for name, (values, shape) in content.items():
            datasets[name] = file[name] if name in first else _contiguous(file, name, shape, values.dtype)
            if isinstance(values, np.ndarray) and values.size:
                datasets[name].write_direct(values)
        return {name: dataset.id.get_offset() for name, dataset in datasets.items() if dataset.size}


def _given_body(partial: Path, spool: Spool, places: dict[str, int], content: Content) -> bool:
    """Whether the spool's file could take the place of the partial one, with all that HDF5 has written there."""
    body = partial.with_name(f"{partial.name.removesuffix('.partial')}.rows.partial")
    if not name_file(spool.descriptor(), body):
        return False
    try:
        with open(partial, "rb") as head, open(body, "r+b") as target:
            size = os.fstat(head.fileno()).st_size
            os.truncate(target.fileno(), size)
            done = 0
            waiting = [
                (places[n], v.bytes) for n, (v, _) in content.items() if isinstance(v, Spool) and n in places
            ]
            for start, length in [*sorted(waiting), (size, 0)]:
                head.seek(done)
                while done < start:
                    block = head.read(min(_BLOCK, start - done))
                    _write(target.fileno(), memoryview(block), done)
                    done += len(block)
                done = start + length
        os.replace(body, partial)
    except BaseException:
        body.unlink(missing_ok=True)
        raise
    return True


def _blocks(content: Content, name: str) -> Iterator[bytes] | None:
    if name not in content:
        return None
    values = content[name][0]
    assert isinstance(values, Spool)  # as is all that the checksum is of
    return values.blocks()


def _write_names(names: Names, target: int, place: int) -> None:
    for joined in names.joined():
        block = np.array(joined.split(b"\0"), f"S{names.widest}")
        _write(target, block.view(np.uint8).data, place)
        place += block.nbytes


def _without_times() -> h5py.h5p.PropFCID:
    """So that the same content is the same bytes."""
    creation = h5py.h5p.create(h5py.h5p.FILE_CREATE)
    creation.set_obj_track_times(False)
    return creation


def _opened(
    way: Callable[..., h5py.h5f.FileID],
    path: Path,
    flags: int,
    alignment: tuple[int, int],
    creation: h5py.h5p.PropFCID | None = None,
) -> h5py.File:
    """alignment: (of what is so large, where it may begin)"""
    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    access.set_fclose_degree(h5py.h5f.CLOSE_STRONG)
    access.set_libver_bounds(h5py.h5f.LIBVER_V110, h5py.h5f.LIBVER_V110)
    access.set_alignment(*alignment)
    more = {} if creation is None else {"fcpl": creation}
    return h5py.File(way(os.fsencode(path), flags, fapl=access, **more))


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


def _copy(spool: Spool, target: int, place: int) -> None:
    source = spool.descriptor()
    done = _copy_in_kernel(source, spool.start, target, place)
    buffer = memoryview(bytearray(_BLOCK))
    while count := os.preadv(source, [buffer], spool.start + done):
        _write(target, buffer[:count], place + done)
        done += count


def _write(target: int, data: memoryview, place: int) -> None:
    written = 0
    while written < len(data):
        written += os.pwrite(target, data[written:], place + written)


def _copy_in_kernel(source: int, start: int, target: int, place: int) -> int:
    """How many bytes the system has copied by itself, which saves a third of the time where it can at all."""
    done = 0
    try:
        while count := os.copy_file_range(source, target, _AT_ONCE, start + done, place + done):
            done += count
    except (
        OSError,
        AttributeError,
    ):  # not between these files, not on this system; a full disk shows itself again
        pass
    return done
