"""Texts as people meant them: without markup, without a wrong charset's letters, without what sells a page."""

import html
import re
from collections.abc import Iterable

from interbert.curate.texts.words import letters_alone

_TAG = re.compile(r"</?[a-zA-Z][^<>]{0,300}>")
_UNSEEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")
_JOINT = re.compile(r"\s+(?:\||-|–|—|::|»|•|·|/|~|>|<)\s+|\s*\|\s*")
_PARTS = (
    "royalty[- ]?free|stock (?:photos?|images?|pictures?|vectors?|footage)|buy (?:now|online|it)|"
    "free (?:download|shipping|wallpapers?|photos?)|shop (?:now|online)|best price|on sale|for sale|"
    "order (?:now|online)|hd wallpapers?|wallpapers?|getty images|shutterstock|pinterest|facebook|twitter|"
    r"instagram|flickr|youtube|download|(?:click|tap) (?:here )?(?:to|for) \w+|"
    r"(?:image|photo|picture|slide|page|bild) ?\d+(?: (?:of|von|/) ?\d+)?|\d+ of \d+|home ?page|"
    r"official (?:site|website|store)|(?:read|learn|see) more|view (?:larger|full|all)\b.*|photos?|images?|"
    "pictures?|gallery|free|news|blog|online|store|shop|print|poster|copyright.*|all rights reserved|"
    r"(?:www\.)?[\w-]+\.(?:com|net|org|info|co\.uk|de|fr|cn|com\.cn|io|ru|jp)|图片|高清图片|素材|免费下载|点击查看.*|官网|批发|价格|"
    "大图"
)
_SELLING = re.compile(rf"(?:{_PARTS})", re.I)
"""All of a part between bars or dashes."""
_LABEL = re.compile(
    r"^(?:(?:photo|image|picture|figure|fig|caption|bild|foto|图片?|alt|img)\s*\.?\s*\d*\s*[:：]|"
    r"(?:click (?:here )?to (?:enlarge|view|zoom)|enlarge(?: this)?(?: image)?|view larger)\s*[:：\-–|]?)\s*",
    re.I,
)
_CREDIT = re.compile(
    r"\s*[(\[]?(?:photo(?:graph)?|image|picture|credit|source|copyright|©|\(c\))\s*(?:by|credit|:|©)\s*[^.]{0,60}$",
    re.I,
)
_ENDING = re.compile(r"\.(?:jpe?g|png|gif|webp|bmp|tiff?)\s*$", re.I)
_EDGE, _QUOTES = " \t*_=+~^#<>|·•-–—:;,/\\", "\"'“”„«»‹›"


def repaired(text: str, sites: Iterable[str] = ()) -> str:
    """sites: what the page's site is called, so that its name at the end of a text goes."""
    if "&" in text:
        text = html.unescape(html.unescape(text))
    if "<" in text:
        text = _TAG.sub(" ", text)
    if not text.isascii():
        text = _relettered(text)
    text = " ".join(_UNSEEN.sub("", text).split())
    text = _LABEL.sub("", text)
    text = _without_tails(text, {letters_alone(site).replace(" ", "") for site in sites if site})
    text = text.strip(_EDGE)
    quoted = text[:1] in _QUOTES and text[-1:] in _QUOTES
    return text.strip(_QUOTES + _EDGE) if quoted else text


def _relettered(text: str) -> str:
    """ "Ã©" as é, where somebody read UTF-8 as something else."""
    from ftfy import TextFixerConfig, fix_text

    config = TextFixerConfig(unescape_html=False, uncurl_quotes=False, normalization="NFC", explain=False)
    return fix_text(text, config)


def _without_tails(text: str, sites: set[str]) -> str:
    """Parts behind a bar or a dash that name the site or sell it; the same before one, where something is left."""
    text = _CREDIT.sub("", text) if len(text) > 40 else text
    pieces = [(match.start(), match.end()) for match in _JOINT.finditer(text)]
    while pieces:
        start, end = pieces.pop()
        if not _is_tail(text[end:], sites):
            break
        text = text[:start]
    while match := _JOINT.search(text):
        if not _is_tail(text[: match.start()], sites):
            break
        text = text[match.end() :]
    return text


def _is_tail(part: str, sites: set[str]) -> bool:
    plain = letters_alone(part).replace(" ", "")
    return not plain or bool(_SELLING.fullmatch(part.strip(_EDGE + ".!"))) or _names_site(plain, sites)


def _names_site(plain: str, sites: set[str]) -> bool:
    return len(plain) >= 3 and any(plain == site or (len(plain) >= 5 and plain in site) for site in sites)


def site_names(page_title: str, host: str) -> list[str]:
    """The host without its ending, and what stands behind the last bar or dash of the page's title."""
    labels = [one for one in host.split(".") if one]
    names = [labels[-2] if len(labels) > 1 else host] if host else []
    if len(labels) > 2 and len(labels[-2]) <= 3:
        names.append(labels[-3])
    joints = list(_JOINT.finditer(page_title))
    if joints:
        names.append(page_title[joints[-1].end() :])
    return names
