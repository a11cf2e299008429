"""The report of a trial as a page that needs nothing beside it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape
from typing import Any

from interbert.show.style import BASE

_STYLE = (
    BASE
    + """
body { max-width: 980px }
h1 { margin-bottom: 0; overflow-wrap: anywhere }
.soft { color: var(--soft) }
.warnings { list-style: none; margin: 1rem 0; padding: 0 }
.warnings li { border: 2px solid var(--warn); border-radius: 8px; padding: .6rem .9rem; margin: .5rem 0 }
.fine { border: 1px solid var(--good); border-radius: 8px; padding: .6rem .9rem; color: var(--good) }
.scroll { overflow-x: auto }
table { border-collapse: collapse; width: 100% }
th, td { text-align: right; padding: .35rem 0 .35rem 1rem; font-variant-numeric: tabular-nums }
td { white-space: nowrap }
th:first-child { text-align: left; padding-left: 0; font-weight: 600 }
tr + tr > *, tbody tr > * { border-top: 1px solid var(--rule) }
.value { font-size: 2.2rem; font-weight: 650; line-height: 1.2; margin: .8rem 0 0 }
.span { height: 22px; margin-top: .4rem; overflow: visible } .span rect { fill: var(--bar); fill-opacity: .4 }
.span line { stroke: var(--soft) } .span .at { stroke: var(--bar); stroke-width: 2 }
@media (max-width: 560px) { body { margin: 1rem auto; padding: 0 .9rem } .value { font-size: 1.6rem } }
"""
)
_OF_ARM = ("users", "searches", "exposures", "clicks", "refused", "failed", "left")
_TITLES = {"left": "left before the answer", "exposures": "items seen", "refused": "refused (429, 503, 504)"}


def page_of(report: dict[str, Any]) -> str:
    title = escape(f"Trial {report['name']}")
    warnings = "".join(f"<li>{escape(text)}</li>" for text in report["warnings"])
    first = (
        f"<ul class=warnings>{warnings}</ul>" if warnings else "<p class=fine>The checks find nothing.</p>"
    )
    parts = [
        f"<h1>{title}</h1><p class=soft>{_when(report)}</p>",
        f"<h2>Before anything else</h2>{first}{_checks(report)}",
        f"<h2>Clicks an item seen</h2>{_headline(report)}",
        f"<h2>Figures</h2>{_figures(report)}",
        f"<h2>Each arm</h2>{_arms(report)}",
        f"<h2>What was shown</h2>{_shown(report)}",
    ]
    return (
        "<!doctype html><html lang=en><head><meta charset=utf-8>"
        '<meta name=viewport content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{_STYLE}</style></head><body><main>{''.join(parts)}</main></body></html>\n"
    )


def _when(report: dict[str, Any]) -> str:
    if report["began"] is None:
        return "No search has been made yet."
    began, ended = (
        f"{datetime.fromtimestamp(report[end], UTC):%Y-%m-%d %H:%M}" for end in ("began", "ended")
    )
    return f"{began} to {ended} UTC. Intervals hold 95 %, and are over users."


def _checks(report: dict[str, Any]) -> str:
    checks, told = report["checks"], []
    if "sample_ratio_p" in checks:
        told.append(f"Users and shares: chi-squared, p = {checks['sample_ratio_p']:.3g}.")
    again = checks["resplit"]
    if again is None:
        told.append("Intervals: the first arm has too few users who saw anything; not tried.")
    else:
        told.append(
            f"Intervals: of {again['times']:,} deals of the first arm's users into halves that differ in nothing, "
            f"{percent(again['alarms'])} differ at p < 0.05; honest ones do in {percent(again['low'])} to "
            f"{percent(again['high'])}."
        )
    return f"<ul>{''.join(f'<li>{escape(text)}</li>' for text in told)}</ul>"


def _headline(report: dict[str, Any]) -> str:
    found = report["figures"]["ctr"]["difference"]
    if found is None:
        return "<p class=soft>There are not two arms in which 20 users saw something.</p>"
    lift = "" if found["lift"] is None else f", {percent(found['lift'], True)} of the first arm's"
    return (
        f"<p class=value>{points(found['value'])}</p>"
        f"<p>{points(found['low'])} to {points(found['high'])}{lift}; p = {found['p']:.3g}</p>"
        f"{_span(found)}<p class=soft>So many users would show a difference of "
        f"{points(found['found_from'], False)} four times of five.</p>"
    )


def _span(found: dict[str, float]) -> str:
    """The interval, and where nothing would be."""
    reach = max(abs(found["low"]), abs(found["high"]), 1e-9) * 1.1

    def at(value: float) -> float:
        return 50 + 50 * value / reach

    low, high, value = (at(found[name]) for name in ("low", "high", "value"))
    return (
        '<svg class=span viewBox="0 0 100 6" preserveAspectRatio="none" role="img" aria-label="the interval, and 0">'
        f'<rect x="{low:.2f}" y="1" width="{high - low:.2f}" height="4"/>'
        '<line x1="50" x2="50" y1="0" y2="6" vector-effect="non-scaling-stroke"/>'
        f'<line class=at x1="{value:.2f}" x2="{value:.2f}" y1="1" y2="5" vector-effect="non-scaling-stroke"/></svg>'
    )


def _figures(report: dict[str, Any]) -> str:
    rows = []
    for name, figure in report["figures"].items():
        told, apart = (plain, plain) if name == "diversity" else (percent, points)
        cells = [
            "not known"
            if rate is None
            else f"{told(rate['value'])} ({told(rate['low'])} to {told(rate['high'])})"
            for rate in figure["arms"].values()
        ]
        found = figure["difference"]
        cells.append("" if found is None else f"{apart(found['value'], True)}, p = {found['p']:.2g}")
        rows.append((figure["title"], *cells))
    note = (
        "<p class=soft>Diversity of a list: 1 less the mean cosine of two items that were seen together, by the "
        "vectors of the first arm's index for both arms.</p>"
    )
    return _table("figures", ("", *report["arms"], "difference"), rows) + note


def _arms(report: dict[str, Any]) -> str:
    arms = report["arms"].values()
    rows = [("share", *(f"{arm['share']:g}" for arm in arms))]
    rows += [(_TITLES.get(name, name), *(f"{arm[name]:,}" for arm in arms)) for name in _OF_ARM]
    for quantile in ("p50", "p95", "p99"):
        cells = (f"{1000 * arm['seconds'][quantile]:.0f} ms" if arm["seconds"] else "" for arm in arms)
        rows.append((f"answered within, {quantile}", *cells))
    rows.append(("model", *(", ".join(mark[:12] for mark in arm["models"]) for arm in arms)))
    return _table("each arm", ("", *report["arms"]), rows)


def _shown(report: dict[str, Any]) -> str:
    shown = report["shown"]
    arms = shown["arms"].values()
    rows = [
        ("different items seen", *(f"{arm['items_seen']:,}" for arm in arms)),
        ("coverage", *(_or_unknown(arm["coverage"], percent) for arm in arms)),
        ("Gini of exposures", *(_or_unknown(arm["exposure_gini"], plain) for arm in arms)),
    ]
    items = "an index that is gone" if report["items"] is None else f"{report['items']:,} items"
    note = f"<p class=soft>Of {shown['searches']:,} searches of each arm, among {items}.</p>"
    return _table("what was shown", ("", *report["arms"]), rows) + note


def _table(label: str, head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    heads = "".join(f"<th scope=col>{escape(name)}</th>" for name in head)
    body = "".join(
        f"<tr><th scope=row>{escape(row[0])}</th>{''.join(f'<td>{escape(cell)}</td>' for cell in row[1:])}</tr>"
        for row in rows
    )
    table = f"<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>"
    # What is wider than the screen is moved by arrows, too.
    return f'<div class=scroll role=group tabindex=0 aria-label="{label}">{table}</div>'


def _or_unknown(value: float | None, told: Any) -> str:
    return "not known" if value is None else told(value)


def percent(value: float, signed: bool = False) -> str:
    return f"{100 * value:{'+' if signed else ''}.2f} %"


def points(value: float, signed: bool = True) -> str:
    """A difference of two percentages."""
    return f"{100 * value:{'+' if signed else ''}.2f} points"


def plain(value: float, signed: bool = False) -> str:
    return f"{value:{'+' if signed else ''}.3f}"
