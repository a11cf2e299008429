"""Folders: of pages that were saved, as browsers and wget do it, with their images; or of images alone."""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import quote

from interbert.curate.reading.records import Bad, Begin, Limits, RawImage, RawPage, Record, all_of_them
from interbert.curate.reading.urls import leads_out
from interbert.sources.foreign_files.signatures import is_image

PAGES = (".html", ".htm", ".xhtml", ".shtml", ".php", ".asp", ".aspx", ".jsp")
_SAVED_FROM = re.compile(rb"<!--\s*saved from url=\(\d+\)(https?://[^\s>]+)")
_ADDRESS = re.compile(rb"""\s(?:src|data-src)\s*=\s*["']?([^"'\s>]*\.\.[^"'\s>]*)""", re.I)

_NAMED = 3
"""Addresses of a page that lead out of its folder; the others are counted."""


class Saved:
    """names: of the files below `folder` that belong to this unit."""

    def __init__(self, folder: Path, names: Sequence[str], limits: Limits, pages: bool) -> None:
        self._folder, self._names, self._limits, self._pages = folder, names, limits, pages

    def records(self, begin: Begin = all_of_them) -> Iterator[Record]:
        for place, name in enumerate(self._names):
            path = self._folder / name
            if not begin(place, name):
                continue
            try:
                if path.suffix.lower() in PAGES:
                    if self._pages:
                        yield from self._page(path, name, place)
                else:
                    yield from self._image(path, name, place)
            except OSError as error:
                yield Bad(place, f"{name}: {error.strerror or error}")

    def image(self, place: int, size: int) -> bytes:
        return (self._folder / self._names[place]).read_bytes()[:size]

    def _page(self, path: Path, name: str, place: int) -> Iterator[Record]:
        if path.stat().st_size > self._limits.page_bytes:
            yield Bad(place, f"{name}: {path.stat().st_size:,} bytes, more than {self._limits.page_bytes:,}")
            return
        body = path.read_bytes()
        yield from _leading_out(body, name, place)
        base, found = address_of(name), _SAVED_FROM.search(body[:4096])
        yield RawPage(found[1].decode("ascii", "replace") if found else base, place, body, base=base)

    def _image(self, path: Path, name: str, place: int) -> Iterator[Record]:
        with open(path, "rb") as file:
            data = file.read(512)
            if not is_image(data):
                return
            data += file.read(self._limits.image_bytes)
        if len(data) > self._limits.image_bytes:
            yield Bad(place, f"{name}: more than {self._limits.image_bytes:,} bytes")
            return
        yield RawImage(_told_beside(path) or address_of(name), place, data)


def _leading_out(body: bytes, name: str, place: int) -> Iterator[Bad]:
    """Its addresses, as one: a page may have thousands, and is read all the same."""
    count, named = 0, []
    for match in _ADDRESS.finditer(body):
        address = match[1].decode("utf-8", "replace")
        if leads_out(name, address):
            count += 1
            if len(named) < _NAMED:
                named.append(address[:200])
    if count:
        more = f" and {count - len(named):,} more" if count > len(named) else ""
        told = f"{name}: {', '.join(named)}{more} {'leads' if count == 1 else 'lead'} out of the folder"
        yield Bad(place, told, count, of_input=False)


def address_of(name: str) -> str:
    return "file:///" + quote(name, errors="surrogateescape")


def _told_beside(path: Path) -> str | None:
    """The address in 7.json beside 7.jpg, as img2dataset writes it."""
    beside = path.with_suffix(".json")
    if not beside.is_file():
        return None
    try:
        url = json.loads(beside.read_bytes()[: 1 << 20]).get("url")
    except (ValueError, AttributeError):
        return None
    return url if isinstance(url, str) else None
