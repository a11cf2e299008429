"""What is taken from an HDF5 file that anybody may have written: nothing is followed out of the file, and nothing is
read whose size is not known and in the file.

HDF5 would do more: follow links and datasets into other files, fill what was never written, unfold what is
compressed, and make a million strings of one.
"""

import math
from collections.abc import Callable
from typing import Any

import h5py
import numpy as np

from interbert.store.format import Extent, StoreError

Fault = Callable[[str, str, str], StoreError]
"""(dataset, what is wrong, remedy) -> the error."""

VLEN = np.dtype([("bytes", "<u4"), ("heap", "<u8"), ("object", "<u4")])
"""How a string of variable length stands in its dataset: its length, and where it lies."""
_WIDEST_IDS = 1024
"""With its padding; an id itself has 255 bytes at most."""
_ANEW = "write it with interbert's StoreWriter"


def find_object(fault: Fault, file: h5py.File, name: str) -> Any:
    """The object of that name, if it is one of this very file; None where there is none."""
    found, path = file, ""
    for part in name.split("/"):
        if not isinstance(found, h5py.Group):
            raise fault(path, "is a dataset, not a group", "write the file anew")
        path = f"{path}/{part}".lstrip("/")
        links, key = found.id.links, part.encode()
        if not links.exists(key):
            return None
        hard = h5py.h5l.TYPE_HARD  # ty: ignore[missing-attribute]  # h5py's own types lack the module
        if links.get_info(key).type != hard:
            raise fault(path, "a link, not an object within this file", _ANEW)
        found = found[part]
    return found


def find_dataset(fault: Fault, file: h5py.File, name: str) -> h5py.Dataset | None:
    """A dataset that lies in one piece within this file; None where there is none."""
    dataset = find_object(fault, file, name)
    if dataset is None:
        return None
    if not isinstance(dataset, h5py.Dataset):
        raise fault(name, "is no dataset", "write the file anew")
    # Asked before its type and shape, for which a virtual dataset opens what it is made of.
    creation = dataset.id.get_create_plist()
    if creation.get_layout() != h5py.h5d.CONTIGUOUS or creation.get_external_count():
        raise fault(name, "not contiguous and uncompressed within this file", _ANEW)
    return dataset


def extent_of(fault: Fault, name: str, dataset: h5py.Dataset, dtype: np.dtype, size: int) -> Extent:
    """Where it lies in a file of so many bytes; dtype: what its rows are when they are read by offset."""
    if dataset.shape is None or dataset.shape == ():
        raise fault(name, "not an array", "write the file anew")
    extent = Extent(dataset.id.get_offset() or 0, dataset.shape, dtype)
    if extent.bytes and not extent.offset:
        raise fault(name, "space was never given to it: it was not written", "write the file anew")
    if extent.offset + extent.bytes > size:
        end = extent.offset + extent.bytes
        raise fault(name, f"truncated: it ends at byte {end}, the file at {size}", "copy the file again")
    if math.prod(dataset.shape) == 0 and max(dataset.shape) > size:  # an empty one that claims any width
        raise fault(name, f"shape {dataset.shape} of nothing", "write the file anew")
    return extent


def type_of(fault: Fault, name: str, dataset: h5py.Dataset, wanted: str) -> np.dtype:
    """The dataset's type, which must be the wanted one to the bit."""
    dtype = np.dtype(wanted)
    if not dataset.id.get_type().equal(h5py.h5t.py_create(dtype)):
        raise fault(name, f"type {_named(dataset)}, must be {dtype}", "write it in that type")
    return dtype


def type_of_ids(fault: Fault, file: h5py.File, name: str, dataset: h5py.Dataset) -> np.dtype:
    """Bytes of a fixed length, or VLEN."""
    info = h5py.check_string_dtype(dataset.dtype)
    if info is None:
        raise fault(name, f"type {_named(dataset)}, must be UTF-8 strings", "write them as strings")
    if info.length is not None:
        if info.length > _WIDEST_IDS:
            raise fault(
                name, f"{info.length} bytes for each, {_WIDEST_IDS} are the most", "write it narrower"
            )
        return np.dtype(f"S{info.length}")
    if file.id.get_create_plist().get_sizes() != (8, 8):
        raise fault(name, "strings of variable length in a file of short addresses", _ANEW)
    return VLEN


def read_attribute(path: Any, file: h5py.File, name: str) -> Any:
    """A single text or whole number, or None where the root has no such attribute."""
    if name not in file.attrs:
        return None
    held = file.attrs.get_id(name)
    kind = held.dtype
    single = held.get_space().get_simple_extent_type() == h5py.h5s.SCALAR and kind.shape == ()
    if not single or (h5py.check_string_dtype(kind) is None and kind.kind not in "iu"):
        raise StoreError(
            f"{path}: attribute {name!r} is neither one text nor one whole number; write the file anew"
        )
    return file.attrs[name]


def _named(dataset: h5py.Dataset) -> str:
    try:
        return str(dataset.dtype)
    except TypeError:  # one that numpy has none for
        return "unknown"
