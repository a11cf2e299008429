"""Made crawls whose images were collected by the rules, with what the match head says of each text and what is true
of it; kept in a folder, so that what costs minutes is done once."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from interbert.curate.fit.matcher import Matcher
from interbert.curate.run import Wishes, curate
from interbert.curate.settings import CurateSettings, FitRules
from interbert.curate.stages.plan import load_plan
from interbert.curate.stages.score import columns_of_rows
from interbert.curate.stages.settle import SHARD
from interbert.curate.stages.write import Files
from interbert.curate.texts.words import letters_alone
from interbert.curate.truth import GOOD
from interbert.files import read_json, write_json
from interbert.sources.images.decode import Limits
from interbert.sources.scenes.pages.write import LABELS, write_pages
from interbert.sources.scenes.write import write_scenes


@dataclass
class Seen:
    """An image that passed the rules."""

    scene: str
    part: str
    """Of its page: tuning or judging."""
    texts: list[tuple[str, str]]
    """(source, text), in the order of the sources."""
    truth: list[bool | None]
    """Of each text; None: nobody has said."""
    columns: np.ndarray = field(repr=False)
    """[texts, F]"""


def made(folder: Path, pages: int, seed: int, noise: float, width: int) -> tuple[Path, Path]:
    """Collected by the rules alone: the folder of it, and a store of the scenes that its pictures show."""
    output, features = folder / "pairs", folder / "scenes.h5"
    if not (output / "report.json").exists():
        photos = write_pages(folder / "made", pages, seed, "train", noise)
        write_scenes(features, photos, seed, feature_width=width, captions=1)
        curate(Wishes([folder / "made"], [], [], output, CurateSettings()))
    return output, features


def seen(folder: Path, pages: int, seed: int, noise: float, model: Path) -> list[Seen]:
    table = folder / "seen.json"
    if not table.exists():
        output, features = made(folder, pages, seed, noise, width_of(model))
        write_json(table, _scored(output, features, folder / "made" / LABELS, model))
    rows = read_json(table)
    return [Seen(**{**row, "columns": np.array(row["columns"])}) for row in rows]


def width_of(model: Path) -> int:
    return json.loads((model / "config.json").read_text())["feature_width"]


def _scored(output: Path, features: Path, labels: Path, model: Path) -> list[dict[str, Any]]:
    plan, kinds, parts = load_plan(output), {}, {}
    for line in labels.read_text(encoding="utf-8").splitlines():
        one = json.loads(line)
        parts[one["page"]] = one["part"]
        if one["what"] == "text":
            kinds[one["page"], one["image"], letters_alone(one["meant"] or one["text"])] = one["kind"]
    shards = range(1, plan.part("settle", 0).manifest()["shards"] + 1)
    rows = [row for number in shards for row in plan.part("settle", number).lines(SHARD)]
    rules, found = FitRules(model=str(model), features=str(features)), []
    with Matcher(rules, Limits()) as matcher:
        for row, columns in columns_of_rows(rows, matcher, Files(plan), rules.others):
            if columns is not None:
                found.append({
                    "scene": Path(row["image"]).stem, "part": parts[row["page"]],
                    "texts": [[one["source"], one["text"]] for one in row["texts"]],
                    "truth": [_truth(row, one, kinds) for one in row["texts"]],
                    "columns": columns.tolist(),
                })  # fmt: skip
    return found


def _truth(row: dict[str, Any], one: dict[str, str], kinds: dict[tuple[str, str, str], str]) -> bool | None:
    kind = kinds.get((one["page"], row["image"], letters_alone(one["text"])))
    if kind is None:
        # What pages say as a whole is their topic.
        return False if one["source"] in ("page", "description") else None
    return kind in GOOD
