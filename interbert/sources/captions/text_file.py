"""A text file as a stream: plain or gzip, in the encoding that was named, never a guessed one."""

import codecs
import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from interbert.sources.record import ImportFault

ENCODING = "utf-8"
LONGEST = 1 << 24
"""Characters of one line: more is no line of captions, and would fill the memory."""
_BLOCK = 1 << 16


class UndecodableText(ImportFault):
    """Not of the encoding that was named."""


def check_encoding(name: str) -> None:
    try:
        "".encode(name)
        b"".decode(name)
    except LookupError:
        raise ValueError(
            f"--encoding {name}: no encoding of text; such as utf-8, utf-16, latin-1, cp1252, gb18030, big5, "
            "shift_jis"
        ) from None


@contextmanager
def opened(path: Path, encoding: str) -> Iterator[IO[str]]:
    """The decoded text, with line ends as they are; what cannot be decoded is told with its line."""
    name = "utf-8-sig" if codecs.lookup(encoding).name == "utf-8" else encoding
    try:
        with _bytes(path) as raw, io.TextIOWrapper(raw, name, newline="") as text:
            yield text
    except UnicodeDecodeError as error:
        raise UndecodableText(_undecodable(path, name, error)) from None
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise ImportFault(f"{path}: a broken gzip file ({error}); fetch it again") from None


def lines(path: Path, encoding: str) -> Iterator[tuple[int, str]]:
    """(its number from 1, the line without its end), without the empty ones."""
    with opened(path, encoding) as text:
        number = 0
        while line := text.readline(LONGEST):
            number += 1
            if len(line) == LONGEST:
                raise ImportFault(f"{path}, line {number}: longer than {LONGEST:,} characters")
            if line.strip():
                yield number, line.rstrip("\r\n")


def first_line(path: Path, encoding: str, limit: int) -> str | None:
    """The first line that is not empty; None where there is none, or it is longer than the limit."""
    with opened(path, encoding) as text:
        while line := text.readline(limit):
            if line.strip():
                return line.rstrip("\r\n") if len(line) < limit else None
    return None


def is_binary(path: Path, encoding: str) -> bool:
    """Whether it begins as no text does: NUL bytes, unless as several bytes for each letter have them."""
    if b"\0" in "a".encode(encoding):
        return False
    try:
        with _bytes(path) as raw:
            begun = raw.read(4096)
    except (OSError, zlib.error, EOFError):
        return True
    return b"\0" in begun and not begun.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))


def _bytes(path: Path) -> IO[bytes]:
    with open(path, "rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
    return gzip.open(path, "rb") if zipped else open(path, "rb")


def _undecodable(path: Path, encoding: str, error: UnicodeDecodeError) -> str:
    """Where it is: the stream that failed knows only its place in a block."""
    decoder, line = codecs.getincrementaldecoder(encoding)(), 1
    with _bytes(path) as raw:
        begun = raw.read(2)
        raw.seek(0)
        try:
            while block := raw.read(_BLOCK):
                line += decoder.decode(block).count("\n")
            decoder.decode(b"", final=True)
        except UnicodeDecodeError as again:
            line += again.object[: again.start].decode(encoding, "ignore").count("\n")
    likely = "utf-16" if begun in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "latin-1 or gb18030"
    told = encoding.removesuffix("-sig")
    return (
        f"{path}, line {line}: not {told} ({error.reason}, byte {error.object[error.start]:#04x}); name its encoding "
        f"with --encoding NAME, such as {likely}"
    )
