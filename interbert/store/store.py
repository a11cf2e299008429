"""The store: one HDF5 file of region features, boxes, class evidence and captions, read by plain offsets.

docs/store.md describes the file byte for byte. Opening checks its whole structure and index (who owns which rows);
afterwards everything is read where it lies. A store that is open is never changed.
"""

from collections.abc import Iterator
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np
import xxhash

from interbert.store.direct_reader import DirectReader
from interbert.store.fingerprint import checksums_of_content, fingerprint_of, stored_checksums
from interbert.store.format import ATTRIBUTE_ROWS, EVIDENCE_ROWS, FIELDS, Extent, Layout, StoreError
from interbert.store.h5_reader import H5Reader
from interbert.store.ids import Ids, extents_with_ids
from interbert.store.index_checks import check_index
from interbert.store.layout import read_layout
from interbert.store.writer import StoreWriter

__all__ = ["H5Reader", "Store", "StoreError", "StoreWriter"]

_TEXTS_AT_A_TIME = 65536
_BLOCK_BYTES = 4 << 20


class Store:
    """A store opened for reading; every structural fault is a StoreError here, never later."""

    def __init__(self, path: str | Path, checked: bool = False):
        """checked: its index need not be looked at, for `check_index` has seen this very file before."""
        self.path = Path(path)
        self.layout: Layout = read_layout(self.path)
        self.reader = DirectReader(self.path, extents_with_ids(self.layout))
        try:
            self.ids = Ids(self.layout, self.reader)
            if not checked:
                check_index(self)
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
        extent = self.extents.get("swapped/caption")
        return extent.shape[0] if extent else 0

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

    @property
    def features_of(self) -> str | None:
        """The detector or encoder that computed the features, where that is known."""
        return self.layout.features_of

    @cached_property
    def image_ids(self) -> list[str]:
        return [name.decode("utf-8", "replace") for block in self.ids.blocks() for name in block]

    def image_id(self, image: int) -> str:
        """The id of the image with this number."""
        return self.ids[image].decode("utf-8", "replace")

    @cached_property
    def class_head(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Weight [K, D] and bias [K] of the detector's last layer, where that is the evidence."""
        return self.read_class_head()

    def read_class_head(self) -> tuple[np.ndarray, np.ndarray] | None:
        """The same, read anew and not kept: it may be of many megabytes, in each of a thousand shards."""
        if self.evidence != "class_head":
            return None
        return self._all("class_head/weight"), self._all("class_head/bias")

    def caption_text(self, caption: int) -> str:
        """The caption with this number."""
        return self._text("captions", caption, self.captions)

    def swapped_text(self, swapped: int) -> str:
        """The falsified caption with this number."""
        return self._text("swapped", swapped, self.swapped)

    def texts(self, group: str = "captions") -> Iterator[str]:
        """All captions, or all `swapped` ones."""
        for number, data in enumerate(self.text_bytes(group)):
            yield self._decode(group, number, data)

    def text_bytes(self, group: str) -> Iterator[bytes]:
        """The undecoded texts of `captions` or `swapped`, read in large blocks."""
        count = self.captions if group == "captions" else self.swapped
        for first in range(0, count, _TEXTS_AT_A_TIME):
            stop = min(first + _TEXTS_AT_A_TIME, count)
            ends = self.read_rows(f"{group}/offsets", first, stop + 1).tolist()
            block = self.read_rows(f"{group}/text", ends[0], ends[-1]).tobytes()
            for start, stop in pairwise(ends):
                yield block[start - ends[0] : stop - ends[0]]

    def read_rows(self, dataset: str, start: int, stop: int, out: np.ndarray | None = None) -> np.ndarray:
        """Rows start:stop of a dataset; into the first rows of `out` where given."""
        return self.reader.read_rows(dataset, start, stop, out)

    def check_image(self, image: int) -> None:
        """Compare an image's rows with its checksum; StoreError if they have changed."""
        stored = int(self.read_rows("checksums", image, image + 1)[0])
        if self.checksum_of(image) != stored:
            where = f"dataset 'checksums': row {image}, image {self.image_id(image)!r}"
            raise StoreError(f"{self.path}: {where}: {self.changed}")

    def checksum_of(self, image: int) -> int:
        """What the checksum of an image should be, by its rows as they are."""
        start, stop = self.read_rows("offsets", image, image + 2).tolist()
        digest = xxhash.xxh3_64()
        for name in self.row_datasets:
            for rows in self.blocks(name, start, stop):
                digest.update(rows.data)
        return digest.intdigest()

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
        """Changes with what is in the store, whatever its checksums say (`fingerprint.py` has how far)."""
        return fingerprint_of(self, checksums_of_content)

    @cached_property
    def earlier_fingerprint(self) -> str:
        """As it was once taken, of header, index and checksums as they are stored. The same where those are right."""
        return fingerprint_of(self, stored_checksums)

    def blocks(self, name: str, start: int = 0, stop: int | None = None) -> Iterator[np.ndarray]:
        """Rows of a dataset, some megabytes at a time."""
        extent = self.extents[name]
        stop = extent.shape[0] if stop is None else stop
        at_a_time = max(_BLOCK_BYTES // max(extent.row_bytes, 1), 1)
        for first in range(start, stop, at_a_time):
            yield self.read_rows(name, first, min(first + at_a_time, stop))

    def close(self) -> None:
        """`with` calls it."""
        self.reader.close()

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # The index in memory, for those who read a store through once. A data set has arrays of its own.

    @cached_property
    def offsets(self) -> np.ndarray:
        return self._all("offsets")

    @cached_property
    def sizes(self) -> np.ndarray:
        return self._all("sizes")

    @cached_property
    def caption_image(self) -> np.ndarray:
        return self._all("captions/image")

    @cached_property
    def caption_kind(self) -> np.ndarray:
        return (
            self._all("captions/kind")
            if "captions/kind" in self.extents
            else np.zeros(self.captions, np.uint8)
        )

    @cached_property
    def swapped_caption(self) -> np.ndarray:
        return self._all("swapped/caption")

    def _all(self, name: str) -> np.ndarray:
        """Of a dataset that is not there, nothing."""
        if name not in self.extents:
            return np.empty(0, FIELDS[name].dtype)
        return self.read_rows(name, 0, self.extents[name].shape[0])

    def _text(self, group: str, number: int, count: int) -> str:
        if not 0 <= number < count:
            raise IndexError(f"{self.path}: number {number} of {count} {group}")
        start, stop = self.read_rows(f"{group}/offsets", number, number + 2).tolist()
        data = self.read_rows(f"{group}/text", start, stop)
        return self._decode(group, number, data.tobytes())

    def _decode(self, group: str, number: int, data: bytes) -> str:
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            raise StoreError(
                f"{self.path}: dataset '{group}/text': row {number} is not UTF-8 ({error}); write it anew"
            ) from None
