"""The TSV of bottom-up attention: a row an image, arrays as base64."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from interbert.sources.features.fields.choices import Choices
from interbert.sources.features.fields.first_rows import habits_of_rows
from interbert.sources.features.fields.record_of import record_of
from interbert.sources.features.fields.row import NAMES, Row
from interbert.sources.foreign_files.text_files import Lines, parts_of
from interbert.sources.record import ImageRecord, ImportFault

_BASE = ["image_id", "image_w", "image_h", "num_boxes", "boxes", "features"]
_LXMERT = ["img_id", "img_h", "img_w", "objects_id", "objects_conf", "attrs_id", "attrs_conf", *_BASE[3:]]
_LAYOUTS = {
    6: _BASE,
    7: [*_BASE, "cls_prob"],
    8: [*_BASE, "objects_id", "objects_conf"],
    10: _LXMERT,
    13: [*_LXMERT, "cls_prob", "attrs", "classes"],
}
"""Columns by their number, where the file has no header (10: LXMERT's, 13: VOLTA's)."""
_NEEDED = ("image_id", "features")
"""Of a header's columns: what else it lacks may be said otherwise, such as the images' sizes."""


class TsvSource:
    class_names = attribute_names = None

    def __init__(self, inputs: list[Path], choices: Choices) -> None:
        self._choices = choices
        self._parts = [Lines(part) for part in parts_of(inputs)]
        self.files = list(dict.fromkeys(lines.part.path for lines in self._parts))
        self._columns, self._headers = [], []
        for lines in self._parts:
            columns, has_header = columns_of(lines.part.name, lines.read(0) if len(lines) else b"")
            self._columns.append(columns)
            self._headers.append(has_header)
        sizes = [len(lines) - head for lines, head in zip(self._parts, self._headers, strict=True)]
        self._first = np.cumsum([0, *sizes])
        self.keys: Sequence[int] = range(int(self._first[-1]))
        # Each part may come from another program; its rows are of one.
        self._habits = [
            habits_of_rows(lambda row, n=int(first): self.row(n + row), size, choices, lines.part.name)
            for first, size, lines in zip(self._first, sizes, self._parts, strict=False)
        ]
        self.notes = list(dict.fromkeys(note for habits in self._habits for note in habits.notes))
        if any("product_id" in columns for columns in self._columns):
            self.notes.append(
                "boxes: those of the KDD cup's files are top, left, bottom, right; turned round"
            )
            self._keep_products_once()

    def _keep_products_once(self) -> None:
        """A product has a row for each of its queries."""
        first: dict[str | None, int] = {}
        for number in self.keys:
            first.setdefault(self.name(number) or str(number), number)
        if len(first) < len(self.keys):
            self.notes.append(
                f"{len(self.keys) - len(first):,} rows repeat a product; of each the first is read"
            )
        self.keys = list(first.values())

    def where(self, number: int) -> str:
        part, line = self._place(number)
        return f"{self._parts[part].part.name}, line {line + 1}"

    def name(self, number: int) -> str | None:
        part, line = self._place(number)
        if NAMES.get(self._columns[part][0]) != "image_id":
            return None
        return Row({"image_id": self._parts[part].read(line, 2048).split(b"\t")[0]}).text("image_id")

    def row(self, number: int) -> dict[str, Any]:
        part, line = self._place(number)
        cells = self._parts[part].cells(line)
        columns = self._columns[part]
        if len(cells) != len(columns):
            raise ImportFault(f"{len(cells)} columns, {len(columns)} expected ({', '.join(columns)})")
        return dict(zip(columns, cells, strict=True))

    def read(self, number: int) -> ImageRecord:
        row = self.row(number)
        record = record_of(row, self._habits[self._place(number)[0]], self._choices)
        if "product_id" in row:
            record.boxes_N4 = record.boxes_N4[:, [1, 0, 3, 2]]
        return record

    def _place(self, number: int) -> tuple[int, int]:
        """(part, line in it)"""
        number = self.keys[number]
        part = int(np.searchsorted(self._first, number, side="right")) - 1
        return part, int(number - self._first[part]) + self._headers[part]


def is_header(cells: list[bytes]) -> bool:
    return any(cell.lower() in (b"num_boxes", b"boxes", b"features") for cell in cells)


def columns_of(name: str, first_line: bytes) -> tuple[list[str], bool]:
    """(the columns, whether the first line is their header)"""
    cells = first_line.split(b"\t")
    if is_header(cells):
        columns = [cell.decode(errors="replace").lower() for cell in cells]
        missing = [ours for ours in _NEEDED if ours not in {NAMES.get(column) for column in columns}]
        if missing:
            told = [next(theirs for theirs, ours in NAMES.items() if ours == name) for name in missing]
            raise ImportFault(f"{name}: its header lacks {', '.join(told)}; it has {', '.join(columns)}")
        return columns, True
    if len(cells) not in _LAYOUTS:
        raise ImportFault(
            f"{name}: {len(cells)} tab-separated columns and no header; 6, 7, 8, 10 and 13 are known: put a line "
            f"with the names of the columns first ({', '.join(_BASE)}, cls_prob or objects_id, objects_conf)"
        )
    return _LAYOUTS[len(cells)], False
