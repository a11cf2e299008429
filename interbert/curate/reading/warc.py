"""WARC files: plain, gzip, zstd or LZ4. What cannot be read is named, and reading goes on at the next record."""

import os
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from fastwarc import ArchiveIterator, WarcRecordType

from interbert.curate.reading.records import Bad, Limits, RawImage, RawPage, Record

_KINDS = WarcRecordType.response | WarcRecordType.resource
_MEMBER = re.compile(rb"\x1f\x8b\x08[\x00-\x1f]|\x28\xb5\x2f\xfd|WARC/[01]\.")
"""Where a record may begin in the file: a member of gzip, a frame of zstd, or a plain one."""
_BLOCK = 1 << 20


class Warc:
    def __init__(self, path: Path, limits: Limits) -> None:
        self._path, self._limits = path, limits

    def records(self) -> Iterator[Record]:
        start, last = 0, -1
        while start is not None:
            try:
                with open(self._path, "rb") as file:
                    for record in _records(file, start):
                        last = record.stream_pos
                        found = self._look(record)
                        if found is not None:
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
            return _body(next(_records(file, place)), size)

    def _look(self, record: Any) -> Record | None:
        url = (record.headers.get("WARC-Target-URI") or "").strip("<> ")
        place = record.stream_pos
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
        body = _body(record, most + 1)
        if len(body) > most:
            return Bad(place, f"{url}: more than {most:,} bytes")
        directives = ", ".join(headers.get_multiple("X-Robots-Tag")) if headers is not None else ""
        if is_page:
            return RawPage(url, place, body, record.http_charset if headers is not None else None, directives)
        return RawImage(url, place, body, directives)

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
        """Of gzip and plain files, from a record to the end: the library takes a torn end for the end."""
        with open(self._path, "rb") as file:
            file.seek(start)
            if file.read(2) != b"\x1f\x8b":
                file.seek(start)
                head = file.read(1 << 16).partition(b"\r\n\r\n")[0]
                length = re.search(rb"(?i)^content-length:\s*(\d+)", head, re.M)
                rest = os.fstat(file.fileno()).st_size - start - len(head) - 4
                return length is None or rest >= int(length[1])
            file.seek(start)
            member, left = zlib.decompressobj(31), b""
            while block := left or file.read(_BLOCK):
                member.decompress(block, _BLOCK)
                left = member.unconsumed_tail
                if member.eof:
                    left, member = member.unused_data, zlib.decompressobj(31)
                    fresh = True
                else:
                    fresh = False
            return fresh

    def _begins(self, start: int) -> bool:
        with open(self._path, "rb") as file:
            try:
                next(_records(file, start))
            except Exception:
                return False
        return True


def _records(file: IO[bytes], start: int) -> Iterator[Any]:
    file.seek(start)
    return iter(ArchiveIterator(file, _KINDS, auto_decode="all", strict_mode=False))


def _body(record: Any, most: int) -> bytes:
    parts, left = [], most
    while left and (part := record.reader.read(left)):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)
