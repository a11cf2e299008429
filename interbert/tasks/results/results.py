"""What is left of judging a model on examples: results.json, predictions.jsonl, and the page of results.html."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from interbert.corpus.corpus import Corpus
from interbert.corpus.examples import Examples
from interbert.files import replaced, strict, write_json, write_text
from interbert.tasks.official.official import official_figures
from interbert.tasks.results.answers import Answers, answers_of, boxes_of
from interbert.tasks.results.figures import Report, report
from interbert.tasks.results.metrics import RESULTS, Metric, metric_of
from interbert.tasks.results.outputs import Outputs
from interbert.tasks.results.page.judged import Judged
from interbert.tasks.results.page.page import results_page

PREDICTIONS, PAGE = "predictions.jsonl", "results.html"
MOST_CLASSES = 10
"""Whose scores are in a line of predictions.jsonl: the largest ones."""
FORMAT = {"id", "images", "texts", "pairs", "tags", "label", "scores", "value", "boxes", "type"}
"""Fields of an example's line that mean something here; all others are a person's own, and carried along."""


@dataclass(frozen=True)
class Origin:
    """What was judged, as far as a reader of its figures must know."""

    model: str
    """Folder, or name at a hub."""
    checkpoint: str
    """In words: `step 1200, the best of 10 by accuracy`, or `as it is`."""
    stores: Sequence[str]
    """Where the images are."""
    tuned_on: str | None = None
    """The examples, or stores, that it was fine-tuned on; None: it never was."""
    tuned_on_fingerprint: str | None = None
    chosen_on_fingerprint: str | None = None
    """Of the examples by which the checkpoint was chosen."""


def write_results(
    folder: Path,
    examples: Examples,
    outputs: Outputs,
    corpus: Corpus | None,
    origin: Origin,
    metric: str = "auto",
    seed: int = 0,
) -> dict[str, Any]:
    """Writes the three files, results.json last; returns what it holds. One rank does this."""
    answers = answers_of(examples, outputs, corpus)
    whole, by_type = report(examples, outputs, answers, seed)
    chosen = metric_of(examples.kind, metric, list(whole.figures) if whole.examples else None)
    results = results_of(examples, whole, by_type, chosen, origin)
    write_predictions(folder / PREDICTIONS, examples, outputs, answers)
    official = official_figures(folder / PREDICTIONS)
    results |= {"official": strict(official)} if official else {}
    judged = Judged(results, examples, outputs, answers, corpus)
    write_text(folder / PAGE, results_page(judged))
    write_json(folder / RESULTS, results)
    return results


def results_of(
    examples: Examples, whole: Report, by_type: dict[str, Report], metric: Metric, origin: Origin
) -> dict[str, Any]:
    """As in results.json. Shares are of 1; a figure that is not defined is null there."""
    value = whole.figures[metric.name].value if metric.name in whole.figures else None
    return strict(
        {
            "kind": examples.kind,
            "metric": metric.name,
            "value": value,
            "larger_is_better": metric.larger_is_better,
            "examples": whole.examples,
            "without_label": int((~examples.known_N).sum()),
            "left_out": int(examples.known_N.sum()) - whole.examples,
            "figures": _figures(whole),
            "by_type": {
                name: {"examples": each.examples, "figures": _figures(each)} for name, each in by_type.items()
            },
            "model": origin.model,
            "checkpoint": origin.checkpoint,
            "data": {
                "examples": str(examples.path),
                "fingerprint": examples.fingerprint,
                "stores": [str(store) for store in origin.stores],
            },
            "tuned_on": origin.tuned_on,
            "tuned_on_this_data": origin.tuned_on_fingerprint == examples.fingerprint,
            "chosen_on_this_data": origin.chosen_on_fingerprint == examples.fingerprint,
        }
    )


def _figures(each: Report) -> dict[str, dict[str, float]]:
    return {
        name: {"value": figure.value, "low": figure.low, "high": figure.high}
        for name, figure in each.figures.items()
    }


def write_predictions(path: Path, examples: Examples, outputs: Outputs, answers: Answers) -> None:
    """One line for each example, in their order."""
    with replaced(path) as partial, open(partial, "w", encoding="utf-8") as file:
        for line in predictions(examples, outputs, answers):
            file.write(json.dumps(strict(line), ensure_ascii=False, allow_nan=False) + "\n")


def predictions(examples: Examples, outputs: Outputs, answers: Answers) -> Iterator[dict[str, Any]]:
    """A person's own fields first, then `type` where there is one, then what was predicted."""
    for number, id_ in enumerate(examples.ids):
        line = {name: value for name, value in examples.line(number).items() if name not in FORMAT}
        if examples.types[number]:
            line["type"] = examples.types[number]
        yield line | {
            "id": id_,
            "prediction": prediction(examples, answers, number),
            "scores": scores(examples, outputs, number),
            "label": label(examples, number),
            "right": _right(float(answers.right_N[number])),
        }


def prediction(examples: Examples, answers: Answers, number: int) -> Any:
    """The class's name, the value, or the place of the choice, pair or region, from 0; None: there was none, or an
    image was damaged."""
    place = int(answers.place_N[number])
    if examples.kind == "score":
        return _rounded(answers.sure_N[number])
    if place < 0:
        return None
    return examples.classes[place] if examples.kind == "classify" else place


def scores(examples: Examples, outputs: Outputs, number: int) -> Any:
    row = outputs.of(number)
    if examples.kind == "score" or outputs.damaged_N[number]:
        return None
    if examples.kind != "classify":
        return [_rounded(value) for value in row]
    largest = np.argsort(-row, kind="stable")[:MOST_CLASSES].tolist()
    return {examples.classes[class_]: _rounded(row[class_]) for class_ in largest}


def label(examples: Examples, number: int) -> Any:
    """What is right, as in the examples; None where that is not known."""
    if examples.kind == "score":
        return _rounded(examples.values_N[number]) if examples.known_N[number] else None
    if examples.kind == "point":
        return boxes_of(examples, number).tolist() or None
    if examples.kind == "match":
        first, last = examples.first_pair[number : number + 2]
        own = [value if value >= 0 else None for value in examples.is_match_P[first:last].tolist()]
        return own if examples.known_N[number] else None
    if examples.scores is not None:
        offsets, class_, weight = examples.scores
        own = range(offsets[number], offsets[number + 1])
        return {examples.classes[class_[at]]: _rounded(weight[at]) for at in own}
    if not examples.known_N[number]:
        return None
    place = int(examples.labels_N[number])
    return examples.classes[place] if examples.kind == "classify" else place


def _right(share: float) -> bool | float | None:
    """Most answers are right or wrong; of some, weights or ties make a part of it."""
    if np.isnan(share):
        return None
    return bool(share) if share in (0, 1) else _rounded(share)


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")
