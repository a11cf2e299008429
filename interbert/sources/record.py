"""What every foreign format is read into, and what a reader of one offers.

Letters: N regions of the image, D feature width, K classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

MOST_BYTES = 1 << 28
"""Of one image's row: more is a mistake, or meant to fill the memory."""


class ImportFault(ValueError):
    """Something in a foreign file that cannot be imported."""


@dataclass
class ImageRecord:
    image_id: str
    width: int
    height: int
    """0, 0: unknown; boxes are then shares of 1."""
    boxes_N4: np.ndarray
    features_ND: np.ndarray
    class_probs_NK: np.ndarray | None = None
    labels_N: np.ndarray | None = None
    confidence_N: np.ndarray | None = None
    """How sure the detector was of each region, where that is known: what the regions are put in order by."""
    captions: list[str] = field(default_factory=list)
    attributes_N: np.ndarray | None = None
    attribute_confidence_N: np.ndarray | None = None


ROWS = ("boxes_N4", "features_ND", "class_probs_NK", "labels_N", "confidence_N", "attributes_N")
ROWS += ("attribute_confidence_N",)


def is_even(record: ImageRecord) -> bool:
    """Whether all that it has is of as many regions; else whoever stores it says what does not fit."""
    return len({len(value) for name in ROWS if (value := getattr(record, name)) is not None}) == 1


def surest_first(record: ImageRecord) -> ImageRecord:
    """The record with its regions by falling confidence where that is known, equals in the order they came in."""
    sure_N = record.confidence_N
    if sure_N is None or (sure_N[:-1] >= sure_N[1:]).all():
        return record
    if is_even(record):
        order_N = np.argsort(-sure_N, kind="stable")
        for name in ROWS:
            if (values := getattr(record, name)) is not None:
                setattr(record, name, values[order_N])
    return record


class Source(Protocol):
    """A foreign data set: rows that can be read in any order."""

    files: list[Path]
    """What it is read from: together with their sizes and times the identity of the data."""
    keys: Sequence[Any]
    class_names: list[str] | None
    attribute_names: list[str] | None
    """Of the detector, where they are known."""

    def where(self, number: int) -> str:
        """File and row of keys[number], for messages."""

    def name(self, number: int) -> str | None:
        """The image id of keys[number] where the key itself tells it."""

    def read(self, number: int) -> ImageRecord:
        """ValueError where the row is no good."""


class FeatureFiles(Source, Protocol):
    """A source of features in files, which can also be told about."""

    notes: list[str]
    """What was decided about these files that is not written in them."""

    def row(self, number: int) -> dict[str, Any]:
        """The fields of keys[number] under its writer's names, before they are understood."""
