"""Candidates as most people get them: warcio for archives, BeautifulSoup with lxml for pages; the same rules."""

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

from bs4 import BeautifulSoup, Tag
from warcio.archiveiterator import ArchiveIterator

_LAZY = ("data-src", "data-original", "data-lazy-src", "data-lazy", "data-url")
_DECORATION = re.compile(
    r"(?:^|[-_/.\s\d])(logos?|icons?|favicon|button|btn|sprites?|avatars?|badges?|spacer|pixel|blank|clear|"
    r"track(?:er|ing)?|beacon|banners?|adverts?|ads?|plugins?|widgets?|emoji|spinner|loading)(?:$|[-_/.\s\d])",
    re.I,
)
_ASIDE = ("nav", "header", "footer", "aside", "button")


def candidates(path: Path) -> int:
    """How many images that are no decoration there were."""
    found = 0
    with open(path, "rb") as file:
        for record in ArchiveIterator(file):
            if record.rec_type != "response" or record.http_headers.get_statuscode() != "200":
                continue
            url = record.rec_headers.get_header("WARC-Target-URI")
            soup = BeautifulSoup(record.content_stream().read(), "lxml")
            row = {"url": url, "title": soup.title.string if soup.title else "", "images": _images(soup, url)}
            row["said"] = " ".join(
                paragraph.get_text(" ", strip=True) for paragraph in soup.find_all("p", limit=12)
            )
            row["meta"] = {
                tag.get("name") or tag.get("property"): tag.get("content") for tag in soup.find_all("meta")
            }
            json.dumps(row, ensure_ascii=False)
            found += len(row["images"])
    return found


def _images(soup: BeautifulSoup, url: str) -> list[dict[str, Any]]:
    base = soup.find("base", href=True)
    url = urljoin(url, base["href"]) if base else url
    return [
        {"urls": addresses, "texts": _texts(image)}
        for image in soup.find_all("img")
        if (addresses := _addresses(image, url)) and not _is_decoration(image, addresses[0])
    ]


def _addresses(image: Tag, url: str) -> list[str]:
    given = []
    if image.parent.name == "picture":
        given += [
            part.split()[0]
            for one in image.parent.find_all("source")
            for part in one.get("srcset", "").split(",")
        ]
    given += [part.split()[0] for part in image.get("srcset", "").split(",") if part.strip()]
    given += [image[name] for name in _LAZY if image.get(name)] + [image.get("src", "")]
    return [urljoin(url, one) for one in given if one and not one.startswith("data:")]


def _is_decoration(image: Tag, url: str) -> bool:
    for name in ("width", "height"):
        if image.get(name, "").isdigit() and 0 < int(image[name]) <= 32:
            return True
    named = [url.partition("?")[0].split("/", 3)[-1], " ".join(image.get("class", [])), image.get("id", "")]
    for parent in list(image.parents)[:8]:
        if parent.name in _ASIDE:
            return True
        if parent.name not in ("body", "html", "[document]"):
            named.append(f"{' '.join(parent.get('class', []))} {parent.get('id', '')}")
    return any(_DECORATION.search(one) for one in named)


def _texts(image: Tag) -> list[tuple[str, str]]:
    found = [(name, image[name]) for name in ("alt", "title", "aria-label") if image.get(name)]
    figure = image.find_parent(["figure", "div"], class_=re.compile("caption|thumb")) or image.find_parent(
        "figure"
    )
    caption = None
    if figure:
        caption = figure.find(["div", "p"], class_=re.compile("caption")) or figure.find("figcaption")
    if caption:
        found.append(("caption", caption.get_text(" ", strip=True)))
    for siblings in (image.find_next_siblings(limit=3), image.find_previous_siblings(limit=3)):
        for sibling in siblings:
            text = sibling.get_text(" ", strip=True)
            if len(text.split()) >= 3:
                found.append(("near", text[:300]))
                break
    return found
