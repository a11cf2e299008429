"""Several stores as one data set, and the read that training lives on.

Images and captions are numbered over all stores in the order given. The caption numbers go on behind the true
captions with the swapped (false) ones: [0, captions) true, [captions, captions + swapped) swapped.
"""

import os
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path

import numpy as np
import xxhash

from interbert.data.direct_reader import read_into
from interbert.data.store import Store, StoreError

SUFFIXES = (".h5", ".hdf5")


class Corpus:
    """The stores at `paths` (files, or directories of shards) as one data set."""

    def __init__(self, paths: Iterable[str | Path]):
        self.stores: list[Store] = []
        try:
            for path in map(Path, [paths] if isinstance(paths, str | Path) else paths):
                self.stores += _open(path)
            if not self.stores:
                raise StoreError("no data: give at least one store, or a directory of stores")
            self._check_alike()
        except BaseException:
            self.close()
            raise
        self._number()

    @property
    def paths(self) -> list[Path]:
        """The files, in the order of the numbers."""
        return [store.path for store in self.stores]

    @property
    def images(self) -> int:
        return int(self._first_image[-1])

    @property
    def captions(self) -> int:
        return int(self._first_caption[-1])

    @property
    def swapped(self) -> int:
        return int(self._first_swapped[-1])

    @property
    def feature_width(self) -> int:
        return self.stores[0].feature_width

    @property
    def classes(self) -> int:
        return self.stores[0].classes

    @property
    def class_names(self) -> list[str] | None:
        return self.stores[0].class_names

    @property
    def evidence(self) -> str | None:
        return self.stores[0].evidence

    @cached_property
    def fingerprint(self) -> str:
        return xxhash.xxh3_128("\n".join(store.fingerprint for store in self.stores).encode()).hexdigest()

    def image_id(self, image: int) -> str:
        store, local = self._locate(image, self._first_image, "image")
        return store.image_id(local)

    def caption_text(self, caption: int) -> str:
        if caption < self.captions:
            store, local = self._locate(caption, self._first_caption, "caption")
            return store.caption_text(local)
        store, local = self._locate(caption - self.captions, self._first_swapped, "swapped caption")
        return store.swapped_text(local)

    def texts(self) -> Iterator[str]:
        """Every caption, then every swapped one, in the order of their numbers."""
        for store in self.stores:
            yield from store.texts("captions")
        for store in self.stores:
            yield from store.texts("swapped")

    def read(
        self,
        images_P: np.ndarray,
        keep_P: np.ndarray,
        features_RD: np.ndarray | None = None,
        boxes_R4: np.ndarray | None = None,
    ) -> tuple[np.ndarray | None, np.ndarray | None]:
        """The first keep_P[p] rows of each image p, one image after another, into the first rows of the arrays given.

        Only what is given is read; with neither given, both are made. Returns the parts that were filled.
        """
        images_P, keep_P = np.asarray(images_P, np.int64), np.asarray(keep_P, np.int64)
        self._check_request(images_P, keep_P)
        rows = int(keep_P.sum())
        if features_RD is None and boxes_R4 is None:
            features_RD = np.empty((rows, self.feature_width), np.float16)
            boxes_R4 = np.empty((rows, 4), np.float32)
        store_P = np.searchsorted(self._first_image, images_P, side="right") - 1
        first_P = self._first_row[images_P]
        features_RD = self._read_runs("features", store_P, first_P, keep_P, features_RD)
        boxes_R4 = self._read_runs("boxes", store_P, first_P, keep_P, boxes_R4)
        return features_RD, boxes_R4

    def read_evidence(
        self, images_N: np.ndarray, rows_N: np.ndarray
    ) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Class evidence of single regions (row within its image): (class_probs_NK or None, labels_N or None)."""
        images_N, rows_N = np.asarray(images_N, np.int64), np.asarray(rows_N, np.int64)
        if self.evidence not in ("class_probs", "labels"):
            return None, None
        store_N = np.searchsorted(self._first_image, images_N, side="right") - 1
        first_N = self._first_row[images_N] + rows_N
        extent = self.stores[0].extents[self.evidence]
        out = np.empty((len(images_N), *extent.row_shape), extent.dtype)
        self._read_runs(self.evidence, store_N, first_N, np.ones_like(rows_N), out)
        return (out, None) if self.evidence == "class_probs" else (None, out)

    def close(self) -> None:
        for store in self.stores:
            store.close()

    def __enter__(self) -> "Corpus":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _check_alike(self) -> None:
        first = self.stores[0]
        for store in self.stores[1:]:
            for field in ("feature_width", "classes", "evidence"):
                have, want = getattr(store, field), getattr(first, field)
                if have != want:
                    raise StoreError(
                        f"{store.path}: {field} is {have}, but {first.path} has {want}: stores of one data set must agree; "
                        "leave one out, or write it anew"
                    )

    def _number(self) -> None:
        stores = self.stores
        self._first_image = _starts([store.images for store in stores])
        self._first_caption = _starts([store.captions for store in stores])
        self._first_swapped = _starts([store.swapped for store in stores])
        self._first_row = np.concatenate([store.offsets[:-1] for store in stores])
        self.region_counts = np.concatenate([np.diff(store.offsets) for store in stores]).astype(np.int32)
        self.sizes = np.concatenate([store.sizes for store in stores])
        self.caption_kind = np.concatenate([store.caption_kind for store in stores])
        captions = [
            store.caption_image + first for store, first in zip(stores, self._first_image, strict=False)
        ]
        swapped = [
            store.swapped_caption + first for store, first in zip(stores, self._first_caption, strict=False)
        ]
        self.swapped_of = np.concatenate(swapped)
        true_image = np.concatenate(captions)
        self.caption_image = np.concatenate([true_image, true_image[self.swapped_of]])

    def _locate(self, number: int, starts: np.ndarray, what: str) -> tuple[Store, int]:
        if not 0 <= number < starts[-1]:
            raise IndexError(f"{what} {number}: the data set has {starts[-1]}")
        store = int(np.searchsorted(starts, number, side="right")) - 1
        return self.stores[store], int(number - starts[store])

    def _check_request(self, images_P: np.ndarray, keep_P: np.ndarray) -> None:
        if images_P.shape != keep_P.shape:
            raise ValueError(f"images_P and keep_P differ in length: {images_P.shape} and {keep_P.shape}")
        if len(images_P) and not (0 <= images_P.min() and images_P.max() < self.images):
            raise IndexError(f"images {images_P.min()} to {images_P.max()}: the data set has {self.images}")
        if (keep_P > self.region_counts[images_P]).any() or (keep_P < 0).any():
            pair = int(np.flatnonzero((keep_P > self.region_counts[images_P]) | (keep_P < 0))[0])
            have = self.region_counts[images_P[pair]]
            raise IndexError(
                f"pair {pair}: {keep_P[pair]} regions asked for, image {images_P[pair]} has {have}"
            )

    def _read_runs(
        self,
        dataset: str,
        store_P: np.ndarray,
        first_P: np.ndarray,
        count_P: np.ndarray,
        out: np.ndarray | None,
    ) -> np.ndarray | None:
        """Rows first_P[p] : first_P[p] + count_P[p] of each store, one after another, into `out`."""
        if out is None:
            return None
        extent = self.stores[0].extents[dataset]
        rows = int(count_P.sum())
        if out.dtype != extent.dtype or out.shape[1:] != extent.row_shape or len(out) < rows:
            raise ValueError(
                f"{dataset}: the array given is {out.dtype} {out.shape}; must be {extent.dtype} of at least "
                f"{(rows, *extent.row_shape)}"
            )
        if not out.flags.c_contiguous:
            raise ValueError(f"{dataset}: the array given must be C-contiguous")
        out = out[:rows]
        if rows == 0:
            return out
        # Neighbours in the file that are neighbours here too become one read.
        cut_P = (store_P[1:] != store_P[:-1]) | (first_P[1:] != first_P[:-1] + count_P[:-1])
        heads = np.concatenate([[0], np.flatnonzero(cut_P) + 1])
        ends = np.cumsum(count_P) * extent.row_bytes
        starts = ends - count_P * extent.row_bytes
        bases = np.array([store.extents[dataset].offset for store in self.stores])
        position = bases[store_P[heads]] + first_P[heads] * extent.row_bytes
        stop = np.append(starts[heads[1:]], ends[-1])
        data = out.reshape(-1).view(np.uint8).data
        fds = [store.reader.fd for store in self.stores]
        preadv = os.preadv
        for number, place, a, b in zip(
            store_P[heads].tolist(), position.tolist(), starts[heads].tolist(), stop.tolist(), strict=True
        ):
            part = data[a:b]
            if preadv(fds[number], (part,), place) != b - a:
                read_into(fds[number], part, place, self.stores[number].path)
        return out


def _open(path: Path) -> list[Store]:
    if not path.is_dir():
        return [Store(path)]
    shards = sorted(p for p in path.iterdir() if p.suffix in SUFFIXES and not p.name.startswith("."))
    if not shards:
        raise StoreError(
            f"{path}: a directory without stores (no file ends in .h5 or .hdf5); give another one"
        )
    stores: list[Store] = []
    try:
        for shard in shards:
            stores.append(Store(shard))
        _refuse_double_ids(stores)
    except BaseException:
        for store in stores:
            store.close()
        raise
    return stores


def _refuse_double_ids(shards: list[Store]) -> None:
    """Shards of one directory are one collection: an image is in one of them only."""
    if len(shards) == 1:
        return
    seen: dict[str, Path] = {}
    ids = np.concatenate([shard.layout.image_ids.astype("S") for shard in shards])
    if len(np.unique(ids)) == len(ids):
        return
    for shard in shards:
        for image_id in shard.image_ids:
            if image_id in seen:
                raise StoreError(
                    f"{shard.path}: image id {image_id!r} is in {seen[image_id].name} too; shards of one directory must "
                    "not repeat an image"
                )
            seen[image_id] = shard.path


def _starts(counts: list[int]) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]).astype(np.int64)
