"""What became of an address: of a page, or of an image on all pages that show it."""

from collections.abc import Iterator
from pathlib import Path

from interbert.curate.images.facts import digest_of
from interbert.curate.images.index import Index
from interbert.curate.reading import urls
from interbert.curate.reading.page import Page
from interbert.curate.stages.all import numbers_of
from interbert.curate.stages.gathered import WHY_ALIKE, is_among, why_many
from interbert.curate.stages.judge import OVER, Verdict, judge_page
from interbert.curate.stages.named import stamps_of
from interbert.curate.stages.plan import Plan, load_plan
from interbert.curate.stages.read import PAGES
from interbert.curate.stages.settle import DROPPED, SHARED
from interbert.curate.stages.write import chosen_rows, shard_path
from interbert.curate.texts.words import grams, is_alike, text_key
from interbert.printing import printable

_MOST_PAGES, _MOST_LINES, _MOST_ADDRESSES = 20, 400, 10


def explain(output: Path, url: str) -> list[str]:
    plan = load_plan(output)
    if not plan.part("settle", 0).done:
        raise ValueError(f"{output}: not finished; start it again with the same --input")
    _refuse_other_words(plan)
    wanted, index = urls.key(url), Index(plan.work)
    said = []
    for number, (page, why_over) in enumerate(_pages_about(plan, wanted)):
        if number == _MOST_PAGES or len(said) > _MOST_LINES:
            said.append("… and more pages")
            break
        said.append(f"page {page.url}" + (f", which opts out ({page.opt_out})" if page.opt_out else ""))
        # What ended workers would end this process too.
        said += [f"  {why_over}"] if why_over else _of_page(page, wanted, plan, index)
    said = said or _unreadable(plan, url)
    if not said:
        raise ValueError(f"{url}: neither a page nor an image on a page of {output}")
    return [printable(line) for line in said]


def _refuse_other_words(plan: Plan) -> None:
    """Texts are judged again to be explained: by other lists it would be told what did not happen."""
    now = stamps_of(plan.settings)
    changed = [
        name for name in ("texts.vocabulary", "texts.bad_words") if plan.named.get(name) != now.get(name)
    ]
    if changed:
        raise ValueError(
            f"{plan.output}: the files of {', '.join(changed)} have changed since; put them back"
        )


def _pages_about(plan: Plan, wanted: bytes) -> Iterator[tuple[Page, str | None]]:
    """And why a page was passed over when it was to be judged."""
    for number in plan.page_units:
        over = plan.part("judge", number).manifest()[OVER]
        for place, row in enumerate(plan.part("read", number).lines(PAGES)):
            page = Page.of_row(row)
            here = urls.key(page.url) == wanted
            if here or any(urls.key(one) == wanted for image in page.images for one in image.urls):
                yield page, over.get(str(place))


def _unreadable(plan: Plan, url: str) -> list[str]:
    """What is told of an address that was passed over when it was read, as far as that is named."""
    told = (one for number in range(len(plan.units)) for one in plan.part("read", number).manifest()["bad"])
    return [f"not read: {one}" for one in told if f"{url}:" in one]


def _of_page(page: Page, wanted: bytes, plan: Plan, index: Index) -> list[str]:
    whole, said = urls.key(page.url) == wanted, []
    for verdict in judge_page(page, index, plan.settings):
        if whole or any(urls.key(one) == wanted for one in verdict.shown.urls):
            said += _told(verdict, plan, index)
    return said


def _told(verdict: Verdict, plan: Plan, index: Index) -> list[str]:
    shown = verdict.shown
    others = [one for one in dict.fromkeys(shown.urls) if one != shown.url][:_MOST_ADDRESSES]
    said = [f"  image {shown.url}"]
    said += [f"    the same as {', '.join(others)}, of which this one was taken"] if others else []
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
