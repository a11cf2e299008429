"""What a store's index must be before anything is read by it: ids, who owns which rows, labels that are classes."""

from typing import Any

import numpy as np

from interbert.store.format import StoreError


def check_index(store: Any) -> np.ndarray:
    """StoreError with the first fault found. Returns the hashes of the ids (uint64 [I]); all else is read a block at
    a time."""
    hash_I = store.ids.check()
    _must_rise(store, "offsets", store.regions, "region rows", at_least=1)
    _must_point(store, "captions/image", store.images, "images")
    _must_point(store, "swapped/caption", store.captions, "captions")
    for group in ("captions", "swapped"):
        if f"{group}/offsets" in store.extents:
            size = store.extents[f"{group}/text"].shape[0]
            _must_rise(store, f"{group}/offsets", size, "bytes of text", at_least=0)
    if store.evidence == "labels":
        _must_be_classes(store)
    return hash_I


def _must_rise(store: Any, name: str, end: int, what: str, at_least: int) -> None:
    rows = store.extents[name].shape[0]
    first, last = (int(store.read_rows(name, row, row + 1)[0]) for row in (0, rows - 1))
    if first != 0 or last != end:
        raise StoreError(
            f"{store.path}: dataset {name!r}: runs from {first} to {last}, but there are "
            f"{end} {what}: it must run from 0 to {end}; write the file anew"
        )
    before, start = first, 0
    for block in store.blocks(name):
        rise = np.diff(block, prepend=before)
        # No place is beyond the end either: differences of int64 may run over and look like a rise.
        bad = np.flatnonzero((rise < at_least) | (block < 0) | (block > end))
        bad = bad[bad + start > 0]
        if len(bad):
            row = start + int(bad[0]) - 1
            one, two = store.read_rows(name, row, row + 2).tolist()
            owner = f"image {store.image_id(row)!r} owns no region" if at_least else "it falls"
            raise StoreError(
                f"{store.path}: dataset {name!r}: row {row}: {one}, then {two}: {owner}; write the file anew"
            )
        before, start = block[-1], start + len(block)


def _must_point(store: Any, name: str, end: int, what: str) -> None:
    if name not in store.extents:
        return
    start, first, count = 0, None, 0
    for block in store.blocks(name):
        bad = np.flatnonzero((block < 0) | (block >= end))
        if len(bad) and first is None:
            first = start + int(bad[0]), block[bad[0]]
        count, start = count + len(bad), start + len(block)
    if first is not None:
        raise StoreError(
            f"{store.path}: dataset {name!r}: row {first[0]} names number {first[1]} of {end} {what}, "
            f"which is unknown; drop or correct these {count} rows"
        )


def _must_be_classes(store: Any) -> None:
    start = 0
    for block in store.blocks("labels"):
        if int(block.min()) < 0 or int(block.max()) >= store.classes:
            row = start + int(np.flatnonzero((block < 0) | (block >= store.classes))[0])
            image = int(np.searchsorted(store.offsets, row, side="right")) - 1
            raise StoreError(
                f"{store.path}: dataset 'labels': row {row}, image {store.image_id(image)!r} (region "
                f"{row - int(store.offsets[image])}): label "
                f"{block[row - start]} of {store.classes} classes; correct the label or attribute 'classes', and "
                "write the file anew"
            )
        start += len(block)
