"""What stands on a made page: its pictures, what is said of each, and what is true of that."""

from dataclasses import dataclass, field
from typing import Literal

from interbert.sources.scenes.captions import Caption, Draws, captions_of, falsified
from interbert.sources.scenes.forms import Uniqueness
from interbert.sources.scenes.pages.phrases import PARTS, Part, Phrases, nonsense
from interbert.sources.scenes.tongues import say_in
from interbert.sources.scenes.world import WINDOW

TextKind = Literal[
    "true", "true with junk", "random", "near miss", "generic", "page topic", "other language", "shared by many",
    "duplicate",
]  # fmt: skip
TRUE_KINDS = ("true", "true with junk")
SLOTS = ("caption", "alt", "title", "near")
_FALSE: tuple[tuple[TextKind, float], ...] = (
    ("random", 0.2), ("near miss", 0.15), ("generic", 0.25), ("page topic", 0.15), ("other language", 0.15),
    ("shared by many", 0.1),
)  # fmt: skip
_JUNK = 0.35
"""Of what is true, how often it stands in junk."""


@dataclass(frozen=True)
class Said:
    text: str
    kind: TextKind
    meant: str = ""
    """The true caption within."""


@dataclass
class Photo:
    url: str
    data: bytes
    scene: str
    duplicate: bool
    """Of an earlier picture, encoded, scaled or cropped anew."""
    width: int
    height: int
    says: dict[str, Said] = field(default_factory=dict)
    """By slot; a template shows some of them."""


@dataclass
class Decoration:
    url: str
    data: bytes
    kind: str
    """logo, banner, tracker, button, avatar."""
    width: int
    height: int


@dataclass
class Content:
    url: str
    site: str
    part: Part
    topic: str
    language: str
    photos: list[Photo]
    decorations: list[Decoration]
    paragraphs: list[str]
    menu: tuple[str, ...]
    opted_out: bool = False
    licence: str = ""


def say_of(
    row: int, uniqueness: Uniqueness, part: Part, site: str, topic: str, noise: float, draws: Draws
) -> dict[str, Said]:
    """What each slot of a picture says: the truth, or with a probability of `noise` one of the things that the web
    has in its place."""
    scene = uniqueness.scene(row)
    truths = captions_of(scene, row, uniqueness, draws, len(SLOTS))
    phrases = PARTS[part]
    found = {}
    for slot, truth in zip(SLOTS, truths, strict=True):
        if draws.unit() >= noise:
            found[slot] = _true(truth.text, phrases, site, draws)
        else:
            found[slot] = _false(truth, row, uniqueness, phrases, topic, draws)
    return found


def _true(text: str, phrases: Phrases, site: str, draws: Draws) -> Said:
    if draws.unit() >= _JUNK:
        return Said(text, "true", text)
    number = str(1 + draws.below(40))
    what = draws.below(4)
    if what == 0:
        head = draws.choice(phrases.heads).replace("{n}", number)
        return Said(head + text, "true with junk", text)
    if what == 1:
        return Said(f"<b>{text}</b>&nbsp;&amp;nbsp;", "true with junk", text)
    tail = draws.choice(phrases.tails).replace("{site}", site).replace("{n}", number)
    return Said(text + tail, "true with junk", text)


def _false(
    truth: Caption, row: int, uniqueness: Uniqueness, phrases: Phrases, topic: str, draws: Draws
) -> Said:
    kind = _drawn_kind(draws)
    scene = uniqueness.scene(row)
    if kind == "near miss":
        false = falsified(truth, scene, draws)
        if false is not None:
            return Said(false.text, "near miss")
        kind = "random"
    if kind == "random":
        other = (row + 1 + draws.below(WINDOW - 1)) % WINDOW
        return Said(captions_of(uniqueness.scene(other), other, uniqueness, draws, 1)[0].text, "random")
    if kind == "generic":
        return Said(draws.choice(phrases.generic).replace("{n}", str(100 + draws.below(900))), "generic")
    if kind == "page topic":
        return Said(topic, "page topic")
    if kind == "shared by many":
        return Said(draws.choice(phrases.slogans), "shared by many")
    if draws.unit() < 0.5:
        return Said(say_in("zh", truth.form, truth.style), "other language")
    return Said(nonsense(draws, 4 + draws.below(8)), "other language")


def _drawn_kind(draws: Draws) -> TextKind:
    at = draws.unit()
    for kind, share in _FALSE:
        at -= share
        if at < 0:
            return kind
    return "random"
