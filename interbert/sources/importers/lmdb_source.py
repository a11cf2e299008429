"""What the LMDB formats share: finding the keys, reading a value."""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lmdb
import numpy as np

from interbert.sources.importers import safe_msgpack, safe_pickle
from interbert.sources.importers.choices import Choices
from interbert.sources.importers.fields import Row, habits_of_rows, record_of
from interbert.sources.importers.record import ImageRecord, ImportFault

LISTS = (b"keys", b"__keys__", b"__len__")
SIGNATURE = b"\xde\xc0\xef\xbe"
"""Of an LMDB's first page, after a head of 16 bytes."""


class LmdbSource:
    """The records of one LMDB or several, each in the order of its own list of keys where it has one."""

    class_names = attribute_names = None

    def __init__(
        self,
        inputs: list[Path],
        choices: Choices,
        row_of: Callable[[bytes, bytes], dict[str, Any]],
        id_of: Callable[[bytes], str] | None = None,
    ) -> None:
        """row_of: the fields in a key and its value; `caption` among them comes along. id_of: of the key alone."""
        self.paths = inputs
        self.files = [file for path in inputs for file in data_files(path)]
        self.notes: list[str] = []
        self._row_of, self._id_of, self._choices = row_of, id_of, choices
        self._open = [open_lmdb(path) for path in inputs]
        keys = [self._keys(path, opened) for path, opened in zip(inputs, self._open, strict=True)]
        self._first = np.cumsum([0, *map(len, keys)])
        self.keys = [key for of_one in keys for key in of_one]
        self._habits = habits_of_rows(self.row, len(self.keys), choices, str(inputs[0]))
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
        try:
            with self._open[self._place(number)].begin(buffers=False) as transaction:
                value = transaction.get(key)
        except lmdb.Error as error:
            raise ImportFault(f"cannot be read ({error}); copy the LMDB again") from None
        if value is None:
            raise ImportFault("the list of keys names it, but there is no such record")
        return self._row_of(key, value)

    def read(self, number: int) -> ImageRecord:
        row = self.row(number)
        record = record_of(row, self._habits, self._choices, key=text_of(self.keys[number]))
        caption = text_of(row.get("caption") or "")
        record.captions = [caption] if caption.strip() else []
        return record

    def _place(self, number: int) -> int:
        """Which LMDB the record is in."""
        return int(np.searchsorted(self._first, number, side="right")) - 1

    def _keys(self, path: Path, environment: lmdb.Environment) -> list[bytes]:
        with environment.begin() as transaction:
            listed = next((found for name in LISTS[:2] if (found := _listed(path, transaction, name))), None)
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


def data_files(path: Path) -> list[Path]:
    files = sorted(path.glob("data.mdb")) if path.is_dir() else [path]
    if not files:
        raise ImportFault(f"{path}: a folder without data.mdb; give the folder or file of an LMDB")
    return files


def open_lmdb(path: Path) -> lmdb.Environment:
    try:
        return lmdb.open(str(path), subdir=path.is_dir(), readonly=True, lock=False, readahead=False)
    except lmdb.Error as error:
        raise ImportFault(f"{path}: not a readable LMDB ({error})") from None


def first_records(path: Path, most: int) -> Iterator[tuple[bytes, bytes]]:
    with open_lmdb(path) as environment, environment.begin() as transaction:
        for key, value in transaction.cursor():
            if key not in LISTS:
                yield key, value
                most -= 1
            if most < 1:
                return


def _listed(path: Path, transaction: lmdb.Transaction, name: bytes) -> list[bytes] | None:
    value = transaction.get(name)
    if value is None:
        return None
    try:
        found = unpacked(value)
    except ValueError as error:
        raise ImportFault(f"{path}, record {name.decode()!r}: {error}") from None
    if not isinstance(found, list | tuple):
        raise ImportFault(f"{path}, record {name.decode()!r}: {type(found).__name__}, not a list of keys")
    return [key if isinstance(key, bytes) else str(key).encode() for key in found]


def unpacked(value: bytes) -> Any:
    """What is in a record: a pickle, JSON or MessagePack, told by its first bytes."""
    if is_pickle(value):
        return safe_pickle.loads(value)
    if value[:1] in (b"[", b"{") and value[-1:] in (b"]", b"}"):
        try:
            return json.loads(value)
        except (ValueError, RecursionError) as error:
            raise ImportFault(f"not readable JSON ({error})") from None
    return safe_msgpack.loads(value)


def is_pickle(value: bytes) -> bool:
    """Pickles end with a dot and begin with their protocol, or, of the oldest, with a mark."""
    return value[-1:] == b"." and bool(re.match(rb"\x80[\x02-\x05]|[(\]})]|c\w", value[:2]))


def text_of(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
