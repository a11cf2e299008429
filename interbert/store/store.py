"""The store: one HDF5 file of region features, boxes, class evidence and captions, read by plain offsets.

docs/store.md describes the file byte for byte. Opening checks its whole structure; afterwards the index (who
owns which rows) is in memory and rows are read where they lie. A store that is open is never changed.
"""

from collections.abc import Iterator
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np
import xxhash

from interbert.store.checksums import row_checksums
from interbert.store.direct_reader import DirectReader
from interbert.store.format import ATTRIBUTE_ROWS, EVIDENCE_ROWS, Extent, Layout, StoreError
from interbert.store.h5_reader import H5Reader
from interbert.store.layout import read_layout
from interbert.store.writer import StoreWriter

__all__ = ["H5Reader", "Store", "StoreError", "StoreWriter"]

_TEXTS_AT_A_TIME = 65536


class Store:
    """A store opened for reading; every structural fault is a StoreError here, never later."""

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.layout: Layout = read_layout(self.path)
        self.reader = DirectReader(self.path, self.extents)
        try:
            self._read_index()
        except BaseException:
            self.close()
            raise

    @property
    def extents(self) -> dict[str, Extent]:
        return self.layout.extents

    @property
    def images(self) -> int:
        return self.layout.images

    @property
    def regions(self) -> int:
        return self.layout.regions

    @property
    def captions(self) -> int:
        return self.layout.captions

    @property
    def swapped(self) -> int:
        return len(self.swapped_caption)

    @property
    def feature_width(self) -> int:
        return self.layout.feature_width

    @property
    def classes(self) -> int:
        return self.layout.classes

    @property
    def class_names(self) -> list[str] | None:
        return self.layout.class_names

    @property
    def has_attributes(self) -> bool:
        return ATTRIBUTE_ROWS[0] in self.extents

    @property
    def attribute_names(self) -> list[str] | None:
        return self.layout.attribute_names

    @property
    def evidence(self) -> str | None:
        return self.layout.evidence

    @property
    def source(self) -> str:
        return self.layout.source

    @cached_property
    def image_ids(self) -> list[str]:
        return [self.image_id(image) for image in range(self.images)]

    def image_id(self, image: int) -> str:
        value = self.layout.image_ids[image]
        return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)

    @cached_property
    def class_head(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Weight [K, D] and bias [K] of the detector's last layer, where that is the evidence."""
        if self.evidence != "class_head":
            return None
        return self._all("class_head/weight"), self._all("class_head/bias")

    def caption_text(self, caption: int) -> str:
        return self._text("captions", caption, self._caption_offsets)

    def swapped_text(self, swapped: int) -> str:
        return self._text("swapped", swapped, self._swapped_offsets)

    def texts(self, group: str = "captions") -> Iterator[str]:
        """All captions, or all `swapped` ones."""
        for number, data in enumerate(self.text_bytes(group)):
            yield self._decode(group, number, data)

    def text_bytes(self, group: str) -> Iterator[bytes]:
        """The undecoded texts of `captions` or `swapped`, read in large blocks."""
        offsets = self._caption_offsets if group == "captions" else self._swapped_offsets
        for first in range(0, len(offsets) - 1, _TEXTS_AT_A_TIME):
            ends = offsets[first : first + _TEXTS_AT_A_TIME + 1].tolist()
            block = self.read_rows(f"{group}/text", ends[0], ends[-1]).tobytes()
            for start, stop in pairwise(ends):
                yield block[start - ends[0] : stop - ends[0]]

    def read_rows(self, dataset: str, start: int, stop: int, out: np.ndarray | None = None) -> np.ndarray:
        """Rows start:stop of a dataset; into the first rows of `out` where given."""
        return self.reader.read_rows(dataset, start, stop, out)

    def check_image(self, image: int) -> None:
        """Compare an image's rows with its checksum; StoreError if they have changed."""
        start, stop = self.offsets[image : image + 2].tolist()
        rows = [self.read_rows(name, start, stop) for name in self.row_datasets]
        stored = int(self.read_rows("checksums", image, image + 1)[0])
        if row_checksums(rows, np.array([stop - start])) != [stored]:
            where = f"dataset 'checksums': row {image}, image {self.image_id(image)!r}"
            raise StoreError(f"{self.path}: {where}: {self.changed}")

    @cached_property
    def row_datasets(self) -> tuple[str, ...]:
        """The datasets with a row for each region, in checksum order."""
        attributes = ATTRIBUTE_ROWS if self.has_attributes else ()
        return ("features", "boxes", *EVIDENCE_ROWS[self.evidence], *attributes)

    @property
    def changed(self) -> str:
        """What is said of an image whose checksum does not match."""
        names = ", ".join(self.row_datasets)
        return f"checksum mismatch: its {names} changed after writing; copy the file again or write it anew"

    @cached_property
    def fingerprint(self) -> str:
        """Changes with anything that is in the store: taken over header, index and checksums only."""
        layout = self.layout
        header = (layout.feature_width, layout.classes, layout.evidence, layout.class_names, layout.regions)
        digest = xxhash.xxh3_128(repr(header).encode())
        digest.update(b"\0".join(name.encode() for name in self.image_ids))
        for name, extent in self.extents.items():
            if not name.endswith("/text") and name not in self.row_datasets:
                digest.update(f"\0{name}{extent.shape}".encode())
                digest.update(self._all(name).tobytes())
        return digest.hexdigest()

    def close(self) -> None:
        self.reader.close()

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _read_index(self) -> None:
        """The arrays that say what belongs to what, and the check that they do."""
        self.offsets = self._all("offsets")
        self._must_rise("offsets", self.offsets, self.regions, "region rows", at_least=1)
        self.sizes = self._all("sizes")
        self.caption_image = self._optional("captions/image", np.int64)
        self._caption_offsets = self._optional("captions/offsets", np.int64)
        self.caption_kind = self._optional("captions/kind", np.uint8)
        if "captions/kind" not in self.extents:
            self.caption_kind = np.zeros(self.captions, np.uint8)
        self.swapped_caption = self._optional("swapped/caption", np.int64)
        self._swapped_offsets = self._optional("swapped/offsets", np.int64)
        self._must_point("captions/image", self.caption_image, self.images, "images")
        self._must_point("swapped/caption", self.swapped_caption, self.captions, "captions")
        for group, offsets in (("captions", self._caption_offsets), ("swapped", self._swapped_offsets)):
            if len(offsets):
                size = self.extents[f"{group}/text"].shape[0]
                self._must_rise(f"{group}/offsets", offsets, size, "bytes of text", at_least=0)

    def _all(self, name: str) -> np.ndarray:
        return self.read_rows(name, 0, self.extents[name].shape[0])

    def _optional(self, name: str, dtype: type) -> np.ndarray:
        return self._all(name) if name in self.extents else np.empty(0, dtype)

    def _must_rise(self, name: str, offsets: np.ndarray, end: int, what: str, at_least: int) -> None:
        if offsets[0] != 0 or offsets[-1] != end:
            raise StoreError(
                f"{self.path}: dataset {name!r}: runs from {offsets[0]} to {offsets[-1]}, but there are "
                f"{end} {what}: it must run from 0 to {end}; write the file anew"
            )
        bad = np.flatnonzero(np.diff(offsets) < at_least)
        if len(bad):
            row = int(bad[0])
            owner = f"image {self.image_id(row)!r} owns no region" if at_least else "it falls"
            raise StoreError(
                f"{self.path}: dataset {name!r}: row {row}: {offsets[row]}, then {offsets[row + 1]}: "
                f"{owner}; write the file anew"
            )

    def _must_point(self, name: str, pointers: np.ndarray, end: int, what: str) -> None:
        bad = np.flatnonzero((pointers < 0) | (pointers >= end))
        if len(bad):
            row = int(bad[0])
            raise StoreError(
                f"{self.path}: dataset {name!r}: row {row} names number {pointers[row]} of {end} {what}, "
                f"which is unknown; drop or correct these {len(bad)} rows"
            )

    def _text(self, group: str, number: int, offsets: np.ndarray) -> str:
        count = max(len(offsets) - 1, 0)
        if not 0 <= number < count:
            raise IndexError(f"{self.path}: number {number} of {count} {group}")
        data = self.read_rows(f"{group}/text", int(offsets[number]), int(offsets[number + 1]))
        return self._decode(group, number, data.tobytes())

    def _decode(self, group: str, number: int, data: bytes) -> str:
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            raise StoreError(
                f"{self.path}: dataset '{group}/text': row {number} is not UTF-8 ({error}); write it anew"
            ) from None
