"""LMDBs that end early: whether something is missing is asked of LMDB itself, in a process that may die of it."""

import os
import struct
import subprocess
import sys
from pathlib import Path

import lmdb
import numpy as np
import pytest

from interbert.sources.foreign_files.lmdb_files import open_lmdb
from interbert.sources.foreign_files.lmdb_pages import all_records_there
from interbert.sources.record import ImportFault

READ = """
import lmdb, sys
with lmdb.open(sys.argv[1], readonly=True, lock=False) as environment, environment.begin() as transaction:
    print(sum(len(key) + sum(value[::100]) for key, value in transaction.cursor()))
"""


def write(folder: Path, records: int = 60) -> Path:
    """Its last pages were taken and given back in one transaction, where there are free ones already."""
    rng = np.random.default_rng(0)
    with lmdb.open(str(folder), map_size=1 << 26) as environment:
        with environment.begin(write=True) as transaction:
            for number in range(records):
                transaction.put(b"%08d" % number, rng.bytes(9000 if number % 3 else 100))
        for number in (1, 4, 7):
            with environment.begin(write=True) as transaction:
                transaction.delete(b"%08d" % number)
        with environment.begin(write=True) as transaction:
            transaction.put(b"last", rng.bytes(9000))
            transaction.put(b"not", bytes(1 << 20))
            transaction.delete(b"not")
    return folder / "data.mdb"


def pages_counted(path: Path) -> int:
    with lmdb.open(str(path.parent), readonly=True, lock=False) as environment:
        return environment.info()["last_pgno"] + 1


def test_pages_that_were_never_written_are_not_missed(tmp_path):
    path = write(tmp_path / "l")
    assert path.stat().st_size < 4096 * pages_counted(path) - (1 << 19)
    with open_lmdb(tmp_path / "l") as environment:
        assert environment.stat()["entries"] == 58


def test_the_last_page_of_a_record_is_missed(tmp_path):
    path = write(tmp_path / "l")
    while all_records_there(path, 4096):
        size = path.stat().st_size
        kept = path.read_bytes()
        os.truncate(path, size - 4096)
    with pytest.raises(ImportFault, match=f"cut: {size - 4096:,} of"):
        open_lmdb(tmp_path / "l")
    read = [sys.executable, "-c", READ, str(tmp_path / "l")]
    assert subprocess.run(read, capture_output=True).returncode < 0, "LMDB itself dies of it"
    path.write_bytes(kept)
    assert subprocess.run(read, capture_output=True).returncode == 0


@pytest.mark.parametrize("lower", [0, 15, 17, 60000])
def test_a_page_that_counts_no_whole_number_of_records_is_damaged(lower, tmp_path):
    path = write(tmp_path / "l")
    data = bytearray(path.read_bytes())
    meta = max((0, 4096), key=lambda place: struct.unpack_from("<Q", data, place + 144)[0])
    (root,) = struct.unpack_from("<Q", data, meta + 128)
    struct.pack_into("<H", data, root * 4096 + 12, lower)
    path.write_bytes(data)
    with pytest.raises(ImportFault, match=r"damaged|cut"):
        open_lmdb(tmp_path / "l")


@pytest.mark.parametrize("to", ["beyond the file", "itself"])
def test_what_a_damaged_page_names_is_not_there(to, tmp_path):
    path = write(tmp_path / "l", records=2000)
    data = bytearray(path.read_bytes())
    meta = max((0, 4096), key=lambda place: struct.unpack_from("<Q", data, place + 144)[0])
    (root,) = struct.unpack_from("<Q", data, meta + 128)
    (node,) = struct.unpack_from("<H", data, root * 4096 + 16)
    struct.pack_into(
        "<HH", data, root * 4096 + node, *((0xFFF0, 7) if to == "beyond the file" else (root, 0))
    )
    path.write_bytes(data)
    os.truncate(path, 4096 * pages_counted(path))
    with pytest.raises(ImportFault, match="damaged: it names what is not there"):
        open_lmdb(tmp_path / "l")


def test_an_empty_one_and_one_of_many_values_are_whole(tmp_path):
    with lmdb.open(str(tmp_path / "a")):
        pass
    with open_lmdb(tmp_path / "a") as environment:
        assert environment.stat()["entries"] == 0
    with lmdb.open(str(tmp_path / "b"), max_dbs=2) as environment:
        named = environment.open_db(b"named", dupsort=True)
        with environment.begin(write=True) as transaction:
            transaction.put(b"a", b"b")
            for number in range(2000):
                transaction.put(b"c", b"%d" % number, db=named)
    open_lmdb(tmp_path / "b").close()
    with pytest.raises(ImportFault, match="cut"):
        os.truncate(tmp_path / "b" / "data.mdb", 4 * 4096)
        open_lmdb(tmp_path / "b")
