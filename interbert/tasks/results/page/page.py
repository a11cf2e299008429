"""results.html: the figures of a model, where it is wrong, and what that looks like. It needs nothing beside it."""

from typing import Any

from interbert.printing import in_page
from interbert.show.style import BASE
from interbert.tasks.official.official import named_figures
from interbert.tasks.results.metrics import METRICS, Metric, metric_of
from interbert.tasks.results.page.cards import galleries
from interbert.tasks.results.page.confusion import confusion_of, confusion_table
from interbert.tasks.results.page.judged import Judged

MOST_TYPES = 100
_STYLE = (
    BASE
    + """
body { max-width: 1080px }
h1 { margin-bottom: 0; overflow-wrap: anywhere }
.soft { color: var(--soft) }
.warn { color: var(--warn) }
.value { font-size: 3rem; font-weight: 650; line-height: 1.1; margin: 1.2rem 0 0; letter-spacing: -.02em }
table { border-collapse: collapse; width: 100% }
th { text-align: left; font-weight: 600; padding: .25rem 1rem .25rem 0; overflow-wrap: anywhere }
td { padding: .25rem .8rem .25rem 0; font-variant-numeric: tabular-nums; overflow-wrap: anywhere }
tr + tr > * { border-top: 1px solid var(--rule) }
.facts th { white-space: nowrap; width: 1% }
.number { text-align: right; white-space: nowrap; width: 1% }
.wide { min-width: 90px; width: 45% }
.span rect { fill: var(--rule) } .span .between { fill: var(--bar); fill-opacity: .35 }
.span .at { fill: var(--bar) }
.span { height: 14px }
.scroll { overflow-x: auto }
.confusion { width: auto; font-size: .85rem }
.confusion td, .confusion th { border: 0; padding: .3rem .45rem; text-align: center; min-width: 2.2rem }
.confusion th { font-weight: 500; max-width: 9rem }
.confusion tbody th { text-align: right; position: sticky; left: 0; background: var(--paper) }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 310px), 1fr)); gap: 1.1rem }
.card { background: var(--card); border: 1px solid var(--rule); border-radius: 10px; padding: .9rem; min-width: 0 }
.card p { margin: .5rem 0; overflow-wrap: anywhere }
.card .scene { background: var(--paper); border-radius: 5px; max-height: 260px }
.pictures { display: flex; gap: .5rem } .pictures > * { flex: 1; min-width: 0 }
.segment + .segment::before { content: " / "; color: var(--soft) }
.scores { list-style: none; margin: .5rem 0 0; padding: 0; font-size: .88rem }
.scores li { display: grid; grid-template-columns: minmax(0, 1fr) 74px 3.4rem; gap: .5rem; align-items: center }
.scores .name { overflow-wrap: anywhere } .scores .told { text-align: right; font-variant-numeric: tabular-nums }
.scores .track { height: 6px; border-radius: 3px; background: var(--rule) }
.scores .track i { display: block; height: 6px; border-radius: 3px; background: var(--soft) }
.scores .right { color: var(--good) } .scores .right .track i { background: var(--good) }
.scores .answer .name { font-weight: 650 }
.scene .back { stroke-opacity: .35; stroke-width: 1 } .scene .answer { stroke-width: 3.5 }
.scene .sought { stroke: var(--good); stroke-dasharray: 6 4; stroke-width: 3 }
@media (max-width: 560px) { .value { font-size: 2.4rem } body { margin: 1rem auto; padding: 0 .9rem } }
"""
)


def results_page(judged: Judged) -> str:
    results = judged.results
    title = in_page(f"{judged.examples.path.name}, {results['kind']}")
    parts = [
        f"<h1>{title}</h1><p class=soft>{_counted(results)}</p>",
        _headline(results),
        f"<table class=facts id=facts>{_facts(results)}</table>",
        _figures(results),
        _by_type(results),
    ]
    confusion = confusion_of(judged)
    if confusion is not None:
        parts.append(f"<h2>What is taken for what</h2>{confusion_table(confusion)}")
    parts += galleries(judged)
    return (
        "<!doctype html><html lang=en><head><meta charset=utf-8>"
        '<meta name=viewport content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{_STYLE}</style></head><body>{''.join(parts)}</body></html>\n"
    )


def _counted(results: dict[str, Any]) -> str:
    counted = f"{results['examples']:,} examples"
    return counted + (
        f", and {results['without_label']:,} without a label" if results["without_label"] else ""
    )


def _headline(results: dict[str, Any]) -> str:
    if not results["examples"]:
        what = "with a label has images that are whole" if results["left_out"] else "has a label"
        return f"<p class=warn>No example {what}, so there are no figures: predictions only.</p>"
    metric = metric_of(results["kind"], results["metric"])
    figure = results["figures"][metric.name]
    return (
        f"<p class=value>{metric.told(figure['value'])}</p>"
        f"<p class=soft>{in_page(metric.title)}; {_interval(metric, figure)} on other examples of this kind "
        "(95 %)</p>"
    )


def _interval(metric: Metric, figure: dict[str, float | None]) -> str:
    return f"{metric.told(figure['low'])} to {metric.told(figure['high'])}"


def _facts(results: dict[str, Any]) -> str:
    facts = [
        ("model", results["model"]),
        ("checkpoint", results["checkpoint"]),
        ("examples", results["data"]["examples"]),
        ("images", ", ".join(results["data"]["stores"]) or "none: text alone"),
        ("fine-tuned on", results["tuned_on"] or "nothing: judged as it was pretrained"),
        *named_figures(results.get("official")),
    ]
    rows = "".join(f"<tr><th>{name}</th><td>{in_page(value)}</td></tr>" for name, value in facts)
    return rows + "".join(f"<tr><th></th><td class=warn>{told}</td></tr>" for told in caveats(results))


def caveats(results: dict[str, Any]) -> list[str]:
    """What a reader of the figures must know: why other data may not keep what they promise, and what is not in
    them."""
    told = []
    if results["tuned_on_this_data"]:
        told.append("It was trained on these very examples: the figures say what it remembers.")
    elif results["chosen_on_this_data"]:
        told.append("The checkpoint was chosen by these examples, which flatters it a little.")
    if results.get("left_out"):
        told.append(f"{results['left_out']:,} more are left out, for images of theirs are damaged.")
    return told


def _figures(results: dict[str, Any]) -> str:
    metrics = [metric for metric in METRICS[results["kind"]] if metric.name in results["figures"]]
    if not metrics:
        return ""
    rows = "".join(_row(metric.title, None, metric, results["figures"][metric.name]) for metric in metrics)
    return f"<h2>Figures</h2><table id=figures>{rows}</table>"


def _by_type(results: dict[str, Any]) -> str:
    by_type = results["by_type"]
    if not by_type:
        return ""
    metric = metric_of(results["kind"], results["metric"])
    rows = "".join(
        _row(name or "no type", each["examples"], metric, each["figures"][metric.name])
        for name, each in list(by_type.items())[:MOST_TYPES]
        if metric.name in each["figures"]
    )
    more = len(by_type) - MOST_TYPES
    left = f"<p class=soft>and {more:,} rarer ones, in results.json</p>" if more > 0 else ""
    return f"<h2>By type: {in_page(metric.title)}</h2><table id=types>{rows}</table>{left}"


def _row(name: str, examples: int | None, metric: Metric, figure: dict[str, float | None]) -> str:
    counted = "" if examples is None else f"<td class='number soft'>{examples:,}</td>"
    return (
        f"<tr><th>{in_page(name)}</th>{counted}<td class=number>{metric.told(figure['value'])}</td>"
        f"<td class=wide>{_span(metric, figure)}</td></tr>"
    )


def _span(metric: Metric, figure: dict[str, float | None]) -> str:
    """The value as a mark, its interval as a bar, on the way from 0 (or -1) to 1."""
    if None in figure.values():
        return ""
    told = _interval(metric, figure)
    if not metric.larger_is_better:
        return f"<span class=soft>{told}</span>"
    start = -1 if min(figure.values()) < 0 else 0
    value, low, high = (200 * (figure[name] - start) / (1 - start) for name in ("value", "low", "high"))
    parts = (
        ("", 0, 6, 200, 2),
        (" class=between", low, 3, max(high - low, 0.5), 8),
        (" class=at", value - 1, 1, 2, 12),
    )
    shapes = "".join(
        f'<rect{kind} x="{x:.2f}" y="{y}" width="{width:.2f}" height="{height}"/>'
        for kind, x, y, width, height in parts
    )
    return (
        f'<svg class=span viewBox="0 0 200 14" preserveAspectRatio="none" role="img"><title>{told}</title>'
        f"{shapes}</svg>"
    )
