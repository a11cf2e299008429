"""WARC files: plain, gzip, zstd or LZ4. What cannot be read is named, and reading goes on at the next record."""

import os
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from fastwarc import ArchiveIterator, WarcRecordType

from interbert.curate.reading.encoded import plain
from interbert.curate.reading.records import (
    Bad,
    Begin,
    Elsewhere,
    Limits,
    RawImage,
    RawPage,
    Record,
    all_of_them,
)

_KINDS = WarcRecordType.response | WarcRecordType.resource | WarcRecordType.revisit
_MEMBER = re.compile(rb"\x1f\x8b\x08[\x00-\x1f]|\x28\xb5\x2f\xfd|\x04\x22\x4d\x18|WARC/[01]\.")
"""Where a record may begin in the file: a member of gzip, a frame of zstd or LZ4, or a plain one."""
_LENGTH = re.compile(rb"(?i)^content-length:\s*(\d+)", re.M)
_BLOCK = 1 << 20
_SEVERAL = (
    "several records lie in one compressed member, so that none of its images can be found again, and all are left "
    "out: write it anew, as by `fastwarc recompress`"
)


class Warc:
    def __init__(self, path: Path, limits: Limits) -> None:
        self._path, self._limits = path, limits

    def records(self, begin: Begin = all_of_them) -> Iterator[Record]:
        without_images = self._several_in_a_member()
        if without_images:
            yield Bad(0, _SEVERAL)
        start, last = 0, -1
        while start is not None:
            try:
                with open(self._path, "rb") as file:
                    for record in _records(file, start):
                        last = record.stream_pos
                        try:
                            found = self._look(record, begin)
                        except ValueError as error:
                            found = Bad(last, str(error))
                        if found is not None and not (without_images and isinstance(found, RawImage)):
                            yield found
                if not self._ends_whole(max(last, start)):
                    yield Bad(max(last, start), "the file ends in the midst of a record behind this place")
                return
            except Exception as error:  # whatever a damaged file makes the library say
                last = max(last, start)
                yield Bad(last, f"not a whole record ({' '.join(str(error).split())[:200]})")
                start = self._next_member(last + 1)
                last = -1 if start is None else start

    def image(self, place: int, size: int) -> bytes:
        with open(self._path, "rb") as file:
            record = next(_records(file, place), None)
            return b"" if record is None else _body(record, self._limits.record_bytes, size)

    def _look(self, record: Any, begin: Begin) -> Record | None:
        url = (record.headers.get("WARC-Target-URI") or "").strip("<> ")
        place = record.stream_pos
        # Of those that are not wanted, too: stepping over a film takes its time.
        if not begin(place, url):
            return None
        if record.record_type == WarcRecordType.revisit:
            return Elsewhere(place)
        headers = record.http_headers if record.is_http else None
        if not url.startswith(("http:", "https:", "file:")) or (record.is_http and headers is None):
            return None
        if headers is not None and headers.status_code != 200:
            return None
        kind = (record.http_content_type if headers is not None else record.headers.get("Content-Type")) or ""
        kind = kind.partition(";")[0].strip().lower()
        is_page = "html" in kind
        if not is_page and not kind.startswith("image/"):
            return None
        if record.content_length > self._limits.record_bytes:
            return Bad(place, f"{url}: a record of {record.content_length:,} bytes")
        most = self._limits.page_bytes if is_page else self._limits.image_bytes
        body = _body(record, self._limits.record_bytes, most + 1)
        if len(body) > most:
            return Bad(place, f"{url}: more than {most:,} bytes")
        directives = ", ".join(headers.get_multiple("X-Robots-Tag")) if headers is not None else ""
        if is_page:
            return RawPage(url, place, body, record.http_charset if headers is not None else None, directives)
        return RawImage(url, place, body, directives)

    def _several_in_a_member(self) -> bool:
        """Whether the first one has more than a record: of those behind it nobody knows where they begin."""
        with open(self._path, "rb") as file:
            if file.read(2) != b"\x1f\x8b":
                return False
            file.seek(0)
            member, data = zlib.decompressobj(31), b""
            while not member.eof and len(data) < _BLOCK and (block := file.read(_BLOCK)):
                data += member.decompress(block, _BLOCK - len(data))
        head, _, body = data.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        return length is not None and bool(body[int(length[1]) :].strip(b"\r\n"))

    def _next_member(self, start: int) -> int | None:
        with open(self._path, "rb") as file:
            while start < os.fstat(file.fileno()).st_size:
                file.seek(start)
                block = file.read(_BLOCK)
                for match in _MEMBER.finditer(block):
                    if self._begins(start + match.start()):
                        return start + match.start()
                start += max(len(block) - 16, 1)
        return None

    def _ends_whole(self, start: int) -> bool:
        """From a record to the end of the file: the library takes a torn end of gzip and of plain files for the end,
        but not of zstd and LZ4."""
        with open(self._path, "rb") as file:
            file.seek(start)
            packed = file.read(2) == b"\x1f\x8b"
            file.seek(start)
            return _members_are_whole(file) if packed else _lengths_fit(file)

    def _begins(self, start: int) -> bool:
        with open(self._path, "rb") as file:
            try:
                next(_records(file, start))
            except Exception:
                return False
        return True


def _records(file: IO[bytes], start: int) -> Iterator[Any]:
    file.seek(start)
    return iter(ArchiveIterator(file, _KINDS, auto_decode="none", strict_mode=False))


def _body(record: Any, most: int, most_decoded: int) -> bytes:
    parts, left = [], most
    while left and (part := record.reader.read(left)):
        parts.append(part)
        left -= len(part)
    headers = record.http_headers if record.is_http else None
    if headers is None:
        return b"".join(parts)[:most_decoded]
    transfer, content = (headers.get(name) or "" for name in ("Transfer-Encoding", "Content-Encoding"))
    return plain(b"".join(parts), transfer, content, most_decoded)


def _members_are_whole(file: IO[bytes]) -> bool:
    member, left, ended = zlib.decompressobj(31), b"", True
    while block := left or file.read(_BLOCK):
        member.decompress(block, _BLOCK)
        left, ended = member.unconsumed_tail, member.eof
        if ended:
            left, member = member.unused_data, zlib.decompressobj(31)
    return ended


def _lengths_fit(file: IO[bytes]) -> bool:
    """Of plain records, and of whatever else is no gzip and has no lengths to look at."""
    place, size = file.tell(), os.fstat(file.fileno()).st_size
    while place < size:
        file.seek(place)
        head, end, _ = file.read(1 << 16).partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if not head.lstrip().startswith(b"WARC/"):
            return True
        if not end or length is None:
            return False
        place += len(head) + 4 + int(length[1])
        if place > size:
            return False
        file.seek(place)
        place += len(file.read(4)) if size - place >= 4 else size - place
    return True
