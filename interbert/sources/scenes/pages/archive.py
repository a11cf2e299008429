"""Writes a WARC: records of answers, each a member of gzip of its own."""

import gzip
import io
import uuid
from typing import IO

_DATE = "2026-01-01T00:00:00Z"


class WarcWriter:
    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._count = file, 0

    def answer(self, url: str, kind: str, body: bytes, headers: dict[str, str] | None = None) -> None:
        """kind: its Content-Type."""
        own = {"Content-Type": kind, "Content-Length": str(len(body)), **(headers or {})}
        head = "HTTP/1.1 200 OK\r\n" + "".join(f"{name}: {value}\r\n" for name, value in own.items()) + "\r\n"
        self.record(url, "response", "application/http; msgtype=response", head.encode("latin-1") + body)

    def record(self, url: str, what: str, kind: str, block: bytes) -> None:
        self._count += 1
        names = {
            "WARC-Type": what,
            "WARC-Target-URI": url,
            "WARC-Date": _DATE,
            # Of address and number, so that the same pages are the same bytes.
            "WARC-Record-ID": f"<urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'{self._count} {url}')}>",
            "Content-Type": kind,
            "Content-Length": str(len(block)),
        }
        head = "WARC/1.0\r\n" + "".join(f"{name}: {value}\r\n" for name, value in names.items()) + "\r\n"
        packed = io.BytesIO()
        with gzip.GzipFile("", "wb", 6, packed, mtime=0) as member:
            member.write(head.encode() + block + b"\r\n\r\n")
        self._file.write(packed.getvalue())
