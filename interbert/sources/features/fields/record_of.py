"""The record that is made of an image's fields."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from interbert.sources.features.fields.choices import Choices
from interbert.sources.features.fields.habits import NEARLY_ONE, ROWS, Habits, habits_of
from interbert.sources.features.fields.numbers import column_from, from_base64, is_text, matrix_from, plain
from interbert.sources.features.fields.row import Row
from interbert.sources.record import ImageRecord, ImportFault

WITH_BACKGROUND_FIRST = (1601, 401)
"""Numbers of classes, and of attributes, of Visual Genome's detectors: number 0 is none of them."""


def record_of(given: dict[str, Any], habits: Habits, choices: Choices, key: str | None = None) -> ImageRecord:
    """`key`: the image's id where the record has none itself."""
    row = Row(given)
    image_id = row.text("image_id") if "image_id" in row or key is None else key
    if row.is_empty():
        raise ImportFault("no region; leave images without regions out")
    boxes_M4 = row.boxes(halves=habits.features == "<f2")
    if boxes_M4 is None and habits.boxes:
        raise ImportFault("no boxes, which other images have")
    features_MD = _matrix(row, "features", boxes_M4, habits.features, choices.feature_width)
    count = row.count()
    count = len(features_MD if boxes_M4 is None else boxes_M4) if count is None else count
    record = ImageRecord(
        image_id, *_size(row, image_id, choices), boxes_M4, _first(features_MD, "features", count)
    )
    record.boxes_N4 = _placed(record, "boxes" not in row, count, choices)
    _add_evidence(record, row, boxes_M4, count, habits)
    _add_attributes(record, row, boxes_M4, count)
    return record


def _matrix(
    row: Row, name: str, boxes_M4: np.ndarray | None, kind: str, width: int | None = None
) -> np.ndarray:
    """Without boxes and count an array tells how many rows it has."""
    value, theirs = row.get(name)
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


def _first(array: np.ndarray, field: str, count: int) -> np.ndarray:
    if count < 1 or len(array) < count:
        raise ImportFault(f"{field}: {array.shape}, {count} rows expected")
    return array[:count]


def _size(row: Row, image_id: str, choices: Choices) -> tuple[int, int]:
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
        return choices.sizes.get(image_id, (0, 0))
    if not max(abs(width), abs(height)) < 1 << 31:
        raise ImportFault(f"an image of {width:,} x {height:,} pixels")
    return width, height


def _placed(record: ImageRecord, are_shares: bool, count: int, choices: Choices) -> np.ndarray:
    """The boxes in pixels, or in shares of 1 where the size is unknown."""
    sides = np.array([record.width or 1, record.height or 1] * 2, np.float32)
    if record.boxes_N4 is None:
        return without_boxes(count, choices.boxes) * sides
    boxes_N4 = _first(record.boxes_N4, "boxes", count)
    if are_shares:
        return boxes_N4 if not record.width else boxes_N4.astype(np.float32) * sides
    if not record.width and boxes_N4.max() > 2:
        raise ImportFault("boxes are in pixels, but the image's size is not there: give --sizes FILE")
    return boxes_N4


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
    if "probs" in row and _is_column(row.get("probs")[0]):  # of the class that was chosen
        record.confidence_N = column_from(*row.get("probs"), count)[:count]
    elif "probs" in row:
        probs_NK = _matrix(row, "probs", boxes_M4, habits.probs)[:count]
        record.class_probs_NK = distributions(probs_NK, row.get("probs")[1], habits.background)
        if record.confidence_N is None:
            record.confidence_N = surest(record.class_probs_NK, habits.background)
    if record.class_probs_NK is None and "labels" in row:
        record.labels_N = column_from(*row.get("labels"), len(_all(boxes_M4, count)), whole=True)[:count]


def _is_column(value: Any) -> bool:
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


def habits_of_rows(
    row_of: Callable[[int], dict[str, Any]],
    rows: int,
    choices: Choices,
    file: str,
    *,
    boxes_elsewhere: bool = False,
) -> Habits:
    """What the first rows show; those that are no good are told of when they are read."""
    features, probs, boxes = [], [], []
    for number in range(min(rows, ROWS)):
        try:
            row = Row(row_of(number))
            boxes.append("boxes" in row or "shares" in row)
            boxes_M4 = row.boxes(halves=True)
            for name, into in (("features", features), ("probs", probs)):
                if name in row and not _is_column(row.get(name)[0]):
                    value, theirs = row.get(name)
                    value = from_base64(value, theirs) if is_text(value) else plain(value, theirs)
                    into.append((len(value) if boxes_M4 is None else len(boxes_M4), value))
        except ValueError:
            continue
    try:
        habits = habits_of(features, probs, choices.feature_width)
    except ImportFault as error:
        raise ImportFault(f"{file}: {error}") from None
    none = bool(boxes) and not any(boxes) and not boxes_elsewhere
    notes = (*habits.notes, *([_told_without_boxes(choices)] if none else []))
    return replace(habits, boxes=any(boxes), notes=notes)


def _told_without_boxes(choices: Choices) -> str:
    what = "the whole image" if choices.boxes == "whole" else "its cell of a square grid"
    return f"boxes: none in these files; --boxes {choices.boxes} gives each region {what}"
