"""What the LMDB formats share: finding the keys, reading a value."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lmdb

from interbert.sources.importers.record import ImageRecord, ImportFault

_LISTS = (b"keys", b"__keys__", b"__len__")
_SHOWN = 60


class LmdbSource:
    """The records of one LMDB, in the order of its own list of keys where it has one."""

    class_names = None

    def __init__(
        self,
        inputs: list[Path],
        keys_of: Callable[[bytes], Any],
        record_of: Callable[[bytes, bytes], ImageRecord],
    ) -> None:
        if len(inputs) != 1:
            raise ImportFault(f"{len(inputs)} inputs; give one LMDB (several: import each into a store)")
        self.path = inputs[0]
        self.files = sorted(self.path.glob("data.mdb")) if self.path.is_dir() else [self.path]
        if not self.files:
            raise ImportFault(f"{self.path}: a folder without data.mdb; give the folder or file of an LMDB")
        self._record_of = record_of
        self._environment = None
        self.keys = self._keys(keys_of)

    def where(self, number: int) -> str:
        return f"{self.path}, record {number} (key {self.keys[number].decode(errors='replace')!r})"

    def name(self, number: int) -> str | None:
        return None

    def read(self, number: int) -> ImageRecord:
        key = self.keys[number]
        with self._open().begin(buffers=False) as transaction:
            value = transaction.get(key)
        if value is None:
            raise ImportFault("the list of keys names it, but there is no such record")
        return self._record_of(key, value)

    def _open(self) -> lmdb.Environment:
        if self._environment is None:
            try:
                self._environment = lmdb.open(
                    str(self.path), subdir=self.path.is_dir(), readonly=True, lock=False, readahead=False
                )
            except lmdb.Error as error:
                raise ImportFault(f"{self.path}: not a readable LMDB ({error})") from None
        return self._environment

    def _keys(self, keys_of: Callable[[bytes], Any]) -> list[bytes]:
        with self._open().begin() as transaction:
            for name in _LISTS[:2]:
                if (listed := transaction.get(name)) is not None:
                    try:
                        found = keys_of(bytes(listed))
                    except ValueError as error:
                        raise ImportFault(f"{self.path}, record {name.decode()!r}: {error}") from None
                    if not isinstance(found, list | tuple):
                        raise ImportFault(
                            f"{self.path}, record {name.decode()!r}: {type(found).__name__}, not a list of keys"
                        )
                    return [key if isinstance(key, bytes) else str(key).encode() for key in found]
            # An interrupted writer leaves no list: its records are as good.
            return [key for key in transaction.cursor().iternext(values=False) if key not in _LISTS]


def need(record: Any, *fields: str) -> list[Any]:
    """These fields of a dictionary, all of which must be there."""
    if not isinstance(record, dict):
        raise ImportFault(f"a {type(record).__name__}, not a dictionary")
    missing = [name for name in fields if name not in record]
    if missing:
        raise ImportFault(f"lacks {', '.join(missing)}; it has {', '.join(map(str, record))[:_SHOWN]}")
    return [record[name] for name in fields]
