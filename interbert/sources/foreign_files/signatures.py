"""What kind of file it is, by its first bytes and not by its name."""

from enum import Enum
from pathlib import Path

_IMAGES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"II*\0", b"MM\0*")
_HEIF = (b"heic", b"heix", b"hevc", b"mif1", b"msf1", b"avif", b"avis")
"""Brands of HEIC and AVIF."""
_PACKED = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"Rar!": "rar",
}
_PACKED |= {b"7z\xbc\xaf": "7-Zip"}


class Kind(Enum):
    IMAGE = "an image"
    TAR = "a tar"
    ZIP = "a zip"
    PARQUET = "a parquet table"
    ARROW_FILE = "an arrow file"
    ARROW_STREAM = "an arrow stream"
    TSV = "a TSV"
    PACKED = "packed as a whole"
    OTHER = "something else"


def kind_of(path: Path) -> Kind:
    with open(path, "rb") as file:
        start = file.read(512)
    if is_image(start):
        return Kind.IMAGE
    for signature, kind in (
        (b"PK\x03\x04", Kind.ZIP),
        (b"PK\x05\x06", Kind.ZIP),  # an empty one
        (b"PAR1", Kind.PARQUET),
        (b"ARROW1", Kind.ARROW_FILE),
        (b"\xff\xff\xff\xff", Kind.ARROW_STREAM),
        *((signature, Kind.PACKED) for signature in _PACKED),
    ):
        if start.startswith(signature):
            return kind
    if start[257:262] == b"ustar" or path.suffix == ".tar":
        return Kind.TAR
    return Kind.TSV if path.suffix == ".tsv" or b"\t" in start else Kind.OTHER


def packing_of(path: Path) -> str:
    with open(path, "rb") as file:
        start = file.read(8)
    return next(
        (name for signature, name in _PACKED.items() if start.startswith(signature)), "another program"
    )


def what_instead(data: bytes) -> str:
    """Of bytes that are no image which is decoded: what they are, and what to do."""
    if not data:
        return "it is empty; fetch it again"
    if _is_heif(data):
        return "HEIC or AVIF, which is not decoded; convert it to JPEG"
    if data.lstrip()[:5].lower() in (b"<html", b"<!doc", b"<?xml", b"<svg "):
        return "a page or drawing of HTML, XML or SVG; fetch the image itself, or convert it to PNG"
    return f"it begins with {data[:12]!r}; fetch it again, or convert it to JPEG"


def _is_heif(start: bytes) -> bool:
    return start[4:8] == b"ftyp" and start[8:12] in _HEIF


def is_image(start: bytes) -> bool:
    """By the first bytes of a file; of some that are not decoded, too."""
    webp = start.startswith(b"RIFF") and start[8:12] == b"WEBP"
    bmp = start.startswith(b"BM") and start[6:10] == bytes(4)
    return start.startswith(_IMAGES) or webp or bmp or _is_heif(start)
