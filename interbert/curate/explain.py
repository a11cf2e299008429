"""What became of an address: of a page, or of an image on all pages that show it."""

from collections.abc import Iterator
from pathlib import Path

from interbert.curate.images.facts import digest_of
from interbert.curate.images.index import Index
from interbert.curate.reading import urls
from interbert.curate.reading.page import Page
from interbert.curate.stages.all import numbers_of
from interbert.curate.stages.gathered import WHY_ALIKE, is_among, why_many
from interbert.curate.stages.judge import Verdict, judge_page
from interbert.curate.stages.plan import Plan, load_plan
from interbert.curate.stages.read import PAGES
from interbert.curate.stages.settle import DROPPED, SHARED
from interbert.curate.stages.write import chosen_rows, shard_path
from interbert.curate.texts.words import grams, is_alike, text_key
from interbert.printing import printable

_MOST_PAGES = 20


def explain(output: Path, url: str) -> list[str]:
    plan = load_plan(output)
    if not plan.part("settle", 0).done:
        raise ValueError(f"{output}: not finished; start it again with the same --input")
    wanted, index = urls.key(url), Index(plan.work)
    said = []
    for page, verdicts in _pages_about(plan, wanted, index):
        whole = urls.key(page.url) == wanted
        said.append(f"page {page.url}" + (f", which opts out ({page.opt_out})" if page.opt_out else ""))
        for verdict in verdicts:
            if whole or urls.key(verdict.shown.url) == wanted:
                said += _told(verdict, plan, index)
        if len(said) > 400:
            said.append("… and more")
            break
    if not said:
        raise ValueError(f"{url}: neither a page nor an image on a page of {output}")
    return [printable(line) for line in said]


def _pages_about(plan: Plan, wanted: bytes, index: Index) -> Iterator[tuple[Page, list[Verdict]]]:
    shown = 0
    for number in plan.page_units:
        for row in plan.part("read", number).lines(PAGES):
            page = Page.of_row(row)
            here = urls.key(page.url) == wanted
            if here or any(urls.key(one) == wanted for image in page.images for one in image.urls):
                yield page, judge_page(page, index, plan.settings)
                shown += 1
                if shown >= _MOST_PAGES:
                    return


def _told(verdict: Verdict, plan: Plan, index: Index) -> list[str]:
    shown = verdict.shown
    said = [f"  image {shown.url}"]
    if shown.row is not None:
        facts = index.facts[shown.row]
        where = plan.units[int(facts["unit"])].path
        size = f"{int(facts['width'])} x {int(facts['height'])} pixels, {int(facts['bytes']):,} bytes"
        said.append(f"    {size}, in {where}")
    fate, texts = [], None
    if verdict.dropped is not None:
        rule, why = verdict.dropped
        fate = [f"    dropped by {rule}: {why}"]
    else:
        assert shown.row is not None, "an image without a file has not passed"
        fate, texts = _fate(plan, digest_of(index.facts[shown.row]))
    for one in verdict.texts:
        what = f"dropped by {one.rule}, {one.why}" if one.rule else _fate_of_text(plan, one.text, texts)
        said.append(f"    {one.source}: {one.text or one.raw} -- {what}")
    return said + fate


def _fate(plan: Plan, digest: str) -> tuple[list[str], list[str] | None]:
    """What the whole collection made of an image that passed on its page; and the texts that it is left with, the
    best first, or None where it is not kept."""
    for number in numbers_of(plan, "write"):
        for image in chosen_rows(plan, number):
            if image["xxh3"] == digest:
                texts = [one["text"] for one in image["texts"]]
                where = shard_path(plan.output, number).name
                return [f"    kept as {image['id']} in {where}: {texts[0]}"], texts
    for stage in ("settle", *(["choose"] if plan.settings.judged else [])):
        for one in plan.part(stage, 0).lines(DROPPED):
            if one["xxh3"] == digest:
                said = [f"    passed on its page; dropped by {one['rule']}: {one['why']}"]
                if "into" not in one:
                    return said, None
                more, texts = _fate(plan, one["into"])
                return [*said, f"    the larger one, {one['into'][:20]}:", *more], texts
    raise AssertionError("an image that passed, and is neither kept nor dropped")


def _fate_of_text(plan: Plan, text: str, kept: list[str] | None) -> str:
    """Of one that passed on its page; kept: those that its image is left with."""
    if kept is not None and text in kept:
        return "the best" if text == kept[0] else "kept beside the best"
    rules = plan.settings.texts
    if is_among(plan.part("settle", 0).array(SHARED), text_key(text)):
        return f"dropped by shared, on more than {rules.max_images} images"
    if kept is None:
        return "passes on its page"
    if is_alike(grams(text), [grams(one) for one in kept], rules.max_alike):
        return f"dropped by alike_elsewhere, {WHY_ALIKE}"
    return f"dropped by many_texts, {why_many(rules)}"
