"""VCR: Q->A, QA->R given the right answer, Q->AR where both are right, and the leaderboard's table of 21 columns."""

import csv
import io
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

CHOICES = 4
COLUMNS = (
    "annot_id",
    *(f"answer_{choice}" for choice in range(CHOICES)),
    *(f"rationale_conditioned_on_a{given}_{choice}" for given in range(CHOICES) for choice in range(CHOICES)),
)


def figures(lines: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Q->AR is over the situations of which both parts are there."""
    right = {"Q->A": {}, "QA->R": {}}
    for line in lines:
        if line["label"] is not None:
            right[line["type"]][line["annot_id"]] = line["prediction"] == line["label"]
    both = [right["QA->R"][id_] and told for id_, told in right["Q->A"].items() if id_ in right["QA->R"]]
    told = {name: list(part.values()) for name, part in right.items()} | {"Q->AR": both}
    return {name: sum(rights) / len(rights) for name, rights in told.items() if rights}


def refuse_incomplete(lines: Sequence[dict[str, Any]]) -> None:
    """ValueError where the examples of a situation lack its answers, or the rationales given one of them."""
    asked = defaultdict(set)
    for line in lines:
        asked[line["annot_id"]].add(line.get("given_answer"))
    for id_, given in asked.items():
        lacking = [each for each in (None, *range(CHOICES)) if each not in given]
        if lacking:
            what = "answers" if lacking[0] is None else f"rationales given answer {lacking[0]}"
            raise ValueError(
                f"{id_} has no {what}: the leaderboard takes answers, and rationales given each of them; import with "
                "--every-answer and without --part"
            )


def submission(lines: Sequence[dict[str, Any]]) -> str:
    rows: dict[str, dict[str, float]] = defaultdict(dict)
    for line in lines:
        given = line.get("given_answer")
        name = "answer" if given is None else f"rationale_conditioned_on_a{given}"
        rows[line["annot_id"]] |= {f"{name}_{choice}": share for choice, share in enumerate(line["scores"])}
    text = io.StringIO()
    table = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    table.writeheader()
    for id_, row in rows.items():
        assert len(row) == len(COLUMNS) - 1, "incomplete ones are refused before"
        table.writerow({"annot_id": id_} | row)
    return text.getvalue()
