"""Stage 3: of each page, which of its images and which of their texts pass the rules that one page decides."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from interbert.curate.engine.notes import Notes
from interbert.curate.images.facts import OPTED_OUT
from interbert.curate.images.index import Index
from interbert.curate.images.rules import OnPage, shown_size
from interbert.curate.images.rules import broken_rule as broken_image_rule
from interbert.curate.reading.page import Candidate, Page
from interbert.curate.reading.urls import host
from interbert.curate.settings import CurateSettings
from interbert.curate.stages.plan import Plan
from interbert.curate.stages.read import PAGES
from interbert.curate.texts.repair import repaired, site_names
from interbert.curate.texts.rules import Setting
from interbert.curate.texts.rules import broken_rule as broken_text_rule
from interbert.curate.texts.words import grams, is_alike, text_key

PASSED, IMAGES, TEXTS, FOUND = "passed.jsonl.gz", "images.npy", "texts.npy", "found.npy"
IMAGE_ROW = np.dtype([("row", "i8"), ("page", "i8")])
"""One for each line of PASSED: the image's row in the index, a number of its page."""
TEXT_ROW = np.dtype([("line", "i4"), ("key", "u8")])
OVER = "passed_over"
EXAMPLES = 20
"""Of what a rule dropped, of each unit."""


@dataclass
class Shown:
    """An image of a page, from all elements that show it."""

    url: str
    row: int | None
    """In the index; None: its file is nowhere."""
    width: int = 0
    height: int = 0
    decoration: str = ""
    urls: list[str] = field(default_factory=list)
    """All that its elements name."""
    elements: list[str] = field(default_factory=list)
    texts: list[list[str]] = field(default_factory=list)
    licence: str = ""


@dataclass(frozen=True)
class TextVerdict:
    source: str
    raw: str
    text: str
    """Repaired."""
    rule: str = ""
    """That drops it; none: it is kept."""
    why: str = ""


@dataclass
class Verdict:
    """Of one image on one page."""

    shown: Shown
    dropped: tuple[str, str] | None
    """The rule, and why."""
    texts: list[TextVerdict] = field(default_factory=list)
    """Judged where the image passes by itself."""

    @property
    def kept(self) -> list[list[str]]:
        """[source, text]"""
        return [[one.source, one.text] for one in self.texts if not one.rule]


def judge_page(page: Page, index: Index, settings: CurateSettings) -> list[Verdict]:
    shown = _shown(page, index)
    sizes = [_size(one, index) for one in shown]
    own = [width * height for one, (width, height) in zip(shown, sizes, strict=True) if not one.decoration]
    largest, together = max(own, default=0), sum(own)
    verdicts = []
    for one, (width, height) in zip(shown, sizes, strict=True):
        on_page = OnPage(width, height, one.decoration, largest, together)
        verdicts.append(Verdict(one, _image_rule(page, one, on_page, index, settings)))
    passed = [verdict for verdict in verdicts if verdict.dropped is None]
    setting = Setting(page.title, page.said, len(passed) == 1)
    sites = site_names(page.title, host(page.url))
    for verdict in passed:
        _judge_texts(verdict, page, setting, sites, settings)
        if not verdict.kept:
            verdict.dropped = "no_text", "none of its texts passed"
    return verdicts


def _shown(page: Page, index: Index) -> list[Shown]:
    """One for each file: an image may be shown by several elements, under several addresses."""
    found: dict[Any, Shown] = {}
    for candidate in page.images:
        best = _best(candidate, index)
        if best is None:
            continue
        url, row = best
        one = found.setdefault(url if row is None else row, Shown(url, row, decoration=candidate.decoration))
        if candidate.width * candidate.height >= one.width * one.height and not one.elements:
            one.width, one.height = candidate.width, candidate.height
        if not candidate.decoration:
            one.decoration = ""  # it is shown somewhere as a picture
        one.urls += candidate.urls
        one.elements.append(candidate.element)
        one.texts += [text for text in candidate.texts if text not in one.texts]
        one.licence = one.licence or candidate.licence
    return list(found.values())


def _best(candidate: Candidate, index: Index) -> tuple[str, int | None] | None:
    """Of its addresses that with the most pixels whose file is there; but before all one that opts out, for all of
    them show one image."""
    rows = [(url, index.row(url)) for url in candidate.urls]
    there = [(url, row) for url, row in rows if row is not None]
    if not there:
        return rows[0] if rows else None
    return max(there, key=lambda one: _rank(index.facts[one[1]]))


def _rank(facts: np.void) -> tuple[bool, int]:
    return bool(facts["state"] == OPTED_OUT), int(facts["width"]) * int(facts["height"])


def _size(one: Shown, index: Index) -> tuple[int, int]:
    if one.row is None:
        return one.width, one.height
    return shown_size(one.width, one.height, index.facts[one.row])


def _image_rule(
    page: Page, one: Shown, on_page: OnPage, index: Index, settings: CurateSettings
) -> tuple[str, str] | None:
    if settings.rights.honour_opt_out and page.opt_out:
        return "opt_out", f"the page says {page.opt_out}"
    if one.row is None:
        return "not_found", "its file is in none of the inputs"
    return broken_image_rule(index.facts[one.row], on_page, settings.images)


def _judge_texts(
    verdict: Verdict, page: Page, setting: Setting, sites: list[str], settings: CurateSettings
) -> None:
    """In the order of the sources that are trusted: of two alike the better one stays."""
    order = {source: number for number, source in enumerate(settings.sources)}
    given = verdict.shown.texts + (page.texts if setting.alone else [])
    given = [one for one in given if one[0] in order]
    kept: list[set[str]] = []
    for source, raw in sorted(given, key=lambda one: order[one[0]]):
        text = repaired(raw, sites)
        broken = broken_text_rule(text, source, settings.texts, setting)
        if broken is None:
            own = grams(text)
            if is_alike(own, kept, settings.texts.max_alike):
                broken = "alike", "a better source says nearly the same"
            else:
                kept.append(own)
        verdict.texts.append(TextVerdict(source, raw, text, *(broken or ())))


@dataclass
class _Tally:
    seen: np.ndarray
    """Of each row of the index, whether an `<img>` leads there."""
    counts: Counter = field(default_factory=Counter)
    lines: int = 0
    images: bytearray = field(default_factory=bytearray)
    texts: bytearray = field(default_factory=bytearray)
    """Rows of tables, one behind the other: objects would take ten times as much."""
    examples: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    over: dict[int, str] = field(default_factory=dict)
    """Pages that were passed over, by their numbers, and why."""
    bad: list[str] = field(default_factory=list)


def judge_unit(plan: Plan, number: int, notes: Notes) -> None:
    index = Index(plan.work)
    read, part = plan.part("read", number), plan.part("judge", number)
    tally = _Tally(np.zeros(len(index.facts), bool))
    part.write_lines(PASSED, _passed_rows(read.lines(PAGES), index, plan.settings, tally, notes))
    part.write_array(IMAGES, np.frombuffer(tally.images, IMAGE_ROW))
    part.write_array(TEXTS, np.frombuffer(tally.texts, TEXT_ROW))
    part.write_array(FOUND, np.flatnonzero(tally.seen))
    files = [part.path(name) for name in (PASSED, IMAGES, TEXTS, FOUND)]
    told = {
        "counts": dict(sorted(tally.counts.items())),
        "examples": tally.examples,
        "bad": tally.bad,
        OVER: tally.over,
    }
    part.finish(told, files)


def _passed_rows(
    rows: Iterator[dict[str, Any]], index: Index, settings: CurateSettings, tally: _Tally, notes: Notes
) -> Iterator[dict[str, Any]]:
    for place, row in enumerate(rows):
        notes.begin(place)
        page = Page.of_row(row)
        _count_tags(page, index, tally)
        if place in notes.fatal:
            tally.counts["bad places"] += 1
            tally.bad.append(f"{page.url}: {notes.fatal[place]}")
            tally.over[place] = notes.fatal[place]
            continue
        for verdict in judge_page(page, index, settings):
            _count(verdict, page, tally)
            if verdict.dropped is None:
                yield _passed(verdict, page, place, tally)


def _count_tags(page: Page, index: Index, tally: _Tally) -> None:
    tally.counts["pages"] += 1
    tally.counts["image_tags"] += page.tags
    tally.counts["pages opted out"] += bool(page.opt_out)
    tally.counts[f"language {page.language or 'not said'}"] += 1
    for candidate in page.images:
        rows = [row for url in candidate.urls if (row := index.row(url)) is not None]
        if rows and candidate.element == "img":
            tally.counts["images_found"] += 1
            tally.seen[rows[0]] = True


def _count(verdict: Verdict, page: Page, tally: _Tally) -> None:
    shown = verdict.shown
    tally.counts["image in"] += 1
    tally.counts["text in"] += len(verdict.texts)
    about = {"page": page.url, "image": shown.url, "row": shown.row}
    if verdict.dropped is not None:
        rule, why = verdict.dropped
        tally.counts[f"image {rule}"] += 1
        texts = [text for _, text in shown.texts[:2]]
        _keep_example(tally, f"image {rule}", {**about, "why": why, "texts": texts})
    for one in verdict.texts:
        if one.rule:
            tally.counts[f"text {one.rule}"] += 1
            said = {"why": one.why, "source": one.source, "text": (one.text or one.raw)[:400]}
            _keep_example(tally, f"text {one.rule}", {**about, **said})


def _keep_example(tally: _Tally, rule: str, example: dict[str, Any]) -> None:
    kept = tally.examples.setdefault(rule, [])
    # One image a rule once: the logo of a site would fill all places.
    if len(kept) < EXAMPLES and all(one["image"] != example["image"] for one in kept):
        kept.append(example)


def _passed(verdict: Verdict, page: Page, place: int, tally: _Tally) -> dict[str, Any]:
    shown = verdict.shown
    tally.images += np.array((shown.row, place), IMAGE_ROW).tobytes()
    for key in sorted({text_key(text) for _, text in verdict.kept}):
        tally.texts += np.array((tally.lines, key), TEXT_ROW).tobytes()
    tally.lines += 1
    tally.counts["passed"] += 1
    return {
        "page": page.url,
        "image": shown.url,
        "row": shown.row,
        "elements": sorted(set(shown.elements)),
        "texts": verdict.kept,
        "licence": shown.licence or page.licence,
        "language": page.language,
    }
