"""Pictures with what is said of them, in two languages, and which split each is in.

train: known concepts by known artists, and most stamps. validation: a few other concepts by known artists.
concepts: concepts that training has never named, by known artists. artist: the same by one whose style it has never
seen.
stamps: photos and drawings of things whose description it has never read.
"""

import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from PIL import Image

from benchmarks.real_pairs.archives import ARTISTS, STAMPS, TEXTS
from benchmarks.real_pairs.concepts import drawn, grouped
from benchmarks.real_pairs.unpack import members

TRAIN, VALIDATION = "train", "validation"
TESTS = ("concepts", "artist", "stamps")
SPLITS = (TRAIN, VALIDATION, *TESTS)
LANGUAGES = ("en", "zh")
KNOWN, UNSEEN = ("google", "twitter"), "fluent"
HELD_OUT, WATCHED = 1 / 6, 1 / 30
"""Shares of the concepts that are in the tests, and in validation; of the stamps' the first alone."""
_SKIN = re.compile("-1f3f[b-f]")
_IN_FOLDER = {"google": "img/google/64/", "twitter": "img/twitter/64/", "fluent": "assets/"}
_STAMPS = "usr/share/tuxpaint/stamps/"
_CHINESE = ("zh_CN.utf8=", "zh.utf8=")
SIDE = 224
"""Pictures of stamps are kept no larger."""


class PairsError(ValueError):
    """Packages that do not hold what they are known to hold."""


class PicturesError(ValueError):
    """Pictures that are none, or others than they should be."""


@dataclass(frozen=True)
class Said:
    """Of one thing, whoever drew it."""

    group: str
    texts: dict[str, list[str]]
    """By language: everything that is known, then the name alone. A language may be missing."""


@dataclass(frozen=True)
class Pair:
    image: str
    """artist/file, without the ending."""
    split: str
    texts: dict[str, list[str]]


@dataclass(frozen=True)
class Picture:
    image: str
    data: bytes
    said: Said


def pictures_of(archives: dict[str, Path], limit: int | None) -> Iterator[Picture]:
    """limit: so many of each artist's, and stamps."""
    said = emoji_said(archives[TEXTS.package])
    for artist, archive in ARTISTS.items():
        yield from _first(limit, _emoji(artist, archives[archive.package], said))
    if STAMPS.package in archives:
        yield from _first(limit, stamps(archives[STAMPS.package]))


def _first(limit: int | None, pictures: Iterator[Picture]) -> Iterator[Picture]:
    for number, picture in enumerate(pictures):
        if number == limit:
            return
        yield picture


def emoji_said(archive: Path) -> dict[str, Said]:
    """By the emoji's code points, without the mark that asks for a picture."""
    found = dict(members(archive, {f"package/{one}/data.json" for one in LANGUAGES}.__contains__))
    if len(found) < len(LANGUAGES):
        raise PairsError(f"{archive}: no package/en/data.json and package/zh/data.json; take {TEXTS.package}")
    lists = {language: json.loads(found[f"package/{language}/data.json"]) for language in LANGUAGES}
    entries = [one for one in lists["en"] if "group" in one]  # the others are parts of emoji
    groups = dict(zip([e["hexcode"] for e in entries], grouped([e["label"] for e in entries]), strict=True))
    captions: dict[str, dict[str, list[str]]] = {}
    owner = {}
    for language, entries in lists.items():
        for entry in entries:
            for one in (entry, *entry.get("skins", ())):
                keywords = [tag for tag in entry.get("tags", ()) if tag.lower() != one["label"].lower()]
                texts = [one["label"], ", ".join([one["label"], *keywords])]
                captions.setdefault(code(one["hexcode"]), {})[language] = list(dict.fromkeys(texts[::-1]))
                owner[code(one["hexcode"])] = entry["hexcode"]
    return {key: Said(groups[owner[key]], texts) for key, texts in captions.items() if owner[key] in groups}


def code(name: str) -> str:
    return name.lower().replace("-fe0f", "")


def _emoji(artist: str, archive: Path, said: dict[str, Said]) -> Iterator[Picture]:
    folder = f"package/{_IN_FOLDER[artist]}"
    none = True
    for name, data in members(archive, lambda name: name.startswith(folder)):
        key = code(PurePosixPath(name).stem)
        if key in said:
            none = False
            yield Picture(f"{artist}/{key}", data, said[key])
    if none:
        raise PairsError(f"{archive}: no pictures below {folder}; take {ARTISTS[artist].package}")


def stamps(archive: Path) -> Iterator[Picture]:
    """Those with a picture and an English description."""
    files = dict(members(archive, lambda name: name.startswith(_STAMPS) and name.endswith((".png", ".txt"))))
    told = {
        name.removesuffix(".txt"): _described(data) for name, data in files.items() if name.endswith(".txt")
    }
    told = {name: texts for name, texts in told.items() if f"{name}.png" in files and "en" in texts}
    names = sorted(told)
    groups = grouped([told[name]["en"][0].rstrip(".") for name in names])
    for name, group in zip(names, groups, strict=True):
        yield Picture(f"stamps/{name.removeprefix(_STAMPS)}", files[f"{name}.png"], Said(group, told[name]))


def _described(data: bytes) -> dict[str, list[str]]:
    """The first line is English, `zh_CN.utf8=…` Chinese."""
    lines = data.decode("utf-8", "replace").splitlines()
    english = lines[0].strip() if lines else ""
    chinese = next((line.partition("=")[2].strip() for line in lines if line.startswith(_CHINESE)), "")
    return {language: [text] for language, text in (("en", english), ("zh", chinese)) if text}


def split_of(image: str, group: str) -> str | None:
    """None: it is left out. A concept is on one side, whoever drew it."""
    artist, place = image.partition("/")[0], drawn(group)
    if artist == "stamps":
        return "stamps" if place < HELD_OUT else TRAIN
    if place < HELD_OUT:
        return "artist" if artist == UNSEEN else "concepts"
    if artist == UNSEEN:
        return None
    return VALIDATION if place < HELD_OUT + WATCHED else TRAIN


def split(found: list[tuple[str, Said]]) -> list[Pair]:
    """Of a test one picture a concept is asked for, so that none has a rival that is as right."""
    pairs, asked = [], {name: set() for name in TESTS}
    for image, said in sorted(found, key=lambda one: (len(one[0]), one[0])):
        name = split_of(image, said.group)
        if name is None or (name != TRAIN and _SKIN.search(image)):
            continue
        if name in TESTS:
            taken = {said.group, *(texts[0] for texts in said.texts.values())}
            if taken & asked[name] or not _drawn_by(name, image, said.group):
                continue
            asked[name] |= taken
        pairs.append(Pair(image, name, said.texts))
    return pairs


def _drawn_by(name: str, image: str, group: str) -> bool:
    """Of the concepts half are asked for as one known artist draws them, half as the other does."""
    return name != "concepts" or image.startswith(KNOWN[drawn(f"by {group}") < 0.5])


def on_white(data: bytes) -> bytes:
    """As a PNG without transparency, no larger than an encoder looks at. OSError: it is no image."""
    with Image.open(io.BytesIO(data), formats=("PNG", "WEBP")) as image:
        image.thumbnail((SIDE, SIDE))
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        white.alpha_composite(image)
    kept = io.BytesIO()
    white.convert("RGB").save(kept, "PNG", compress_level=1)
    return kept.getvalue()
