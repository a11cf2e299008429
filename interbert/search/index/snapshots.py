"""Snapshots of a graph, which say up to which change they go, whole or not there. Losing one costs time only."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

import xxhash

from interbert.files import read_json, remove, replaced, write_json
from interbert.search.index.nearest import Graph

log = logging.getLogger(__name__)
_NAME = re.compile(r"graph-(\d+)\.json")
KEPT = 1


def save(folder: Path, graph: Graph, sequence: int, said: dict[str, Any]) -> None:
    """said: of the graph, besides; the json is written last, and counts."""
    path = folder / f"graph-{sequence}.usearch"
    with replaced(path) as partial:
        graph.save(partial)
    write_json(
        folder / f"graph-{sequence}.json",
        {"sequence": sequence, "sum": _sum(path), "items": len(graph), **said},
    )
    for older in _there(folder)[KEPT:]:
        _drop(folder, older)


def load(folder: Path, graph: Graph) -> dict[str, Any] | None:
    """What is said of the newest whole one, which the graph then holds; None where there is none. Broken ones go."""
    for sequence in _there(folder):
        path = folder / f"graph-{sequence}.usearch"
        try:
            said = read_json(folder / f"graph-{sequence}.json")
            if said["sum"] != _sum(path):
                raise ValueError(f"{path}: changed after writing")
            graph.load(path)
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.warning("a snapshot is left out, and made anew: %s", error)
            _drop(folder, sequence)
            continue
        return said
    return None


def newest(folder: Path) -> int | None:
    return next(iter(_there(folder)), None)


def faults(folder: Path) -> list[str]:
    """Of the snapshots that are there."""
    found = []
    for sequence in _there(folder):
        path = folder / f"graph-{sequence}.usearch"
        try:
            if read_json(folder / f"graph-{sequence}.json")["sum"] != _sum(path):
                found.append(f"{path}: changed after writing; the next opening makes it anew")
        except (OSError, ValueError, KeyError, TypeError) as error:
            found.append(f"{path}: {error}; the next opening makes it anew")
    return found


def _there(folder: Path) -> list[int]:
    found = (_NAME.fullmatch(path.name) for path in folder.glob("graph-*.json"))
    return sorted((int(match[1]) for match in found if match), reverse=True)


def _drop(folder: Path, sequence: int) -> None:
    for ending in ("json", "usearch"):
        remove(folder / f"graph-{sequence}.{ending}")


def _sum(path: Path) -> str:
    digest = xxhash.xxh3_128()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 24):
            digest.update(chunk)
    return digest.hexdigest()
