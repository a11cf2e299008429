"""What every container of images offers, be it a folder, an archive or a table."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from interbert.sources.record import ImportFault


class ImageError(ImportFault):
    """An image that cannot be had, or a container without any."""


@dataclass(frozen=True)
class Fields:
    """Where in a container its user says that things are; None and nothing: it is found out."""

    image: str | None = None
    """The ending of a file's name, or the name or number of a column."""
    captions: tuple[str, ...] = ()
    """Names in JSON, or names or numbers of columns."""
    id: str | None = None
    """The name or number of a column."""
    beside: bool = True
    """Whether `.txt` and `.json` files beside an image are its captions."""


@dataclass(frozen=True)
class Found:
    data: bytes
    """As the image's own file has it."""
    captions: list[str]


class Container(Protocol):
    path: Path
    ids: Sequence[str]
    """Of the images, which are numbered in this order."""
    in_order: bool
    """Whether rows are quick to have only one after another; then one thread at a time reads."""
    told: list[str]
    """What is read from where, and what is left alone: for whoever started it."""
    stamp: str
    """Changes when the container does."""

    def where(self, number: int) -> str:
        """File and place of an image, for messages."""

    def size(self, number: int) -> int:
        """Bytes that reading it takes; 0 where only reading tells."""

    def read(self, number: int) -> Found:
        """Any exception: this image cannot be had."""

    def close(self) -> None: ...


def reason_of(error: Exception) -> str:
    """In one line; with its kind where it says too little without."""
    text = " ".join(str(error).split())
    known = isinstance(error, OSError | ValueError) and text
    return text if known else f"{type(error).__name__}: {text}".rstrip(": ")
