"""Captions of images on the web: Conceptual Captions' lines of caption and URL, SBU's lists side by side.

Who fetched the images named them himself, by the URL's file name or a hash of the URL: all of these are tried.
"""

import hashlib
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from interbert.sources.captions.disk_map import DiskMap
from interbert.sources.captions.json_stream import elements
from interbert.sources.captions.layout import (
    Caption,
    Field,
    Layout,
    captions_of,
    image_name,
    sentences,
)
from interbert.sources.captions.text_file import lines
from interbert.sources.record import ImportFault


def is_url(text: str) -> bool:
    return text.startswith(("http://", "https://"))


def _file_name(url: str, row: str | None) -> str | None:
    return unquote(urlsplit(url).path).rsplit("/", 1)[-1] or None


def _crc(url: str) -> str:
    return str(zlib.crc32(url.encode()))


def _field(label: str, of: Callable[[str, str | None], str | None], sure: bool = True) -> Field:
    return Field(label, of, sure, may_be_number=False)


URL_FIELDS = (
    _field("URL", lambda url, row: url),
    _field("MD5 of the URL", lambda url, row: hashlib.md5(url.encode()).hexdigest()),
    _field("SHA-1 of the URL", lambda url, row: hashlib.sha1(url.encode()).hexdigest()),
    _field("SHA-256 of the URL", lambda url, row: hashlib.sha256(url.encode()).hexdigest()),
    _field("CRC-32 of the URL", lambda url, row: _crc(url), sure=False),
    _field("row from 0, _, CRC-32 of the URL", lambda url, row: f"{row}_{_crc(url)}"),
    _field("file name in the URL", _file_name, sure=False),
)
"""The other name of an image of the web is its row."""


def conceptual(path: Path, encoding: str, url_first: bool) -> Layout:
    left_out: Counter[str] = Counter()

    def captions() -> Iterator[Caption]:
        left_out.clear()
        for number, line in lines(path, encoding):
            cells = line.split("\t")
            where = f"{path}, line {number}"
            if len(cells) != 2:
                raise ImportFault(
                    f"{where}: {len(cells)} tab-separated columns, a caption and a URL are expected"
                )
            url, text = cells if url_first else cells[::-1]
            if not is_url(url):
                raise ImportFault(f"{where}: {url!r:.60} is no URL (http://…, https://…)")
            yield from captions_of(url, str(number - 1), None, sentences(text, where), left_out)

    order = "URL, caption" if url_first else "caption, URL"
    return Layout(
        "Conceptual Captions' TSV", URL_FIELDS, f"columns without a header: {order}", captions, left_out
    )


def sbu(path: Path, encoding: str) -> Layout:
    left_out: Counter[str] = Counter()

    def captions() -> Iterator[Caption]:
        left_out.clear()
        with DiskMap() as urls:
            urls.fill(
                (str(row), image_name(url, where))
                for row, (where, url) in enumerate(elements(path, encoding, "image_urls"))
            )
            row = -1
            for row, (where, text) in enumerate(elements(path, encoding, "captions")):
                url = urls.get(str(row))
                if url is None:
                    raise ImportFault(f"{where}: image_urls has only {len(urls):,} entries")
                yield from captions_of(url, str(row), None, sentences(text, where), left_out)
            if row + 1 < len(urls):
                raise ImportFault(f"{path}: {len(urls):,} image_urls, but only {row + 1:,} captions")

    return Layout("SBU's JSON", URL_FIELDS, "image_urls[] and captions[], side by side", captions, left_out)
