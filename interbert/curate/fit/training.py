"""Makes a scorer from a collection that is done: from labels that people gave, and from weak ones that it holds."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from interbert.curate.fit.columns import COLUMNS
from interbert.curate.fit.matcher import Matcher
from interbert.curate.fit.scorer import Labels, Scorer, train_scorer
from interbert.curate.settings import FitRules
from interbert.curate.stages.plan import Plan
from interbert.curate.stages.score import columns_of_rows
from interbert.curate.stages.settle import SHARD
from interbert.curate.stages.write import Files
from interbert.curate.texts.words import alike, grams, text_key
from interbert.sources.images.decode import Limits

_AGREE = 0.4
"""Two sources of an image whose texts share so many of their groups of letters speak of it."""
_MOST = 20_000
"""Images that weak labels are taken from."""


@dataclass
class _Labels:
    columns: list[np.ndarray] = field(default_factory=list)
    fits: list[bool] = field(default_factory=list)
    images: list[int] = field(default_factory=list)

    def add(self, columns_F: np.ndarray, fits: bool, image: int) -> None:
        self.columns.append(columns_F)
        self.fits.append(fits)
        self.images.append(image)

    def labels(self) -> Labels:
        columns_NF = np.array(self.columns).reshape(-1, len(COLUMNS))
        return Labels(columns_NF, np.array(self.fits, bool), np.array(self.images, np.int64))


def train_on(plan: Plan, labels: Path | None, rules: FitRules) -> tuple[Scorer, dict[str, int]]:
    """And how many labels of which kind it has learnt from."""
    given_of = read_labels(labels) if labels else {}
    given, weak = _Labels(), _Labels()
    rows = _rows(plan)
    foreign = _with_foreign(rows)
    with Matcher(rules, Limits(plan.settings.reading.max_megapixels)) as matcher:
        found = columns_of_rows(foreign, matcher, Files(plan), rules.others)
        for number, (row, columns) in enumerate(found):
            if columns is not None:
                _take(number, row, columns, given_of, given, weak)
    counts = {
        "given": len(given.fits),
        "weak, that fit": sum(weak.fits),
        "weak, that do not": weak.fits.count(False),
    }
    return train_scorer(given.labels(), weak.labels()), counts


def read_labels(path: Path) -> dict[tuple[str, int], bool]:
    """By the image's id or address, and the text's key."""
    found = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        try:
            one = json.loads(line)
            found[one["image"], text_key(one["text"])] = bool(one["fits"])
        except (ValueError, KeyError, TypeError, AttributeError):
            raise ValueError(
                f"{path}, line {number}: not an object with image (id or address), text and fits (0 or 1)"
            ) from None
    return found


def _rows(plan: Plan) -> list[dict[str, Any]]:
    shards = range(1, plan.part("settle", 0).manifest()["shards"] + 1)
    rows: list[dict[str, Any]] = []
    for number in shards:
        rows += plan.part("settle", number).lines(SHARD)
        if len(rows) >= _MOST:
            break
    if len(rows) < 2:
        raise ValueError(f"{plan.output}: {len(rows)} images there; a scorer needs some hundreds")
    return rows[:_MOST]


def _with_foreign(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each with a text of another image behind its own, as from one of its own sources."""
    step = max(len(rows) // 3, 1)
    found = []
    for number, row in enumerate(rows):
        other = rows[(number + step) % len(rows)]["texts"][0]
        source = row["texts"][number % len(row["texts"])]["source"]
        found.append({**row, "texts": [*row["texts"], {**other, "source": source}]})
    return found


def _take(
    image: int,
    row: dict[str, Any],
    columns_NF: np.ndarray,
    given_of: dict[tuple[str, int], bool],
    given: _Labels,
    weak: _Labels,
) -> None:
    *own, foreign = row["texts"]
    own_grams = [grams(one["text"]) for one in own]
    for number, one in enumerate(own):
        key = text_key(one["text"])
        known = given_of.get((row["id"], key), given_of.get((row["image"], key)))
        if known is not None:
            given.add(columns_NF[number], known, image)
            continue
        others = [g for place, g in enumerate(own_grams) if own[place]["source"] != one["source"]]
        if any(alike(own_grams[number], other) >= _AGREE for other in others):
            weak.add(columns_NF[number], True, image)
    if all(text_key(foreign["text"]) != text_key(one["text"]) for one in own):
        weak.add(columns_NF[-1], False, image)
