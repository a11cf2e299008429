"""GLUE: the metrics of its tasks, and the tables that its server takes."""

from collections.abc import Callable, Sequence
from typing import Any

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


def submission(lines: Lines) -> str:
    """A row for each of the test file, numbered from 0; values of STS-B between 0 and 5, with three decimals."""
    rows = (f"{number}\t{_cell(line['prediction'])}\n" for number, line in enumerate(lines))
    return "index\tprediction\n" + "".join(rows)


def _cell(prediction: str | float) -> str:
    return prediction if isinstance(prediction, str) else f"{min(max(prediction, 0.0), 5.0):.3f}"
