"""LMDBs of strangers: opened for reading, their lists of keys, and what a record holds."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lmdb

from interbert.sources.foreign_files import safe_msgpack, safe_pickle
from interbert.sources.foreign_files.lmdb_pages import all_records_there
from interbert.sources.record import ImportFault

LISTS = (b"keys", b"__keys__", b"__len__")
SIGNATURE = b"\xde\xc0\xef\xbe"
"""Of an LMDB's first page, after a head of 16 bytes."""


def data_files(path: Path) -> list[Path]:
    files = sorted(path.glob("data.mdb")) if path.is_dir() else [path]
    if not files:
        raise ImportFault(f"{path}: a folder without data.mdb; give the folder or file of an LMDB")
    return files


def open_lmdb(path: Path) -> lmdb.Environment:
    try:
        found = lmdb.open(str(path), subdir=path.is_dir(), readonly=True, lock=False, readahead=False)
    except lmdb.Error as error:
        raise ImportFault(f"{path}: not a readable LMDB ({error})") from None
    # It is mapped into memory: what is not there would end the process, without a word.
    page, file = found.stat()["psize"], data_files(path)[0]
    if not all_records_there(file, page):
        size, there = (found.info()["last_pgno"] + 1) * page, file.stat().st_size
        found.close()
        what = (
            f"cut: {there:,} of {size:,} bytes are there"
            if there < size
            else "damaged: it names what is not there"
        )
        remedy = "copy the LMDB again, or, if this is the original, write it anew by `python -m lmdb copy`"
        raise ImportFault(f"{path}: {what}; {remedy}")
    return found


def first_records(path: Path, most: int) -> Iterator[tuple[bytes, bytes]]:
    with open_lmdb(path) as environment, environment.begin() as transaction:
        for key, value in transaction.cursor():
            if key not in LISTS:
                yield key, value
                most -= 1
            if most < 1:
                return


def listed_keys(path: Path, transaction: lmdb.Transaction, name: bytes) -> list[bytes] | None:
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


def unpacked(value: bytes | memoryview) -> Any:
    """What is in a record: a pickle, JSON or MessagePack, told by its first bytes."""
    if is_pickle(value):
        return safe_pickle.loads(value)
    if value[:1] in (b"[", b"{") and value[-1:] in (b"]", b"}"):
        try:
            return json.loads(bytes(value))
        except (ValueError, RecursionError) as error:
            raise ImportFault(f"not readable JSON ({error})") from None
    return safe_msgpack.loads(value)


def is_pickle(value: bytes | memoryview) -> bool:
    """Pickles end with a dot and begin with their protocol, or, of the oldest, with a mark."""
    return value[-1:] == b"." and bool(re.match(rb"\x80[\x02-\x05]|[(\]})]|c\w", value[:2]))


def text_of(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
