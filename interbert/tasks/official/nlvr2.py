"""NLVR2: accuracy and consistency, and the predictions that its server takes."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any


def figures(lines: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Of all statements, and of each of the subsets that their types name."""
    subsets = sorted({line["type"] for line in lines if line.get("type")})
    of_subsets = {name: _figures([line for line in lines if line.get("type") == name]) for name in subsets}
    told = {name: found for name, found in of_subsets.items() if found}
    return _figures(lines) | ({"subsets": told} if told else {})


def _figures(lines: Sequence[dict[str, Any]]) -> dict[str, float]:
    """consistency: of a sentence's statements about all pairs of a set, all are told rightly."""
    groups = defaultdict(list)
    for line in lines:
        if line["label"] is not None:
            groups[_sentence_of(line["id"])].append(line["prediction"] == line["label"])
    told = [right for group in groups.values() for right in group]
    if not told:
        return {}
    return {
        "accuracy": sum(told) / len(told),
        "consistency": sum(map(all, groups.values())) / len(groups),
    }


def _sentence_of(identifier: str) -> tuple[str, str, str]:
    """Split, set and sentence: the identifier without its pair."""
    split, set_, _, sentence = identifier.split("-")
    return split, set_, sentence


def submission(lines: Sequence[dict[str, Any]]) -> str:
    return "".join(f"{line['id']},{line['prediction']}\n" for line in lines)
