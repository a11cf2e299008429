"""Which runs a sweep is made of: each point of a grid with each seed. All ranks plan the same from the same words."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import xxhash

from interbert.recipe import parse_scalar

SEED = "train.seed"
NEVER_SWEPT = {
    SEED: "give --seeds instead",
    "name": "the folders are named by what differs",
    "task.kind": "runs of one sweep are compared with each other",
    "task.metric": "runs of one sweep are compared by one figure",
    "task.validation": "runs of one sweep are compared on the same examples",
}
_LONGEST = 120


@dataclass(frozen=True)
class Variant:
    """One run of a sweep."""

    folder: Path
    point: str
    """Name of the point of the grid; runs that differ by their seed alone share it."""
    values: dict[str, Any]
    """What the grid says there, by the setting's name."""
    seed: int | None
    overrides: list[str]
    """As for --set."""


def plan_sweep(folder: Path, grid: list[str], seeds: list[int]) -> list[Variant]:
    """The runs, in order: all seeds of the first point, then of the next.

    >>> [v.folder.name for v in plan_sweep(Path("runs/x"), ["train.learning_rate=1e-5,3e-5"], [1])]
    ['learning_rate=1e-5,seed=1', 'learning_rate=3e-5,seed=1']
    """
    axes = dict(_axis(given) for given in grid)
    if len(axes) < len(grid):
        raise ValueError("--grid: a setting stands there twice; give all of its values at once")
    if len(set(seeds)) < len(seeds):
        raise ValueError(
            f"--seeds {' '.join(map(str, seeds))}: one of them stands there twice; give each once"
        )
    short = _short_names(list(axes))
    plan = []
    for texts in product(*axes.values()):
        words = [f"{key}={text}" for key, text in zip(axes, texts, strict=True)]
        point = ",".join(f"{short[key]}={text}" for key, text in zip(axes, texts, strict=True))
        values = {key: parse_scalar(text) for key, text in zip(axes, texts, strict=True)}
        for seed in seeds or [None]:
            name = ",".join(filter(None, (point, "" if seed is None else f"seed={seed}")))
            chosen = [] if seed is None else [f"{SEED}={seed}"]
            plan.append(Variant(folder / _folder_name(name), point, values, seed, words + chosen))
    names = [variant.folder.name for variant in plan]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(
                f"--grid: two of the runs would be in the folder {name}; leave one of the values out"
            )
    return plan


def _axis(given: str) -> tuple[str, list[str]]:
    key, separator, text = given.partition("=")
    values = list(_split(text))
    if not separator or not re.fullmatch(r"[\w.]+", key) or not all(values):
        raise ValueError(
            f"--grid {given!r}: write it as section.key=value,value, e.g. train.learning_rate=1e-5,3e-5"
        )
    if key in NEVER_SWEPT:
        raise ValueError(f"--grid {given!r}: {key} cannot be swept, for {NEVER_SWEPT[key]}")
    parsed = [parse_scalar(value) for value in values]
    for number, value in enumerate(parsed):
        if value in parsed[:number]:
            raise ValueError(f"--grid {given!r}: {values[number]} stands there twice; give each value once")
    return key, values


def _split(text: str) -> Iterator[str]:
    """At the commas that are not within brackets or quotes."""
    part, depth, quote = "", 0, ""
    for letter in text:
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        elif letter in "[{(":
            depth += 1
        elif letter in "]})":
            depth -= 1
        elif letter == "," and depth == 0:
            yield part.strip()
            part = ""
            continue
        part += letter
    yield part.strip()


def _short_names(keys: list[str]) -> dict[str, str]:
    """The last part of each setting's name, where no other ends in the same."""
    last = [key.rpartition(".")[2] for key in keys]
    return {key: name if last.count(name) == 1 else key for key, name in zip(keys, last, strict=True)}


def _folder_name(name: str) -> str:
    plain = re.sub(r"[^\w.,=+-]+", "_", name) or "run"
    if len(plain) <= _LONGEST:
        return plain
    return f"{plain[: _LONGEST - 9]}-{xxhash.xxh32(name.encode()).hexdigest()}"
