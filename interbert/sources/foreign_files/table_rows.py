"""The rows of parquet and arrow files, by pyarrow, without holding more of them than are asked for."""

import contextlib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol

from interbert.sources.foreign_files.signatures import Kind, kind_of
from interbert.sources.record import ImportFault

ENDINGS = (".parquet", ".arrow")
_SPLIT = re.compile(r"(?:^|[/_.-])(train|validation|valid|val|dev|test)(?=[/_.-]|$)")
_AT_A_TIME = 8 << 20
"""Bytes of rows."""
_MOST_ROWS = 64


class Rows(Protocol):
    schema: Any
    count: int

    def batches(self, columns: list[str], start: int) -> Iterator[tuple[int, Any]]:
        """Record batches and the rows that they begin with, from the one that holds row `start`."""

    def texts(self, column: str) -> list[str]:
        """All values, as text; `a.b` is field b of column a."""

    def first(self, column: str) -> Any:
        """The first value that is there."""


def is_cache(name: str) -> bool:
    """Whether `datasets` left it beside what it had saved: the rows of a `map` or `filter`, or numbers of rows."""
    return bool(re.fullmatch(r"cache-\w+\.arrow", name.rpartition("/")[2]))


def refuse_several_splits(folder: Path, names: Iterable[str]) -> None:
    """A data set's test split must not get into its training data unnoticed."""
    of_split: dict[str, str] = {}
    for name in names:
        for split in _SPLIT.findall(name.lower()):
            of_split.setdefault(split, name)
    if len(of_split) > 1:
        told = ", ".join(f"{split} ({name})" for split, name in of_split.items())
        raise ImportFault(
            f"{folder}: holds several splits: {told}; give the files of those that you want together"
        )


@contextlib.contextmanager
def open_rows(path: Path) -> Iterator[Rows]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise ImportFault(
            f"{path}: a table of parquet or arrow, which the package pyarrow reads: pip install pyarrow==26.0.1"
        ) from None
    try:
        kind = kind_of(path)
        if kind is Kind.PARQUET:
            # Neither mapped nor read ahead: a row group may be larger than memory.
            with pyarrow.parquet.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False) as file:
                yield _Parquet(file)
        else:
            with pyarrow.memory_map(str(path)) as source:
                yield _Arrow(source, kind is Kind.ARROW_FILE)
    except (pyarrow.ArrowException, OSError) as error:
        raise ImportFault(f"{path}: not a whole table ({error}); copy or download it again") from None


class _Parquet:
    def __init__(self, file: Any) -> None:
        self._file, self.schema, self.count = file, file.schema_arrow, file.metadata.num_rows

    def batches(self, columns: list[str], start: int) -> Iterator[tuple[int, Any]]:
        groups, first = self._file.metadata.num_row_groups, 0
        for group in range(groups):
            about = self._file.metadata.row_group(group)
            if first + about.num_rows > start:
                rows = _AT_A_TIME * about.num_rows // max(about.total_byte_size, 1)
                rows = min(max(rows, 1), _MOST_ROWS)
                for batch in self._file.iter_batches(rows, [group], columns, use_threads=False):
                    if first + batch.num_rows > start:
                        yield first, batch
                    first += batch.num_rows
            else:
                first += about.num_rows

    def texts(self, column: str) -> list[str]:
        top = column.partition(".")[0]
        batches = self._file.iter_batches(65536, columns=[column], use_threads=False)
        return [text for batch in batches for text in _texts(batch.column(top), column)]

    def first(self, column: str) -> Any:
        for batch in self._file.iter_batches(1, columns=[column], use_threads=False):
            if batch.column(0)[0].is_valid:
                return batch.column(0)[0].as_py()
        return None


class _Arrow:
    """Mapped into memory: what is not looked at is not read."""

    def __init__(self, source: Any, is_file: bool) -> None:
        import pyarrow

        self._source, self._is_file = source, is_file
        open_ = pyarrow.ipc.open_file if is_file else pyarrow.ipc.open_stream
        self._reader = lambda: (source.seek(0), open_(source))[1]
        self.schema = self._reader().schema
        self.count = sum(batch.num_rows for batch in self._all())

    def batches(self, columns: list[str], start: int) -> Iterator[tuple[int, Any]]:
        first = 0
        for batch in self._all():
            if first + batch.num_rows > start:
                batch.validate(full=True)  # what is damaged would end the process when it is looked at
                yield first, batch
            first += batch.num_rows

    def texts(self, column: str) -> list[str]:
        top = column.partition(".")[0]
        return [text for batch in self._all() for text in _texts(batch.column(top), column)]

    def first(self, column: str) -> Any:
        values = (value for batch in self._all() for value in batch.column(column))
        return next((value.as_py() for value in values if value.is_valid), None)

    def _all(self) -> Iterator[Any]:
        reader = self._reader()
        if self._is_file:
            yield from map(reader.get_batch, range(reader.num_record_batches))
        else:
            yield from reader


def _texts(values: Any, column: str) -> list[str]:
    inner = column.partition(".")[2]
    if inner:
        values = values.field(inner)
    return ["" if value is None else str(value) for value in values.to_pylist()]
