"""Whether files of zstd or LZ4 end where their last frame does, by the lengths that frames and blocks begin with:
nothing is decoded."""

import os
from typing import IO

_ZSTD, _LZ4 = 0xFD2FB528, 0x184D2204
_SKIPPED = 0x184D2A50
"""And the fifteen numbers behind it: frames of both that are no data."""


def is_framed(mark: bytes) -> bool:
    number = int.from_bytes(mark, "little")
    return len(mark) == 4 and (number in (_ZSTD, _LZ4) or number & ~15 == _SKIPPED)


def frames_are_whole(file: IO[bytes]) -> bool:
    """From where the file stands, to its end."""
    size = os.fstat(file.fileno()).st_size
    while file.tell() < size:
        mark = file.read(4)
        if not is_framed(mark):
            return False
        number = int.from_bytes(mark, "little")
        walk = {_ZSTD: _walk_zstd, _LZ4: _walk_lz4}.get(number, _walk_skipped)
        try:
            walk(file)
        except EOFError:
            return False
        if file.tell() > size:
            return False
    return True


def _walk_zstd(file: IO[bytes]) -> None:
    about = _number(file, 1)
    alone, checked = about >> 5 & 1, about >> 2 & 1
    size_bytes = (1 if alone else 0, 2, 4, 8)[about >> 6]
    dictionary_bytes = (0, 1, 2, 4)[about & 3]
    _step(file, (0 if alone else 1) + dictionary_bytes + size_bytes)
    last = False
    while not last:
        block = _number(file, 3)
        last, kind, length = bool(block & 1), block >> 1 & 3, block >> 3
        _step(file, 1 if kind == 1 else length)  # kind 1: one byte, said many times
    _step(file, 4 * checked)


def _walk_lz4(file: IO[bytes]) -> None:
    about = _number(file, 2)
    block_checked, sized, checked, dictionary = (about >> bit & 1 for bit in (4, 3, 2, 0))
    _step(file, 8 * sized + 4 * dictionary + 1)
    while length := _number(file, 4) & 0x7FFFFFFF:
        _step(file, length + 4 * block_checked)
    _step(file, 4 * checked)


def _walk_skipped(file: IO[bytes]) -> None:
    _step(file, _number(file, 4))


def _number(file: IO[bytes], width: int) -> int:
    data = file.read(width)
    if len(data) < width:
        raise EOFError
    return int.from_bytes(data, "little")


def _step(file: IO[bytes], width: int) -> None:
    file.seek(width, os.SEEK_CUR)
