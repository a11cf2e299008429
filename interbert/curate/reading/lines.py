"""Pages as lines of JSON: an address, and the HTML or what somebody has already taken out of it; plain or gzip."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from interbert.curate.reading import urls
from interbert.curate.reading.page import MOST_IMAGES, Candidate, Page
from interbert.curate.reading.records import Bad, Begin, Limits, RawPage, Record, all_of_them

_URL = ("url", "page_url", "uri")
_HTML = ("html", "raw_html", "raw_content", "content")
_IMAGE = ("src", "url", "image_url", "image")
_TEXTS = ("caption", "alt", "title", "description", "near")
_LONGEST = 4000


class Lines:
    def __init__(self, path: Path, limits: Limits) -> None:
        self._path, self._limits = path, limits

    def records(self, begin: Begin = all_of_them) -> Iterator[Record]:
        with open(self._path, "rb") as start:
            packed = start.read(2) == b"\x1f\x8b"
        with gzip.open(self._path, "rb") if packed else open(self._path, "rb") as file:
            place = -1
            while True:
                place += 1
                try:
                    line = file.readline(self._limits.record_bytes)
                except (OSError, EOFError, gzip.zlib.error) as error:
                    yield Bad(place, f"line {place + 1}: the file ends in the midst of it ({error})")
                    return
                if not line:
                    return
                if line.strip() and begin(place, f"line {place + 1}"):
                    yield self._read(line, place)

    def image(self, place: int, size: int) -> bytes:
        raise AssertionError("lines of pages hold no images")

    def _read(self, line: bytes, place: int) -> Record:
        where = f"line {place + 1}"
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            return Bad(place, f"{where}: not JSON ({error})")
        if not isinstance(row, dict) or not isinstance(url := _first(row, _URL), str):
            return Bad(place, f"{where}: no field {', '.join(_URL)} with an address")
        html = _first(row, _HTML)
        if isinstance(html, str):
            body = html.encode("utf-8", "replace")
            if len(body) > self._limits.page_bytes:
                return Bad(place, f"{where}, {url}: more than {self._limits.page_bytes:,} bytes")
            return RawPage(url, place, body, "utf-8")
        if isinstance(row.get("images"), list):
            return RawPage(url, place, b"", fields=row)
        return Bad(place, f"{where}, {url}: neither {', '.join(_HTML)} nor a list `images`")


def holds_pages(path: Path) -> bool:
    """By its first line: a folder may hold lines of other things."""
    record = next(Lines(path, Limits(1 << 26, 1 << 26, 0)).records(), None)
    return isinstance(record, RawPage)


def page_of_fields(url: str, place: int, row: dict[str, Any]) -> Page:
    """As much of it as is read of a page in HTML."""
    page = Page(url, place, title=_text(row.get("title"), 300), said=_text(row.get("text"), 1500))
    page.licence = _text(row.get("license"), 300)
    page.texts = [["description", said] for said in [_text(row.get("description"), 600)] if said]
    page.texts += [["page", page.title]] if page.title else []
    images = [{"src": one} if isinstance(one, str) else one for one in row["images"]]
    images = [one for one in images if isinstance(one, dict)]
    page.tags = len(images)
    for one in images[:MOST_IMAGES]:
        address = urls.joined(url, _text(_first(one, _IMAGE), urls.MOST + 1))
        if address:
            texts = [[source, said] for source in _TEXTS if (said := _text(one.get(source), _LONGEST))]
            width, height = (_pixels(one.get(name)) for name in ("width", "height"))
            page.images.append(Candidate([address], texts, "img", width, height))
    return page


def _first(row: dict[str, Any], names: tuple[str, ...]) -> Any:
    return next((row[name] for name in names if row.get(name)), None)


def _text(value: Any, most: int) -> str:
    return " ".join(value[: 2 * most].split())[:most] if isinstance(value, str) else ""


def _pixels(value: Any) -> int:
    return value if isinstance(value, int) and 0 < value < 100_000 else 0
