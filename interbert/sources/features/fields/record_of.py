"""The record that is made of an image's fields."""

from typing import Any

import numpy as np

from interbert.sources.features.fields.choices import Choices
from interbert.sources.features.fields.habits import (
    NEARLY_ONE,
    WITH_BACKGROUND_FIRST,
    Habits,
)
from interbert.sources.features.fields.numbers import column_from, is_text, matrix_from, plain
from interbert.sources.features.fields.row import Row
from interbert.sources.record import ImageRecord, ImportFault

_IN_SHARES, FEW_PIXELS = 1.01, 8
"""No box of an image ends beyond that, though the image has so many pixels a side: its boxes are shares of it."""
_GEOMETRY = 6
"""Corners and sides, which some write as boxes, and behind each feature too."""


def record_of(given: dict[str, Any], habits: Habits, choices: Choices, key: str | None = None) -> ImageRecord:
    """`key`: the image's id where the record has none itself."""
    row = Row(given, counted=habits.counts)
    image_id = row.text("image_id") if "image_id" in row or key is None else key
    if row.is_empty():
        raise ImportFault("no region; leave images without regions out")
    boxes_M4 = row.boxes(halves=habits.features == "<f2")
    if boxes_M4 is None and habits.boxes:
        raise ImportFault("no boxes, which other images have")
    features_MD = _matrix(row, "features", boxes_M4, habits.features, choices.feature_width)
    features_MD = _without_geometry(features_MD, row)
    count = row.count()
    count = len(features_MD if boxes_M4 is None else boxes_M4) if count is None else count
    record = ImageRecord(
        image_id, *size_of(row, image_id, choices), boxes_M4, _first(features_MD, "features", count)
    )
    record.boxes_N4 = _placed(record, "boxes" not in row, count, choices, habits.shares)
    _add_evidence(record, row, boxes_M4, count, habits)
    _add_attributes(record, row, boxes_M4, count)
    return record


def _matrix(
    row: Row, name: str, boxes_M4: np.ndarray | None, kind: str, width: int | None = None
) -> np.ndarray:
    """Without boxes and count an array tells how many rows it has."""
    value, theirs = row.get(name)
    value = _cells(plain(value, theirs)) if name == "features" and not is_text(value) else value
    rows = row.count() if boxes_M4 is None else len(boxes_M4)
    if rows is None:
        if is_text(value):
            raise ImportFault(f"{theirs} is text, and neither boxes nor num_boxes say of how many regions")
        rows = len(plain(value, theirs))
    if not is_text(value):
        rows = row.count() or rows
    found = matrix_from(value, theirs, rows, kind, width)
    if width not in (None, found.shape[1]):
        raise ImportFault(f"{theirs}: {found.shape[1]} numbers a region, --feature-width {width}")
    return found


def _cells(array: np.ndarray) -> np.ndarray:
    """Of a grid [rows, columns, D], or [D, rows, columns], as [cells, D]: there are more numbers than rows."""
    if array.ndim != 3:
        return array
    if array.shape[0] > max(array.shape[1:]):
        array = array.transpose(1, 2, 0)
    return array.reshape(-1, array.shape[-1])


def _without_geometry(features_MD: np.ndarray, row: Row) -> np.ndarray:
    """MMF's extractor for VinVL writes corners and sides as boxes, and once more behind each feature."""
    boxes = row.get("boxes")[0] if "boxes" in row else None
    if not isinstance(boxes, np.ndarray) or boxes.shape != (len(features_MD), _GEOMETRY):
        return features_MD
    again = features_MD.shape[1] > _GEOMETRY and np.array_equal(features_MD[:, -_GEOMETRY:], boxes)
    return features_MD[:, :-_GEOMETRY] if again else features_MD


def _first(array: np.ndarray, field: str, count: int) -> np.ndarray:
    if count < 1 or len(array) < count:
        raise ImportFault(f"{field}: {array.shape}, {count} rows expected")
    return array[:count]


def size_of(row: Row, image_id: str, choices: Choices) -> tuple[int, int]:
    if (said := choices.size_of(image_id)) is not None:
        return said
    if "width" in row or "height" in row:
        width, height = row.whole("width"), row.whole("height")
    elif "size" in row:
        sides = plain(*row.get("size")).reshape(-1)
        if sides.size < 2 or not np.isfinite(sides).all():
            raise ImportFault(
                f"{row.get('size')[1]}: {sides.tolist()!r:.40}; a height and a width are expected"
            )
        height, width = (round(side) for side in sides[:2].tolist())
    else:
        return 0, 0
    if not max(abs(width), abs(height)) < 1 << 31:
        raise ImportFault(f"an image of {width:,} x {height:,} pixels")
    return width, height


def _placed(
    record: ImageRecord, named_shares: bool, count: int, choices: Choices, are_shares: bool
) -> np.ndarray:
    """The boxes in pixels, or in shares of 1 where the size is unknown."""
    sides = np.array([record.width or 1, record.height or 1] * 2, np.float32)
    if record.boxes_N4 is None:
        return without_boxes(count, choices.boxes) * sides
    boxes_N4 = _first(record.boxes_N4, "boxes", count)
    if named_shares or are_shares:
        return boxes_N4 if not record.width else boxes_N4.astype(np.float32) * sides
    if not record.width and boxes_N4.max() > 2:
        raise ImportFault("boxes are in pixels, but the image's size is not there: give --sizes FILE")
    if in_shares(boxes_N4, record.width, record.height):
        raise ImportFault("boxes are shares of the image, and those of the first images are pixels")
    return boxes_N4


def in_shares(boxes_N4: np.ndarray, width: int, height: int) -> bool:
    return min(width, height) >= FEW_PIXELS and bool(0 < boxes_N4.max(initial=0) <= _IN_SHARES)


def without_boxes(count: int, how: str) -> np.ndarray:
    """Boxes [count, 4] in shares of 1 for regions that have none."""
    if how == "whole":
        return np.tile(np.array([0, 0, 1, 1], np.float32), (count, 1))
    side = round(count**0.5)
    if side * side != count:
        raise ImportFault(f"{count} regions are no square grid; --boxes whole gives each the whole image")
    y_N, x_N = np.divmod(np.arange(count), side)
    return (np.stack([x_N, y_N, x_N + 1, y_N + 1], axis=1) / side).astype(np.float32)


def _add_evidence(
    record: ImageRecord, row: Row, boxes_M4: np.ndarray | None, count: int, habits: Habits
) -> None:
    if "confidence" in row:
        record.confidence_N = column_from(*row.get("confidence"), len(_all(boxes_M4, count)))[:count]
    if "probs" in row and is_column(row.get("probs")[0]):  # of the class that was chosen
        record.confidence_N = column_from(*row.get("probs"), count)[:count]
    elif "probs" in row:
        probs_NK = _matrix(row, "probs", boxes_M4, habits.probs)[:count]
        record.class_probs_NK = distributions(probs_NK, row.get("probs")[1], habits.background)
        if record.confidence_N is None:
            record.confidence_N = surest(record.class_probs_NK, habits.background)
    if record.class_probs_NK is None and "labels" in row:
        record.labels_N = column_from(*row.get("labels"), len(_all(boxes_M4, count)), whole=True)[:count]


def is_column(value: Any) -> bool:
    return not is_text(value) and (np.ndim(value) == 1 or np.shape(value)[1:] == (1,))


def _add_attributes(record: ImageRecord, row: Row, boxes_M4: np.ndarray | None, count: int) -> None:
    if "attributes" not in row:
        return
    rows = len(_all(boxes_M4, count))
    record.attributes_N = column_from(*row.get("attributes"), rows, whole=True)[:count]
    record.attribute_confidence_N = np.ones(count, np.float32)
    if "attribute_confidence" in row:
        record.attribute_confidence_N = column_from(*row.get("attribute_confidence"), rows)[:count]


def _all(boxes_M4: np.ndarray | None, count: int) -> range:
    return range(count if boxes_M4 is None else len(boxes_M4))


def distributions(probs_NK: np.ndarray, field: str, lacks_background: bool = False) -> np.ndarray:
    """float32, rows made to sum to 1 exactly where they nearly do, or [N, K + 1] with what they lack put first."""
    probs_NK = np.asarray(probs_NK, np.float32)
    sums_N1 = probs_NK.sum(axis=1, keepdims=True)
    if lacks_background:
        probs_NK = np.concatenate([np.maximum(1 - sums_N1, 0), probs_NK], axis=1)
        sums_N1 = np.maximum(sums_N1, 1)
    off = np.flatnonzero(~(np.abs(sums_N1[:, 0] - 1) <= NEARLY_ONE))
    if len(off):
        raise ImportFault(f"{field}: region {off[0]} sums to {sums_N1[off[0], 0]:.4g}, not to 1")
    return probs_NK / sums_N1


def surest(probs_NK: np.ndarray, background_first: bool = False) -> np.ndarray:
    """[N] the largest probability of a class that is not the background."""
    first = int(background_first or probs_NK.shape[1] in WITH_BACKGROUND_FIRST)
    return probs_NK[:, first:].max(axis=1)
