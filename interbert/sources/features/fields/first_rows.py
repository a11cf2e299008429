"""What the first rows of a file show of how its writer writes, so that all of them are read alike."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from interbert.sources.features.fields.choices import Choices
from interbert.sources.features.fields.habits import ROWS, Habits, habits_of
from interbert.sources.features.fields.numbers import from_base64, is_text, plain
from interbert.sources.features.fields.record_of import FEW_PIXELS, in_shares, is_column, size_of
from interbert.sources.features.fields.row import Row
from interbert.sources.record import ImportFault


def habits_of_rows(
    row_of: Callable[[int], dict[str, Any]],
    rows: int,
    choices: Choices,
    file: str,
    *,
    boxes_elsewhere: bool = False,
) -> Habits:
    """What the first rows show; those that are no good are told of when they are read."""
    features, probs, boxes, shares, overcounted = [], [], [], [], []
    for number in range(min(rows, ROWS)):
        try:
            given = row_of(number)
            overcounted.append(Row(given).is_overcounted())
            row = Row(given, counted=not overcounted[-1])
            boxes.append("boxes" in row or "shares" in row)
            boxes_M4 = row.boxes(halves=True)
            size = size_of(row, row.text("image_id") if "image_id" in row else "", choices)
            if "boxes" in row and min(size) >= FEW_PIXELS:
                shares.append(in_shares(boxes_M4, *size))
            for name, into in (("features", features), ("probs", probs)):
                if name in row and not is_column(row.get(name)[0]):
                    value, theirs = row.get(name)
                    value = from_base64(value, theirs) if is_text(value) else plain(value, theirs)
                    into.append((len(value) if boxes_M4 is None else len(boxes_M4), value))
        except ValueError:
            continue
    try:
        habits = habits_of(features, probs, choices.feature_width)
    except ImportFault as error:
        raise ImportFault(f"{file}: {error}") from None
    notes = list(habits.notes)
    if boxes and not any(boxes) and not boxes_elsewhere:
        notes.append(_told_without_boxes(choices))
    all_shares, counts = bool(shares) and all(shares), not (overcounted and all(overcounted))
    if all_shares:
        notes.append("boxes: shares of the image, though sizes are there; made pixels")
    if not counts:
        notes.append(
            "number of regions: more are counted than there are; those that are there are read. So writes MMF's port "
            "of LXMERT's detector, and as the image's size that of what it gave its network: --sizes FILE says the "
            "image's"
        )
    return replace(habits, boxes=any(boxes), shares=all_shares, counts=counts, notes=tuple(notes))


def _told_without_boxes(choices: Choices) -> str:
    what = "the whole image" if choices.boxes == "whole" else "its cell of a square grid"
    return f"boxes: none in these files; --boxes {choices.boxes} gives each region {what}"
