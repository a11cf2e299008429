"""Files of lines as they lie about: plain, gzip, zip, a folder of parts; each opened so that it can be sought in."""

import codecs
import gzip
import io
import mmap
import os
import zipfile
import zlib
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeVar

import numpy as np

from interbert.sources.foreign_files.lying import refuse_if_cut
from interbert.sources.record import MOST_BYTES, ImportFault

T = TypeVar("T")
_BLOCK = 1 << 24
_SMALL = 4096
CUT = (OSError, EOFError, zlib.error, zipfile.BadZipFile)
"""What is said of a file that is packed and not whole."""
_BESIDE = (".lineidx", ".json", ".md", ".txt", ".npy", ".npz", ".pkl", ".lock", ".sh", ".py", ".log", ".yaml")
"""What lies beside the parts of a TSV and is none."""


@dataclass(frozen=True)
class Part:
    path: Path
    name: str
    """What messages call it."""
    open: Callable[[], BinaryIO]


def parts_of(inputs: list[Path]) -> list[Part]:
    # A shell's * names them along with the rows that they are of.
    given = [path for path in inputs if path.suffix != ".lineidx"] or inputs
    return [part for path in given for file in _files(path) for part in _parts(file)]


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = sorted(file for file in path.iterdir() if file.is_file() and not file.name.startswith("."))
    found = _of_rows(files, lambda file: file.name)
    if not found:
        raise ImportFault(f"{path}: a folder without a file of rows")
    return found


def _of_rows(files: list[T], name_of: Callable[[T], str]) -> list[T]:
    """Those that are called TSV, else all that are not known to lie beside such."""
    there = [file for file in files if Path(name_of(file)).suffix not in _BESIDE]
    return [file for file in there if ".tsv" in name_of(file)] or there


def _parts(path: Path) -> list[Part]:
    with open(path, "rb") as file:
        start = file.read(4)
    if start[:2] == b"\x1f\x8b":
        return [Part(path, str(path), lambda: gzip.open(path, "rb"))]
    if start != b"PK\x03\x04":
        return [Part(path, str(path), lambda: open(path, "rb"))]
    try:
        names = sorted(info.filename for info in zipfile.ZipFile(path).infolist() if not info.is_dir())
    except zipfile.BadZipFile as error:
        raise ImportFault(f"{path}: not a readable zip ({error})") from None
    names = [name for name in names if not name.rpartition("/")[2].startswith((".", "_"))]
    names = _of_rows(names, lambda name: name.rpartition("/")[2])
    return [Part(path, f"{path}/{n}", lambda n=n: zipfile.ZipFile(path).open(n)) for n in names]


class Lines:
    """The lines of a part that are not empty, read by their numbers; compressed parts are quick forward only.

    A plain file is mapped into memory: its large cells are handed on where they lie.
    """

    def __init__(self, part: Part) -> None:
        self.part = part
        try:
            self._file = part.open()
            self._mapped = _map(self._file)
            starts = _line_starts(self._file) if self._mapped is None else _mapped_starts(self._mapped)
            if len(starts) > 1 and self._begins_with(codecs.BOM_UTF8, int(starts[0])):
                starts[0] += len(codecs.BOM_UTF8)
            self._starts = starts
            """int64 [lines + 1]: where each that is not empty begins, and the end of all."""
        except CUT as error:
            raise ImportFault(f"{part.name}: cannot be read to its end ({error})") from None

    def __len__(self) -> int:
        return len(self._starts) - 1

    def _begins_with(self, mark: bytes, start: int) -> bool:
        self._file.seek(start)
        return self._file.read(len(mark)) == mark

    def read(self, number: int, most: int = -1) -> bytes:
        """Without its end; no more than `most` bytes of it."""
        start = self._start(number, most)
        try:
            self._file.seek(start)
            return self._file.readline(most).rstrip(b"\r\n")
        except CUT as error:
            raise ImportFault(f"cannot be read ({error})") from None

    def _start(self, number: int, most: int = -1) -> int:
        start, end = self._starts[number : number + 2].tolist()
        if most < 0 and end - start > MOST_BYTES:
            raise ImportFault(f"a line of {end - start:,} bytes; {MOST_BYTES:,} are the most of an image")
        return start

    def cells(self, number: int) -> list[bytes | memoryview]:
        """What stands between the tabs of a line."""
        if self._mapped is None:
            return self.read(number).split(b"\t")
        refuse_if_cut(self._file.fileno(), len(self._mapped))
        start, view, cells = self._start(number), memoryview(self._mapped), []
        end = self._mapped.find(b"\n", start)
        end = len(view) if end < 0 else end
        while end > start and view[end - 1] == 13:  # \r
            end -= 1
        while True:
            tab = self._mapped.find(b"\t", start, end)
            cell = view[start : end if tab < 0 else tab]
            cells.append(cell if len(cell) > _SMALL else bytes(cell))
            if tab < 0:
                return cells
            start = tab + 1


def _map(file: BinaryIO) -> mmap.mmap | None:
    if not isinstance(file, io.BufferedReader) or not os.fstat(file.fileno()).st_size:
        return None
    return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _mapped_starts(data: mmap.mmap) -> np.ndarray:
    starts, begin = array("q"), 0
    while (at := data.find(b"\n", begin)) >= 0:
        if at > begin:
            starts.append(begin)
        begin = at + 1
    return _ended(starts, begin, len(data))


def _line_starts(file: BinaryIO) -> np.ndarray:
    """The same of a file that cannot be mapped."""
    starts, begin, place = array("q"), 0, 0
    while block := file.read(_BLOCK):
        at = block.find(b"\n")
        while at >= 0:
            if place + at > begin:
                starts.append(begin)
            begin = place + at + 1
            at = block.find(b"\n", at + 1)
        place += len(block)
    return _ended(starts, begin, place)


def _ended(starts: array, begin: int, size: int) -> np.ndarray:
    """With the last line, which may lack its end, and the end of all."""
    if size > begin:
        starts.append(begin)
    starts.append(size)
    return np.array(starts, np.int64)
