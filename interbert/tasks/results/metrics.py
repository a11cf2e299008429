"""The figures that each kind of task has: their names, which of them a kind is judged by, and which way is better."""

import math
from dataclasses import dataclass

RESULTS = "results.json"
"""Where a run leaves its figures."""


@dataclass(frozen=True)
class Metric:
    name: str
    title: str
    larger_is_better: bool = True
    share: bool = True
    """Of 1, which people read as per cent."""

    def better(self, value: float, than: float) -> bool:
        """A value that is no number is better than none."""
        if math.isnan(value) or math.isnan(than):
            return math.isnan(than) and not math.isnan(value)
        return value > than if self.larger_is_better else value < than

    def told(self, value: float | None) -> str:
        if value is None or math.isnan(value):
            return "undefined"
        return f"{100 * value:.1f} %" if self.share else f"{value:.3f}"


METRICS = {
    "classify": (
        Metric("accuracy", "accuracy"),
        Metric("soft_accuracy", "mean weight of the answers"),
        Metric("macro_f1", "F1, mean over classes"),
        Metric("f1", "F1 of the second class"),
        Metric("matthews", "Matthews correlation", share=False),
    ),
    "score": (
        Metric("pearson", "Pearson correlation", share=False),
        Metric("spearman", "Spearman correlation", share=False),
        Metric("mean_squared_error", "mean squared error", larger_is_better=False, share=False),
    ),
    "choose": (Metric("accuracy", "accuracy"),),
    "match": (
        Metric("set_accuracy", "accuracy of sets"),
        Metric("pair_accuracy", "accuracy of pairs"),
        Metric("auc", "area under the ROC curve", share=False),
    ),
    "retrieval": tuple(
        Metric(f"{way}.r{k}", f"{title}, R@{k}")
        for way, title in (("text_to_image", "text to image"), ("image_to_text", "image to text"))
        for k in (1, 5, 10)
    ),
    "point": (
        Metric("accuracy", "accuracy (overlap above 0.5)"),
        Metric("overlap", "mean overlap"),
    ),
}
"""Of each kind. `auto` is the first one that its examples have."""

NEEDS = {
    ("classify", "soft_accuracy"): "scores",
    ("classify", "accuracy"): "labels",
    ("classify", "macro_f1"): "labels",
    ("classify", "f1"): "labels of two classes",
    ("classify", "matthews"): "labels",
    ("match", "set_accuracy"): "sets of true and false pairs",
}
"""What examples must have for a figure that not all of the kind allow."""


def metric_of(kind: str, asked: str, present: list[str] | None = None) -> Metric:
    """The metric of this name, or `auto`; present: the figures that the examples at hand have, if they are known."""
    names = [metric.name for metric in METRICS[kind]]
    if asked != "auto" and asked not in names:
        raise ValueError(
            f"task.metric is {asked!r}, which {kind} does not have: give auto or {', '.join(names)}"
        )
    having = names if present is None else [name for name in names if name in present]
    if asked == "auto":
        asked = having[0] if having else names[0]
    elif asked not in having:
        raise ValueError(
            f"task.metric is {asked!r}, which takes {NEEDS[kind, asked]}, and the examples have none: give auto or "
            f"{', '.join(having)}"
        )
    return next(metric for metric in METRICS[kind] if metric.name == asked)
