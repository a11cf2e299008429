"""MUGE and Chinese-CLIP: recall of text-to-image retrieval, and the ten ids a query that are handed in."""

import json
from collections.abc import Sequence
from typing import Any

from interbert.tasks.official.ranked import ranked

CUTS = (1, 5, 10)


def figures(lines: Sequence[dict[str, Any]]) -> dict[str, float]:
    """A query is found where any of the items that fit is among the first k; mean_recall is the mean of the three."""
    places = [_first_right(line) for line in lines if line.get("relevant")]
    if not places:
        return {}
    found = {f"r{cut}": sum(place < cut for place in places) / len(places) for cut in CUTS}
    return found | {"mean_recall": sum(found.values()) / len(CUTS)}


def _first_right(line: dict[str, Any]) -> int:
    """From 0; beyond the list where none of its candidates fits."""
    items = ranked(line)
    return next((place for place, item in enumerate(items) if item in line["relevant"]), max(CUTS))


def submission(lines: Sequence[dict[str, Any]]) -> str:
    return "".join(json.dumps(_prediction(line)) + "\n" for line in lines)


def _prediction(line: dict[str, Any]) -> dict[str, Any]:
    query, items = line["fields"]
    best = ranked(line)[: max(CUTS)]
    if len(best) < max(CUTS):
        raise ValueError(
            f"query {line['id']} has {len(best)} candidates, and exactly {max(CUTS)} are handed in: "
            "import it with more"
        )
    return {query: _as_number(line["id"]), items: [_as_number(item) for item in best]}


def _as_number(item: str | int) -> str | int:
    """The official ids are whole numbers."""
    number = int(item) if isinstance(item, str) and item.isdecimal() else item
    return number if str(number) == str(item) else item
