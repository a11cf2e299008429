"""The TSV of bottom-up attention: a row an image, arrays as base64 of float32."""

import sys
from pathlib import Path

import numpy as np

from interbert.sources.importers.record import ImageRecord, ImportFault, decoded, distributions

_BASE = ["image_id", "image_w", "image_h", "num_boxes", "boxes", "features"]
_LAYOUTS = {
    6: _BASE,
    7: [*_BASE, "cls_prob"],
    8: [*_BASE, "objects_id", "objects_conf"],
    10: [
        "image_id",
        "image_h",
        "image_w",
        "objects_id",
        "objects_conf",
        "attrs_id",
        "attrs_conf",
        *_BASE[3:],
    ],
}
"""Columns by their number, where the file has no header (10: as LXMERT's)."""
_NAMES = {"img_id": "image_id", "img_w": "image_w", "img_h": "image_h", "image_width": "image_w"}
_NAMES |= {"image_height": "image_h", "product_id": "image_id", "class_labels": "objects_id"}


class TsvSource:
    class_names = None

    def __init__(self, inputs: list[Path]) -> None:
        self.files = inputs
        self._starts = [_line_starts(path) for path in inputs]
        self._handles = [open(path, "rb") for path in inputs]  # noqa: SIM115
        self._columns, self._headers = [], []
        for number, (path, handle) in enumerate(zip(inputs, self._handles, strict=True)):
            columns, has_header = _columns_of(path, handle.readline())
            self._columns.append(columns)
            self._headers.append(has_header)
            if has_header:
                self._starts[number] = self._starts[number][1:]
        self._first = np.cumsum([0, *map(len, self._starts)])
        self.keys = range(int(self._first[-1]))

    def where(self, number: int) -> str:
        file, line = self._place(number)
        return f"{self.files[file]}, line {line + 1 + self._headers[file]}"

    def name(self, number: int) -> str | None:
        file, line = self._place(number)
        place = self._columns[file].index("image_id")
        handle = self._handles[file]
        handle.seek(int(self._starts[file][line]))
        return handle.read(2048).split(b"\n")[0].split(b"\t")[place].decode() if place == 0 else None

    def read(self, number: int) -> ImageRecord:
        file, line = self._place(number)
        handle = self._handles[file]
        handle.seek(int(self._starts[file][line]))
        cells = handle.readline().rstrip(b"\r\n").split(b"\t")
        columns = self._columns[file]
        if len(cells) != len(columns):
            raise ImportFault(f"{len(cells)} columns, {len(columns)} expected ({', '.join(columns)})")
        row = dict(zip(columns, cells, strict=True))
        count = _whole(row, "num_boxes")
        record = ImageRecord(
            row["image_id"].decode(),
            _whole(row, "image_w"),
            _whole(row, "image_h"),
            decoded(row["boxes"], "boxes", 4, count),
            decoded(row["features"], "features", None, count),
        )
        if "cls_prob" in row:
            record.class_probs_NK = distributions(
                decoded(row["cls_prob"], "cls_prob", None, count), "cls_prob"
            )
        elif "objects_id" in row:
            record.labels_N = _labels(row["objects_id"], count)
            if "objects_conf" in row:
                record.confidence_N = decoded(row["objects_conf"], "objects_conf", 1, count)[:, 0]
        return record

    def _place(self, number: int) -> tuple[int, int]:
        """(file, line in it)"""
        file = int(np.searchsorted(self._first, number, side="right")) - 1
        return file, int(number - self._first[file])


def _line_starts(path: Path) -> np.ndarray:
    """int64: where each line that is not empty begins."""
    starts, place, at_start = [], 0, True
    with open(path, "rb") as file:
        while block := file.read(1 << 24):
            ends = np.flatnonzero(np.frombuffer(block, np.uint8) == 10) + place
            if at_start:
                starts.append(np.array([place]))
            at_start = False
            starts.append(ends + 1)
            place += len(block)
    found = np.concatenate(starts) if starts else np.zeros(0, np.int64)
    bounds = np.append(found[found < place], place + 1)
    return bounds[:-1][np.diff(bounds) > 1].astype(np.int64)


def _is_header(line: bytes) -> bool:
    return any(cell in line.split(b"\t") for cell in (b"num_boxes", b"boxes", b"features"))


def _columns_of(path: Path, first_line: bytes) -> tuple[list[str], bool]:
    cells = first_line.rstrip(b"\r\n").split(b"\t")
    if _is_header(first_line.rstrip(b"\r\n")):
        columns = [_NAMES.get(name, name) for name in (cell.decode() for cell in cells)]
        missing = [name for name in _BASE if name not in columns]
        if missing:
            raise ImportFault(f"{path}: its header lacks {', '.join(missing)}; it has {', '.join(columns)}")
        return columns, True
    if len(cells) not in _LAYOUTS:
        raise ImportFault(
            f"{path}: {len(cells)} tab-separated columns and no header; 6, 7, 8 and 10 are known: put a line with "
            f"the names of the columns first ({', '.join(_BASE)}, cls_prob or objects_id, objects_conf)"
        )
    return _LAYOUTS[len(cells)], False


def _whole(row: dict[str, bytes], field: str) -> int:
    try:
        return int(row[field])
    except ValueError:
        raise ImportFault(f"{field} is {row[field][:40]!r}, not a whole number") from None


def _labels(text: bytes, count: int) -> np.ndarray:
    """Class numbers: int64 as LXMERT writes them, or float32."""
    raw = decoded(text, "objects_id", None, count)
    wide = raw.shape[1]
    if wide == 2:
        assert sys.byteorder == "little"
        return raw.copy().view("<i8")[:, 0].astype(np.int64)
    if wide != 1:
        raise ImportFault(f"objects_id: {wide} numbers a box, 1 expected")
    values = raw[:, 0]
    whole = np.floor(values) == values
    return values.astype(np.int64) if whole.all() else raw.copy().view("<i4")[:, 0].astype(np.int64)
