"""The candidates of a query by what a model says of them."""

from typing import Any


def ranked(line: dict[str, Any]) -> list[str]:
    """The best first; of equals as the list of candidates has them."""
    order = sorted(range(len(line["candidates"])), key=lambda place: -line["scores"][place])
    return [line["candidates"][place] for place in order]
