"""Hugging Face data sets of LXMERT's features: parquet, and the arrow files that `save_to_disk` leaves."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from interbert.sources.importers.choices import Choices
from interbert.sources.importers.fields import NAMES, Row, habits_of_rows, record_of
from interbert.sources.importers.record import ImageRecord, ImportFault

ENDINGS = (".parquet", ".arrow")
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
        self._blocks = [block for file in self.files for block in _blocks(file)]
        self._first = np.cumsum([0, *(block.rows for block in self._blocks)])
        self.keys = range(int(self._first[-1]))
        self._held: tuple[int, Any] = (-1, None)
        self._held_ids: tuple[int, Any] = (-1, None)
        self._names = self._blocks[0].names if self._blocks else []
        self._habits = habits_of_rows(self.row, len(self.keys), choices, str(inputs[0]))
        self.notes = list(self._habits.notes)

    def where(self, number: int) -> str:
        block, row = self._place(number)
        return f"{self._blocks[block].path}, row {self._blocks[block].first + row}"

    def name(self, number: int) -> str | None:
        """Out of the column of ids alone."""
        place, row = self._place(number)
        if self._held_ids[0] != place:
            self._held_ids = (place, self._blocks[place].read([name for name in _IDS if name in self._names]))
        found = Row(
            {name: _value(self._held_ids[1].column(name), row) for name in self._held_ids[1].schema.names}
        )
        return found.text("image_id") if "image_id" in found else None

    def row(self, number: int) -> dict[str, Any]:
        place, row = self._place(number)
        if self._held[0] != place:
            self._held = (place, None)  # the one before goes first
            self._held = (place, self._blocks[place].read(None))
        table = self._held[1]
        return {name: _value(table.column(name), row) for name in table.schema.names}

    def read(self, number: int) -> ImageRecord:
        row = self.row(number)
        if not any(name in row for name in _IDS):
            raise ImportFault(f"lacks image_id; it has {', '.join(row)}")
        record = record_of(row, self._habits, self._choices)
        texts = next((row[name] for name in _CAPTIONS if row.get(name) is not None), [])
        record.captions = [
            text for text in ([texts] if isinstance(texts, str) else list(texts)) if text.strip()
        ]
        return record

    def _place(self, number: int) -> tuple[int, int]:
        block = int(np.searchsorted(self._first, number, side="right")) - 1
        return block, int(number - self._first[block])


class _Block:
    """Rows that are read together: a row group of a parquet file, a batch of an arrow file."""

    def __init__(
        self, path: Path, first: int, rows: int, names: list[str], read: Callable[[list[str] | None], Any]
    ) -> None:
        """read: these columns, or all."""
        self.path, self.first, self.rows, self.names, self.read = path, first, rows, names, read


def files_of(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    return sorted(
        file for file in path.rglob("*") if file.suffix in ENDINGS and not file.name.startswith(".")
    )


def pyarrow() -> Any:
    try:
        import pyarrow
    except ImportError:
        raise ImportFault("parquet and arrow files need pyarrow: pip install pyarrow==26.0.1") from None
    return pyarrow


def _blocks(path: Path) -> list[_Block]:
    arrow = pyarrow()
    try:
        with open(path, "rb") as file:
            parquet = file.read(4) == b"PAR1"
        return _parquet_blocks(path) if parquet else _arrow_blocks(path)
    except (arrow.ArrowException, OSError) as error:
        raise ImportFault(f"{path}: not a readable parquet or arrow file ({error})") from None


def _parquet_blocks(path: Path) -> list[_Block]:
    from pyarrow import parquet

    file, blocks, first = parquet.ParquetFile(path, memory_map=True), [], 0
    for group in range(file.num_row_groups):
        rows = file.metadata.row_group(group).num_rows
        read = partial(_read_group, file, group)
        blocks.append(_Block(path, first, rows, file.schema_arrow.names, read))
        first += rows
    return blocks


def _arrow_blocks(path: Path) -> list[_Block]:
    arrow = pyarrow()
    source = arrow.memory_map(str(path))
    try:
        file = arrow.ipc.open_file(source)
        batches = [file.get_batch(number) for number in range(file.num_record_batches)]
    except arrow.ArrowInvalid:
        source.seek(0)
        batches = list(arrow.ipc.open_stream(source))  # mapped: no bytes are read for this
    blocks, first = [], 0
    for batch in batches:
        read = partial(_read_batch, batch)
        blocks.append(_Block(path, first, batch.num_rows, batch.schema.names, read))
        first += batch.num_rows
    return blocks


def _read_group(file: Any, group: int, columns: list[str] | None) -> Any:
    """A table of one batch, so that a row is found at once."""
    return file.read_row_group(group, columns=columns).combine_chunks()


def _read_batch(batch: Any, columns: list[str] | None) -> Any:
    return batch if columns is None else batch.select(columns)


def _value(column: Any, row: int) -> Any:
    """A number, a text, or an array of the shape that the nested lists have."""
    scalar = column[row]
    if hasattr(scalar, "value") and hasattr(scalar.type, "storage_type"):
        scalar = scalar.value  # of an extension, such as Hugging Face's arrays of fixed shape
    values = getattr(scalar, "values", None)
    if values is None or not scalar.is_valid:
        return scalar.as_py()
    shape = [len(values)]
    while hasattr(values.type, "value_type"):
        values = values.flatten()
        shape.append(len(values) // max(int(np.prod(shape)), 1))
    if not pyarrow().types.is_primitive(values.type) or values.null_count:
        return scalar.as_py()
    array = values.to_numpy(zero_copy_only=False)
    return array.reshape(shape) if array.size == np.prod(shape) else scalar.as_py()
