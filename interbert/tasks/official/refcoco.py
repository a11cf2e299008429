"""RefCOCO: how often the region that was told overlaps what was meant by more than half (IoU)."""

from collections.abc import Sequence
from typing import Any


def figures(lines: Sequence[dict[str, Any]]) -> dict[str, float]:
    rights = [float(line["right"]) for line in lines if line["right"] is not None]
    return {"accuracy": sum(rights) / len(rights)} if rights else {}
