"""From HTML to images and their texts: as pages have them, and as another parser sees them."""

import time

import pytest
from bs4 import BeautifulSoup

from interbert.curate.reading.parse import parse
from interbert.curate.reading.rights import opt_out
from interbert.sources.scenes.pages.contents import Content, Photo, Said
from interbert.sources.scenes.pages.phrases import Part
from interbert.sources.scenes.pages.templates import TEMPLATES, html_of

URL = "http://a.org/x/page.html"


def only(html: str):
    (found,) = parse(URL, 0, html).images
    return found


@pytest.mark.parametrize(
    ("element", "expected"),
    [
        ("<img src=a.jpg>", ["http://a.org/x/a.jpg"]),
        ("<img src=blank.gif data-src='/b.jpg'>", ["http://a.org/b.jpg", "http://a.org/x/blank.gif"]),
        ("<img srcset='s.jpg 480w, l.jpg 1200w' src=s.jpg>", ["http://a.org/x/l.jpg", "http://a.org/x/s.jpg"]),
        ("<picture><source srcset='w.webp 2x'><img src=a.jpg></picture>",
         ["http://a.org/x/w.webp", "http://a.org/x/a.jpg"]),
        ("<base href='//cdn.org/i/'><img src=a.jpg>", ["http://cdn.org/i/a.jpg"]),
        ("<meta property=og:image content=/o.jpg>", ["http://a.org/o.jpg"]),
        ('<script type="application/ld+json">{"@graph":[{"image":["/j.jpg"]}]}</script>', ["http://a.org/j.jpg"]),
        ("<!-- <img src=hidden.jpg> -->", ["http://a.org/x/hidden.jpg"]),
    ],
)  # fmt: skip
def test_addresses_of_an_image(element, expected):
    assert only(element).urls == expected


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("<figure><img src=a.jpg alt='A cat'><figcaption>On a <b>mat</b></figcaption></figure>",
         [["caption", "On a mat"], ["alt", "A cat"]]),
        ("<div class='wp-caption'><img src=a.jpg title=Tom><p class=caption-text>On a mat</p></div>",
         [["caption", "On a mat"], ["title", "Tom"]]),
        ("<dl><dt><img src=a.jpg></dt><dd>Tom on a mat</dd></dl>", [["caption", "Tom on a mat"]]),
        ("<p>Before it all began.</p><img src=a.jpg><p>Tom sat on a mat.</p>",
         [["near", "Tom sat on a mat."], ["near", "Before it all began."]]),
        ("<a href=/ title='See Tom'><img src=a.jpg></a>", [["title", "See Tom"]]),
        ("<figure><img src=a.jpg><img src=a.jpg><figcaption>Of both</figcaption></figure>", []),
    ],
)  # fmt: skip
def test_texts_of_an_image(html, expected):
    assert parse(URL, 0, html).images[0].texts == expected


@pytest.mark.parametrize(
    "html",
    [
        "<img src=/logo.png>", "<img src=/a.jpg class=logo>", "<img src=a.jpg width=1 height=1>",
        "<nav><p><img src=a.jpg></p></nav>", "<footer><img src=a.jpg></footer>", "<img src=/ads/a.jpg>",
        "<div id=advert-top><img src=a.jpg></div>", "<img src=/img/spacer.gif>", "<!-- <img src=a.jpg> -->",
        "<button><img src=a.jpg></button>",
    ],
)  # fmt: skip
def test_decoration_is_known(html):
    assert only(html).decoration


@pytest.mark.parametrize("name", ["catalogo.jpg", "gladiator.jpg", "heads.jpg", "uploads/2020/loadstone.jpg"])
def test_pictures_are_no_decoration(name):
    assert not only(f"<img src='{name}'>").decoration


def test_what_a_page_says_of_itself():
    html = (
        "<html lang=en-GB><head><title>Tom | Cats</title><meta name=description content='All about Tom'>"
        "<link rel=license href=//creativecommons.org/licenses/by/4.0/><meta name=robots content='index, NoAI'>"
        "<body><h1>Tom the cat</h1><img src=a.jpg><p>He is old.</p></body></html>"
    )
    page = parse(URL, 7, html)
    assert (page.title, page.language, page.opt_out, page.tags) == ("Tom | Cats", "en", "noai", 1)
    assert page.licence == "http://creativecommons.org/licenses/by/4.0/"
    assert page.texts == [["description", "All about Tom"], ["page", "Tom the cat"], ["page", "Tom | Cats"]]
    assert "He is old." in page.said


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("noai", "noai"), ("max-image-preview:large, noimageai", "noimageai"), ("index, follow", ""), ("", ""),
        ("googlebot: noindex", ""), ("otherbot: nofollow, noindex", "noindex"), ("*: noimageai", "noimageai"),
        ("none", "none"),
        ("NOAI, NOINDEX", "noai"),
    ],
)  # fmt: skip
def test_opt_outs(said, expected):
    assert opt_out(said) == expected


def made(part: Part) -> list[str]:
    """A page of each template."""
    says = {
        slot: Said(f"A cat & a <dog> in the {slot}", "true") for slot in ("caption", "alt", "title", "near")
    }
    photos = [Photo(f"http://a.org/{n}.jpg", b"", "", False, 640, 480, says) for n in range(3)]
    content = Content(
        URL, "site", part, "A topic", "en", photos, [], ["One two three.", "Four five six."], ("Home",)
    )
    return [html_of(content, template)[0] for template in TEMPLATES[part].values()]


BROKEN = "<table><tr><td><img src=a.jpg alt='x<b>y'><td><img src='b.jpg' alt=unquoted text><p><img alt=none></table>"


@pytest.mark.parametrize("html", [*made("tuning"), *made("judging"), BROKEN, "<img src=a.jpg alt='unended"])
def test_another_parser_sees_the_same(html):
    soup = BeautifulSoup(html, "lxml")
    page = parse(URL, 0, html)
    assert page.tags == len(soup.find_all("img"))
    theirs = {
        " ".join(img["alt"].split())
        for img in soup.find_all("img")
        if img.get("alt", "").strip() and img.get("src")
    }
    ours = {text for one in page.images for source, text in one.texts if source == "alt"}
    assert theirs <= ours


def test_nested_tables_by_the_thousand_take_no_minute():
    html = "<table><tr><td>" * 20_000 + "<img src=a.jpg alt='deep down'>" + "</td></tr></table>" * 20_000
    began = time.perf_counter()
    page = parse(URL, 0, html)
    assert page.tags == 1 and time.perf_counter() - began < 20


def test_a_page_of_images_alone_is_cut_short():
    page = parse(URL, 0, "<img src=a.jpg alt='one of many'>" * 3000)
    assert page.tags == 3000 and len(page.images) == 500
