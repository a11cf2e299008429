"""Writes a crawl of made pages: WARCs with pages and images, and a label for each image and each text of it."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from interbert.files import new_folder, partial_folder, settle_folder
from interbert.rng import Purpose, generator
from interbert.sources.scenes.captions import Draws
from interbert.sources.scenes.pages.archive import WarcWriter
from interbert.sources.scenes.pages.contents import Content, Decoration, Photo, Said, say_of
from interbert.sources.scenes.pages.phrases import CHINESE_SENTENCES, CHINESE_TOPICS, PARTS, Part
from interbert.sources.scenes.pages.templates import TEMPLATES, html_of
from interbert.sources.scenes.picture import render
from interbert.sources.scenes.world import SPLITS, WINDOW, Split
from interbert.sources.scenes.write import uniqueness_in

PAGES_OF_FILE = 250
LABELS = "labels.jsonl"
_CHINESE, _OPTED_OUT, _DUPLICATE, _LICENSED = 0.06, 0.03, 0.12, 0.2
_LICENCE = "https://creativecommons.org/licenses/by/4.0/"
_CHARSETS = (  # written in, and what the server says of it
    ("utf-8", "utf-8"), ("utf-8", "iso-8859-1"), ("cp1252", "windows-1252"), ("cp1252", "utf-8"), ("utf-8", ""),
    ("utf-8", "x-unheard-of"),
)  # fmt: skip
_CHINESE_CHARSETS = (("utf-8", "utf-8"), ("gb18030", "gb2312"), ("gb18030", "utf-8"), ("gb18030", ""))


@dataclass
class _Site:
    part: Part
    name: str
    decorations: list[Decoration]


def write_pages(folder: Path, pages: int, seed: int, split: Split, noise: float) -> int:
    """Into a folder that is whole or not there. Returns how many pictures the pages show."""
    if pages < 1:
        raise ValueError(f"--pages {pages}: at least 1")
    partial = new_folder(partial_folder(folder))
    made = _Made(seed, split, noise)
    with open(partial / LABELS, "w", encoding="utf-8") as labels:
        for first in range(0, pages, PAGES_OF_FILE):
            with open(partial / f"pages-{first // PAGES_OF_FILE:05d}.warc.gz", "wb") as file:
                warc = WarcWriter(file)
                for number in range(first, min(first + PAGES_OF_FILE, pages)):
                    for label in made.page(number, warc):
                        labels.write(json.dumps(label, ensure_ascii=False) + "\n")
    settle_folder(partial, folder)
    return made.photos


class _Made:
    def __init__(self, seed: int, split: Split, noise: float) -> None:
        self.photos = 0
        self._seed, self._split, self._noise = seed, split, noise
        self._sites = [_site(part, name) for part, phrases in PARTS.items() for name in phrases.sites]
        self._written: set[str] = set()
        self._earlier: list[tuple[str, bytes, tuple[int, int]]] = []

    def page(self, number: int, warc: WarcWriter) -> Iterator[dict[str, Any]]:
        draws = Draws(generator(self._seed, Purpose.PAGES, SPLITS.index(self._split), number))
        # Every second page is of the one part, whatever is drawn.
        sites = [site for site in self._sites if (site.part == "tuning") == (number % 2 == 0)]
        site = draws.choice(sites)
        name, template = draws.choice(list(TEMPLATES[site.part].items()))
        content = self._content(number, site, draws)
        html, slots = html_of(content, template)
        for one in (*content.photos, *content.decorations):
            if one.url not in self._written:
                self._written.add(one.url)
                kind = "image/gif" if one.url.endswith(".gif") else "image/jpeg"
                warc.answer(one.url, kind, one.data)
        written, said = draws.choice(_CHINESE_CHARSETS if content.language == "zh" else _CHARSETS)
        kind = "text/html" + (f"; charset={said}" if said else "")
        warc.answer(content.url, kind, html.encode(written, "xmlcharrefreplace"))
        yield from _labels(content, name, slots)

    def _content(self, number: int, site: _Site, draws: Draws) -> Content:
        phrases = PARTS[site.part]
        chinese = draws.unit() < _CHINESE
        topic = draws.choice(CHINESE_TOPICS if chinese else phrases.topics)
        sentences = CHINESE_SENTENCES if chinese else phrases.sentences
        order = draws.sample(len(sentences), len(sentences))
        paragraphs = [
            " ".join(sentences[n] for n in order[start : start + 3]) for start in (0, len(order) // 2)
        ]
        photos = [
            self._photo(number, place, site, topic, chinese, draws) for place in range(1 + draws.below(4))
        ]
        return Content(
            f"http://www.{site.name}.example/pages/{number:07d}.html", site.name, site.part, topic,
            "zh" if chinese else "en", photos, site.decorations, paragraphs, phrases.menu,
            opted_out=draws.unit() < _OPTED_OUT, licence=_LICENCE if draws.unit() < _LICENSED else "",
        )  # fmt: skip

    def _photo(self, number: int, place: int, site: _Site, topic: str, chinese: bool, draws: Draws) -> Photo:
        index = self.photos
        self.photos += 1
        uniqueness = uniqueness_in(self._seed, self._split, index // WINDOW)
        row = index % WINDOW
        scene = uniqueness.scene(row)
        folder = f"http://img.{site.name}.example/{number:07d}/{place}"
        said = say_of(row, uniqueness, site.part, site.name, topic, 1.0 if chinese else self._noise, draws)
        if self._earlier and draws.unit() < _DUPLICATE:
            name, data, size = draws.choice(self._earlier[-200:])
            data, size = _changed(data, draws)
            said = {slot: _of_duplicate(one) for slot, one in said.items()}
            return Photo(f"{folder}/{name}.jpg", data, name, True, *size, said)
        data, size = _encoded(render(scene), 88), (scene.width, scene.height)
        self._earlier = [*self._earlier[-199:], (scene.image_id, data, size)]
        return Photo(f"{folder}/{scene.image_id}.jpg", data, scene.image_id, False, *size, said)


def _of_duplicate(said: Said) -> Said:
    """What was true of one picture is not, of a copy of another."""
    return replace(said, kind="duplicate", meant="") if said.meant else said


def _changed(data: bytes, draws: Draws) -> tuple[bytes, tuple[int, int]]:
    """Encoded anew, made smaller, or cropped by two in a hundred."""
    image = Image.open(BytesIO(data))
    width, height = image.size
    what = draws.below(3)
    if what == 1:
        image = image.resize((width * 4 // 5, height * 4 // 5))
    elif what == 2:
        image = image.crop((width // 100, height // 100, width - width // 100, height - height // 100))
    return _encoded(image, 60 + draws.below(30)), image.size


def _encoded(image: Image.Image, quality: int, form: str = "JPEG") -> bytes:
    file = BytesIO()
    image.save(file, form, quality=quality)
    return file.getvalue()


def _site(part: Part, name: str) -> _Site:
    """With its decorations: a logo, a banner, a tracker, a button, an avatar."""
    rng = np.random.default_rng(len(name) * 1000 + sum(map(ord, name)))
    kinds = (("logo", "brand-logo.gif", 320, 320), ("banner", "ads/summer.jpg", 728, 310),
             ("tracker", "t.gif", 1, 1), ("button", "btn-buy.gif", 120, 40),
             ("avatar", "avatar7.jpg", 350, 350))  # fmt: skip
    decorations = []
    for kind, path, width, height in kinds:
        noise = rng.integers(0, 255, (max(height // 16, 1), max(width // 16, 1), 3), dtype=np.uint8)
        image = Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)
        data = _encoded(image, 85, "GIF" if path.endswith(".gif") else "JPEG")
        decorations.append(Decoration(f"http://www.{name}.example/{path}", data, kind, width, height))
    return _Site(part, name, decorations)


def _labels(page: Content, template: str, slots: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    about = {"page": page.url, "part": page.part, "template": template, "language": page.language,
             "opted_out": page.opted_out}  # fmt: skip
    for decoration in page.decorations:
        yield {"what": "image", "image": decoration.url, "kind": decoration.kind, **about}
    for photo in page.photos:
        kind = "duplicate" if photo.duplicate else "photo"
        yield {"what": "image", "image": photo.url, "kind": kind, "scene": photo.scene, **about}
        for slot in slots:
            said = photo.says[slot]
            yield {"what": "text", "image": photo.url, "source": slot, "text": said.text, "kind": said.kind,
                   "meant": said.meant, "scene": photo.scene, **about}  # fmt: skip
