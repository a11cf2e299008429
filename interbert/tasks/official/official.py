"""What the official scorer of a task says of predictions, and the file that its server takes.

Both are of predictions.jsonl alone: examples that `python -m interbert import` made of official files name their task
there. interbert/sources/official/ has the importers.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interbert.files import write_text
from interbert.sources.official.glue_tasks import SUBMISSIONS
from interbert.sources.official.rows import OFFICIAL
from interbert.tasks.official import glue, kdd2020, muge, nlvr2, refcoco, snli_ve, vcr, vqa2
from interbert.tasks.official.archive import put_in

Lines = list[dict[str, Any]]


@dataclass(frozen=True)
class Scorer:
    figures: Callable[[Lines], dict[str, Any]]
    """Of predictions; {} where no answer is known."""
    submission: Callable[[Lines], str] | None = None
    """The text of the file that is handed in; None: there is no such thing."""
    refuse: Callable[[Lines], None] = lambda _: None
    """ValueError where examples are not all that the server asks for."""


SCORERS = {
    "vqa2": Scorer(vqa2.figures, vqa2.submission),
    "nlvr2": Scorer(nlvr2.figures, nlvr2.submission),
    "snli-ve": Scorer(snli_ve.figures),
    "vcr": Scorer(vcr.figures, vcr.submission, vcr.refuse_incomplete),
    "refcoco": Scorer(refcoco.figures),
    "muge": Scorer(muge.figures, muge.submission),
    "kdd2020": Scorer(kdd2020.figures, kdd2020.submission),
} | {name: Scorer(metrics, glue.submission, glue.refuse_other_rows) for name, metrics in glue.METRICS.items()}


def official_figures(predictions: Path) -> dict[str, Any] | None:
    """{"task": …, "figures": {…}}; None of examples that are not from official files."""
    lines = _lines_of(predictions)
    task = task_of(lines)
    if task is None:
        return None
    answered = [line for line in lines if line["prediction"] is not None]
    return {"task": task, "figures": SCORERS[task].figures(answered)}


def _lines_of(path: Path) -> Lines:
    with open(path, encoding="utf-8-sig") as file:
        return [json.loads(line) for line in file if not line.isspace()]


def task_of(lines: Lines) -> str | None:
    """That of all lines: a file of examples is of one task."""
    tasks = {line.get(OFFICIAL) for line in lines}
    task = tasks.pop() if len(tasks) == 1 else None
    return task if type(task) is str and task in SCORERS else None


def refuse_without_submission(path: Path, examples: Path) -> None:
    """ValueError, before a model has looked at them, where examples cannot be handed in by a file of this name."""
    lines = _lines_of(examples)
    task = task_of(lines)
    if task is None:
        raise ValueError(
            f"{examples}: is not of one official task, so that there is no file to hand in; import the official "
            "files (docs/official_tasks.md), or leave --submission out"
        )
    if SCORERS[task].submission is None:
        raise ValueError(f"{examples}: {task} has no server that takes predictions; leave --submission out")
    if path.suffix == ".zip" and task not in SUBMISSIONS:
        raise ValueError(f"{path}: only the files of GLUE are handed in as one archive; name a plain file")
    try:
        SCORERS[task].refuse(lines)
    except ValueError as error:
        raise ValueError(f"{examples}: {error}") from None


def write_submission(path: Path, predictions: Path) -> str:
    """What was written, in words. Every example has a prediction in it."""
    lines = _lines_of(predictions)
    silent = [str(line["id"]) for line in lines if line["prediction"] is None]
    if silent:
        raise ValueError(
            f"{path}: not written, for {len(silent):,} examples have no prediction (such as {silent[0]}), their "
            "images being damaged; the server asks for all"
        )
    task = task_of(lines)
    text = SCORERS[task].submission(lines)
    if path.suffix != ".zip":
        write_text(path, text)
        return f"{path}: {len(lines):,} predictions"
    there = put_in(path, SUBMISSIONS[task], text)
    lacking = sorted(set(SUBMISSIONS.values()) - set(there))
    return f"{path}: {', '.join(there)}" + (
        f"; to come: {', '.join(lacking)}" if lacking else "; that is all of GLUE"
    )


def named_figures(found: dict[str, Any] | None) -> Iterator[tuple[str, str]]:
    """For people, without those by type; none of examples that are not from official files."""
    for name, figure in found["figures"].items() if found else ():
        if not isinstance(figure, dict):
            yield f"{found['task']} {name}", "undefined" if figure is None else f"{figure:.4g}"
