"""Stage 4: what only the whole collection decides: the same image on many pages, nearly the same image twice, texts
on many images, images that must not come. Then the images that stay are dealt out to shards.

Of a collection it holds arrays with some bytes for each image that passed, and lines one at a time.

Letters: I images on pages that passed (lines), S different images, T texts.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from interbert.curate.images.facts import digest_of
from interbert.curate.images.index import Index
from interbert.curate.images.near import near_pairs
from interbert.curate.stages.judge import FOUND, IMAGES, PASSED, TEXTS
from interbert.curate.stages.plan import Plan
from interbert.curate.texts.words import alike, grams, text_key

SHARD, DROPPED = "images.jsonl.gz", "dropped.jsonl.gz"
_EXAMPLES = 20
_MOST_PAGES_TOLD = 10


@dataclass
class _Images:
    """Different images, by their bytes, in the order in which they come first."""

    of_line_I: np.ndarray
    """Number of its image."""
    row_S: np.ndarray
    """In the index."""
    pixels_S: np.ndarray
    pages_S: np.ndarray
    phash_S: np.ndarray


def settle(plan: Plan, never: np.ndarray) -> None:
    """never: hashes of images that must not come."""
    index = Index(plan.work)
    units = [plan.part("judge", number) for number in plan.page_units]
    images = _different_images(units, index)
    kept_S, into_S, dropped = _decide(images, never, plan)
    shared, texts = _shared_texts(units, images.of_line_I, into_S, kept_S, plan.settings.texts.max_images)
    counts: Counter[str] = Counter(
        {f"image {rule}": len(rows) for rule, rows in dropped.items()}
        | {"images": len(kept_S), "images_stored": _stored(units, index), "texts": texts}
    )
    examples = {f"image {rule}": _examples_of(rows, images, index) for rule, rows in dropped.items()}
    told = [{"xxh3": digest_of(index.facts[images.row_S[number]]), "rule": rule, "why": why}
            for rule, rows in dropped.items() for number, why in rows]  # fmt: skip
    left = _Left(plan, index, shared, counts, examples, told)
    dealt = deal(plan, "settle", _gathered(images, kept_S, into_S, left))
    final = plan.part("settle", 0)
    final.write_lines(DROPPED, told)
    counts["kept"] = dealt
    shards = -(-dealt // plan.settings.shard_images)
    final.finish(
        {"counts": dict(sorted(counts.items())), "examples": examples, "shards": shards},
        [final.path(DROPPED)],
    )


def _different_images(units: list[Any], index: Index) -> _Images:
    tables = [unit.array(IMAGES) for unit in units]
    row_I = np.concatenate([np.empty(0, np.int64), *(table["row"] for table in tables)])
    page_I = np.concatenate(
        [np.empty(0, np.int64), *(number * (1 << 40) + table["page"] for number, table in enumerate(tables))]
    )
    facts = index.facts[row_I] if len(row_I) else index.facts[:0]
    same = np.empty(len(row_I), np.dtype([("high", "u8"), ("low", "u8")]))
    same["high"], same["low"] = facts["same_high"], facts["same_low"]
    _, first, back_I = np.unique(same, return_index=True, return_inverse=True)
    # Numbered as they come first, not by their hashes.
    order = np.argsort(first, kind="stable")
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    of_line_I, first = place[back_I], first[order]
    pairs = np.unique(np.stack([of_line_I, page_I], axis=1), axis=0)
    facts_S = facts[first]
    pixels_S = facts_S["width"].astype(np.int64) * facts_S["height"]
    return _Images(
        of_line_I,
        row_I[first],
        pixels_S,
        np.bincount(pairs[:, 0], minlength=len(first)),
        facts_S["phash"].copy(),
    )


def _decide(
    images: _Images, never: np.ndarray, plan: Plan
) -> tuple[np.ndarray, np.ndarray, dict[str, list[tuple[int, str]]]]:
    """Which images stay; which image the texts of each belong to; and by rule the images that go, each with why."""
    rules = plan.settings.images
    count = len(images.row_S)
    kept, into = np.ones(count, bool), np.arange(count)
    dropped: dict[str, list[tuple[int, str]]] = {"pages": [], "never": [], "duplicate": []}
    for number in np.flatnonzero(images.pages_S > rules.max_pages).tolist():
        kept[number] = False
        dropped["pages"].append((number, f"on {images.pages_S[number]} pages"))
    together = np.concatenate([images.phash_S, never.astype(np.uint64)])
    pairs = near_pairs(together, rules.near_bits)
    near_never = pairs[(pairs[:, 0] < count) & (pairs[:, 1] >= count)]
    near_never = np.concatenate([near_never[:, 0], _through_equals(together, pairs, count)])
    for number in np.unique(near_never).tolist():
        if kept[number]:
            kept[number] = False
            dropped["never"].append((number, "one of --never looks the same"))
    _join_near(images, pairs[pairs[:, 1] < count], kept, into, dropped["duplicate"])
    return kept, into, dropped


def _through_equals(hashes: np.ndarray, pairs: np.ndarray, count: int) -> np.ndarray:
    """Pairs tie equals to the first of them alone: those that are equal to one that is near a hash of --never."""
    if len(hashes) == count:
        return np.empty(0, np.int64)
    marked = np.unique(pairs[pairs[:, 1] >= count, 0])
    return np.flatnonzero(np.isin(hashes[:count], hashes[marked]))


def _join_near(
    images: _Images, pairs: np.ndarray, kept: np.ndarray, into: np.ndarray, dropped: list[tuple[int, str]]
) -> None:
    """The largest first, each takes in those near to it that nothing larger has taken. Equals count as one hash."""
    _, back_S = np.unique(images.phash_S, return_inverse=True)
    members: dict[int, list[int]] = {}
    for number in np.unique(pairs).tolist():
        members.setdefault(int(back_S[number]), [])
    for number in np.flatnonzero(np.isin(back_S, list(members))).tolist():
        members[int(back_S[number])].append(number)
    near: dict[int, set[int]] = {one: {one} for one in members}
    for first, second in back_S[pairs].tolist():
        near[first].add(second)
        near[second].add(first)
    order = sorted(
        (number for group in members.values() for number in group),
        key=lambda n: (-int(images.pixels_S[n]), n),
    )
    taken: set[int] = set()
    for number in order:
        if number in taken or not kept[number]:
            continue
        for other in sorted(one for group in near[int(back_S[number])] for one in members[group]):
            if other != number and other not in taken and kept[other]:
                taken.add(other)
                kept[other] = False
                into[other] = number
                bits = int(np.bitwise_count(images.phash_S[other] ^ images.phash_S[number]))
                dropped.append((other, f"{bits} of 64 bits differ from a larger one's, whose texts it joins"))
        taken.add(number)


def _shared_texts(
    units: list[Any], of_line_I: np.ndarray, into_S: np.ndarray, kept_S: np.ndarray, most: int
) -> tuple[np.ndarray, int]:
    """Keys of texts on more than so many images, sorted; and how many texts there were."""
    keys, owners, before = [np.empty(0, np.uint64)], [np.empty(0, np.int64)], 0
    for unit in units:
        table = unit.array(TEXTS)
        keys.append(np.array(table["key"]))
        owners.append(into_S[of_line_I[before + table["line"]]])
        before += len(unit.array(IMAGES))
    key_T, owner_T = np.concatenate(keys), np.concatenate(owners)
    pairs = np.unique(np.stack([key_T, owner_T.astype(np.uint64)], axis=1), axis=0)
    key, count = np.unique(pairs[:, 0], return_counts=True)
    return key[count > most], len(key_T)


def _stored(units: list[Any], index: Index) -> int:
    """Different images, by address, that an `<img>` leads to, before any rule."""
    rows = [np.array(unit.array(FOUND)) for unit in units]
    return len(np.unique(np.concatenate([np.empty(0, np.int64), *rows])))


@dataclass
class _Left:
    """What images that stay are made of, and where those that go after all are told."""

    plan: Plan
    index: Index
    shared: np.ndarray
    counts: Counter[str]
    examples: dict[str, list[dict[str, Any]]]
    told: list[dict[str, Any]]

    def image_of(self, rows: list[dict[str, Any]], row: int) -> dict[str, Any] | None:
        """rows: what each page that shows it says; row: in the index."""
        first = next((one for one in rows if one["row"] == row), rows[0])
        facts, texts = self.index.facts[row], self._texts_of(rows, row)
        if not texts:
            why = "all of its texts are shared by many images"
            self.counts["image no_text_left"] += 1
            self.told.append({"xxh3": digest_of(facts), "rule": "no_text_left", "why": why})
            self._example("image no_text_left", {**_about(first, row), "why": why, "texts": []})
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

    def _texts_of(self, rows: list[dict[str, Any]], row: int) -> list[dict[str, str]]:
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
            if _is_among(self.shared, text_key(text)):
                rule, why = "shared", f"on more than {rules.max_images} images"
            elif any(alike(own, other) >= rules.max_alike for other in kept):
                rule, why = "alike_elsewhere", "another page says nearly the same of this image"
            else:
                kept.append(own)
                found.append({"text": text, "source": source, "page": rows[number]["page"]})
                continue
            self.counts[f"text {rule}"] += 1
            about = _about(rows[number], row)
            self._example(f"text {rule}", {**about, "why": why, "source": source, "text": text[:400]})
        return found

    def _example(self, rule: str, example: dict[str, Any]) -> None:
        kept = self.examples.setdefault(rule, [])
        if len(kept) < _EXAMPLES and all(one.get("text") != example.get("text", 0) for one in kept):
            kept.append(example)


def _about(row: dict[str, Any], index_row: int) -> dict[str, Any]:
    return {"page": row["page"], "image": row["image"], "row": index_row}


def _gathered(
    images: _Images, kept_S: np.ndarray, into_S: np.ndarray, left: _Left
) -> Iterator[dict[str, Any]]:
    """The images that stay, in their order, each with the texts of all pages that it is on. An image waits until the
    last of these has come."""
    target_I = into_S[images.of_line_I]
    left_S = np.bincount(target_I, minlength=len(kept_S))
    waiting: dict[int, list[dict[str, Any]]] = {}
    ready: dict[int, dict[str, Any] | None] = {}
    following = iter(np.flatnonzero(kept_S).tolist())
    next_one = next(following, None)
    for target, row in zip(target_I.tolist(), _lines(left.plan), strict=True):
        if not kept_S[target]:
            continue
        waiting.setdefault(target, []).append(row)
        left_S[target] -= 1
        if left_S[target] == 0:
            ready[target] = left.image_of(waiting.pop(target), int(images.row_S[target]))
        while next_one is not None and next_one in ready:
            image = ready.pop(next_one)
            if image is not None:
                yield image
            next_one = next(following, None)
    assert not ready and not waiting, "an image that has never come"


def _lines(plan: Plan) -> Iterator[dict[str, Any]]:
    for number in plan.page_units:
        yield from plan.part("judge", number).lines(PASSED)


def _is_among(sorted_keys: np.ndarray, key: int) -> bool:
    place = int(np.searchsorted(sorted_keys, np.uint64(key)))
    return place < len(sorted_keys) and int(sorted_keys[place]) == key


def deal(plan: Plan, stage: str, found: Iterator[dict[str, Any]]) -> int:
    """Into a stage's shards of so many; returns how many images there were."""
    size, dealt, shard = plan.settings.shard_images, 0, []
    for image in found:
        shard.append(image)
        dealt += 1
        if len(shard) == size:
            plan.part(stage, dealt // size).write_lines(SHARD, shard)
            shard = []
    if shard:
        plan.part(stage, dealt // size + 1).write_lines(SHARD, shard)
    return dealt


def _examples_of(rows: list[tuple[int, str]], images: _Images, index: Index) -> list[dict[str, Any]]:
    return [{"row": int(images.row_S[number]), "why": why, "page": "", "image": "", "texts": []}
            for number, why in rows[:_EXAMPLES]]  # fmt: skip
