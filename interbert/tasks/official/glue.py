"""GLUE: the metrics of its tasks, and the tables that its server takes."""

from collections.abc import Callable, Sequence
from typing import Any

from interbert.sources.official.glue_tasks import TASKS
from interbert.sources.official.rows import OFFICIAL

Lines = Sequence[dict[str, Any]]


def accuracy(lines: Lines) -> dict[str, float]:
    from sklearn.metrics import accuracy_score

    told, right = _known(lines)
    return {"accuracy": accuracy_score(right, told)} if told else {}


def accuracy_and_f1(lines: Lines) -> dict[str, float]:
    from sklearn.metrics import f1_score

    told, right = _known(lines)
    if not told:
        return {}
    of_ones = f1_score(right, told, labels=["1"], average="macro", zero_division=0)  # of one class: its own
    return accuracy(lines) | {"f1": of_ones}


def matthews(lines: Lines) -> dict[str, float]:
    from sklearn.metrics import matthews_corrcoef

    told, right = _known(lines)
    return {"matthews_correlation": matthews_corrcoef(right, told)} if told else {}


def correlations(lines: Lines) -> dict[str, float]:
    from scipy.stats import pearsonr, spearmanr

    told, right = _known(lines)
    if len(told) < 2:
        return {}
    return {"pearson": pearsonr(told, right).statistic, "spearmanr": spearmanr(told, right).statistic}


def _known(lines: Lines) -> tuple[list[Any], list[Any]]:
    """What was told and what is right, where that is known."""
    known = [line for line in lines if line["label"] is not None]
    return [line["prediction"] for line in known], [line["label"] for line in known]


METRICS: dict[str, Callable[[Lines], dict[str, float]]] = {
    "glue-cola": matthews,
    "glue-sst2": accuracy,
    "glue-mrpc": accuracy_and_f1,
    "glue-stsb": correlations,
    "glue-qqp": accuracy_and_f1,
    "glue-mnli": accuracy,
    "glue-mnli-mm": accuracy,
    "glue-qnli": accuracy,
    "glue-rte": accuracy,
    "glue-wnli": accuracy,
    "glue-ax": matthews,
}


def refuse_other_rows(lines: Lines) -> None:
    """ValueError where examples are not numbered as the rows of a test file are."""
    for number, line in enumerate(lines):
        if str(line["id"]) != str(number):
            raise ValueError(
                f"{line['id']} stands where {number} is due: the server takes a prediction for each row of the test "
                "file, in its order; judge the whole test.jsonl as it was imported"
            )


def submission(lines: Lines) -> str:
    """A row for each of the test file, numbered from 0; values of STS-B between 0 and 5, with three decimals.

    ValueError where a prediction is none of the task's classes: the model was tuned for another task.
    """
    _refuse_other_classes(lines)
    rows = (f"{number}\t{_cell(line['prediction'])}\n" for number, line in enumerate(lines))
    return "index\tprediction\n" + "".join(rows)


def _refuse_other_classes(lines: Lines) -> None:
    task = lines[0][OFFICIAL].removeprefix("glue-").removesuffix("-mm")
    names = TASKS[task].labels
    other = [line for line in lines if names and line["prediction"] not in names]
    if other:
        raise ValueError(
            f"{other[0]['id']}: {other[0]['prediction']!r} is none of {', '.join(names)}, the classes of {task}, so "
            "that its table would be refused; judge these examples by a model that was tuned for it"
        )


def _cell(prediction: str | float) -> str:
    return prediction if isinstance(prediction, str) else f"{min(max(prediction, 0.0), 5.0):.3f}"
