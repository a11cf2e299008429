"""VinVL's and Oscar's TSV: features with six numbers of geometry behind, boxes and classes in a file of their own.

A row of features is `id, n, base64` or `id, {"num_boxes", "features"}`; of predictions `id, {"objects": [...]}`, an
object with rect, class, conf, attributes, attr_scores, and its feature where nothing else has it; of sizes `id,
[{"height", "width"}]`. Several files are told apart by what is in them.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from interbert.sources.features.fields.choices import Choices
from interbert.sources.features.fields.first_rows import habits_of_rows
from interbert.sources.features.fields.numbers import boxes_from, unquoted
from interbert.sources.features.fields.record_of import record_of
from interbert.sources.features.layouts.vinvl_objects import Numbering
from interbert.sources.foreign_files.text_files import Lines, parts_of
from interbert.sources.record import ImageRecord, ImportFault

GEOMETRY = 6
_SLACK = 2e-3
_BESIDE = ("predictions.tsv", "label.tsv", "labels.tsv", "hw.tsv")


class VinvlSource:
    def __init__(self, inputs: list[Path], choices: Choices) -> None:
        self._bare = replace(choices, boxes="whole")  # until they are read from elsewhere
        self.files = [file for path in inputs for file in _with_companions(path)]
        kinds: dict[str, list[Lines]] = {"features": [], "objects": [], "sizes": []}
        for part in parts_of(self.files):
            lines = Lines(part)
            kinds[_kind_of_file(lines)].append(lines)
        self._features = kinds["features"] or kinds["objects"]
        if not self._features:
            raise ImportFault(f"{', '.join(map(str, inputs))}: no features in it")
        if not kinds["features"] and not _have_features(kinds["objects"]):
            raise ImportFault(
                f"{', '.join(map(str, inputs))}: objects without their features, which are in the features.tsv that "
                "was written with it; give that"
            )
        self._objects = _by_id(kinds["objects"]) if kinds["features"] else {}
        self._sizes = _by_id(kinds["sizes"])
        self.keys = [
            (place, line) for place, lines in enumerate(self._features) for line in range(len(lines))
        ]
        objects = (item for lines in kinds["objects"] for item in _objects_of(lines))
        self._numbering = Numbering(objects if kinds["objects"] else None, choices)
        self.class_names = self._numbering.class_names
        self.attribute_names = self._numbering.attribute_names
        self._habits = habits_of_rows(
            self.row, len(self.keys), choices, self._features[0].part.name, boxes_elsewhere=True
        )
        self.notes = [*self._numbering.notes, *self._habits.notes]

    def where(self, number: int) -> str:
        place, line = self.keys[number]
        return f"{self._features[place].part.name}, line {line + 1}"

    def name(self, number: int) -> str | None:
        place, line = self.keys[number]
        return self._features[place].read(line, 2048).split(b"\t")[0].decode(errors="replace")

    def row(self, number: int) -> dict[str, Any]:
        place, line = self.keys[number]
        image_id, rest = _cells(self._features[place].read(line))
        row: dict[str, Any] = {"image_id": image_id}
        if len(rest) == 2:
            row |= {"num_boxes": rest[0], "features": rest[1]}
        else:
            row |= _json(rest[0])
        if image_id in self._objects:
            row |= _json(_line(self._objects, image_id)[0]) | {"features": row["features"]}
        elif self._objects and "objects" not in row:
            raise ImportFault("no line of the predictions is of this image")
        if image_id in self._sizes:
            size = _json(_line(self._sizes, image_id)[0])
            row |= {"image_h": size.get("height"), "image_w": size.get("width")}
        return row if "objects" not in row else row | {"objects": None, "found": row["objects"]}

    def read(self, number: int) -> ImageRecord:
        row = self.row(number)
        found = row.pop("found", None)
        row |= {} if found is None else self._numbering.fields(found, row)
        boxes = row.pop("boxes", None)
        record = record_of(row, self._habits, self._bare)
        shares_N4 = _shares(record.features_ND)
        if shares_N4 is not None:
            record.features_ND = record.features_ND[:, :-GEOMETRY]
        if boxes is not None and record.width:
            record.boxes_N4 = boxes_from(boxes, "rect", len(boxes))
        elif shares_N4 is None:
            lack = "no file has the image's size: give hw.tsv or --sizes FILE"
            lack = "no predictions have boxes" if boxes is None else lack
            raise ImportFault(f"the last six numbers of a feature are no geometry, and {lack}")
        else:
            record.boxes_N4 = shares_N4 * np.array([record.width or 1, record.height or 1] * 2, np.float32)
        return record


def _kind_of_file(lines: Lines) -> str:
    if not len(lines):
        return "sizes"
    try:
        return kind_of(lines.read(0))
    except ImportFault as error:
        raise ImportFault(f"{lines.part.name}, line 1: {error}") from None


def kind_of(line: bytes) -> str:
    """What a file of such rows is: of `features`, `objects` or `sizes`."""
    _, rest = _cells(line)
    if len(rest) == 2:
        if not unquoted(rest[0]).isdigit():
            raise ImportFault(f"{rest[0]!r:.40} is not the number of its regions")
        return "features"
    row = _json(rest[0])
    if "objects" in row:
        return "objects"
    return "features" if "features" in row else "sizes"


def _cells(line: bytes) -> tuple[str, list[bytes]]:
    first, *rest = line.split(b"\t")
    if len(rest) not in (1, 2):
        raise ImportFault(
            f"{len(rest) + 1} columns; an id and JSON, or an id, a number and base64 are expected"
        )
    return first.decode(errors="replace"), rest


def _json(text: bytes) -> dict[str, Any]:
    """The object; of a list the objects in it, or the one that says a size."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ImportFault(f"not JSON ({error})") from None
    if isinstance(found, list):
        whole = found[0] if len(found) == 1 and isinstance(found[0], dict) else {}
        found = whole if {"height", "width"} <= set(whole) or "features" in whole else {"objects": found}
    if not isinstance(found, dict):
        raise ImportFault(f"a {type(found).__name__}, not an object")
    return found


def _with_companions(path: Path) -> list[Path]:
    if path.is_dir() or path.name in _BESIDE:
        return [path]
    pairs = [(kind, other) for kind in ("features", "feature") for other in ("label", "hw")]
    names = [*(path.name.replace(*pair) for pair in pairs), *_BESIDE]
    found = [path.with_name(name) for name in names if name != path.name and path.with_name(name).is_file()]
    return [path, *dict.fromkeys(found)]


Places = dict[str, tuple[Lines, int]]


def _by_id(files: list[Lines]) -> Places:
    return {
        lines.read(line, 2048).split(b"\t")[0].decode(errors="replace"): (lines, line)
        for lines in files
        for line in range(len(lines))
    }


def _line(places: Places, image_id: str) -> list[bytes]:
    lines, line = places[image_id]
    return _cells(lines.read(line))[1]


def _have_features(files: list[Lines]) -> bool:
    """Whether the first object that is there has its own."""
    first = next((item for lines in files for item in _objects_of(lines)), None)
    return not isinstance(first, dict) or "feature" in first


def _objects_of(lines: Lines) -> Iterator[Any]:
    """In all lines that can be read: of the others it is told when they are imported."""
    for line in range(len(lines)):
        try:
            yield from _json(_cells(lines.read(line))[1][0]).get("objects") or ()
        except (ImportFault, TypeError):
            continue


def _shares(features_ND: np.ndarray) -> np.ndarray | None:
    """The boxes in shares of 1 out of the last six numbers: corners, then width and height in either order."""
    if features_ND.shape[1] <= GEOMETRY:
        return None
    corners_N4, sides_N2 = features_ND[:, -GEOMETRY:-2].astype(np.float32), features_ND[:, -2:]
    spans_N2 = corners_N4[:, 2:] - corners_N4[:, :2]
    inside = (corners_N4 >= -_SLACK).all() and (corners_N4 <= 1 + _SLACK).all()
    fits = any(np.abs(spans_N2 - order).max() <= _SLACK for order in (sides_N2, sides_N2[:, ::-1]))
    return np.clip(corners_N4, 0, 1) if inside and fits else None
