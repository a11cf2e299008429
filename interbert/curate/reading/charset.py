"""From a page's bytes to its letters, whatever it says of them."""

import codecs
import re
from typing import NamedTuple

from resiliparse.parse.encoding import detect_encoding, map_encoding_to_html5

_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_DECLARED = re.compile(rb"""<meta[^>]{0,200}?charset\s*=\s*["']?\s*([A-Za-z0-9_.:-]{2,40})""", re.I)
_HEAD = 4096


class Letters(NamedTuple):
    text: str
    charset: str
    repaired: bool
    """The page says another charset than it is written in, or one that nobody knows."""


def letters(body: bytes, header: str | None) -> Letters:
    """header: the charset that came with the page.

    Bytes that are UTF-8 throughout are UTF-8, whatever is said of them: of another charset's text that is hardly ever
    so. Then header and page are believed as far as they can be true; then the bytes are looked at.
    """
    for mark, name in _MARKS:
        if body.startswith(mark):
            return Letters(body[len(mark) :].decode(name, "replace"), name, False)
    if body.isascii():
        return Letters(body.decode("ascii"), "ascii", False)
    inside = _DECLARED.search(body, 0, _HEAD)
    said = [name for name in (header, inside and inside[1].decode("ascii")) if name]
    known = [name for name in map(_known, said) if name]
    for name in dict.fromkeys(["utf-8", *known]):
        try:
            text = body.decode(name)
        except (UnicodeDecodeError, LookupError):
            continue
        return Letters(text, name, bool(said) and name not in known[:1])
    guessed = _known(detect_encoding(body) or "") or (known or ["windows-1252"])[0]
    repaired = bool(said) and guessed not in known[:1]
    try:
        return Letters(body.decode(guessed, "replace"), guessed, repaired)
    except LookupError:
        return Letters(body.decode("latin-1"), "latin-1", True)


def _known(name: str) -> str | None:
    """As browsers understand it: latin-1 is windows-1252."""
    found = map_encoding_to_html5(name.strip().strip("\"'"), fallback_utf8=False)
    return found.lower() if found else None
