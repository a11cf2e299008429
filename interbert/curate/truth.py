"""A collection of made pages held against what is true of them: what each rule dropped, what of each kind stayed."""

import html
import json
import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from interbert.curate.images.facts import digest_of
from interbert.curate.images.index import Index
from interbert.curate.reading.page import Page
from interbert.curate.stages.judge import judge_page
from interbert.curate.stages.plan import load_plan
from interbert.curate.stages.read import PAGES
from interbert.curate.stages.settle import DROPPED, SHARD
from interbert.curate.texts.words import letters_alone

GOOD = ("true", "true with junk")
_TAG = re.compile(r"<[^<>]*>")


@dataclass
class Truth:
    """Of one part of the pages."""

    text_fates: Counter = field(default_factory=Counter)
    """(kind, rule that dropped it, or kept)"""
    image_fates: Counter = field(default_factory=Counter)
    repaired: Counter = field(default_factory=Counter)
    """Of kept texts with junk: whether just the true caption is left."""
    best: Counter = field(default_factory=Counter)
    """Kinds of the first texts of images that are kept."""

    def kinds(self) -> list[dict[str, Any]]:
        """Of each kind how many there were, and which share was dropped."""
        found = []
        for kind in sorted({kind for kind, _ in self.text_fates}):
            fates = {fate: n for (own, fate), n in self.text_fates.items() if own == kind}
            total = sum(fates.values())
            found.append(
                {"kind": kind, "texts": total, "dropped": 1 - fates.get("kept", 0) / total, "by": fates}
            )
        return found

    def rules(self) -> list[dict[str, Any]]:
        """Of each rule how much of what it dropped was no true text."""
        found = []
        for rule in sorted({fate for _, fate in self.text_fates} - {"kept"}):
            kinds = {kind: n for (kind, fate), n in self.text_fates.items() if fate == rule}
            wrong = sum(kinds.get(kind, 0) for kind in GOOD)
            found.append({"rule": rule, "dropped": sum(kinds.values()), "precision": 1 - wrong / sum(kinds.values()),
                          "of": kinds})  # fmt: skip
        return found


def held_against(output: Path, labels: Path) -> dict[str, Truth]:
    """By part of the pages: tuning and judging."""
    plan = load_plan(output)
    index = Index(plan.work)
    of_image, of_text = _read_labels(labels)
    collection = _fates_in_collection(plan)
    truths: dict[str, Truth] = defaultdict(Truth)
    for number in plan.page_units:
        for row in plan.part("read", number).lines(PAGES):
            page = Page.of_row(row)
            for verdict in judge_page(page, index, plan.settings):
                where = page.url, verdict.shown.url
                label = of_image.get(where)
                if label is None:
                    continue
                truth = truths[label["part"]]
                fate = (
                    verdict.dropped[0] if verdict.dropped else _of_image(verdict.shown.row, index, collection)
                )
                truth.image_fates[label["kind"], fate] += 1
                for one in verdict.texts:
                    said = of_text.get((*where, _plain(one.raw)))
                    kind = said["kind"] if said else _unlabelled(one.source)
                    if kind is None:
                        continue
                    fate = one.rule or _of_text(one.text, verdict.shown.row, index, collection)
                    truth.text_fates[kind, fate] += 1
                    if fate == "kept" and kind == "true with junk":
                        truth.repaired[_plain(one.text) == _plain(said["meant"])] += 1
    _add_best(plan, of_text, truths)
    return dict(truths)


def _unlabelled(source: str) -> str | None:
    """What pages say as a whole is their topic; paragraphs that stand beside a picture by chance do not count."""
    return "page topic" if source in ("page", "description") else None


def _read_labels(path: Path) -> tuple[dict[tuple, dict[str, Any]], dict[tuple, dict[str, Any]]]:
    of_image, of_text = {}, {}
    with open(path, encoding="utf-8") as file:
        for line in file:
            label = json.loads(line)
            if label["what"] == "image":
                of_image[label["page"], label["image"]] = label
            else:
                of_text[label["page"], label["image"], _plain(label["text"])] = label
    return of_image, of_text


def _plain(text: str) -> str:
    """The same, however it was marked up."""
    return letters_alone(html.unescape(html.unescape(_TAG.sub(" ", text)))) or text.strip()


def _fates_in_collection(plan: Any) -> dict[str, Any]:
    """By the image's hash: the rule that dropped it, or the plain texts that it is left with."""
    found: dict[str, Any] = {one["xxh3"]: one["rule"] for one in plan.part("settle", 0).lines(DROPPED)}
    for number in range(1, plan.part("settle", 0).manifest()["shards"] + 1):
        for image in plan.part("settle", number).lines(SHARD):
            found[image["xxh3"]] = {one["text"] for one in image["texts"]}
    return found


def _of_image(row: int, index: Index, collection: dict[str, Any]) -> str:
    fate = collection[digest_of(index.facts[row])]
    return fate if isinstance(fate, str) else "kept"


def _of_text(text: str, row: int, index: Index, collection: dict[str, Any]) -> str:
    fate = collection.get(digest_of(index.facts[row]), "no_text")
    if isinstance(fate, str):
        return "shared" if fate in ("no_text", "no_text_left") else fate
    return "kept" if text in fate else "shared"


def _add_best(plan: Any, of_text: dict[tuple, dict[str, Any]], truths: dict[str, Truth]) -> None:
    kinds = {}
    parts = {}
    for (page, image, _), label in of_text.items():
        parts[page, image] = label["part"]
        kinds[page, image, _plain(label["meant"] or label["text"])] = label["kind"]
    for number in range(1, plan.part("settle", 0).manifest()["shards"] + 1):
        for image in plan.part("settle", number).lines(SHARD):
            best = image["texts"][0]
            where = best["page"], image["image"]
            if where in parts:
                truths[parts[where]].best[kinds.get((*where, _plain(best["text"])), "other")] += 1
