"""What can be answered without looking: by habit, by the words alone, by one picture of two.

Each baseline learns from training examples and is judged on others. A task that a model is to be praised for must
leave them near chance. Lines are those of a file of examples (docs/examples.md). Letters: N lines.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from interbert.config import Kind
from interbert.tasks.blind.words import right_choices, right_labels
from interbert.tasks.results.figures import bootstrap, mean_of

Lines = Sequence[dict[str, Any]]
Baseline = Callable[[Lines, Lines], np.ndarray]
"""(learnt from, judged on) -> right [N], by shares of 1."""


@dataclass(frozen=True)
class Blind:
    """The best of the baselines; where 95 % of its resamples lie; the accuracy of each."""

    baseline: str
    value: float
    low: float
    high: float
    each: dict[str, float]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def blind(kind: Kind, train: Lines, judged: Lines, seed: int = 0) -> Blind:
    right = {name: of(train, judged) for name, of in baselines_of(kind, train).items()}
    each = {name: float(right_N.mean()) for name, right_N in right.items()}
    best = max(each, key=each.__getitem__)
    low, high = bootstrap({"accuracy": mean_of(right[best])}, len(judged), (seed, 0))["accuracy"]
    return Blind(best, each[best], low, high, each)


def baselines_of(kind: Kind, train: Lines) -> dict[str, Baseline]:
    """By name. Lines may carry more than the format asks, from which stronger ones are made: of two pictures `parts`,
    what is asked of each as it truly is; of regions `shown_by`, which of them are right."""
    if kind == "point":
        return {"most frequent region": most_frequent_region}
    found = {
        "most frequent answer": lambda train, judged: most_frequent(train, judged, lambda line: 0),
        "most frequent answer of the type": lambda train, judged: most_frequent(
            train, judged, lambda line: line.get("type")
        ),
        "words": right_choices if kind == "choose" else right_labels,
    }
    if "parts" in train[0]:
        for place, name in enumerate(("first picture and words", "second picture and words")):
            found[name] = lambda train, judged, place=place: right_labels(train, judged, part=place)
    return found


def most_frequent(train: Lines, judged: Lines, group: Callable[[dict[str, Any]], Any]) -> np.ndarray:
    """The label that is right most often among the lines of the same group."""
    seen: dict[Any, Counter] = {}
    for line in train:
        seen.setdefault(group(line), Counter())[line["label"]] += 1
    said = {key: counts.most_common(1)[0][0] for key, counts in seen.items()}
    return np.array([said.get(group(line)) == line["label"] for line in judged], float)


def most_frequent_region(train: Lines, judged: Lines) -> np.ndarray:
    """The place among an image's regions that is right most often."""
    places = Counter(region for line in train for region in line["shown_by"])
    best = places.most_common(1)[0][0]
    return np.array([best in line["shown_by"] for line in judged], float)
