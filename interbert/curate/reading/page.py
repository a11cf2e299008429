"""What is read from a page: the images that it shows, and what it says of each."""

from dataclasses import asdict, dataclass, field
from typing import Any

MOST_IMAGES = 500
"""Of a page; the tags behind them are counted only."""


@dataclass
class Candidate:
    """An image as a page has it."""

    urls: list[str]
    """Where its file may be, the best first."""
    texts: list[list[str]]
    """[source, text], as the page has it."""
    element: str = "img"
    """img, og, or json-ld."""
    width: int = 0
    height: int = 0
    """As the page says; 0: it does not."""
    decoration: str = ""
    """Why it is none of the page's own pictures, where its name or place says so."""
    licence: str = ""


@dataclass
class Page:
    url: str
    place: int
    """In its input: the offset of a record, the number of a line or file."""
    tags: int = 0
    """`<img>` elements."""
    title: str = ""
    said: str = ""
    """A sample of its text."""
    language: str = ""
    """As its html element says."""
    opt_out: str = ""
    licence: str = ""
    charset: str = ""
    repaired: bool = False
    texts: list[list[str]] = field(default_factory=list)
    """Of the page as a whole."""
    images: list[Candidate] = field(default_factory=list)

    def row(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of_row(cls, row: dict[str, Any]) -> "Page":
        return cls(**{**row, "images": [Candidate(**one) for one in row["images"]]})
