"""What is known of an image's file, in 65 bytes: where it lies, how large it is, what it looks like."""

from io import BytesIO

import numpy as np
import xxhash
from PIL import Image

from interbert.curate.images.phash import SIDE, phash
from interbert.curate.reading import rights, urls
from interbert.curate.reading.records import RawImage
from interbert.curate.settings import CurateSettings
from interbert.sources.images.containers.container import ImageError
from interbert.sources.images.decode import Limits, decoded

FACTS = np.dtype(
    [
        ("key_high", "u8"), ("key_low", "u8"),  # of its address
        ("same_high", "u8"), ("same_low", "u8"),  # of its bytes
        ("unit", "i4"), ("place", "i8"), ("bytes", "i4"),
        ("width", "i4"), ("height", "i4"),
        ("phash", "u8"),
        ("state", "u1"),
    ]
)  # fmt: skip
GOOD, SMALL, BROKEN, OPTED_OUT, DRAWN_BY_TEXT = range(5)
"""States: looked at; not decoded, for the rules of size drop it anyway; not an image that decodes; its server says
noai; SVG."""
_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")


def facts_of(image: RawImage, unit: int, settings: CurateSettings, limits: Limits) -> tuple[np.void, str]:
    """And what is wrong with it, in words."""
    facts = np.zeros((), FACTS)
    _set_key(facts, "key", urls.key(image.url))
    _set_key(facts, "same", xxhash.xxh3_128_digest(image.data))
    facts["unit"], facts["place"], facts["bytes"] = unit, image.place, len(image.data)
    if settings.rights.honour_opt_out and rights.opt_out(image.directives):
        facts["state"] = OPTED_OUT
        return facts, ""
    try:
        with Image.open(BytesIO(image.data), formats=_FORMATS) as opened:
            facts["width"], facts["height"] = opened.size
        if _too_small(facts, settings):
            facts["state"] = SMALL
            return facts, ""
        with decoded(image.data, limits, lambda width, height: (2 * SIDE, 2 * SIDE)) as picture:
            facts["width"], facts["height"] = picture.size
            facts["phash"] = phash(picture.image)
    except ImageError as error:
        facts["state"] = BROKEN
        return facts, str(error)
    except Exception as error:  # whatever a damaged file makes a decoder say
        facts["state"] = BROKEN
        return facts, f"not a readable image ({' '.join(str(error).split())[:120]})"
    return facts, ""


def _too_small(facts: np.ndarray, settings: CurateSettings) -> bool:
    rules = settings.images
    short, long = sorted((int(facts["width"]), int(facts["height"])))
    return (
        short <= rules.larger_than or long > rules.max_ratio * short or int(facts["bytes"]) < rules.min_bytes
    )


def _set_key(facts: np.ndarray, name: str, digest: bytes) -> None:
    facts[f"{name}_high"], facts[f"{name}_low"] = key_numbers(digest)


def digest_of(facts: np.void) -> str:
    """Of its bytes, as 32 hexadecimal digits."""
    return f"{int(facts['same_high']):016x}{int(facts['same_low']):016x}"


def key_numbers(digest: bytes) -> tuple[int, int]:
    return int.from_bytes(digest[:8], "big"), int.from_bytes(digest[8:], "big")
