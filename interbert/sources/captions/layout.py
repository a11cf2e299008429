"""What every layout of captions is read into: a stream of captions, and how their images may be named."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from interbert.sources.record import ImportFault

SHOWN = 60
"""Characters of a foreign value in a message."""


class Caption(NamedTuple):
    image: str
    """The image's name, as the file has it."""
    other: str | None
    """Another name of it."""
    split: str | None
    text: str


class Field(NamedTuple):
    """A way to name a caption's image."""

    label: str
    of: Callable[[str, str | None], str | None]
    """(image, other) -> the name."""
    sure: bool = False
    """Whether two images cannot share it by chance. Of file names it depends on the rule."""
    may_be_number: bool = True
    """Whether the number at its end may stand for it."""


def first_name(label: str) -> Field:
    return Field(label, lambda image, other: image)


def other_name(label: str) -> Field:
    return Field(label, lambda image, other: other)


@dataclass(frozen=True)
class Layout:
    title: str
    fields: tuple[Field, ...]
    """The likelier one first."""
    contents: str
    """Which columns or keys it is read from, for those who ask what the file is."""
    captions: Callable[[], Iterator[Caption]]
    """Reads the file from its beginning. ImportFault: file, place in it, and what is wrong."""
    left_out: Counter[str] = field(default_factory=Counter)
    """What was read and is no caption, by its kind; counted by the latest reading."""


def image_name(value: Any, where: str) -> str:
    """A name as text: file names, and ids that are whole numbers."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not value.strip():
        raise ImportFault(f"{where}: {value!r:.{SHOWN}} is no image; a file name or an id is expected")
    return storable(value.strip(), where)


def sentences(value: Any, where: str) -> list[str]:
    """One text, or a list of them (or of {"raw": text}); spaces, line ends and NULs become single spaces."""
    given = [value] if isinstance(value, str) else value
    if isinstance(given, list):
        given = [item.get("raw", item.get("caption")) if isinstance(item, dict) else item for item in given]
    if not isinstance(given, list) or not all(isinstance(text, str) for text in given):
        raise ImportFault(f"{where}: sentences are {value!r:.{SHOWN}}; a text or a list of texts is expected")
    return [storable(" ".join(text.replace("\0", " ").split()), where) for text in given]


def captions_of(
    image: str, other: str | None, split: str | None, texts: Iterable[str], left_out: Counter[str]
) -> Iterator[Caption]:
    for text in texts:
        if text:
            yield Caption(image, other, split, text)
        else:
            left_out["empty captions"] += 1


def storable(text: str, where: str) -> str:
    """JSON can spell halves of characters, which no file of text can hold; NULs belong into none."""
    if "\0" in text:
        raise ImportFault(f"{where}: {text!r:.{SHOWN}} holds a NUL")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ImportFault(f"{where}: {text!r:.{SHOWN}} holds half a character (a surrogate)") from None
    return text
