"""The funnel as one page: what came in and out of each rule, why its threshold stands there, and what it dropped."""

from collections import Counter
from typing import Any

from interbert.curate.report.pictures import Thumbnails
from interbert.curate.report.rules import IMAGES, ON_PAGES, TEXTS
from interbert.curate.settings import CurateSettings
from interbert.printing import in_page
from interbert.show.style import BASE

_STYLE = (
    BASE
    + """
body { max-width: 1280px }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid var(--rule); vertical-align: top }
td.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
.wide { overflow-x: auto }
.bar { background: var(--bar); height: .7rem; display: inline-block; min-width: 1px }
.gone { background: var(--warn) }
.off { color: var(--soft) }
.tiles { display: grid; grid-template-columns: repeat(auto-fill, minmax(170px, 1fr)); gap: 1rem; margin: .8rem 0 }
.tile { background: var(--card); border: 1px solid var(--rule); padding: .5rem; font-size: .8rem }
.tile div { overflow-wrap: anywhere }
.tile img, .none { display: block; max-width: 100%; height: 150px; object-fit: contain; margin: 0 auto .4rem }
.none { color: var(--soft); line-height: 150px; text-align: center }
.why { color: var(--warn) }
.said { font-weight: 600 }
details { margin: .4rem 0 }
summary { cursor: pointer }
.numbers { display: flex; flex-wrap: wrap; gap: 2rem }
.numbers div { font-size: 1.6rem } .numbers span { display: block; font-size: .85rem; color: var(--soft) }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(360px, 1fr)); gap: 1.6rem }
"""
)
_TITLES = {ON_PAGES: "Images, page by page", IMAGES: "Different images", TEXTS: "Texts"}


def funnel_page(
    report: dict[str, Any],
    counts: Counter[str],
    examples: dict[str, list[dict[str, Any]]],
    thumbnails: Thumbnails,
    settings: CurateSettings,
) -> str:
    tables = "".join(
        _table(of, title, report["rules"], examples, thumbnails) for of, title in _TITLES.items()
    )
    kept = _tiles(examples.get("kept", []), thumbnails)
    return (
        f"<!doctype html><html lang=en><head><meta charset=utf-8>"
        f"<meta name=viewport content='width=device-width'><title>Pairs from the web</title>"
        f"<style>{_STYLE}</style></head><body><h1>Pairs from the web</h1>"
        f"{_numbers(report)}{_gaps(report)}{_revisits(report)}{tables}"
        f"<h2>What is kept</h2>{kept or '<p>nothing</p>'}"
        f"<h2>How much of what</h2><div class=charts>{_charts(counts)}</div>"
        f"{_bad(report)}</body></html>\n"
    )


def _numbers(report: dict[str, Any]) -> str:
    shown = (
        ("pages", "pages"), ("image_tags", "img elements"), ("images_found", "whose file is there"),
        ("images_stored", "different images before any rule"), ("kept", "pairs kept"), ("shards", "shards"),
    )  # fmt: skip
    return "<div class=numbers>" + "".join(
        f"<div>{report[name]:,}<span>{words}</span></div>" for name, words in shown
    ) + "</div>"  # fmt: skip


def _gaps(report: dict[str, Any]) -> str:
    names = report["not_judged"]
    return (
        f"<p class=why id=not-judged>Not judged, for nothing was given to judge by: {', '.join(names)}.</p>"
        if names
        else ""
    )


def _revisits(report: dict[str, Any]) -> str:
    count = report["revisits"]
    told = "only name another one, whose answer was the same, and are not read (WARC: revisit)"
    return f"<p>{count:,} records {told}.</p>" if count else ""


def _table(
    of: str,
    title: str,
    rules: list[dict[str, Any]],
    examples: dict[str, list[dict[str, Any]]],
    thumbnails: Thumbnails,
) -> str:
    own = [rule for rule in rules if rule["of"] == of]
    most = max(own[0]["in"], 1)
    rows = "".join(_row(rule, most) for rule in own)
    what = "text" if of == TEXTS else "image"
    shown = "".join(
        f"<details><summary>dropped by {rule['rule']}: {rule['in'] - rule['out']:,}</summary>"
        f"{_tiles(examples.get(what + ' ' + rule['rule'], []), thumbnails)}</details>"
        for rule in own
        if rule["in"] > rule["out"]
    )
    head = "<tr><th>rule<th>keeps<th>because<th>in<th>dropped<th>out<th></tr>"
    return f"<h2>{title}</h2><div class=wide><table>{head}{rows}</table></div>{shown}"


def _row(rule: dict[str, Any], most: int) -> str:
    gone = rule["in"] - rule["out"]
    off = "" if rule["judged"] else " class=off"
    bars = f"<span class=bar style='width:{200 * rule['out'] / most:.0f}px'></span>"
    bars += f"<span class='bar gone' style='width:{200 * gone / most:.0f}px'></span>" if gone else ""
    return (
        f"<tr{off}><td>{rule['rule']}<td>{in_page(rule['keeps'])}<td>{in_page(rule['because'])}"
        f"<td class=n>{rule['in']:,}<td class=n>{gone:,}<td class=n>{rule['out']:,}"
        f"<td style='width:210px'>{bars}</tr>"
    )


def _tiles(examples: list[dict[str, Any]], thumbnails: Thumbnails) -> str:
    return f"<div class=tiles>{''.join(_tile(one, thumbnails) for one in examples)}</div>" if examples else ""


def _tile(example: dict[str, Any], thumbnails: Thumbnails) -> str:
    picture = thumbnails.of(example)
    shown = f"<img src='{picture}' alt=''>" if picture else "<span class=none>no picture</span>"
    texts = [example["text"]] if "text" in example else example.get("texts", [])
    said = "".join(f"<div class=said>{in_page(text[:300])}</div>" for text in texts)
    source = f" ({in_page(example['source'])})" if example.get("source") else ""
    why = (
        f"<div class=why>{in_page(example['why'])}{source}</div>"
        if example["why"]
        else f"<div>{source}</div>"
    )
    page = f"<div class=off>{in_page(example['page'][:200])}</div>" if example["page"] else ""
    return f"<div class=tile>{shown}{said}{why}{page}</div>"


def _charts(counts: Counter[str]) -> str:
    charts = (
        ("source ", "source of the text", False), ("words ", "words of the text", True),
        ("fit ", "probability that the text fits, in per cent, from", True),
        ("side ", "shorter side in pixels, from", True), ("language ", "language of pages", False),
        ("domain ", "domain of the page", False),
    )  # fmt: skip
    return "".join(_chart(counts, start, title, by_number) for start, title, by_number in charts)


def _chart(counts: Counter[str], start: str, title: str, by_number: bool) -> str:
    found = [(name.removeprefix(start), n) for name, n in counts.items() if name.startswith(start)]
    if not found:
        return ""
    found.sort(key=(lambda one: int(one[0])) if by_number else (lambda one: (-one[1], one[0])))
    most = max(n for _, n in found)
    shown = found if by_number else found[:25]
    rows = "".join(
        f"<tr><td>{in_page(name)}<td class=n>{n:,}"
        f"<td><span class=bar style='width:{160 * n / most:.0f}px'></span></tr>"
        for name, n in shown
    )
    more = f"<p class=off>and {len(found) - len(shown):,} more</p>" if len(found) > len(shown) else ""
    return f"<div><h3>{title}</h3><table>{rows}</table>{more}</div>"


def _bad(report: dict[str, Any]) -> str:
    if not report["bad"]:
        return ""
    lines = "".join(f"<li>{in_page(one)}</li>" for one in report["bad"][:200])
    many = f"{report['bad_places']:,} places, {report['images_broken']:,} images"
    return f"<h2>What could not be read: {many}</h2><ul>{lines}</ul>"
