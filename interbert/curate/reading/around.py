"""The texts that belong to an image by where they stand: in its attributes, its caption, and around it."""

import re
from typing import Any

_LEVELS, _SIBLINGS = 3, 3
"""How far up, and how far to each side, text around an image is looked for."""
_LONGEST = 300
_SENTENCE = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])")
_CAPTIONS = (
    "figcaption, [class*='caption'], [class*='Caption'], [itemprop='caption'], [itemprop='description']"
)
_SILENT = frozenset(
    ("script", "style", "noscript", "img", "picture", "svg", "#comment", "iframe", "form", "nav")
)
_BLOCK_TEXT = 4000
"""Of longer blocks only the near end is looked at."""


def texts_around(element: Any, attributes: dict[str, str], climb: list[Any]) -> list[list[str]]:
    """[source, text]; the same text of two sources is the first one's."""
    found = [["caption", text] for text in _captions(climb)]
    found += [["alt", attributes[name]] for name in ("alt", "aria-label") if name in attributes]
    found += [["title", attributes[name]] for name in ("title", "data-title") if name in attributes]
    found += [["caption", attributes[name]] for name in ("data-caption", "longdesc") if name in attributes]
    if climb and climb[0].tag == "a":
        found.append(["title", climb[0].getattr("title") or ""])
    found += [["near", text] for text in _near(element, climb)]
    unique: dict[str, str] = {}
    for source, text in found:
        said = " ".join(text[:_BLOCK_TEXT].split())
        if said:
            unique.setdefault(said, source)
    return [[source, said] for said, source in unique.items()]


def _captions(climb: list[Any]) -> list[str]:
    """Of the nearest element around the image that has a caption, and this image alone."""
    for ancestor in climb[:5]:
        named = (ancestor.getattr("class") or "").lower()
        if ancestor.tag == "figure" or "caption" in named or "thumb" in named or "figure" in named:
            caption = ancestor.query_selector(_CAPTIONS)
            if caption is not None and len(ancestor.query_selector_all("img")) == 1:
                return [caption.text or ""]
        elif ancestor.tag == "dt":
            beside = ancestor.next_element_sibling
            return [beside.text or ""] if beside is not None and beside.tag == "dd" else []
    return []


def _near(element: Any, climb: list[Any]) -> list[str]:
    """The text behind, and the text before; what is nearer ends the search on its side."""
    found = []
    for forward in (True, False):
        for node in (element, *climb[: _LEVELS - 1]):
            text = _beside(node, forward)
            if text:
                found.append(text)
                break
    return found


def _beside(node: Any, forward: bool) -> str:
    for _ in range(_SIBLINGS):
        node = node.next_sibling if forward else node.previous_sibling
        if node is None:
            return ""
        if node.tag in _SILENT:
            continue
        if node.tag != "#text" and node.query_selector("img") is not None:
            return ""  # from there on text is that image's
        text = node.text or ""
        said = " ".join((text[:_BLOCK_TEXT] if forward else text[-_BLOCK_TEXT:]).split())
        if len(said.split()) >= 3 or (len(said) >= 6 and not said.isascii()):
            return _end(said, forward)
    return ""


def _end(said: str, forward: bool) -> str:
    if len(said) <= _LONGEST:
        return said
    sentences = [one for one in _SENTENCE.split(said) if one]
    return sentences[0 if forward else -1]
