"""What a server sent, without the coding that it was sent in: chunks, gzip, deflate, brotli, zstd.

The archive library's own decoding loses all records behind an answer in chunks (fastwarc 2.0.1), so it is not used.
"""

import io
import zlib

_GZIP = b"\x1f\x8b"


def plain(body: bytes, transfer: str, content: str, most: int) -> bytes:
    """At most `most` bytes of it. What does not look like what its headers say is left as it is: many archives keep
    bodies decoded, and the headers as they were. ValueError: it cannot be decoded."""
    if "chunked" in transfer.lower():
        body = _joined(body, most)
    for coding in reversed([one.strip().lower() for one in content.split(",")]):
        body = _decoded(body, coding, most)
    return body[:most]


def _joined(body: bytes, most: int) -> bytes:
    found, place, total = [], 0, 0
    while total < most:
        end = body.find(b"\r\n", place, place + 64)
        try:
            size = int(body[place:end].split(b";")[0], 16) if end > 0 else -1
        except ValueError:
            size = -1
        if size < 0:
            # Not in chunks from the start on: they were joined before it was kept.
            return body if not found else b"".join(found)
        if size == 0:
            break
        found.append(body[end + 2 : end + 2 + size])
        total += size
        place = end + 2 + size + 2
    return b"".join(found)


def _decoded(body: bytes, coding: str, most: int) -> bytes:
    if coding in ("gzip", "x-gzip"):
        return _unzipped(body, 31, most) if body.startswith(_GZIP) else body
    if coding == "deflate":
        for bits in (zlib.MAX_WBITS, -zlib.MAX_WBITS):
            try:
                return _unzipped(body, bits, most)
            except ValueError:
                continue
        return body
    if coding in ("br", "zstd"):
        return _by_library(body, coding, most)
    return body


def _unzipped(body: bytes, bits: int, most: int) -> bytes:
    try:
        return zlib.decompressobj(bits).decompress(body, most)
    except zlib.error as error:
        raise ValueError(f"not what its Content-Encoding says ({error})") from None


def _by_library(body: bytes, coding: str, most: int) -> bytes:
    from fastwarc.stream_io import BrotliReader, ZstdReader

    try:
        return {"br": BrotliReader, "zstd": ZstdReader}[coding](io.BytesIO(body)).read(most)
    except Exception:  # whatever the library says of what is kept decoded
        return body
