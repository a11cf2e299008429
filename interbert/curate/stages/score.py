"""Stages between settling and writing, where a model is given: each shard's images are looked at and their texts
scored; then the whole collection says which images fit best, and they are dealt out anew."""

import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from interbert.curate.engine.notes import Notes
from interbert.curate.fit.columns import columns_of
from interbert.curate.fit.judges import judge_of, judged
from interbert.curate.fit.matcher import Matcher
from interbert.curate.fit.scorer import Scorer, load_scorer, match_alone
from interbert.curate.settings import CurateSettings
from interbert.curate.stages.plan import Plan
from interbert.curate.stages.settle import DROPPED, SHARD, deal
from interbert.curate.stages.write import Files

SCORED = "scored.jsonl.gz"
_EXAMPLES = 20
Row = dict[str, Any]


def score_shard(plan: Plan, number: int, notes: Notes) -> None:
    """number: of a shard of the stage before, from 1. Order and columns follow from the shard alone."""
    part = plan.part("score", number)
    rows, files = list(plan.part("settle", number).lines(SHARD)), Files(plan)
    for row in rows:
        row["scores"] = {}
    _look(rows, files, plan.settings, notes)
    if plan.settings.fit.model is not None:
        _fit(rows, files, plan.settings, notes)
    part.folder.mkdir(parents=True, exist_ok=True)
    part.write_lines(SCORED, rows)
    part.finish({"counts": {}}, [part.path(SCORED)])


def _look(rows: list[Row], files: Files, settings: CurateSettings, notes: Notes) -> None:
    for what, spec in (("natural", settings.images.natural), ("safe", settings.images.safe)):
        if spec is None:
            continue
        judge = judge_of(spec, what)
        for start in range(0, len(rows), 16):
            notes.begin(start)
            some = rows[start : start + 16]
            data = [files.data(row["unit"], row["place"], row["bytes"]) for row in some]
            for row, share in zip(some, judged(judge, data, what), strict=True):
                row["scores"][what] = share


def _fit(rows: list[Row], files: Files, settings: CurateSettings, notes: Notes) -> None:
    rules = settings.fit
    scorer = load_scorer(Path(rules.scorer)) if rules.scorer else match_alone()
    with Matcher(rules) as matcher:
        for number, (row, columns) in enumerate(columns_of_rows(rows, matcher, files, rules.others)):
            notes.begin(number)
            if columns is None:
                row["scores"]["fit"] = 0.0  # no regions: nothing can be said of it
                continue
            put_best_first(row, scorer, columns)


def columns_of_rows(
    rows: list[Row], matcher: Matcher, files: Files, others: int
) -> Iterator[tuple[Row, np.ndarray | None]]:
    for number, row in enumerate(rows):
        seen = matcher.regions(row, files.data(row["unit"], row["place"], row["bytes"]))
        if seen is None:
            yield row, None
            continue
        regions, labels = seen
        texts = [(one["source"], one["text"]) for one in row["texts"]]
        pairs = [(regions, text) for _, text in texts]
        pairs += [(regions, text) for text in _of_others(rows, number, others)]
        logits = matcher.logits(pairs)
        yield row, columns_of(logits[: len(texts)], logits[len(texts) :], texts, labels)


def _of_others(rows: list[Row], number: int, count: int) -> list[str]:
    """First texts of other images, spread over the shard; of other pages, where there are any."""
    step = max(len(rows) // (count + 1), 1)
    found = []
    for turn in range(1, len(rows)):
        other = rows[(number + turn * step + turn // len(rows)) % len(rows)]
        if other["page"] != rows[number]["page"]:
            found.append(other["texts"][0]["text"])
        if len(found) == count:
            break
    return found


def put_best_first(row: Row, scorer: Scorer, columns_NF: np.ndarray) -> None:
    fits = scorer.probabilities(columns_NF)
    for one, fit, match in zip(row["texts"], fits.tolist(), columns_NF[:, 0].tolist(), strict=True):
        one["fit"], one["match"] = round(fit, 5), round(1 / (1 + math.exp(-match)), 5)
    # Of what fits as well, the more trusted source, which stands first.
    row["texts"].sort(key=lambda one: -one["fit"])
    row["scores"]["fit"], row["scores"]["match"] = row["texts"][0]["fit"], row["texts"][0]["match"]


def choose(plan: Plan) -> None:
    """Of the whole collection: numbers of all images are held, and lines one at a time."""
    settled = range(1, plan.part("settle", 0).manifest()["shards"] + 1)
    scores = [row["scores"] for number in settled for row in plan.part("score", number).lines(SCORED)]
    rules = [_rule(one, plan.settings) for one in scores]
    _leave_the_less_fitting(scores, rules, plan.settings)
    counts: Counter[str] = Counter()
    examples: dict[str, list[Row]] = {}
    told: list[Row] = []
    rows = (row for number in settled for row in plan.part("score", number).lines(SCORED))
    kept = _kept(rows, rules, counts, examples, told)
    dealt = deal(plan, "choose", kept)
    final = plan.part("choose", 0)
    final.write_lines(DROPPED, told)
    shards = -(-dealt // plan.settings.shard_images)
    found = {"counts": dict(sorted(counts.items())), "examples": examples, "shards": shards}
    final.finish(found, [final.path(DROPPED)])


def _rule(scores: dict[str, float], settings: CurateSettings) -> tuple[str, str] | None:
    images = settings.images
    for what, given, least in (
        ("natural", images.natural, images.min_natural),
        ("safe", images.safe, images.min_safe),
    ):
        if given is not None and scores[what] < least:
            return what, f"{what} by {scores[what]:.2f}"
    if settings.fit.model is not None and scores["fit"] < settings.fit.least:
        return "fits_nothing", f"its best text fits by {scores['fit']:.2f}"
    return None


def _leave_the_less_fitting(
    scores: list[dict[str, float]], rules: list[tuple[str, str] | None], settings: CurateSettings
) -> None:
    """A share of the images that came here, not of those that are left: else each rule before it would make it keep
    worse ones."""
    if settings.fit.model is None:
        return
    left = [number for number, rule in enumerate(rules) if rule is None]
    left.sort(key=lambda number: (-scores[number]["fit"], -scores[number]["match"], number))
    for number in left[math.ceil(settings.fit.keep * len(scores)) :]:
        rules[number] = "fits_less", f"its best text fits by {scores[number]['fit']:.2f}"


def _kept(
    rows: Iterator[Row],
    rules: list[tuple[str, str] | None],
    counts: Counter[str],
    examples: dict[str, list[Row]],
    told: list[Row],
) -> Iterator[Row]:
    for row, rule in zip(rows, rules, strict=True):
        if rule is None:
            yield row
            continue
        name, why = rule
        counts[f"image {name}"] += 1
        told.append({"xxh3": row["xxh3"], "rule": name, "why": why})
        some = examples.setdefault(f"image {name}", [])
        if len(some) < _EXAMPLES:
            about = {key: row[key] for key in ("image", "page", "unit", "place", "bytes")}
            some.append({**about, "why": why, "texts": [row["texts"][0]["text"]]})
