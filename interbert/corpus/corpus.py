"""Several stores as one data set, and the read that training lives on.

Images and captions are numbered over all stores in the order given. The caption numbers go on behind the true
captions with the swapped (false) ones: [0, captions) true, [captions, captions + swapped) swapped.
"""

from collections.abc import Iterable, Iterator
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np
import xxhash

from interbert.corpus.run_reader import read_runs
from interbert.corpus.sameness import numbers_of
from interbert.store.shards import close_all, open_stores, refuse_unlike
from interbert.store.store import Store, StoreError

DISTINCTIVE = 1
"""`caption_kind` of a caption that is known to be true of its image alone."""


class Corpus:
    """The stores at `paths` (files, or directories of shards) as one data set."""

    def __init__(self, paths: Iterable[str | Path]):
        self.stores: list[Store] = []
        self._stores_before = [0]
        """Of each path, how many stores come before its own; then of all."""
        try:
            for path in map(Path, [paths] if isinstance(paths, str | Path) else paths):
                self.stores += open_stores(path)
                self._stores_before.append(len(self.stores))
            if not self.stores:
                raise StoreError("no data: give at least one store, or a directory of stores")
            refuse_unlike(self.stores)
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

    @property
    def class_head(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Weight [K, D] and bias [K] of the detector's last layer, where that is the evidence."""
        return self.stores[0].class_head

    @cached_property
    def fingerprint(self) -> str:
        return xxhash.xxh3_128("\n".join(store.fingerprint for store in self.stores).encode()).hexdigest()

    @property
    def caption_ranges(self) -> list[range]:
        """The numbers of the true captions that each of the given paths holds."""
        first = self._first_caption[self._stores_before].tolist()
        return [range(*ends) for ends in pairwise(first)]

    @cached_property
    def image_group(self) -> np.ndarray:
        """int32 [images]: the same for images of the same id; one path has each id once."""
        if len(self._stores_before) == 2:
            return np.arange(self.images, dtype=np.int32)
        return numbers_of(image_id for store in self.stores for image_id in store.image_ids)

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
        """The first keep_P[p] rows of each image, one image after another, into the first rows of the arrays.

        Only what is given is read; with neither given, both are made. Returns the parts that were filled. Any
        number of threads may read at once.
        """
        images_P, keep_P = np.asarray(images_P, np.int64), np.asarray(keep_P, np.int64)
        self._check_request(images_P, keep_P)
        if features_RD is None and boxes_R4 is None:
            rows = int(keep_P.sum())
            features_RD = np.empty((rows, self.feature_width), np.float16)
            boxes_R4 = np.empty((rows, 4), np.float32)
        runs = (*self._rows_of(images_P), keep_P)
        if features_RD is not None:
            features_RD = read_runs(self.stores, "features", *runs, features_RD)
        if boxes_R4 is not None:
            boxes_R4 = read_runs(self.stores, "boxes", *runs, boxes_R4)
        return features_RD, boxes_R4

    def read_evidence(
        self, images_N: np.ndarray, rows_N: np.ndarray
    ) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Class evidence of single regions, by image and row within it: (class_probs_NK, labels_N), one None.

        Both are None where the store has a `class_head` or nothing.
        """
        if self.evidence not in ("class_probs", "labels"):
            return None, None
        images_N, rows_N = np.asarray(images_N, np.int64), np.asarray(rows_N, np.int64)
        self._check_request(images_N, rows_N + 1)
        store_N, first_N = self._rows_of(images_N)
        extent = self.stores[0].extents[self.evidence]
        out = np.empty((len(images_N), *extent.row_shape), extent.dtype)
        read_runs(self.stores, self.evidence, store_N, first_N + rows_N, np.ones_like(rows_N), out)
        return (out, None) if self.evidence == "class_probs" else (None, out)

    def check_images(self, images_P: np.ndarray) -> None:
        """Compare these images with their checksums; StoreError at the first that has changed."""
        for image in np.unique(images_P).tolist():
            store, local = self._locate(image, self._first_image, "image")
            store.check_image(local)

    def damaged_images(self, images_P: np.ndarray) -> dict[int, str]:
        """Those that cannot be read or have changed, and what is wrong with each: file, row and id."""
        damaged = {}
        for image in np.unique(images_P).tolist():
            try:
                self.check_images(np.array([image]))
            except (StoreError, OSError) as error:
                damaged[image] = str(error)
        return damaged

    def close(self) -> None:
        close_all(self.stores)

    def __enter__(self) -> "Corpus":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

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

    def _rows_of(self, images_P: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(store, first row in it) of each image."""
        store_P = np.searchsorted(self._first_image, images_P, side="right") - 1
        return store_P, self._first_row[images_P]

    def _check_request(self, images_P: np.ndarray, keep_P: np.ndarray) -> None:
        if images_P.shape != keep_P.shape:
            raise ValueError(f"images_P and keep_P differ in length: {images_P.shape} and {keep_P.shape}")
        if len(images_P) and not (images_P.min() >= 0 and images_P.max() < self.images):
            raise IndexError(f"images {images_P.min()} to {images_P.max()}: the data set has {self.images}")
        if (keep_P > self.region_counts[images_P]).any() or (keep_P < 0).any():
            pair = int(np.flatnonzero((keep_P > self.region_counts[images_P]) | (keep_P < 0))[0])
            have = self.region_counts[images_P[pair]]
            raise IndexError(
                f"pair {pair}: {keep_P[pair]} regions asked for, image {images_P[pair]} has {have}"
            )


def _starts(counts: list[int]) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]).astype(np.int64)
