"""KDD Cup 2020: nDCG at five of the products ranked for each query, and the table that is handed in."""

from collections.abc import Sequence
from math import log2
from typing import Any

from interbert.tasks.official.ranked import ranked

PLACES = 5


def figures(lines: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Over the queries whose answers are known."""
    known = [ndcg(ranked(line), line["relevant"]) for line in lines if line.get("relevant")]
    return {f"nDCG@{PLACES}": sum(known) / len(known)} if known else {}


def ndcg(products: Sequence[str], relevant: Sequence[str]) -> float:
    """As the official scorer has it: the first place counts whole, the second too (by the logarithm of 2), then less
    and less; the best that could be is five that fit, or as many as there are."""
    gains = [float(product in relevant) for product in products[:PLACES]]
    return _discounted(gains) / _discounted([1.0] * min(PLACES, len(relevant)))


def _discounted(gains: Sequence[float]) -> float:
    return sum(gain if place == 0 else gain / log2(place + 1) for place, gain in enumerate(gains))


def submission(lines: Sequence[dict[str, Any]]) -> str:
    named = ",".join(f"product{place}" for place in range(1, PLACES + 1))
    rows = ("".join(f",{product}" for product in ranked(line)[:PLACES]) for line in lines)
    return f"query-id,{named}\n" + "".join(
        f"{line['id']}{row}\n" for line, row in zip(lines, rows, strict=True)
    )
