"""What kind of file it is, by its first bytes and not by its name."""

from enum import Enum
from pathlib import Path

_IMAGES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"II*\0", b"MM\0*")
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


def is_image(start: bytes) -> bool:
    """By the first bytes of a file."""
    webp = start.startswith(b"RIFF") and start[8:12] == b"WEBP"
    bmp = start.startswith(b"BM") and start[6:10] == bytes(4)
    return start.startswith(_IMAGES) or webp or bmp
