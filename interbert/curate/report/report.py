"""What became of everything: report.json, and the page of it."""

from collections import Counter
from typing import Any

import xxhash

from interbert.curate.report.funnel import funnel_page
from interbert.curate.report.pictures import Thumbnails
from interbert.curate.report.rules import IMAGES, ON_PAGES, RULES, TEXTS, is_on, not_judged
from interbert.curate.stages.all import numbers_of
from interbert.curate.stages.plan import Plan
from interbert.files import write_json, write_text

REPORT, PAGE = "report.json", "report.html"
EXAMPLES = 20


def write_report(plan: Plan) -> dict[str, Any]:
    counts, examples, bad = _merged(plan)
    report = report_of(plan, counts, bad)
    write_text(plan.output / PAGE, funnel_page(report, counts, examples, Thumbnails(plan), plan.settings))
    write_json(plan.output / REPORT, report)
    return report


def report_of(plan: Plan, counts: Counter[str], bad: list[str]) -> dict[str, Any]:
    return {
        "pages": counts["pages"],
        "image_tags": counts["image_tags"],
        "images_found": counts["images_found"],
        "images_stored": counts["images_stored"],
        "rules": _rules(plan, counts),
        "kept": counts["pairs"],
        "shards": len(numbers_of(plan, "write")),
        "not_judged": not_judged(plan.settings),
        "pages_opted_out": counts["pages opted out"],
        "revisits": counts["revisits"],
        "charsets_repaired": counts["charsets repaired"],
        "images_broken": counts["broken images"],
        "bad_places": counts["bad places"],
        "bad": bad,
    }


def _rules(plan: Plan, counts: Counter[str]) -> list[dict[str, Any]]:
    """In their order; what comes in is what the rule before it lets out."""
    flow = {ON_PAGES: counts["image in"], IMAGES: counts["images"], TEXTS: counts["text in"]}
    found = []
    for rule in RULES:
        dropped = counts[f"{'text' if rule.of == TEXTS else 'image'} {rule.name}"]
        found.append(
            {
                "rule": rule.name,
                "of": rule.of,
                "judged": is_on(rule, plan.settings),
                "in": flow[rule.of],
                "out": flow[rule.of] - dropped,
                "keeps": rule.keeps(plan.settings),
                "because": rule.why,
            }
        )
        flow[rule.of] -= dropped
    return found


def _merged(plan: Plan) -> tuple[Counter[str], dict[str, list[dict[str, Any]]], list[str]]:
    """Over all units of all stages, whichever start did them: each counts once, by its manifest."""
    counts: Counter[str] = Counter()
    chosen: dict[str, dict[int, dict[str, Any]]] = {}
    bad: list[str] = []
    for stage in ("read", "judge", "settle", *(["score", "choose"] if plan.settings.judged else []), "write"):
        for number in numbers_of(plan, stage):
            told = plan.part(stage, number).manifest()
            counts.update(
                {name: n for name, n in told["counts"].items() if not (stage == "judge" and name == "pages")}
            )
            for rule, some in _of_rules(told, stage).items():
                _choose(chosen.setdefault(rule, {}), some)
            bad += told.get("bad", [])
    return counts, {rule: [some[key] for key in sorted(some)] for rule, some in chosen.items()}, bad


def _of_rules(told: dict[str, Any], stage: str) -> dict[str, list[dict[str, Any]]]:
    examples = told.get("examples", {})
    return {"kept": examples} if stage == "write" else examples


def _choose(chosen: dict[int, dict[str, Any]], some: list[dict[str, Any]]) -> None:
    """Twenty of all units', by hashes of what they are: so each is as likely, and none comes twice."""
    for one in some:
        what = f"{one['image']}\n{one.get('text', one.get('row'))}"
        chosen.setdefault(xxhash.xxh3_64_intdigest(what.encode("utf-8", "surrogatepass")), one)
    for key in sorted(chosen)[EXAMPLES:]:
        del chosen[key]
