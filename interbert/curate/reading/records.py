"""What any input gives, one after another: pages, images, and places that are no good."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class RawPage:
    url: str
    place: int
    body: bytes
    charset: str | None = None
    """That came with it."""
    directives: str = ""
    """X-Robots-Tag."""
    base: str = ""
    """What its addresses are relative to, where that is not its url."""
    fields: dict[str, Any] | None = None
    """Of a page that comes already taken apart, instead of a body."""


@dataclass(frozen=True)
class RawImage:
    url: str
    place: int
    data: bytes
    directives: str = ""


@dataclass(frozen=True)
class Bad:
    place: int
    what: str
    """For people, with what it was."""
    count: int = 1
    of_input: bool = True
    """Whether it speaks against its input, of which so many stop the work; else a page is to blame, and is read."""


@dataclass(frozen=True)
class Elsewhere:
    """A record that only names another one, whose answer was the same."""

    place: int


@dataclass(frozen=True)
class Limits:
    page_bytes: int
    record_bytes: int
    image_bytes: int


Record = RawPage | RawImage | Bad | Elsewhere
Begin = Callable[[int, str], bool]
"""(place, what it is): told before a record is read; False: it is to be passed over."""


def all_of_them(place: int, what: str) -> bool:
    return True


class Source(Protocol):
    def records(self, begin: Begin = all_of_them) -> Iterator[Record]: ...

    def image(self, place: int, size: int) -> bytes:
        """The file of an image that `records` gave with this place and of so many bytes."""
