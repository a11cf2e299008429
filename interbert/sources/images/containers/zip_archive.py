"""A zip of images, their captions beside them."""

import os
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np

from interbert.sources.images.containers.archive import Archive
from interbert.sources.images.containers.container import Fields, ImageError

_LOCAL = struct.Struct("<4s22xHH")
"""The header before a file's bytes: signature, lengths of name and extra field."""
_LOCAL_SIGNATURE = b"PK\x03\x04"


class ZipArchive(Archive):
    """Its list of files is read by the standard library, the files themselves where they lie."""

    def __init__(self, path: Path, fields: Fields) -> None:
        files = _files(path)
        super().__init__(path, [info.filename.removeprefix("./") for info in files], fields)
        self._table = np.array([_row(info) for info in files], np.int64).reshape(-1, 5)
        """[F, 5]: place of the local header, bytes there, bytes unpacked, CRC, way of packing."""

    def size(self, number: int) -> int:
        return int(self._table[self.place_of(number), 1:3].sum())

    def bytes_of(self, place: int) -> int:
        return int(self._table[place, 2])

    def part(self, handle: int, place: int) -> bytes:
        header, packed, size, crc, way = self._table[place].tolist()
        signature, name, extra = _LOCAL.unpack(os.pread(handle, _LOCAL.size, header))
        if signature != _LOCAL_SIGNATURE:
            raise ImageError("the zip's list names a place where no file begins; copy or download it again")
        data = os.pread(handle, packed, header + _LOCAL.size + name + extra)
        if way == zipfile.ZIP_DEFLATED:
            # One byte more than promised is enough to see that the promise is not kept.
            data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, size + 1)
        elif way != zipfile.ZIP_STORED:
            raise ImageError(f"packed in way {way}, which is not read; pack the zip anew with deflate")
        if len(data) != size or zlib.crc32(data) != crc:
            raise ImageError("damaged in the zip (its size or CRC is another); copy or download it again")
        return data


def _files(path: Path) -> list[zipfile.ZipInfo]:
    try:
        with zipfile.ZipFile(path) as archive:
            # Of a name that comes twice, the last, as it is unpacked.
            files = list({info.filename: info for info in archive.infolist() if not info.is_dir()}.values())
    except (zipfile.BadZipFile, OSError, EOFError, ValueError, NotImplementedError) as error:
        raise ImageError(f"{path}: not a whole zip ({error}); copy or download it again") from None
    if any(info.flag_bits & 1 for info in files):
        raise ImageError(f"{path}: encrypted; unzip it with its password, and give the folder")
    return files


def _row(info: zipfile.ZipInfo) -> tuple[int, int, int, int, int]:
    return info.header_offset, info.compress_size, info.file_size, info.CRC, info.compress_type
