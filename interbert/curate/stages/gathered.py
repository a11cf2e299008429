"""The images that stay, each with the texts of all pages that it is on.

An image is whole when the last of these has come; until then its pages' lines lie in a file, and of each image it is
only known where its last one begins.
"""

import json
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO, Any

import numpy as np

from interbert.curate.images.facts import digest_of
from interbert.curate.images.index import Index
from interbert.curate.settings import TextRules
from interbert.curate.stages.different import Images
from interbert.curate.stages.judge import EXAMPLES, PASSED
from interbert.curate.stages.plan import Plan
from interbert.curate.texts.words import grams, is_alike, text_key

Row = dict[str, Any]
_MOST_PAGES_TOLD = 10


@dataclass
class Left:
    """What images that stay are made of, and where those that go after all are told."""

    plan: Plan
    index: Index
    shared: np.ndarray
    """Keys of texts that are on too many images, sorted."""
    counts: Counter[str]
    examples: dict[str, list[Row]]
    without_text: list[int] = field(default_factory=list)
    """Rows in the index."""

    def image_of(self, rows: list[Row], row: int) -> Row | None:
        """rows: what each page that shows it says; row: in the index."""
        first = next((one for one in rows if one["row"] == row), rows[0])
        facts, texts = self.index.facts[row], self._texts_of(rows, row)
        if not texts:
            self.counts["image no_text_left"] += 1
            self.without_text.append(row)
            self._example("image no_text_left", {**_about(first, row), "why": WHY_WITHOUT_TEXT, "texts": []})
            return None
        return {
            "id": digest_of(facts)[:20],
            "image": first["image"],
            "page": first["page"],
            "pages": list(dict.fromkeys(one["page"] for one in rows))[:_MOST_PAGES_TOLD],
            "elements": first["elements"],
            "licence": next((one["licence"] for one in rows if one["licence"]), ""),
            **{name: int(facts[name]) for name in ("unit", "place", "bytes", "width", "height")},
            "phash": f"{int(facts['phash']):016x}",
            "xxh3": digest_of(facts),
            "texts": texts,
        }

    def _texts_of(self, rows: list[Row], row: int) -> list[dict[str, str]]:
        """Of all pages, the most trusted source first."""
        order = {source: number for number, source in enumerate(self.plan.settings.sources)}
        rules, found, kept = self.plan.settings.texts, [], []
        given = [
            (order[source], number, source, text)
            for number, one in enumerate(rows)
            for source, text in one["texts"]
        ]
        for _, number, source, text in sorted(given):
            own = grams(text)
            if is_among(self.shared, text_key(text)):
                rule, why = "shared", f"on more than {rules.max_images} images"
            elif is_alike(own, kept, rules.max_alike):
                rule, why = "alike_elsewhere", WHY_ALIKE
            elif len(kept) == rules.max_of_image:
                # Of near copies there is no end, and each text is held against those that stay.
                rule, why = "many_texts", why_many(rules)
            else:
                kept.append(own)
                found.append({"text": text, "source": source, "page": rows[number]["page"]})
                continue
            self.counts[f"text {rule}"] += 1
            about = _about(rows[number], row)
            self._example(f"text {rule}", {**about, "why": why, "source": source, "text": text[:400]})
        return found

    def _example(self, rule: str, example: Row) -> None:
        kept = self.examples.setdefault(rule, [])
        if len(kept) < EXAMPLES and all(one.get("text") != example.get("text", 0) for one in kept):
            kept.append(example)


WHY_WITHOUT_TEXT = "all of its texts are shared by many images"
WHY_ALIKE = "another page says nearly the same of this image"


def why_many(rules: TextRules) -> str:
    return f"the image has {rules.max_of_image} texts of better sources or earlier pages"


def _about(row: Row, index_row: int) -> Row:
    return {"page": row["page"], "image": row["image"], "row": index_row}


def is_among(sorted_keys: np.ndarray, key: int) -> bool:
    place = int(np.searchsorted(sorted_keys, np.uint64(key)))
    return place < len(sorted_keys) and int(sorted_keys[place]) == key


def gathered(images: Images, left: Left) -> Iterator[Row]:
    """In the order in which they become whole."""
    target_I = images.into_S[images.of_line_I]
    to_come_S = np.bincount(target_I, minlength=len(images.row_S))
    goes_S = (images.rule_S != 0) & (images.into_S == np.arange(len(images.row_S)))
    with tempfile.TemporaryFile(dir=left.plan.work) as file:
        waiting = _Waiting(file, len(images.row_S))
        for target, row in zip(target_I, _lines(left.plan), strict=True):
            if goes_S[target]:
                continue
            to_come_S[target] -= 1
            if to_come_S[target]:
                waiting.put(target, row)
                continue
            image = left.image_of([*waiting.taken(target), row], int(images.row_S[target]))
            if image is not None:
                yield image


def _lines(plan: Plan) -> Iterator[Row]:
    for number in plan.page_units:
        yield from plan.part("judge", number).lines(PASSED)


class _Waiting:
    """Rows of images that are not whole yet: in a file without a name, each with the place of the one before it."""

    def __init__(self, file: IO[bytes], images: int) -> None:
        self._file, self._last_S = file, np.full(images, -1, np.int64)

    def put(self, image: int, row: Row) -> None:
        place = self._file.seek(0, 2)
        line = json.dumps([int(self._last_S[image]), row], separators=(",", ":"))
        self._file.write(line.encode() + b"\n")
        self._last_S[image] = place

    def taken(self, image: int) -> list[Row]:
        """In the order in which they came."""
        found, place = [], int(self._last_S[image])
        while place >= 0:
            self._file.seek(place)
            place, row = json.loads(self._file.readline())
            found.append(row)
        return found[::-1]
