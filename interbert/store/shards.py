"""The stores behind a path: a file is one store, a directory of stores is one collection in shards."""

from pathlib import Path

import numpy as np

from interbert.store.features_of import may_be_one
from interbert.store.store import Store, StoreError

SUFFIXES = (".h5", ".hdf5")


def store_files(path: str | Path) -> list[Path]:
    """The file itself, or a directory's stores by name."""
    path = Path(path)
    if not path.is_dir():
        return [path]
    files = sorted(p for p in path.iterdir() if p.suffix in SUFFIXES and not p.name.startswith("."))
    if not files:
        raise StoreError(
            f"{path}: a directory without stores (no file ends in .h5 or .hdf5); give another one"
        )
    return files


def open_stores(path: str | Path) -> list[Store]:
    stores: list[Store] = []
    try:
        for file in store_files(path):
            stores.append(Store(file))
        _refuse_double_ids(stores)
    except BaseException:
        close_all(stores)
        raise
    return stores


def close_all(stores: list[Store]) -> None:
    for store in stores:
        store.close()


def refuse_unlike(stores: list[Store]) -> None:
    """Stores can only be one data set where features and evidence mean the same."""
    first = stores[0]
    for store in stores[1:]:
        for field in ("feature_width", "classes", "evidence"):
            have, want = getattr(store, field), getattr(first, field)
            if have != want:
                raise StoreError(
                    f"{store.path}: {field} is {have}, but {first.path} has {want}: stores of one data set "
                    "must agree; leave one out, or write it anew"
                )
        if first.class_head is not None and not all(map(np.array_equal, store.class_head, first.class_head)):
            raise StoreError(
                f"{store.path}: class_head differs from that of {first.path}; leave one of them out"
            )


def features_of(stores: list[Store]) -> str | None:
    """Of those that tell it; StoreError where they tell different ones."""
    known = [store for store in stores if store.features_of]
    for store in known[1:]:
        if not may_be_one(store.features_of, known[0].features_of):
            raise StoreError(
                f"{store.path}: its features are of {store.features_of}, those of {known[0].path} of "
                f"{known[0].features_of}: stores of one data set must agree; leave one out, or compute it anew with "
                "the other's detector"
            )
    return known[0].features_of if known else None


def _refuse_double_ids(shards: list[Store]) -> None:
    """An image of a collection is in one of its shards only. (Two collections may well use the same ids.)"""
    if len(shards) == 1 or _all_differ([shard.layout.image_ids for shard in shards]):
        return
    seen: dict[str, Path] = {}
    for shard in shards:
        for image_id in shard.image_ids:
            if image_id in seen:
                raise StoreError(
                    f"{shard.path}: image id {image_id!r} is in {seen[image_id].name} too; the shards of one "
                    "directory must not repeat an image"
                )
            seen[image_id] = shard.path


def _all_differ(ids: list[np.ndarray]) -> bool:
    joined = np.concatenate(ids)
    return len(np.unique(joined)) == len(joined)
