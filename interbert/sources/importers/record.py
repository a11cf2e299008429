"""What every foreign format is read into, and what a reader of one offers.

Letters: N regions of the image, D feature width, K classes.
"""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

_NEARLY_ONE = 0.05


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
    captions: list[str] = field(default_factory=list)


class Source(Protocol):
    """A foreign data set: rows that can be read in any order."""

    files: list[Path]
    """What it is read from: together with their sizes and times the identity of the data."""
    keys: Sequence[Any]
    class_names: list[str] | None
    """Of the detector, where they are known."""

    def where(self, number: int) -> str:
        """File and row of keys[number], for messages."""

    def name(self, number: int) -> str | None:
        """The image id of keys[number] where the key itself tells it."""

    def read(self, number: int) -> ImageRecord:
        """ValueError where the row is no good."""


def decoded(text: str | bytes, field: str, columns: int | None, rows: int) -> np.ndarray:
    """A float32 array [rows, columns] from base64; columns=None: as many as there are."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ImportFault(f"{field}: not base64 ({error})") from None
    return shaped(np.frombuffer(raw[: len(raw) // 4 * 4], "<f4"), field, columns, rows, len(raw))


def shaped(
    values: np.ndarray, field: str, columns: int | None, rows: int, size: int | None = None
) -> np.ndarray:
    size = values.nbytes if size is None else size
    wanted = values.size // max(rows, 1) if columns is None else columns
    if rows < 1 or wanted < 1 or values.size != rows * wanted or size % values.itemsize:
        of = f"{rows} x {columns}" if columns else f"{rows} rows"
        raise ImportFault(f"{field}: {size} bytes, which are not {of} of {values.dtype}")
    return values.reshape(rows, wanted)


def distributions(probs_NK: np.ndarray, field: str) -> np.ndarray:
    """float32, rows made to sum to 1 exactly where they nearly do."""
    probs_NK = np.asarray(probs_NK, np.float32)
    sums_N1 = probs_NK.sum(axis=1, keepdims=True)
    off = np.flatnonzero(~(np.abs(sums_N1[:, 0] - 1) <= _NEARLY_ONE))
    if len(off):
        raise ImportFault(f"{field}: region {off[0]} sums to {sums_N1[off[0], 0]:.4g}, not to 1")
    return probs_NK / sums_N1
