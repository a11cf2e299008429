"""Rows of the table: what was found, beside what was predicted and what is wanted."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Target:
    limit: float
    at_most: bool = False

    def __str__(self) -> str:
        return f"{'≤' if self.at_most else '≥'} {number(self.limit)}"

    def reached(self, value: float) -> bool:
        return value <= self.limit if self.at_most else value >= self.limit


@dataclass(frozen=True)
class Row:
    what: str
    found: float | str | None
    """None: it could not be had."""
    unit: str = ""
    predicted: float | str | None = None
    target: Target | None = None

    def verdict(self) -> str:
        if self.target is None:
            return ""
        if not isinstance(self.found, float):
            return "not told"
        return "reached" if self.target.reached(self.found) else "missed"

    def cells(self, rehearsal: bool) -> list[str]:
        target = str(self.target) if self.target else "–"
        found = f"{number(self.found)} {self.unit}".rstrip()
        return [self.what, found, number(self.predicted), target, "" if rehearsal else self.verdict()]

    def as_json(self, rehearsal: bool) -> dict[str, Any]:
        """No figure of a rehearsal goes by the name of a measurement."""
        words = asdict(self) | {"target": str(self.target) if self.target else None}
        words["rehearsed" if rehearsal else "measured"] = words.pop("found")
        return words if rehearsal else words | {"verdict": self.verdict()}


def number(value: float | str | None) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return str(value)


def table(rows: Sequence[Row], rehearsal: bool) -> str:
    """Aligned columns, the first to the left and the others to the right."""
    header = ["", "rehearsed" if rehearsal else "measured", "predicted", "target", ""]
    cells = [header, *(row.cells(rehearsal) for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    lines = []
    for row in cells:
        first, *others = (
            cell.ljust(widths[i]) if i in (0, 4) else cell.rjust(widths[i]) for i, cell in enumerate(row)
        )
        lines.append("  ".join([first, *others]).rstrip())
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)
