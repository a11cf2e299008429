"""Stage 4: what only the whole collection decides: the same image on many pages, nearly the same image twice, texts
on many images, images that must not come. Then the images that stay are dealt out to shards.

Of a collection it holds arrays with some bytes for each image that passed, and lines one at a time.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from interbert.curate.engine.parts import Part
from interbert.curate.images.facts import digest_of
from interbert.curate.images.index import Index
from interbert.curate.stages.different import RULES, Images, decide, different_images
from interbert.curate.stages.gathered import WHY_WITHOUT_TEXT, Left, gathered
from interbert.curate.stages.judge import EXAMPLES, FOUND, IMAGES, TEXTS
from interbert.curate.stages.plan import Plan

SHARD, DROPPED, SHARED = "images.jsonl.gz", "dropped.jsonl.gz", "shared.npy"


def settle(plan: Plan, never: np.ndarray) -> None:
    """never: hashes of images that must not come."""
    index = Index(plan.work)
    units = [plan.part("judge", number) for number in plan.page_units]
    images = different_images(units, index)
    decide(images, never, plan.settings.images)
    shared, texts = _shared_texts(units, images, plan.settings.texts.max_images)
    counts: Counter[str] = Counter(
        {f"image {RULES[rule]}": len(images.dropped_by(rule)) for rule in range(1, len(RULES))}
        | {"images": len(images.row_S), "images_stored": _stored(units, index), "texts": texts}
    )
    examples = {f"image {RULES[rule]}": _examples_of(rule, images) for rule in range(1, len(RULES))}
    left = Left(plan, index, shared, counts, examples)
    final = plan.part("settle", 0)
    dealt, shards = deal(plan, "settle", gathered(images, left))
    final.write_lines(DROPPED, _dropped_rows(images, left))
    final.write_array(SHARED, shared)
    counts["kept"] = dealt
    told = {"counts": dict(sorted(counts.items())), "examples": examples, "shards": len(shards)}
    final.finish(told, [final.path(DROPPED), final.path(SHARED), *shards])


def _shared_texts(units: list[Part], images: Images, most: int) -> tuple[np.ndarray, int]:
    """Keys of texts on more than so many images, sorted; and how many texts there were."""
    keys = np.concatenate([np.empty(0, np.uint64), *(unit.array(TEXTS)["key"] for unit in units)])
    count = len(keys)
    keys.sort()
    # Said so often at all; whether of as many images is looked at for these alone.
    often = np.unique(keys[most:][keys[most:] == keys[:-most]]) if count > most else keys[:0]
    del keys
    owners = [np.empty((0, 2), np.int64)]
    before = 0
    for unit in units:
        table = unit.array(TEXTS)
        place = np.searchsorted(often, table["key"])
        place[place == len(often)] = 0
        hit = often[place] == table["key"] if len(often) else np.zeros(len(table), bool)
        owner = images.into_S[images.of_line_I[before + table["line"][hit]]]
        owners.append(np.stack([place[hit], owner], axis=1))
        before += len(unit.array(IMAGES))
    key, number = np.unique(np.unique(np.concatenate(owners), axis=0)[:, 0], return_counts=True)
    return often[key[number > most]], count


def _stored(units: list[Part], index: Index) -> int:
    """Different images, by address, that an `<img>` leads to, before any rule."""
    seen = np.zeros(len(index.facts), bool)
    for unit in units:
        seen[unit.array(FOUND)] = True
    return int(seen.sum())


def _dropped_rows(images: Images, left: Left) -> Iterator[dict[str, str]]:
    """Each with the image that its texts have gone to, if there is one."""

    def digest(row: int) -> str:
        return digest_of(left.index.facts[row])

    for rule in range(1, len(RULES)):
        for number in images.dropped_by(rule).tolist():
            told = {"xxh3": digest(images.row_S[number]), "rule": RULES[rule], "why": images.why(number)}
            into = int(images.into_S[number])
            yield told | ({"into": digest(images.row_S[into])} if into != number else {})
    for row in left.without_text:
        yield {"xxh3": digest(row), "rule": "no_text_left", "why": WHY_WITHOUT_TEXT}


def _examples_of(rule: int, images: Images) -> list[dict[str, Any]]:
    return [{"row": int(images.row_S[number]), "why": images.why(number), "page": "", "image": "", "texts": []}
            for number in images.dropped_by(rule)[:EXAMPLES].tolist()]  # fmt: skip


def deal(plan: Plan, stage: str, found: Iterator[dict[str, Any]]) -> tuple[int, list[Path]]:
    """Into a stage's shards of so many; returns how many images there were, and the files."""
    size, dealt, shard, paths = plan.settings.shard_images, 0, [], []

    def write() -> None:
        part = plan.part(stage, len(paths) + 1)
        part.write_lines(SHARD, shard)
        paths.append(part.path(SHARD))
        shard.clear()

    for image in found:
        shard.append(image)
        dealt += 1
        if len(shard) == size:
            write()
    if shard:
        write()
    return dealt, paths
