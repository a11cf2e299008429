"""The format of a store: its datasets, their types and dimensions. docs/store.md says the same in words.

Dimension letters: I images, R regions, D feature width, K classes, C captions, S swapped captions, B bytes.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

SCHEMA = "interbert-store"
VERSION = 1
EVIDENCE = ("class_probs", "labels", "class_head")
# The kinds of evidence that are kept for each region, and the datasets that hold them, in checksum order.
EVIDENCE_ROWS = {
    "class_probs": ("class_probs",),
    "labels": ("labels", "confidence"),
    "class_head": (),
    None: (),
}
# What may be kept of each region besides, in checksum order behind the evidence.
ATTRIBUTE_ROWS = ("attributes/label", "attributes/confidence")
ANY_ATTRIBUTES = 1 << 31
"""Kinds of attribute where their number is not known."""


class StoreError(ValueError):
    """A store that cannot be used: says which file, where in it, and what to do."""


@dataclass(frozen=True)
class Extent:
    """Where a dataset lies in the file. An empty dataset has no place; its offset is 0."""

    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def row_shape(self) -> tuple[int, ...]:
        return self.shape[1:]

    @property
    def row_bytes(self) -> int:
        return math.prod(self.row_shape) * self.dtype.itemsize  # exact, whatever a file claims

    @property
    def bytes(self) -> int:
        return self.shape[0] * self.row_bytes


@dataclass(frozen=True)
class Layout:
    path: Path
    extents: dict[str, Extent]
    images: int
    regions: int
    captions: int
    feature_width: int
    classes: int
    evidence: str | None
    source: str
    features_of: str | None
    class_names: list[str] | None
    attribute_names: list[str] | None
    index_checksum: int | None
    ids: Extent
    """Of fixed-width UTF-8 bytes, or of places of strings of variable length (`guarded.VLEN`)."""


@dataclass(frozen=True)
class Field:
    dtype: str
    dims: str
    """One letter a dimension: 4 and 2 are sizes; I+1 is written J, C+1 E, S+1 T."""
    group: str = ""
    """The group that brings this dataset along; empty: always there."""


FIELDS: dict[str, Field] = {
    "features": Field("<f2", "RD"),
    "boxes": Field("<f4", "R4"),
    "offsets": Field("<i8", "J"),
    "sizes": Field("<i4", "I2"),
    "checksums": Field("<u8", "I"),
    "class_probs": Field("<f2", "RK", "class_probs"),
    "labels": Field("<i4", "R", "labels"),
    "confidence": Field("<f4", "R", "labels"),
    "attributes/label": Field("<i4", "R", "attributes"),
    "attributes/confidence": Field("<f4", "R", "attributes"),
    "class_head/weight": Field("<f4", "KD", "class_head"),
    "class_head/bias": Field("<f4", "K", "class_head"),
    "captions/text": Field("|u1", "B", "captions"),
    "captions/offsets": Field("<i8", "E", "captions"),
    "captions/image": Field("<i8", "C", "captions"),
    "captions/checksums": Field("<u8", "C", "captions"),
    "captions/kind": Field("|u1", "C", "captions/kind"),
    "swapped/text": Field("|u1", "B", "swapped"),
    "swapped/offsets": Field("<i8", "T", "swapped"),
    "swapped/caption": Field("<i8", "S", "swapped"),
    "swapped/checksums": Field("<u8", "S", "swapped/checksums"),
}
# What `index_checksum` covers: everything that says which bytes belong to which image and caption.
INDEX = (
    "offsets",
    "sizes",
    "captions/offsets",
    "captions/image",
    "captions/kind",
    "swapped/offsets",
    "swapped/caption",
)
