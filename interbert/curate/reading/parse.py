"""From HTML to the images that a page shows and what it says of each.

The tree is asked once for all elements that matter, and is climbed from each image for a few steps: walking all of it
in Python would take ten times as long as parsing.
"""

import re
from collections.abc import Iterator
from itertools import islice
from typing import Any

from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.html import HTMLTree

from interbert.curate.reading import rights, urls
from interbert.curate.reading.around import texts_around
from interbert.curate.reading.linked_data import linked_images
from interbert.curate.reading.page import MOST_IMAGES, Candidate, Page

_SAMPLE = 1500
"""Letters of a page's text, from which its language is told."""
_WANTED = "img, base[href], meta, link[rel], a[rel], script[type='application/ld+json'], h1"
_LAZY = (
    *("data-src", "data-original", "data-lazy-src", "data-lazy", "data-url", "data-image", "data-hi-res-src"),
    *("data-full-src", "data-large-file", "data-echo", "lazy-src", "data-original-src", "data-actualsrc"),
)
_LAZY_SETS = ("data-srcset", "data-lazy-srcset")
_DECORATION = re.compile(
    r"(?:^|[-_/.\s\d])(logos?|icons?|favicon|button|btn|sprites?|avatars?|badges?|spacer|pixel|blank|clear|track(?:er|ing)?|"
    r"beacon|banners?|adverts?|ads?|adserver|sponsor|plugins?|widgets?|emoji|smiley|spinner|loading|loader|placeholder|"
    r"captcha|bullet|arrow|divider)(?:$|[-_/.\s\d])",
    re.I,
)
_ASIDE = {"nav": "in the navigation", "header": "in the head of the page", "footer": "in its foot",
          "aside": "in its margin", "button": "in a button"}  # fmt: skip
_TINY = 32
"""Pixels: what is said to be no larger on one side counts visitors, or keeps others apart."""
_CLIMB = 8
_SCRIPT, _END_OF_SCRIPT = re.compile(r"<script\b", re.I), re.compile(r"</script\s*>", re.I)
_MOST_COMMENTS, _MOST_ATTRIBUTES, _MOST_SOURCES = 1000, 64, 50
"""More of them are made to keep machines busy."""


def parse(url: str, place: int, text: str) -> Page:
    tree = HTMLTree.parse(text)
    page = Page(url, place)
    document = tree.document
    if document is None:
        return page
    found = document.query_selector_all(_WANTED).values()
    base = url
    for element in found:
        if element.tag == "base":
            base = urls.joined(url, element.getattr("href") or "") or url
            break
    images = []
    heads: dict[str, str] = {}
    for element in found:
        tag = element.tag
        if tag == "img":
            images.append(element)
        elif tag == "script":
            _add_linked(page, element.text or "", base)
        elif tag == "h1":
            heads.setdefault("h1", element.text or "")
        elif tag == "meta":
            _read_meta(page, heads, element)
        elif tag != "base":
            _read_licence(page, element, base)
    hidden = _in_comments(text, base)
    page.tags = len(images) + len(hidden)
    page.title = _one_line(tree.title or heads.get("og:title") or "", 300)
    root = document.document_element
    page.language = ((root and root.getattr("lang")) or "")[:2].lower()
    page.images[:0] = [*_of_tags(images[:MOST_IMAGES], base), *hidden[:MOST_IMAGES]]
    _add_shared(page, heads, base)
    if page.images:
        page.said = _sample(tree, document)
        _add_page_texts(page, heads)
    return page


def _of_tags(elements: list[Any], base: str) -> list[Candidate]:
    return [found for element in elements if (found := _of_tag(element, base)) is not None]


def _in_comments(text: str, base: str) -> list[Candidate]:
    """Tags that are commented out: counted, and looked for, but shown by nobody."""
    found: list[Candidate] = []
    if next(_comments_with_images(text), None) is None:
        return found
    for comment in islice(_comments_with_images(_without_scripts(text)), _MOST_COMMENTS):
        document = HTMLTree.parse(comment).document
        for element in document.query_selector_all("img").values() if document is not None else ():
            address = urls.joined(base, element.getattr("src") or "")
            found.append(Candidate([address] if address else [], [], decoration="commented out"))
    return found


def _comments_with_images(text: str) -> Iterator[str]:
    """Found by hand: an expression would look for the end of each that has none in all of the page."""
    end = 0
    while (start := text.find("<!--", end)) >= 0 and (end := text.find("-->", start + 4)) >= 0:
        comment = text[start + 4 : end]
        if "<img" in comment.lower():
            yield comment


def _without_scripts(text: str) -> str:
    kept, end = [], 0
    while (start := _SCRIPT.search(text, end)) and (stop := _END_OF_SCRIPT.search(text, start.end())):
        kept.append(text[end : start.start()])
        end = stop.end()
    return "".join([*kept, text[end:]])


def _of_tag(element: Any, base: str) -> Candidate | None:
    attributes = {name: element.getattr(name) or "" for name in element.attrs[:_MOST_ATTRIBUTES]}
    climb = _ancestors(element)
    found = _addresses(element, attributes, climb, base)
    if not found:
        return None
    width, height = _pixels(attributes.get("width")), _pixels(attributes.get("height"))
    candidate = Candidate(found, [], "img", width, height)
    candidate.decoration = _decoration(found[0], attributes, climb, width, height)
    if not candidate.decoration:
        candidate.texts = texts_around(element, attributes, climb)
    return candidate


def _ancestors(element: Any) -> list[Any]:
    found = []
    while (
        len(found) < _CLIMB
        and (element := element.parent) is not None
        and element.tag not in ("body", "#document")
    ):
        found.append(element)
    return found


def _addresses(element: Any, attributes: dict[str, str], climb: list[Any], base: str) -> list[str]:
    """The largest of sets first, then what scripts would load, then src: before they have run, it is a blank."""
    given = []
    if climb and climb[0].tag == "picture":
        for source in _sources_before(element):
            given += urls.of_srcset(source.getattr("srcset") or source.getattr("data-srcset") or "")
    for name in ("srcset", *_LAZY_SETS):
        if name in attributes:
            given += urls.of_srcset(attributes[name])
    given += [attributes[name] for name in _LAZY if name in attributes]
    given.append(attributes.get("src", ""))
    joined = [urls.joined(base, one) for one in given if one]
    return list(dict.fromkeys(one for one in joined if one))


def _sources_before(element: Any) -> list[Any]:
    found: list[Any] = []
    for _ in range(2 * _MOST_SOURCES):  # there are spaces between them
        if (element := element.previous_sibling) is None:
            break
        if element.tag == "source":
            found.insert(0, element)
    return found


def _decoration(url: str, attributes: dict[str, str], climb: list[Any], width: int, height: int) -> str:
    if 0 < width <= _TINY or 0 < height <= _TINY:
        return f"{width or '?'} x {height or '?'} pixels on the page"
    path = url.partition("?")[0].split("/", 3)[-1]
    for what in (path, attributes.get("class", ""), attributes.get("id", "")):
        if what and (match := _DECORATION.search(what)):
            return f"{match[1].lower()} in its name"
    for ancestor in climb:
        if ancestor.tag in _ASIDE:
            return _ASIDE[ancestor.tag]
        named = f"{ancestor.getattr('class') or ''} {ancestor.getattr('id') or ''}"
        if named != " " and (match := _DECORATION.search(named)):
            return f"{match[1].lower()} around it"
    return ""


def _read_meta(page: Page, heads: dict[str, str], element: Any) -> None:
    name = (element.getattr("name") or element.getattr("property") or "").lower()
    content = element.getattr("content") or ""
    if not name or not content:
        return
    if name in ("robots", "googlebot", "tdm-reservation"):
        page.opt_out = page.opt_out or (rights.opt_out(content) if name == "robots" else "")
        if name == "tdm-reservation" and content.strip() == "1":
            page.opt_out = page.opt_out or name
    elif name in ("license", "dcterms.license", "dc.rights", "dcterms.rights"):
        page.licence = page.licence or _one_line(content, 300)
    elif name in (
        "description",
        "og:description",
        "og:title",
        "og:image",
        "og:image:secure_url",
        "og:image:alt",
    ):
        heads.setdefault(name, content)
    elif name in ("og:image:url", "twitter:image"):
        heads.setdefault("og:image", content)


def _read_licence(page: Page, element: Any, base: str) -> None:
    if "license" in (element.getattr("rel") or "").lower().split() and not page.licence:
        page.licence = urls.joined(base, element.getattr("href") or "") or ""


def _add_linked(page: Page, text: str, base: str) -> None:
    for candidate in linked_images(text):
        candidate.urls = [one for given in candidate.urls if (one := urls.joined(base, given))]
        candidate.texts = [[source, said[:2000]] for source, said in candidate.texts]
        if candidate.urls and len(page.images) < MOST_IMAGES:
            page.images.append(candidate)


def _add_shared(page: Page, heads: dict[str, str], base: str) -> None:
    """og:image: the picture that its page is shown by elsewhere."""
    url = urls.joined(base, heads.get("og:image", ""))
    if url:
        texts = [["alt", heads["og:image:alt"]]] if "og:image:alt" in heads else []
        page.images.append(Candidate([url], texts, "og", 0, 0, "logo" if _DECORATION.search(url) else ""))


def _add_page_texts(page: Page, heads: dict[str, str]) -> None:
    """What is said of the page as a whole stands behind the texts of each image: it is taken where only one is
    dominant."""
    whole = [["description", heads[n]] for n in ("og:description", "description") if n in heads]
    whole += [
        ["page", said]
        for said in (heads.get("h1", ""), heads.get("og:title", ""), page.title)
        if said.strip()
    ]
    whole = [[source, _one_line(said, 600)] for source, said in whole]
    page.texts = list(map(list, dict.fromkeys(map(tuple, whole))))


def _sample(tree: HTMLTree, document: Any) -> str:
    said = ""
    for paragraph in document.query_selector_all("p").values()[:12]:
        said += _one_line(paragraph.text or "", 400) + " "
        if len(said) > _SAMPLE:
            break
    if len(said) < 200:
        said = extract_plain_text(tree, alt_texts=False, form_fields=False)
    return _one_line(said, _SAMPLE)


def _one_line(text: str, most: int) -> str:
    return " ".join(text[: 4 * most].split())[:most]


def _pixels(value: str | None) -> int:
    text = (value or "").strip().removesuffix("px")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 6 else 0
