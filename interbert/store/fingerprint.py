"""One short name for all that is in a store: of its header, its ids, its index and its content.

The content comes in as checksums, computed from what is there and not believed: of every text, and of the rows of
every image where those are few enough to be read at a glance. Of a larger store that is so for some images, spread
evenly over it; for the others the stored checksums stand, which `verify` compares with all rows.
"""

import contextlib
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import numpy as np
import xxhash

from interbert.store.checksums import row_checksums
from interbert.store.format import ATTRIBUTE_ROWS, FIELDS, StoreError

WHOLE_BYTES = 64 << 20
"""Rows of a store that are read whole."""
_SPREAD = 64
"""Images of a larger one."""
_AT_A_TIME = 65536
_IMAGES = 4096

Checksums = Callable[[Any, str], Iterator[np.ndarray] | None]
"""(store, dataset) -> its values in blocks; None where there are none."""


def fingerprint_of(store: Any, checksums: Checksums) -> str:
    layout = store.layout
    header = (layout.feature_width, layout.classes, layout.evidence, layout.class_names, layout.regions)
    digest = xxhash.xxh3_128(repr(header).encode())
    separator = b""
    for block in store.ids.blocks():
        digest.update(separator + b"\0".join(block))
        separator = b"\0"
    rows = ("features", "boxes", layout.evidence, "confidence", *ATTRIBUTE_ROWS)
    for name in FIELDS:
        if name.endswith("/text") or name in rows:
            continue
        if name.endswith("checksums"):
            blocks, shape = checksums(store, name), (_count(store, name),)
        else:
            extent = store.extents.get(name)
            blocks, shape = (store.blocks(name), extent.shape) if extent else (None, ())
        if blocks is not None:
            digest.update(f"\0{name}{shape}".encode())
            for block in blocks:
                digest.update(block.tobytes())
    return digest.hexdigest()


def stored_checksums(store: Any, name: str) -> Iterator[np.ndarray] | None:
    return store.blocks(name) if name in store.extents else None


def checksums_of_content(store: Any, name: str) -> Iterator[np.ndarray] | None:
    """As `stored_checksums` where those are right; and of texts that have none."""
    group = name.rpartition("/")[0]
    if not group:
        return _of_images(store)
    return _of_texts(store, group) if f"{group}/text" in store.extents else None


def _count(store: Any, name: str) -> int:
    return {"checksums": store.images, "captions/checksums": store.captions}.get(name, store.swapped)


def _of_texts(store: Any, group: str) -> Iterator[np.ndarray]:
    texts = store.text_bytes(group)
    while block := list(islice(texts, _AT_A_TIME)):
        yield np.fromiter(map(xxhash.xxh3_64_intdigest, block), np.uint64, len(block))


def _of_images(store: Any) -> Iterator[np.ndarray]:
    row_bytes = sum(store.extents[name].row_bytes for name in store.row_datasets)
    whole = store.regions * row_bytes <= WHOLE_BYTES
    start = 0
    for stored in store.blocks("checksums"):
        (_compute_all if whole else _compute_some)(store, start, stored)
        yield stored
        start += len(stored)


# What cannot be read is damaged, not another data set: its stored checksum stands, and it is told where it is used.


def _compute_all(store: Any, start: int, stored: np.ndarray) -> None:
    offsets = store.read_rows("offsets", start, start + len(stored) + 1)
    for first in range(0, len(stored), _IMAGES):
        ends = offsets[first : first + _IMAGES + 1]
        with contextlib.suppress(StoreError, OSError):
            rows = [store.read_rows(name, int(ends[0]), int(ends[-1])) for name in store.row_datasets]
            stored[first : first + _IMAGES] = row_checksums(rows, np.diff(ends))


def _compute_some(store: Any, start: int, stored: np.ndarray) -> None:
    asked = np.linspace(0, store.images - 1, min(_SPREAD, store.images)).astype(np.int64)
    for image in asked[(asked >= start) & (asked < start + len(stored))].tolist():
        with contextlib.suppress(StoreError, OSError):
            stored[image - start] = store.checksum_of(image)
