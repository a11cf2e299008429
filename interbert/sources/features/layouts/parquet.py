"""Hugging Face data sets of LXMERT's features: parquet, and the arrow files that `save_to_disk` leaves."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from interbert.sources.features.fields.choices import Choices
from interbert.sources.features.fields.first_rows import habits_of_rows
from interbert.sources.features.fields.record_of import record_of
from interbert.sources.features.fields.row import NAMES, Row, texts_from
from interbert.sources.foreign_files.lying import refuse_if_cut
from interbert.sources.foreign_files.table_rows import ENDINGS, is_cache, open_rows, refuse_several_splits
from interbert.sources.record import ImageRecord, ImportFault

_IDS = tuple(theirs for theirs, ours in NAMES.items() if ours == "image_id")
_CAPTIONS = ("caption", "captions", "sentences")


class TableSource:
    """Files, or folders of them; a row an image."""

    class_names = attribute_names = None

    def __init__(self, inputs: list[Path], choices: Choices) -> None:
        self._choices = choices
        self.files = [file for path in inputs for file in files_of(path)]
        if not self.files:
            raise ImportFault(f"{', '.join(map(str, inputs))}: no file ends in .parquet or .arrow")
        for path in inputs:
            if path.is_dir():
                refuse_several_splits(path, (str(file.relative_to(path)) for file in files_of(path)))
        counts, names = [], []
        for file in self.files:
            with open_rows(file) as rows:
                counts.append(rows.count)
                names.append(rows.schema.names)
        self._first = np.cumsum([0, *counts])
        self.keys = range(int(self._first[-1]))
        self._rows = [_Rows(path, columns) for path, columns in zip(self.files, names, strict=True)]
        self._ids = [
            _Rows(path, [name for name in _IDS if name in columns])
            for path, columns in zip(self.files, names, strict=True)
        ]
        self._habits = habits_of_rows(self.row, len(self.keys), choices, str(inputs[0]))
        caches = sum(is_cache(name) for path in inputs if path.is_dir() for name in map(str, path.rglob("*")))
        told = [f"{caches} files named cache-….arrow are left alone: `datasets` made them of the others"]
        self.notes = [*self._habits.notes, *(told if caches else [])]

    def where(self, number: int) -> str:
        file, row = self._place(number)
        return f"{self.files[file]}, row {row}"

    def name(self, number: int) -> str | None:
        """Out of the columns of ids alone."""
        file, row = self._place(number)
        found = Row(self._ids[file].row(row)) if self._ids[file].columns else Row({})
        return found.text("image_id") if "image_id" in found else None

    def row(self, number: int) -> dict[str, Any]:
        file, row = self._place(number)
        for other in (*self._rows[:file], *self._rows[file + 1 :]):
            other.close()
        return self._rows[file].row(row)

    def read(self, number: int) -> ImageRecord:
        row = self.row(number)
        if not any(name in row for name in _IDS):
            raise ImportFault(f"lacks image_id; it has {', '.join(row)}")
        record = record_of(row, self._habits, self._choices)
        name = next((name for name in _CAPTIONS if row.get(name) is not None), _CAPTIONS[0])
        record.captions = [text for text in texts_from(row.get(name), name) if text.strip()]
        return record

    def _place(self, number: int) -> tuple[int, int]:
        """(file, row in it)"""
        file = int(np.searchsorted(self._first, number, side="right")) - 1
        return file, int(number - self._first[file])


class _Rows:
    """Rows of one file, quick one after another; a few megabytes of them are held, however large their group is."""

    def __init__(self, path: Path, columns: list[str]) -> None:
        self.path, self.columns, self._bytes = path, columns, path.stat().st_size
        self._reading: Iterator[tuple[int, Any]] | None = None
        self._first, self._batch = 0, None

    def row(self, row: int) -> dict[str, Any]:
        refuse_if_cut(self.path, self._bytes)  # arrow's files are mapped
        if self._batch is None or row < self._first or row > self._first + self._batch.num_rows:
            self._begin(row)
        while row >= self._first + self._batch.num_rows:
            self._next()
        return {name: _value(self._batch.column(name), row - self._first) for name in self.columns}

    def close(self) -> None:
        self._reading = self._batch = None

    def _begin(self, row: int) -> None:
        self._reading = self._from(row)
        self._next()

    def _next(self) -> None:
        self._batch = None  # the one before goes first
        found = next(self._reading, None)
        if found is None:
            raise ImportFault("the table ends before it")
        self._first, self._batch = found

    def _from(self, row: int) -> Iterator[tuple[int, Any]]:
        with open_rows(self.path) as rows:
            yield from rows.batches(self.columns, row)


def files_of(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    return sorted(
        file
        for file in path.rglob("*")
        if file.suffix in ENDINGS and not file.name.startswith(".") and not is_cache(file.name)
    )


def _value(column: Any, row: int) -> Any:
    """A number, a text, or an array of the shape that the nested lists have."""
    scalar = column[row]
    if hasattr(scalar, "value") and hasattr(scalar.type, "storage_type"):
        scalar = scalar.value  # of an extension, such as Hugging Face's arrays of fixed shape
    import pyarrow

    values = scalar.values if isinstance(scalar, pyarrow.ListScalar | pyarrow.FixedSizeListScalar) else None
    if values is None:
        return scalar.as_py()
    shape = [len(values)]
    while hasattr(values.type, "value_type"):
        values = values.flatten()
        shape.append(len(values) // max(int(np.prod(shape)), 1))
    if not pyarrow.types.is_primitive(values.type) or values.null_count:
        return scalar.as_py()
    array = values.to_numpy(zero_copy_only=False)
    return array.reshape(shape) if array.size == np.prod(shape) else scalar.as_py()
