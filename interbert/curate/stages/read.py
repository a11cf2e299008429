"""Stage 1: of each input, its pages with the images that they show, and what is known of each image's file."""

import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np

from interbert.curate.engine.notes import Notes
from interbert.curate.images.facts import BROKEN, facts_of
from interbert.curate.images.facts import FACTS as FACTS_TYPE
from interbert.curate.reading import rights
from interbert.curate.reading.charset import letters
from interbert.curate.reading.lines import page_of_fields
from interbert.curate.reading.page import Page
from interbert.curate.reading.parse import parse
from interbert.curate.reading.records import Bad, Elsewhere, RawImage, RawPage
from interbert.curate.settings import CurateSettings
from interbert.curate.stages.plan import Plan
from interbert.sources.images.decode import Limits

PAGES, FACTS = "pages.jsonl.gz", "facts.npy"
_TOLD = 200
"""Bad places that are named in a manifest; the others are counted."""


@dataclass
class _Found:
    facts: IO[bytes]
    """Rows of a table, one behind the other: an archive may hold millions of images."""
    bad: list[str] = field(default_factory=list)
    counts: Counter = field(default_factory=Counter)
    unreadable: int = 0
    """Places that speak against the input."""


def read_unit(plan: Plan, number: int, notes: Notes) -> None:
    part, unit = plan.part("read", number), plan.units[number]
    part.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=part.folder) as facts:
        found = _Found(facts)
        rows = _rows(plan, number, notes, found)
        if unit.pages:
            part.write_lines(PAGES, rows)
        else:
            for _ in rows:
                raise AssertionError("a page in an input of images")
        facts.flush()
        part.write_array(
            FACTS, np.memmap(facts, FACTS_TYPE, "r") if facts.tell() else np.empty(0, FACTS_TYPE)
        )
    files = [part.path(FACTS), *([part.path(PAGES)] if unit.pages else [])]
    part.finish({"counts": dict(found.counts), "bad": found.bad[:_TOLD]}, files)


def _rows(plan: Plan, number: int, notes: Notes, found: _Found) -> Iterator[dict[str, Any]]:
    settings, unit = plan.settings, plan.units[number]
    decoding = Limits(settings.reading.max_megapixels)

    def begin(place: int, what: str) -> bool:
        notes.begin(place)
        if place in notes.fatal:
            _add_bad(found, plan, number, Bad(place, f"{what}: {notes.fatal[place]}"))
        return place not in notes.fatal

    for record in plan.source(number).records(begin):
        if isinstance(record, Bad):
            _add_bad(found, plan, number, record)
            continue
        if isinstance(record, Elsewhere):
            found.counts["revisits"] += 1
        elif isinstance(record, RawImage):
            _add_image(record, number, settings, decoding, found)
        elif unit.pages:
            try:
                page = page_of(record, settings)
            except (ValueError, RecursionError, MemoryError) as error:
                told = f"{record.url}: not a page that can be read ({type(error).__name__}: {error})"
                _add_bad(found, plan, number, Bad(record.place, told))
                continue
            found.counts["pages"] += 1
            found.counts["charsets repaired"] += page.repaired
            yield page.row()


def page_of(record: RawPage, settings: CurateSettings) -> Page:
    if record.fields is not None:
        page = page_of_fields(record.url, record.place, record.fields)
    else:
        text = letters(record.body, record.charset)
        page = parse(record.base or record.url, record.place, text.text)
        page.url, page.charset, page.repaired = record.url, text.charset, text.repaired
    page.opt_out = rights.opt_out(record.directives) or page.opt_out
    return page


def _add_image(
    image: RawImage, number: int, settings: CurateSettings, decoding: Limits, found: _Found
) -> None:
    facts, wrong = facts_of(image, number, settings, decoding)
    found.facts.write(facts.tobytes())
    found.counts["image files"] += 1
    found.counts["decoded"] += bool(facts["phash"])
    if facts["state"] == BROKEN:
        found.counts["broken images"] += 1
        if len(found.bad) < _TOLD:
            found.bad.append(f"{image.url}: {wrong}")


def _add_bad(found: _Found, plan: Plan, number: int, bad: Bad) -> None:
    unit, most = plan.units[number], plan.settings.reading.bad_places
    found.counts["bad places"] += bad.count
    found.unreadable += bad.of_input
    if len(found.bad) < _TOLD:
        found.bad.append(f"{Path(unit.path).name}, at {bad.place}: {bad.what}")
    if found.unreadable > most:
        raise ValueError(
            f"{unit.path}: more than {most} places that cannot be read, the last one at {bad.place}: {bad.what}. "
            "Get a whole copy, leave it out, or allow more by reading.bad_places"
        )
