"""When two names are those of one image: the rules, from the strictest to the loosest.

A rule makes a name of a name; equal ones meet, where no second image and no second caption's image has the same.
"""

import re
import unicodedata
from collections.abc import Callable

_ENDINGS = re.compile(r"\.(jpe?g|png|gif|webp|bmp|tiff?|npz|npy)$", re.IGNORECASE)
_LAST_NUMBER = re.compile(r"(?:^|[^0-9A-Za-z]|^[A-Za-z]+)([0-9]{1,18})$")
"""Digits that stand alone at the end, or behind letters alone: not those in the middle of a hash."""
_COCO = re.compile(r"(?:COCO_(?:train|val|test)201[45]_)?([0-9]{12})")


def full(name: str) -> str:
    """Of letters with accents it does not matter how they are spelt: a Mac's names have two characters for one."""
    name = name if name.isascii() else unicodedata.normalize("NFC", name)
    return name.replace("\\", "/").removeprefix("./")


def bare(name: str) -> str:
    return _ENDINGS.sub("", full(name))


def unpadded(name: str) -> str:
    """`a/1` of `a/000001.jpg`: a number is the same with leading zeros."""
    folder, slash, last = bare(name).rpartition("/")
    return f"{folder}{slash}{last.lstrip('0') or '0'}" if last.isascii() and last.isdigit() else bare(name)


def stem(name: str) -> str:
    return bare(name).rsplit("/", 1)[-1]


def number(name: str) -> str | None:
    """`391895` of `COCO_val2014_000000391895.jpg`; None where the name does not end in a number."""
    found = _LAST_NUMBER.search(stem(name))
    return str(int(found[1])) if found else None


RULES: dict[str, Callable[[str], str | None]] = {
    "full": full,
    "bare": bare,
    "unpadded": unpadded,
    "stem": stem,
    "number": number,
}
TOLD = {
    "full": "as it is",
    "bare": "without the ending",
    "unpadded": "without the ending and leading zeros",
    "stem": "without folder and ending",
    "number": "by the number at its end",
}
CHOICES = {
    "auto": tuple(RULES),
    "name": ("full", "bare", "unpadded"),
    "stem": ("stem",),
    "number": ("number",),
}
"""What a user may ask for: the rules that are tried."""
LOOSE = ("unpadded", "stem", "number")


def is_number(name: str) -> bool:
    """Whether the name is a number alone. Two names that only end in the same one are not one image's."""
    return stem(name).isascii() and stem(name).isdigit()


def has_ending(name: str) -> bool:
    return bool(_ENDINGS.search(name))


def same_image(one: str, other: str) -> bool:
    """Whether names from two files can be one image's: a folder more or less, or COCO's names of two years."""
    one, other = bare(one), bare(other)
    if f"/{one}".endswith(f"/{other}") or f"/{other}".endswith(f"/{one}"):
        return True
    first, second = _COCO.fullmatch(stem(one)), _COCO.fullmatch(stem(other))
    return bool(first and second and first[1] == second[1])
