"""Who owns what in a data set of several stores: arrays over all of them, once a host.

Those of a small data set are in memory. Those of a large one are a file in its cache, made when the data set is
first opened and its stores have been checked, and mapped by every rank: they share one copy, which the system may
even leave on the disk. The file is of these very files in this order: others, or later ones, have another.

Letters: I images, C captions, S swapped captions.
"""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

from interbert.corpus import cache
from interbert.store.index_checks import check_index
from interbert.store.shards import refuse_double_ids, refuse_other_heads
from interbert.store.store import Store, StoreError

LARGE = 1 << 20
"""Images and captions from which on a data set's index is a file."""
_MAGIC = b"interbert-index 1\n"
_HEADER, _ALIGN = 4096, 64


@dataclass(frozen=True)
class Index:
    first_row: np.ndarray
    """int64 [I]: of each image in its store."""
    region_counts: np.ndarray
    """int32 [I]."""
    sizes: np.ndarray
    """int32 [I, 2]."""
    image_group: np.ndarray
    """int32 [I]: the same for images of the same id; one path has each id once."""
    id_hashes: np.ndarray
    """uint64 [I], rising."""
    id_images: np.ndarray
    """int32 [I]: the image of each hash; of several, the first one first."""
    caption_image: np.ndarray
    """int32 [C + S]."""
    caption_kind: np.ndarray
    """uint8 [C]."""
    swapped_of: np.ndarray
    """int32 [S]: the caption that each was made from."""


_TYPES = {
    "first_row": "<i8",
    "region_counts": "<i4",
    "sizes": "<i4",
    "image_group": "<i4",
    "id_hashes": "<u8",
    "id_images": "<i4",
    "caption_image": "<i4",
    "caption_kind": "|u1",
    "swapped_of": "<i4",
}


def open_index(
    corpus: Any, collections: list[list[Store]], fingerprints: Callable[[], dict[str, str]]
) -> tuple[Index, dict[str, str]]:
    """The index of these stores, checked; and their fingerprints, where they are known by now.

    corpus: what the file lies beside. fingerprints: computes them.
    """
    stores = list(chain.from_iterable(collections))
    shapes = _shapes(stores)
    if sum(store.images + store.captions + store.swapped for store in stores) < LARGE:
        return _in_memory(_columns(collections)), {}
    name = f"index-{cache.key(*_identity(collections))}.bin"
    with cache.alone(corpus, name):
        for path in cache.find(corpus, name):
            found = _read(path, shapes)
            if found is not None:
                return found
        columns = _columns(collections)
        known = fingerprints()
        written = cache.keep(corpus, name, lambda path: _write(path, columns, shapes, known))
    mapped = _read(written, shapes) if written else None
    return mapped or (_in_memory(columns), known)


def _identity(collections: list[list[Store]]) -> Iterator[object]:
    """Changes with every file that was written to, replaced or moved, and with which of them are one data set."""
    yield "index", 1
    for stores in collections:
        yield len(stores)
        for store in stores:
            found = os.fstat(store.reader.fd)
            yield store.path.absolute(), found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino


def _shapes(stores: list[Store]) -> dict[str, tuple[int, ...]]:
    images, captions = sum(store.images for store in stores), sum(store.captions for store in stores)
    swapped = sum(store.swapped for store in stores)
    for count, what in ((images, "images"), (captions + swapped, "captions")):
        if count >= 2**31:
            raise StoreError(
                f"{stores[0].path} and {len(stores) - 1} more: {count:,} {what}; one data set holds less than "
                f"{2**31:,}: leave some stores out"
            )
    shapes = dict.fromkeys(_TYPES, (images,)) | {"sizes": (images, 2)}
    return shapes | {
        "caption_image": (captions + swapped,),
        "caption_kind": (captions,),
        "swapped_of": (swapped,),
    }


Columns = dict[str, Callable[[], Iterator[np.ndarray]]]
"""What gives the parts of each array, one after another, in its type."""


def _columns(collections: list[list[Store]]) -> Columns:
    """Of stores that are sound: StoreError otherwise."""
    refuse_other_heads(list(chain.from_iterable(collections)))
    hashes = []
    for stores in collections:
        mine = [check_index(store) for store in stores]
        refuse_double_ids(stores, mine)
        hashes += mine
    stores = list(chain.from_iterable(collections))
    hash_I = np.concatenate(hashes)
    del hashes
    order_I = np.argsort(hash_I, kind="stable").astype(np.int32)
    hash_I = hash_I[order_I]
    each: dict[str, Callable[[Store, int, int], Iterator[np.ndarray]]] = {
        "first_row": lambda store, *_: (block[:-1] for block in _edges(store)),
        "region_counts": lambda store, *_: map(np.diff, _edges(store)),
        "sizes": lambda store, *_: store.blocks("sizes"),
        "caption_kind": lambda store, *_: _kinds(store),
        "swapped_of": lambda store, _, caption: (
            block + caption for block in _optional(store, "swapped/caption")
        ),
    }
    columns: Columns = {name: _over(stores, name, parts) for name, parts in each.items()}
    images = _over(
        stores, "caption_image", lambda s, image, _: (b + image for b in _optional(s, "captions/image"))
    )
    swapped = _over(stores, "caption_image", lambda s, image, _: _images_of_swapped(s, image))
    return columns | {
        "caption_image": lambda: chain(images(), swapped()),
        "id_hashes": lambda: iter([hash_I]),
        "id_images": lambda: iter([order_I]),
        "image_group": lambda: iter([_groups(hash_I, order_I, one=len(collections) == 1)]),
    }


def _over(stores: list[Store], name: str, parts: Callable) -> Callable[[], Iterator[np.ndarray]]:
    """Goes through all stores; parts: (store, its first image, its first caption) -> parts of the array."""

    def run() -> Iterator[np.ndarray]:
        image = caption = 0
        for store in stores:
            for block in parts(store, image, caption):
                yield block.astype(_TYPES[name], copy=False)
            image, caption = image + store.images, caption + store.captions

    return run


def _edges(store: Store) -> Iterator[np.ndarray]:
    """Parts of the offsets, each with the one that comes next."""
    at_a_time = 1 << 19
    for start in range(0, store.images, at_a_time):
        yield store.read_rows("offsets", start, min(start + at_a_time, store.images) + 1)


def _optional(store: Store, name: str) -> Iterator[np.ndarray]:
    return store.blocks(name) if name in store.extents else iter(())


def _kinds(store: Store) -> Iterator[np.ndarray]:
    return store.blocks("captions/kind") if "captions/kind" in store.extents else iter([store.caption_kind])


def _images_of_swapped(store: Store, image: int) -> Iterator[np.ndarray]:
    if store.swapped:
        image_C = np.concatenate([block.astype(np.int32) for block in store.blocks("captions/image")])
        for block in store.blocks("swapped/caption"):
            yield image_C[block] + image


def _groups(hash_I: np.ndarray, order_I: np.ndarray, one: bool) -> np.ndarray:
    if one:
        return np.arange(len(order_I), dtype=np.int32)
    group_I = np.empty(len(order_I), np.int32)
    group_I[order_I] = np.cumsum(np.concatenate([[False], hash_I[1:] != hash_I[:-1]]), dtype=np.int32)
    return group_I


def _in_memory(columns: Columns) -> Index:
    empty = {name: np.empty((0, 2) if name == "sizes" else 0, dtype) for name, dtype in _TYPES.items()}
    return Index(**{name: np.concatenate([empty[name], *columns[name]()]) for name in _TYPES})


def _write(path: Path, columns: Columns, shapes: dict[str, tuple[int, ...]], known: dict[str, str]) -> None:
    """Room for a magic line and a line of JSON; the arrays, each at a round place; then the lines."""
    digest = xxhash.xxh3_64()
    with open(path, "wb") as file:
        for name, (start, _) in _places(shapes).items():
            file.seek(start)
            for block in columns[name]():
                data = np.ascontiguousarray(block)
                file.write(data.data)
                digest.update(data.data)
        file.seek(0)
        shaped = {name: list(shape) for name, shape in shapes.items()}
        header = {"arrays": shaped, "xxh3_64": digest.hexdigest(), **known}
        file.write((_MAGIC + json.dumps(header).encode() + b"\n").ljust(_HEADER, b"\0"))


def _places(shapes: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, int]]:
    """Where each array begins and ends in the file."""
    places, start = {}, _HEADER
    for name, dtype in _TYPES.items():
        stop = start + int(np.prod(shapes[name])) * np.dtype(dtype).itemsize
        places[name] = start, stop
        start = -(-stop // _ALIGN) * _ALIGN
    return places


def _read(path: Path, shapes: dict[str, tuple[int, ...]]) -> tuple[Index, dict[str, str]] | None:
    """None where the file is not whole, or not of so many images and captions."""
    try:
        with open(path, "rb") as file:
            magic, header, _ = file.read(_HEADER).split(b"\n", 2)
        header = json.loads(header)
        if magic + b"\n" != _MAGIC or header.pop("arrays") != {n: list(s) for n, s in shapes.items()}:
            return None
        places, digest = _places(shapes), xxhash.xxh3_64()
        data = np.memmap(path, np.uint8, mode="r")
        arrays = {}
        for field in fields(Index):
            start, stop = places[field.name]
            digest.update(data[start:stop])
            arrays[field.name] = np.asarray(data[start:stop]).view(_TYPES[field.name])
            arrays[field.name] = arrays[field.name].reshape(shapes[field.name])
        if digest.hexdigest() != header.pop("xxh3_64"):
            return None
        return Index(**arrays), header
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
