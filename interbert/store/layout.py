"""Opening a store: does an HDF5 file hold what store_format asks for, and where in it does each dataset lie?

`read_layout` opens the file with h5py once and refuses every structural fault, so that all that follows can
read by plain offsets.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from interbert.store.format import EVIDENCE, FIELDS, SCHEMA, VERSION, Extent, Layout, StoreError
from interbert.store.guarded import extent_of, find_dataset, find_object, read_attribute, type_of, type_of_ids

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_MOST = {"feature_width": 1 << 20, "classes": 1 << 20}
"""A model is built with that many inputs, or outputs: more than any detector has is a mistake, or worse."""


def read_layout(path: Path) -> Layout:
    """Check the structure of the store at `path`; StoreError with the first fault found."""
    _refuse_what_is_no_hdf5(path)
    try:
        # Locks are of no use here (a store never changes) and fail on read-only and network file systems.
        with h5py.File(path, "r", locking=False) as file:
            return _read_layout(path, file)
    except StoreError:
        raise
    except OSError as error:
        raise StoreError(
            f"{path}: {_truncation(error, path)}; copy or download it again, or write it anew"
        ) from None
    except (KeyError, RuntimeError, ValueError, TypeError) as error:  # as HDF5 and h5py say it
        raise StoreError(
            f"{path}: its HDF5 structure is damaged ({error}); copy it again or write it anew"
        ) from None


def _refuse_what_is_no_hdf5(path: Path) -> None:
    if path.is_dir():
        raise StoreError(f"{path} is a directory, not a store: give it to Corpus, which reads its shards")
    if path.exists() and not path.is_file():
        raise StoreError(f"{path} is a device or a pipe, not a store: give a file")
    try:
        with open(path, "rb") as file:
            start = file.read(len(_SIGNATURE))
    except OSError as error:
        raise StoreError(f"{path}: cannot be read ({error.strerror}); check the path") from None
    if not start:
        raise StoreError(f"{path}: the file is empty (0 bytes); copy it again or write it anew")
    if not _SIGNATURE.startswith(start):
        raise StoreError(
            f"{path}: not an HDF5 file (it starts with {start!r}), so not a store; docs/store.md shows "
            "how to write one"
        )
    if len(start) < len(_SIGNATURE):
        raise StoreError(f"{path}: truncated after {len(start)} bytes; copy it again or write it anew")


def _truncation(error: OSError, path: Path) -> str:
    text = str(error)
    if "truncated file" in text:
        stored = text.rpartition("stored_eof = ")[2].rstrip(")")
        return f"truncated: {path.stat().st_size} bytes of {stored} are there"
    return f"HDF5 cannot open it, it is truncated or damaged ({text})"


def _read_layout(path: Path, file: h5py.File) -> Layout:
    attributes = _read_attributes(path, file)
    fault = _fault_maker(path)
    size = os.path.getsize(path)
    extents = _read_extents(fault, file, size)
    ids = _extent_of_ids(fault, file, size)
    for name in ("features", "boxes", "offsets", "sizes", "checksums"):
        if name not in extents:
            raise fault(name, "the dataset is missing", "write the file anew as docs/store.md says")
    evidence = _evidence(fault, extents, attributes["classes"])
    dims = _dimensions(extents, attributes)
    for name, extent in extents.items():
        expected = tuple(dims.get(letter) for letter in FIELDS[name].dims)
        free = tuple(n if want is None else want for n, want in zip(extent.shape, expected, strict=False))
        if extent.shape != free or len(extent.shape) != len(expected):
            raise fault(name, _shape_message(name, extent.shape, expected, dims), "write the file anew")
    if dims["I"] == 0:
        raise fault("offsets", "the store holds no image", "leave it out, or write it with images")
    if ids.shape != (dims["I"],):
        raise fault(
            "image_ids", f"shape {ids.shape}, must be ({dims['I']},) as there are offsets", "write it anew"
        )
    return Layout(
        path=path,
        extents=extents,
        images=dims["I"],
        regions=dims["R"],
        captions=dims["C"],
        evidence=evidence,
        ids=ids,
        **attributes,
    )


def _fault_maker(path: Path) -> Callable[[str, str, str], StoreError]:
    return lambda dataset, what, remedy: StoreError(f"{path}: dataset {dataset!r}: {what}; {remedy}")


def _read_attributes(path: Path, file: h5py.File) -> dict[str, Any]:
    schema = _text(read_attribute(path, file, "schema"))
    if schema != SCHEMA:
        holds = ", ".join(sorted(file)[:8]) or "nothing"
        raise StoreError(
            f"{path}: an HDF5 file, but no store: its attribute 'schema' is {schema!r}, not {SCHEMA!r} "
            f"(it holds {holds}); docs/store.md shows how to turn it into a store"
        )
    version = _integer(path, file, "version")
    if version != VERSION:
        remedy = "update interbert" if version > VERSION else "write the file anew"
        raise StoreError(
            f"{path}: attribute 'version': a store of version {version}; this interbert reads version "
            f"{VERSION}: {remedy}"
        )
    classes = _integer(path, file, "classes")
    checksum = read_attribute(path, file, "index_checksum")
    if isinstance(checksum, str | bytes):
        raise StoreError(f"{path}: attribute 'index_checksum' is no whole number; write the file anew")
    width = _integer(path, file, "feature_width")
    if width == 0:
        raise StoreError(f"{path}: attribute 'feature_width' is 0, so there are no features; write it anew")
    names = _names(path, file, "class_names", classes)
    return {
        "feature_width": width,
        "classes": classes,
        "source": _text(read_attribute(path, file, "source")) or "",
        "features_of": _text(read_attribute(path, file, "features_of")) or None,
        "class_names": names,
        "attribute_names": _names(path, file, "attribute_names"),
        "index_checksum": None if checksum is None else int(checksum),
    }


def _names(path: Path, file: h5py.File, name: str, wanted: int | None = None) -> list[str] | None:
    """An attribute that is a JSON list of (so many) names, or None."""
    text = _text(read_attribute(path, file, name))
    if text is None:
        return None
    try:
        names = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise StoreError(
            f"{path}: attribute {name!r} is no JSON ({error}); write it as a JSON list"
        ) from None
    if not isinstance(names, list) or wanted not in (None, len(names)):
        many = "" if wanted is None else f"{wanted} "
        raise StoreError(f"{path}: attribute {name!r} must be a JSON list of {many}names; correct or drop it")
    for number, one in enumerate(names):
        if not isinstance(one, str) or not _is_unicode(one):
            raise StoreError(
                f"{path}: attribute {name!r}: name {number} is {str(one)[:60]!a}, no text; correct or drop it"
            )
    return names


def _is_unicode(text: str) -> bool:
    """Not with half of a character in it, as JSON can have it."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _text(value: Any) -> str | None:
    return (
        value.decode("utf-8", "replace")
        if isinstance(value, bytes)
        else None
        if value is None
        else str(value)
    )


def _integer(path: Path, file: h5py.File, name: str) -> int:
    value = read_attribute(path, file, name)
    if not isinstance(value, int | np.integer) or value < 0:
        raise StoreError(f"{path}: attribute {name!r} is {value!r}, not a whole number; write the file anew")
    if value > _MOST.get(name, value):
        raise StoreError(
            f"{path}: attribute {name!r} is {value}; {_MOST[name]:,} is the most that is read: write the file anew"
        )
    return int(value)


def _read_extents(fault: Callable, file: h5py.File, size: int) -> dict[str, Extent]:
    extents = {}
    for name, field in FIELDS.items():
        dataset = find_dataset(fault, file, name)
        if dataset is not None:
            extents[name] = extent_of(fault, name, dataset, type_of(fault, name, dataset, field.dtype), size)
            continue
        group = field.group.partition("/")[0]
        whole = field.group in ("captions", "swapped", "class_head", "attributes")
        if (whole and find_object(fault, file, group) is not None) or (
            field.group == "labels" and "labels" in extents
        ):
            raise fault(name, f"missing, though {group!r} is there", "write the file anew")
    return extents


def _extent_of_ids(fault: Callable, file: h5py.File, size: int) -> Extent:
    name = "image_ids"
    dataset = find_dataset(fault, file, name)
    if dataset is None:
        raise fault(name, "the dataset is missing", "write the file anew as docs/store.md says")
    return extent_of(fault, name, dataset, type_of_ids(fault, file, name, dataset), size)


def _evidence(fault: Callable, extents: dict[str, Extent], classes: int) -> str | None:
    found = [kind for kind in EVIDENCE if kind in extents or f"{kind}/weight" in extents]
    if len(found) > 1:
        raise fault(found[1], f"a second kind of class evidence beside {found[0]!r}", "keep one of them")
    if not found:
        return None
    if classes < 1:
        raise fault(found[0], "class evidence, but attribute 'classes' is 0", "write the file anew")
    return found[0]


def _dimensions(extents: dict[str, Extent], attributes: dict[str, Any]) -> dict[str, int]:
    """Sizes by letter; each is taken from one place and every other dataset is held to it. B, bytes, is not there."""
    images = max(extents["offsets"].shape[0] - 1, 0)
    captions = extents["captions/image"].shape[0] if "captions/image" in extents else 0
    swapped = extents["swapped/caption"].shape[0] if "swapped/caption" in extents else 0
    sizes = {"I": images, "J": images + 1, "C": captions, "E": captions + 1, "S": swapped, "T": swapped + 1}
    sizes |= {"R": extents["features"].shape[0], "D": attributes["feature_width"], "K": attributes["classes"]}
    return sizes | {"4": 4, "2": 2}


def _shape_message(name: str, shape: tuple, expected: tuple, dims: dict) -> str:
    if name == "features" and len(shape) == 2 and shape[1] != dims["D"]:
        return f"features are {shape[1]} wide, but attribute 'feature_width' says {dims['D']}"
    want = tuple("any" if n is None else n for n in expected)
    return f"shape {shape}, must be {want} by the other datasets and attributes"
