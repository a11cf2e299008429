"""What the LMDB formats share: finding the keys, reading a value."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lmdb
import numpy as np

from interbert.sources.features.fields.choices import Choices
from interbert.sources.features.fields.first_rows import habits_of_rows
from interbert.sources.features.fields.record_of import record_of
from interbert.sources.features.fields.row import Row, texts_from
from interbert.sources.foreign_files.lmdb_files import LISTS, data_files, listed_keys, open_lmdb, text_of
from interbert.sources.foreign_files.lying import refuse_if_cut
from interbert.sources.record import ImageRecord, ImportFault


class LmdbSource:
    """The records of one LMDB or several, each in the order of its own list of keys where it has one."""

    class_names = attribute_names = None

    def __init__(
        self,
        inputs: list[Path],
        choices: Choices,
        row_of: Callable[[bytes, bytes | memoryview], dict[str, Any]],
        id_of: Callable[[bytes], str] | None = None,
    ) -> None:
        """row_of: the fields in a key and its value; `caption` among them comes along. id_of: of the key alone."""
        self.paths = inputs
        self.files = [file for path in inputs for file in data_files(path)]
        self.notes: list[str] = []
        self._row_of, self._id_of, self._choices = row_of, id_of, choices
        self._open = [open_lmdb(path) for path in inputs]
        self._sizes = [file.stat().st_size for file in self.files]
        keys = [self._keys(path, opened) for path, opened in zip(inputs, self._open, strict=True)]
        self._first = np.cumsum([0, *map(len, keys)])
        self.keys = [key for of_one in keys for key in of_one]
        self._habits = habits_of_rows(self._named_row, len(self.keys), choices, str(inputs[0]))
        self.notes += self._habits.notes

    def where(self, number: int) -> str:
        place, key = self._place(number), self.keys[number].decode(errors="replace")
        return f"{self.paths[place]}, record {number - self._first[place]} (key {key!r})"

    def name(self, number: int) -> str | None:
        """Without understanding the arrays; None where the record is no good."""
        key = self.keys[number]
        if self._id_of is not None:
            return self._id_of(key)
        try:
            row = Row(self.row(number))
            return row.text("image_id") if "image_id" in row else text_of(key)
        except ValueError:
            return None

    def row(self, number: int) -> dict[str, Any]:
        key = self.keys[number]
        refuse_if_cut(self.files[self._place(number)], self._sizes[self._place(number)])
        try:
            with self._open[self._place(number)].begin(buffers=True) as transaction:
                value = transaction.get(key)
                if value is None:
                    raise ImportFault("the list of keys names it, but there is no such record")
                return self._row_of(key, value)  # of which nothing may lie in the LMDB itself
        except lmdb.Error as error:
            raise ImportFault(f"cannot be read ({error}); copy the LMDB again") from None

    def _named_row(self, number: int) -> dict[str, Any]:
        row = self.row(number)
        return row if "image_id" in Row(row) else row | {"image_id": text_of(self.keys[number])}

    def read(self, number: int) -> ImageRecord:
        row = self.row(number)
        record = record_of(row, self._habits, self._choices, key=text_of(self.keys[number]))
        record.captions = [text for text in texts_from(row.get("caption"), "caption") if text.strip()]
        return record

    def _place(self, number: int) -> int:
        """Which LMDB the record is in."""
        return int(np.searchsorted(self._first, number, side="right")) - 1

    def _keys(self, path: Path, environment: lmdb.Environment) -> list[bytes]:
        with environment.begin() as transaction:
            listed = next(
                (found for name in LISTS[:2] if (found := listed_keys(path, transaction, name))), None
            )
            if listed is None:
                # An interrupted writer leaves no list: its records are as good.
                return [key for key in transaction.cursor().iternext(values=False) if key not in LISTS]
            lists = sum(transaction.get(name) is not None for name in LISTS)
        keys = list(dict.fromkeys(listed))
        if len(keys) < len(listed):
            again = Counter(listed).most_common(1)[0][0].decode(errors="replace")
            self.notes.append(
                f"{path}: {len(listed) - len(keys):,} keys are listed again (such as {again!r}); each is read once"
            )
        unlisted = environment.stat()["entries"] - lists - len(keys)
        if unlisted > 0:
            self.notes.append(f"{path}: {unlisted:,} records are not in its list of keys and are not read")
        return keys
