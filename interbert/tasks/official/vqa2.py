"""VQA v2: accuracy as its official scorer tells it, in per cent, and the results that its server takes."""

import json
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from interbert.sources.official.vqa_answers import official_accuracy


def figures(lines: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Under the scorer's own names, over the questions whose answers are known."""
    accuracies, by_kind = [], {"perQuestionType": defaultdict(list), "perAnswerType": defaultdict(list)}
    for line in lines:
        if line.get("answers"):
            accuracy = official_accuracy(line["prediction"], line["answers"])
            accuracies.append(accuracy)
            for kind, field in (("perQuestionType", "question_type"), ("perAnswerType", "type")):
                if line.get(field):
                    by_kind[kind][line[field]].append(accuracy)
    if not accuracies:
        return {}
    tables = {
        kind: {name: _per_cent(own) for name, own in sorted(table.items())} for kind, table in by_kind.items()
    }
    return {"overall": _per_cent(accuracies)} | tables


def _per_cent(accuracies: list[float]) -> float:
    return round(100 * sum(accuracies) / len(accuracies), 2)


def submission(lines: Sequence[dict[str, Any]]) -> str:
    told = [{"question_id": int(line["id"]), "answer": line["prediction"]} for line in lines]
    return json.dumps(told, ensure_ascii=False)
