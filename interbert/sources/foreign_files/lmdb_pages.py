"""Whether all records of an LMDB are in its file, asked of the pages themselves.

LMDB does not look: what is named and not there would end the process when it is read. And a file that ends before the
last page that is counted may lack nothing: a writer took pages, and gave them back before its transaction ended.
"""

import os
import struct
from collections.abc import Iterator
from pathlib import Path

_META = struct.Struct("<16x I I 16x I 44x 40x Q Q Q")
"""Behind the page's head: a mark, a version, a page's size; the records' root, the last page, the transaction."""
_MARK, _VERSION, _NO_PAGE = 0xBEEFC0DE, 1, (1 << 64) - 1
_PAGE, _NODE = struct.Struct("<8x 2x H H"), struct.Struct("<HHHH")
_HEAD, _BRANCH, _LEAF = 16, 1, 2
_ELSEWHERE, _OTHERS = 1, 6
"""Flags of a node: its value has pages of its own; it is a data base, or several values."""


def all_records_there(path: Path, page_size: int) -> bool:
    """False too where that cannot be told, as of several values of a key in a file that is too short."""
    with open(path, "rb", buffering=0) as file:
        try:
            root, last = _newest(file.fileno(), page_size)
            pages = os.fstat(file.fileno()).st_size // page_size
            return all(_records(file.fileno(), root, min(pages, last + 1), page_size, pages > last))
        except (struct.error, OverflowError, OSError):
            return False


def _newest(file: int, page_size: int) -> tuple[int, int]:
    """(root, last page) of the newer one of the two transactions that a file begins with."""
    found = [_META.unpack(os.pread(file, _META.size, place)) for place in (0, page_size)]
    *_, root, last, _ = max(
        (meta for meta in found if meta[:3] == (_MARK, _VERSION, page_size)), key=lambda m: m[-1]
    )
    return root, last


def _records(file: int, root: int, pages: int, page_size: int, is_whole: bool) -> Iterator[bool]:
    """Of each page and record whether it is there. is_whole: so are the pages, which some may be of what is not
    followed."""
    waiting, seen = [] if root == _NO_PAGE else [root], 0
    while waiting:
        number, seen = waiting.pop(), seen + 1
        yield number < pages and seen <= pages
        page = os.pread(file, page_size, number * page_size)
        kind, lower = _PAGE.unpack_from(page)
        yield kind & (_BRANCH | _LEAF) in (_BRANCH, _LEAF) and _HEAD <= lower <= page_size and lower % 2 == 0
        for (place,) in struct.iter_unpack("<H", page[_HEAD:lower]):
            low, high, flags, key = _NODE.unpack_from(page, place)
            size, place = low | high << 16, place + _NODE.size + key
            if kind & _BRANCH:
                waiting.append(size | flags << 32)
            elif flags & _ELSEWHERE:
                (first,) = struct.unpack_from("<Q", page, place)
                yield first + (_HEAD - 1 + size) // page_size + 1 <= pages
            else:
                yield place + size <= page_size and (is_whole or not flags & _OTHERS)
            yield place <= page_size
