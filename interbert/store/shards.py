"""The stores behind a path: a file is one store, a directory of stores is one collection in shards."""

import os
import resource
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from interbert.store.features_of import may_be_one
from interbert.store.store import Store, StoreError

SUFFIXES = (".h5", ".hdf5")
_OTHER_FILES = 128
"""Sockets, logs, devices and caches that a run opens beside its stores."""


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


def open_stores(paths: Iterable[str | Path], checked: bool = False) -> list[list[Store]]:
    """The stores behind each path. checked: their indexes need not be looked at again."""
    files = [store_files(path) for path in paths]
    let_open(sum(map(len, files)))
    opened: list[list[Store]] = []
    try:
        for collection in files:
            opened.append([])
            for file in collection:
                opened[-1].append(Store(file, checked))
    except BaseException:
        for stores in opened:
            close_all(stores)
        raise
    return opened


def let_open(files: int) -> None:
    """Raise this process's own limit of open files to so many more, as far as the system lets it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = files + len(os.listdir("/proc/self/fd")) + _OTHER_FILES
    if soft == resource.RLIM_INFINITY or wanted <= soft:
        return
    if hard != resource.RLIM_INFINITY and wanted > hard:
        raise StoreError(
            f"{files:,} stores need as many open files and {wanted - files:,} more, and a process may have {hard:,} "
            "here: let it have more (the hard limit: `ulimit -Hn`, LimitNOFILE= of a service, limits.conf), or write "
            "fewer and larger shards (--shard-gb of import and extract)"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


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


def refuse_other_heads(stores: list[Store]) -> None:
    """Stores whose evidence is a class head have the same one."""
    first = stores[0].class_head
    if first is None:
        return
    for store in stores[1:]:
        own = store.read_class_head()
        if own is None or not all(map(np.array_equal, own, first)):
            raise StoreError(
                f"{store.path}: class_head differs from that of {stores[0].path}; leave one of them out"
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


def refuse_double_ids(shards: list[Store], hashes: list[np.ndarray]) -> None:
    """An image of a collection is in one of its shards only. (Two collections may well use the same ids.)

    hashes: of the ids of each.
    """
    if len(shards) == 1 or _all_differ(hashes):
        return
    seen: dict[bytes, Path] = {}
    for shard in shards:
        for name in (name for block in shard.ids.blocks() for name in block):
            if name in seen:
                raise StoreError(
                    f"{shard.path}: image id {name.decode()!r} is in {seen[name].name} too; the shards of one "
                    "directory must not repeat an image"
                )
            seen[name] = shard.path


def _all_differ(hashes: list[np.ndarray]) -> bool:
    rising = np.concatenate(hashes)
    rising.sort()
    return not (rising[1:] == rising[:-1]).any()
