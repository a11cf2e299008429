"""Stages between settling and writing, where a model is given: each shard's images are looked at and their texts
scored; then the whole collection says which images fit best, and they are dealt out anew."""

import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from interbert.curate.engine.notes import Notes
from interbert.curate.fit.columns import columns_of
from interbert.curate.fit.judges import judge_of, judged, small
from interbert.curate.fit.matcher import Matcher
from interbert.curate.fit.scorer import Scorer, load_scorer, match_alone
from interbert.curate.settings import CurateSettings
from interbert.curate.stages.judge import EXAMPLES
from interbert.curate.stages.plan import Plan
from interbert.curate.stages.settle import DROPPED, SHARD, deal
from interbert.curate.stages.write import Files, Spooled
from interbert.sources.images.containers.container import ImageError
from interbert.sources.images.decode import Limits

SCORED = "scored.jsonl.gz"
SCORES = ("natural", "safe", "fit", "match")
RULES = ("", "natural", "safe", "fits_nothing", "fits_less")
"""By their numbers; the first: it stays."""
Row = dict[str, Any]


def score_shard(plan: Plan, number: int, notes: Notes) -> None:
    """number: of a shard of the stage before, from 1. Order and columns follow from the shard alone."""
    part = plan.part("score", number)
    rows = list(plan.part("settle", number).lines(SHARD))
    for row in rows:
        row["scores"] = {}
    bad: list[str] = []
    with Spooled(plan, rows) as files:
        _look(rows, files, plan.settings, notes, bad)
        if plan.settings.fit.model is not None:
            _fit(rows, files, plan.settings, notes, bad)
    part.folder.mkdir(parents=True, exist_ok=True)
    part.write_lines(SCORED, rows)
    part.finish({"counts": {"bad places": len(bad)}, "bad": bad}, [part.path(SCORED)])


def _passed_over(row: Row, what: str, place: int, notes: Notes, bad: list[str]) -> bool:
    """Whether it has ended a worker before; then it goes, for nothing is known of it."""
    notes.begin(place)
    if place not in notes.fatal:
        return False
    row["scores"][what] = row["scores"]["match"] = 0.0
    bad.append(f"{row['image']}: {what} was not judged, {notes.fatal[place]}")
    return True


def _look(
    rows: list[Row], files: Files | Spooled, settings: CurateSettings, notes: Notes, bad: list[str]
) -> None:
    for turn, (what, spec) in enumerate(
        (("natural", settings.images.natural), ("safe", settings.images.safe))
    ):
        if spec is None:
            continue
        judge, limits = judge_of(spec, what), Limits(settings.reading.max_megapixels)
        for start in range(0, len(rows), 16):
            place, some = turn * len(rows) + start, rows[start : start + 16]
            over = [_passed_over(row, what, place, notes, bad) for row in some]
            if over[0]:  # one place, one answer
                continue
            seen = [(row, image) for row in some if (image := _seen(row, files.of(row), what, limits, bad))]
            if seen:
                shares = judged(judge, [image for _, image in seen], what)
                for (row, _), share in zip(seen, shares, strict=True):
                    row["scores"][what] = share


def _seen(row: Row, data: bytes, what: str, limits: Limits, bad: list[str]) -> Image.Image | None:
    """None: it does not decode, though its hash could be told; then it goes."""
    try:
        return small(data, limits)
    except ImageError as error:
        row["scores"][what] = 0.0
        bad.append(f"{row['image']}: {what} was not judged, {error}")
        return None


def _fit(
    rows: list[Row], files: Files | Spooled, settings: CurateSettings, notes: Notes, bad: list[str]
) -> None:
    rules = settings.fit
    scorer = load_scorer(Path(rules.scorer)) if rules.scorer else match_alone()
    with Matcher(rules, Limits(settings.reading.max_megapixels)) as matcher:
        for number, row in enumerate(rows):
            if _passed_over(row, "fit", 2 * len(rows) + number, notes, bad):
                continue
            columns = columns_of_row(rows, number, matcher, files, rules.others)
            if columns is None:
                row["scores"]["fit"] = 0.0  # no regions: nothing can be said of it
                continue
            put_best_first(row, scorer, columns)


def columns_of_row(
    rows: list[Row], number: int, matcher: Matcher, files: Files | Spooled, others: int
) -> np.ndarray | None:
    """Of the texts of one image among others; None: it has no regions."""
    row = rows[number]
    seen = matcher.regions(row, files.of(row))
    if seen is None:
        return None
    regions, labels = seen
    texts = [(one["source"], one["text"]) for one in row["texts"]]
    pairs = [(regions, text) for _, text in texts]
    pairs += [(regions, text) for text in _of_others(rows, number, others)]
    logits = matcher.logits(pairs)
    return columns_of(logits[: len(texts)], logits[len(texts) :], texts, labels)


def columns_of_rows(
    rows: list[Row], matcher: Matcher, files: Files | Spooled, others: int
) -> Iterator[tuple[Row, np.ndarray | None]]:
    for number, row in enumerate(rows):
        yield row, columns_of_row(rows, number, matcher, files, others)


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
    scores = _scores(plan, settled)
    rules = _rules(scores, plan.settings)
    counts: Counter[str] = Counter()
    examples: dict[str, list[Row]] = {}
    kept = (row for row, rule in zip(_scored(plan, settled), rules, strict=True) if not rule)
    _, shards = deal(plan, "choose", kept)
    final = plan.part("choose", 0)
    dropped = ((row, rule) for row, rule in zip(_scored(plan, settled), rules, strict=True) if rule)
    final.write_lines(DROPPED, _told(dropped, counts, examples))
    found = {"counts": dict(sorted(counts.items())), "examples": examples, "shards": len(shards)}
    final.finish(found, [final.path(DROPPED), *shards])


def _scored(plan: Plan, settled: range) -> Iterator[Row]:
    for number in settled:
        yield from plan.part("score", number).lines(SCORED)


def _scores(plan: Plan, settled: range) -> np.ndarray:
    """[S] of SCORES; what was not looked at has nothing against it."""
    found = bytearray()
    for row in _scored(plan, settled):
        found += np.array([row["scores"].get(name, 1.0) for name in SCORES]).tobytes()
    return np.frombuffer(found, np.float64).reshape(-1, len(SCORES))


def _rules(scores_S4: np.ndarray, settings: CurateSettings) -> np.ndarray:
    """Of each image the rule that drops it. What is kept is a share of the images that came here, not of those that
    are left: else each rule before it would make it keep worse ones."""
    natural, safe, fit, match = scores_S4.T
    images, rule_S = settings.images, np.zeros(len(scores_S4), np.uint8)
    for number, bad in (
        (1, natural < images.min_natural if images.natural else None),
        (2, safe < images.min_safe if images.safe else None),
        (3, fit < settings.fit.least if settings.fit.model else None),
    ):
        if bad is not None:
            rule_S[bad & (rule_S == 0)] = number
    if settings.fit.model is not None:
        left = np.flatnonzero(rule_S == 0)
        left = left[np.lexsort((left, -match[left], -fit[left]))]
        rule_S[left[math.ceil(settings.fit.keep * len(scores_S4)) :]] = 4
    return rule_S


def _told(
    dropped: Iterator[tuple[Row, int]], counts: Counter[str], examples: dict[str, list[Row]]
) -> Iterator[Row]:
    for row, rule in dropped:
        name, scores = RULES[rule], row["scores"]
        why = (
            f"{name} by {scores[name]:.2f}"
            if name in scores
            else f"its best text fits by {scores['fit']:.2f}"
        )
        counts[f"image {name}"] += 1
        some = examples.setdefault(f"image {name}", [])
        if len(some) < EXAMPLES:
            about = {key: row[key] for key in ("image", "page", "unit", "place", "bytes")}
            some.append({**about, "why": why, "texts": [row["texts"][0]["text"]]})
        yield {"xxh3": row["xxh3"], "rule": name, "why": why}
