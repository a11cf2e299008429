"""ARC files, as crawlers wrote them before WARC: a line of address, host, date, type and length, then the answer."""

import gzip
import os
import zlib
from collections.abc import Iterator
from email.parser import BytesHeaderParser
from pathlib import Path
from typing import IO

from interbert.curate.reading.records import Bad, Begin, Limits, RawImage, RawPage, Record, all_of_them

_LINE = 1 << 16


class Arc:
    def __init__(self, path: Path, limits: Limits) -> None:
        self._path, self._limits = path, limits
        self._file: IO[bytes] | None = None
        with open(path, "rb") as file:
            self._packed = file.read(2) == b"\x1f\x8b"

    def records(self, begin: Begin = all_of_them) -> Iterator[Record]:
        with self._open() as file:
            while True:
                place = file.tell()
                try:
                    line = file.readline(_LINE)
                    if not line:
                        return
                    if not line.strip():
                        continue
                    yield from self._read(file, place, line, begin)
                except (OSError, EOFError, zlib.error, ValueError) as error:
                    yield Bad(place, f"not a whole record, and none behind it can be found ({error})")
                    return

    def image(self, place: int, size: int) -> bytes:
        # Kept open: from a packed file's place to the next one is a step, but from its beginning a long way.
        self._file = self._file or self._open()
        self._file.seek(place)
        length = int(self._file.readline(_LINE).split()[-1])
        return _answer(self._file.read(length))[1][:size]

    def _open(self) -> IO[bytes]:
        return gzip.open(self._path, "rb") if self._packed else open(self._path, "rb")

    def _read(self, file: IO[bytes], place: int, line: bytes, begin: Begin) -> Iterator[Record]:
        words = line.split()
        length = int(words[-1])
        if length < 0:
            raise ValueError(f"a length of {length}")
        url = words[0].decode("utf-8", "replace")
        wanted = url.startswith(("http:", "https:")) and begin(place, url)
        if not wanted:
            file.seek(length, os.SEEK_CUR)
            return
        if length > self._limits.record_bytes:
            file.seek(length, os.SEEK_CUR)
            yield Bad(place, f"{url}: a record of {length:,} bytes")
            return
        data = file.read(length)
        if len(data) < length:
            raise EOFError(f"{len(data)} of {length} bytes")
        yield from self._look(url, place, data)

    def _look(self, url: str, place: int, data: bytes) -> Iterator[Record]:
        head, body = _answer(data)
        status, _, rest = head.partition(b"\n")
        if status.split()[1:2] != [b"200"]:
            return
        headers = BytesHeaderParser().parsebytes(rest)
        kind, directives = (
            headers.get_content_type(),
            ", ".join(map(str, headers.get_all("X-Robots-Tag", []))),
        )
        if "html" in kind:
            if len(body) > self._limits.page_bytes:
                yield Bad(place, f"{url}: more than {self._limits.page_bytes:,} bytes")
            else:
                yield RawPage(url, place, body, headers.get_content_charset(), directives)
        elif kind.startswith("image/"):
            yield RawImage(url, place, body, directives)


def _answer(data: bytes) -> tuple[bytes, bytes]:
    """Head and body of what a server said; some end lines with a line feed alone."""
    ends = [(data.find(mark), len(mark)) for mark in (b"\r\n\r\n", b"\n\n")]
    place, length = min(((p, n) for p, n in ends if p >= 0), default=(len(data), 0))
    return data[:place], data[place + length :]
