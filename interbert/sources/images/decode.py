"""From the bytes of an image's file to its pixels, without believing the file.

Its header is looked at before anything is decoded. A JPEG is decoded at a half, a quarter or an eighth of its size
where that is still no smaller than what is wanted.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from io import BytesIO

from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile

from interbert.sources.foreign_files.signatures import what_instead
from interbert.sources.images.containers.container import ImageError, reason_of
from interbert.sources.images.gate import Gate

Image.init()  # once: threads that found the plugins missing would load them side by side
# Blocks of 16 MB go from one thread's image to another's; the C library would keep some for each thread instead.
Image.core.set_blocks_max(16)
Image.MAX_IMAGE_PIXELS = None  # what is too large is said by `_refuse_bombs`

_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")
"""Others are left alone: some of them start programs."""
_ORIENTATION = 0x0112
_LYING = (5, 6, 7, 8)
"""Orientations that change width and height."""
_BYTES_OF_PIXEL = 8
"""As Pillow keeps it, and once more while it is turned or brought to RGB."""
_BYTES_OF_PROGRESS = 6
"""A progressive JPEG's coefficients are all kept until its last scan, however small it is decoded."""


@dataclass(frozen=True)
class Picture:
    image: Image.Image
    """In RGB, upright as its camera meant it; perhaps smaller than its file has it."""
    size: tuple[int, int]
    """Width and height in its file, upright."""


@dataclass(frozen=True)
class Limits:
    megapixels: float = 128
    decoding: Gate = field(default_factory=lambda: Gate(512 << 20))
    """Of the bytes that decoded images take in all threads together."""
    reading: Gate = field(default_factory=lambda: Gate(256 << 20))
    """Of the bytes of files that threads read and decode at once."""
    waiting: Gate = field(default_factory=lambda: Gate(256 << 20))
    """Of those that one thread has read in order, and that wait for the others. They must not wait for one gate."""

    @property
    def pixels(self) -> int:
        return int(self.megapixels * 1e6)

    @property
    def file_bytes(self) -> int:
        """A file with more than that for its pixels is none that anybody made to be looked at."""
        return 4 * self.pixels


Wanted = Callable[[int, int], tuple[int, int] | None]
"""Width and height of an image, upright -> those that it need not be larger than; None: all of it."""


@contextmanager
def decoded(data: bytes, limits: Limits, wanted: Wanted) -> Iterator[Picture]:
    """The picture, whose memory counts until the context ends: make it small, and keep it no longer."""
    with ExitStack() as held:
        try:
            with Image.open(BytesIO(data), formats=_FORMATS) as image:
                picture = _decode(image, limits, wanted, held)
        except ImageError:
            raise
        except UnidentifiedImageError:  # whose words are of a place in memory
            raise ImageError(f"not a readable image: {what_instead(data)}") from None
        except Exception as error:  # whatever a damaged file makes a decoder say
            raise ImageError(f"not a readable image ({reason_of(error)})") from None
        yield picture
        del picture


def _decode(image: Image.Image, limits: Limits, wanted: Wanted, held: ExitStack) -> Picture:
    size = image.size
    _refuse_bombs(*size, limits)
    if isinstance(image, JpegImageFile):  # the others' orientation is not known before they are decoded
        lying = image.getexif().get(_ORIENTATION) in _LYING
        least = wanted(*_turned(size, lying))
        if least is not None:
            image.draft(None, _turned(least, lying))
    held.enter_context(limits.decoding.holding(_cost(image, size)))
    image.load()
    lying = image.getexif().get(_ORIENTATION) in _LYING
    ImageOps.exif_transpose(image, in_place=True)
    return Picture(_in_rgb(image), _turned(size, lying))


def _turned(size: tuple[int, int], lying: bool) -> tuple[int, int]:
    return size[::-1] if lying else size


def _cost(image: Image.Image, size: tuple[int, int]) -> int:
    """Bytes that decoding takes; size: in the file, of what may be decoded smaller."""
    times = 2 if image.format in ("WEBP", "GIF") else 1  # which compose a frame before they give it
    cost = image.width * image.height * _BYTES_OF_PIXEL * times
    return cost + size[0] * size[1] * _BYTES_OF_PROGRESS * bool(image.info.get("progressive"))


def _refuse_bombs(width: int, height: int, limits: Limits) -> None:
    if width * height > limits.pixels:
        raise ImageError(
            f"{width} x {height} pixels by its header, more than {limits.megapixels:g} million: not decoded; "
            "--max-megapixels N allows more, and takes 8 N MB of memory"
        )


def _in_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):  # of which Pillow would cut off all that is above 255
        image = image.convert("I").point(lambda value: value * (1 / 256))
    elif image.mode in ("I", "F"):
        raise ImageError(
            f"pixels of 32 bits (mode {image.mode}), whose range nothing tells; convert it to 8 bits"
        )
    elif image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    return image if image.mode == "RGB" else image.convert("L" if image.mode == "I" else "RGB").convert("RGB")
