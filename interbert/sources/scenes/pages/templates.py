"""How pages are built: eight ways, four to tune rules on and four to judge them by.

Each takes a page's content and gives its body; with it stand the slots of a picture that it shows.
"""

import json
from collections.abc import Callable
from html import escape

from interbert.sources.scenes.pages.contents import Content, Photo
from interbert.sources.scenes.pages.phrases import Part

Template = tuple[Callable[[Content], str], tuple[str, ...]]
_BLANK = "data:image/gif;base64,R0lGODlhAQABAAAAACw="


def _blog(page: Content) -> str:
    figures = "".join(
        f'<p>{said}</p><figure><img src="{one.url}" {_alt(one)}>'
        f"<figcaption>{_t(one, 'caption')}</figcaption></figure>"
        for one, said in _spread(page)
    )
    head = f"<header>{_some(page, 'logo')}{_menu(page)}</header>"
    return f"{head}<article>{_h1(page)}{figures}</article><aside>{_some(page, 'banner')}</aside>"


def _shop(page: Content) -> str:
    rows = "".join(
        f'<tr><td><a href="/item" {_title(one)}><img src="/static/blank.gif" data-src="{one.url}" {_alt(one)} '
        f'width="{one.width}" height="{one.height}"></a></td><td class="price">9.90</td></tr>'
        for one in page.photos
    )
    head = f"<table><tr><td>{_some(page, 'logo')}</td><td>{_menu(page)}</td></tr></table>"
    return f"{head}{_h1(page)}{_paragraphs(page)}<table>{rows}</table>{_some(page, 'button')}"


def _gallery(page: Content) -> str:
    items = "".join(
        f'<div class="item"><img class="lazy" data-original="{one.url}" {_alt(one)}>'
        f"<noscript><img src='{one.url}' alt=''></noscript><div>{_t(one, 'near')}</div></div>"
        for one in page.photos
    )
    return f"{_menu(page)}{_h1(page)}{_paragraphs(page)}<div id=grid>{items}</div>"


def _news(page: Content) -> str:
    parts = "".join(
        f'<p>{said}</p><picture><source srcset="{one.url} 1200w"><img src="/small.jpg" {_alt(one)} {_title(one)}>'
        "</picture>"
        for one, said in _spread(page)
    )
    first = page.photos[0].url
    linked = json.dumps({"@type": "NewsArticle", "image": {"@type": "ImageObject", "url": first}})
    meta = f'<meta property="og:image" content="{first}"><script type="application/ld+json">{linked}</script>'
    head = f"{meta}<nav>{_some(page, 'logo')}{_menu(page)}</nav>"
    return f"{head}<main>{_h1(page)}{parts}</main>{_some(page, 'banner')}"


def _forum(page: Content) -> str:
    posts = "".join(
        f"<table class=post><tr><td class=user>{_some(page, 'avatar')}</td><td><div>{said}</div>"
        f'<div>{_t(one, "near")}</div><br><img src="{one.url}" {_alt(one)} border=0></td></tr></table>'
        for one, said in _spread(page)
    )
    return f"{_some(page, 'logo')}{_menu(page)}<h2>{page.topic}</h2>{posts}"


def _encyclopedia(page: Content) -> str:
    parts = "".join(
        f'<div class="thumb tright"><div class="thumbinner"><a href="#"><img src="{one.url}" {_alt(one)} '
        f'width="{one.width // 2}" srcset="{one.url} 2x"></a>'
        f'<div class="thumbcaption">{_t(one, "caption")}</div></div></div><p>{said}</p>'
        for one, said in _spread(page)
    )
    return f"{_h1(page)}{parts}<div id=sidebar>{_some(page, 'logo')}{_menu(page)}</div>"


def _travel(page: Content) -> str:
    items = "".join(
        f'<dl class="gallery-item"><dt><img src="{_BLANK}" data-lazy-src="{one.url}" {_title(one)}></dt>'
        f"<dd>{_t(one, 'caption')}</dd></dl>"
        for one in page.photos
    )
    head = f"<div class=top>{_some(page, 'banner')}</div>{_menu(page)}{_h1(page)}"
    return f"{head}{_paragraphs(page)}{items}"


def _portfolio(page: Content) -> str:
    items = "".join(
        f'<section><img srcset="{one.url} 2x, /thumb.jpg 1x" aria-label="{_a(one, "alt")}"><p>{_t(one, "near")}</p>'
        f"<p>{said}</p></section>"
        for one, said in _spread(page)
    )
    return f"<header>{_some(page, 'logo')}</header>{_h1(page)}{items}{_some(page, 'button')}"


TEMPLATES: dict[Part, dict[str, Template]] = {
    "tuning": {
        "blog": (_blog, ("alt", "caption")),
        "shop": (_shop, ("title", "alt")),
        "gallery": (_gallery, ("alt", "near")),
        "news": (_news, ("alt", "title")),
    },
    "judging": {
        "forum": (_forum, ("alt", "near")),
        "encyclopedia": (_encyclopedia, ("alt", "caption")),
        "travel": (_travel, ("title", "caption")),
        "portfolio": (_portfolio, ("alt", "near")),
    },
}


def html_of(page: Content, template: Template) -> tuple[str, tuple[str, ...]]:
    """The whole page; and which slots of its pictures it shows."""
    robots = '<meta name="robots" content="noai, noimageai">' if page.opted_out else ""
    licence = f'<link rel="license" href="{page.licence}">' if page.licence else ""
    body_of, slots = template
    head = f"<head><title>{page.topic} | {page.site}</title>{robots}{licence}</head>"
    foot = f"<footer>&copy; {page.site} {_some(page, 'tracker')}</footer>"
    return (
        f'<!doctype html><html lang="{page.language}">{head}<body>{body_of(page)}{foot}</body></html>',
        slots,
    )


def _h1(page: Content) -> str:
    return f"<h1>{page.topic}</h1>"


def _menu(page: Content) -> str:
    return "<ul>" + "".join(f"<li><a href='/{n}'>{name}</a>" for n, name in enumerate(page.menu)) + "</ul>"


def _some(page: Content, kind: str) -> str:
    some = [one for one in page.decorations if one.kind == kind]
    return "".join(f'<img src="{one.url}" width="{one.width}" height="{one.height}">' for one in some)


def _paragraphs(page: Content) -> str:
    return "".join(f"<p>{said}</p>" for said in page.paragraphs)


def _spread(page: Content) -> list[tuple[Photo, str]]:
    """The pictures among the paragraphs."""
    return [(one, page.paragraphs[number % len(page.paragraphs)]) for number, one in enumerate(page.photos)]


def _alt(photo: Photo) -> str:
    return f'alt="{_a(photo, "alt")}"'


def _title(photo: Photo) -> str:
    return f'title="{_a(photo, "title")}"'


def _a(photo: Photo, slot: str) -> str:
    return escape(photo.says[slot].text, quote=True)


def _t(photo: Photo, slot: str) -> str:
    """What is markup in it stays markup, as where somebody pastes it."""
    return photo.says[slot].text
