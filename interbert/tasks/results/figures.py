"""The figures of a model's answers, over all examples and by type, with intervals.

Letters: N examples, B resamples, P pairs, K classes. A figure is a function of how often each example counts:
counts_BN -> values_B. With every example once it is the figure itself, with counts drawn at random it is a resample
of the bootstrap: one formula serves both, a block of resamples at a time. Examples whose label is not known, or whose
images could not be had, are left out before.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix

from interbert.corpus.examples import Examples
from interbert.rng import Purpose, generator
from interbert.tasks.results.answers import Answers, are_sets, pair_owners
from interbert.tasks.results.metrics import METRICS
from interbert.tasks.results.outputs import Outputs

Of = Callable[[np.ndarray], np.ndarray]
RESAMPLES = 1000
_NUMBERS_OF_A_BLOCK = 2**17
"""So that what is summed up stays in a core's cache."""


@dataclass(frozen=True)
class Interval:
    """A figure, and where 95 % of its resamples lie."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Report:
    examples: int
    """That count."""
    figures: dict[str, Interval]


def figures_of(examples: Examples, outputs: Outputs, answers: Answers) -> dict[str, float]:
    """Every figure that the examples have, without intervals; none where no label is known."""
    known = np.flatnonzero(answers.counts_N)
    if not len(known):
        return {}
    once_1N = np.ones((1, len(known)))
    return {name: float(of(once_1N)[0]) for name, of in _formulas(examples, outputs, answers, known).items()}


def report(
    examples: Examples, outputs: Outputs, answers: Answers, seed: int = 0, resamples: int = RESAMPLES
) -> tuple[Report, dict[str, Report]]:
    """Over all examples, and of each type, the most frequent first."""
    known = np.flatnonzero(answers.counts_N)
    types, type_of, counts = np.unique(
        np.array(examples.types, dtype=object)[known].astype(str), return_inverse=True, return_counts=True
    )
    by_type = {}
    for number in np.argsort(-counts, kind="stable").tolist() if types.any() else ():
        rows = known[type_of == number]
        own = _report(examples, outputs, answers, rows, (seed, 1 + number), resamples)
        by_type[str(types[number])] = own
    return _report(examples, outputs, answers, known, (seed, 0), resamples), by_type


def _report(examples, outputs, answers, rows, seed: tuple[int, int], resamples: int) -> Report:
    if not len(rows):
        return Report(0, {})
    formulas = _formulas(examples, outputs, answers, rows)
    values = {name: float(of(np.ones((1, len(rows))))[0]) for name, of in formulas.items()}
    ends = bootstrap(formulas, len(rows), seed, resamples)
    return Report(len(rows), {name: Interval(value, *ends[name]) for name, value in values.items()})


def bootstrap(
    formulas: dict[str, Of], examples: int, seed: tuple[int, int], resamples: int = RESAMPLES
) -> dict[str, tuple[float, float]]:
    """Percentiles 2.5 and 97.5 of each figure over resamples of the examples, drawn with replacement."""
    block, found = max(1, _NUMBERS_OF_A_BLOCK // examples), {name: [] for name in formulas}
    for number, first in enumerate(range(0, resamples, block)):
        rows = min(block, resamples - first)
        draws_BN = generator(seed[0], Purpose.RESAMPLE, seed[1], number).integers(
            0, examples, (rows, examples)
        )
        draws_BN += np.arange(rows)[:, None] * examples
        counts_BN = np.bincount(draws_BN.ravel(), minlength=rows * examples).reshape(rows, examples)
        for name, of in formulas.items():
            found[name].append(of(counts_BN.astype(float)))
    return {name: _percentiles(np.concatenate(values)) for name, values in found.items()}


def _percentiles(values_B: np.ndarray) -> tuple[float, float]:
    """Of the resamples that have the figure at all: a correlation takes two different values."""
    values_B = values_B[~np.isnan(values_B)]
    if not len(values_B):
        return float("nan"), float("nan")
    low, high = np.percentile(values_B, (2.5, 97.5))
    return float(low), float(high)


def _formulas(examples: Examples, outputs: Outputs, answers: Answers, rows: np.ndarray) -> dict[str, Of]:
    """The figures over these examples, in the order of METRICS."""
    right_N = answers.right_N[rows]
    if examples.kind == "classify" and examples.scores is not None:
        found = {"soft_accuracy": mean_of(right_N)}
    elif examples.kind == "classify":
        found = of_classes(examples.labels_N[rows], answers.place_N[rows], len(examples.classes))
    elif examples.kind == "score":
        found = of_values(examples.values_N[rows], answers.sure_N[rows])
    elif examples.kind == "match":
        found = _of_pairs(examples, outputs, right_N, rows)
    elif examples.kind == "point":
        found = {"accuracy": mean_of(right_N), "overlap": mean_of(answers.overlap_N[rows])}
    else:
        found = {"accuracy": mean_of(right_N)}
    return {metric.name: found[metric.name] for metric in METRICS[examples.kind] if metric.name in found}


def mean_of(values_N: np.ndarray) -> Of:
    return ratio_of(values_N, np.ones(len(values_N)))


def ratio_of(parts_N: np.ndarray, wholes_N: np.ndarray) -> Of:
    """The sum of the parts over the sum of the wholes."""
    both_N2 = np.stack([parts_N, wholes_N], axis=1).astype(float)

    def ratio(counts_BN: np.ndarray) -> np.ndarray:
        parts_B, wholes_B = (counts_BN @ both_N2).T
        return _divided(parts_B, wholes_B)

    return ratio


def of_classes(label_N: np.ndarray, answer_N: np.ndarray, classes: int) -> dict[str, Of]:
    """Accuracy, F1 and Matthews' correlation, from how often each class is meant, is said, and both."""
    rows = np.arange(len(label_N))
    right = label_N == answer_N
    place = np.concatenate([label_N, classes + answer_N, 2 * classes + label_N[right]])
    owner = np.concatenate([rows, rows, rows[right]])
    told_KN = csr_matrix((np.ones(len(place)), (place, owner)), (3 * classes, len(rows)))

    def counted(counts_BN: np.ndarray) -> np.ndarray:
        """[3, K, B]: meant, said, both."""
        return (told_KN @ counts_BN.T).reshape(3, classes, -1)

    def macro_f1(counts_BN: np.ndarray) -> np.ndarray:
        """Over the classes that are meant or said at all."""
        meant, said, both = counted(counts_BN)
        return _divided(_f1(meant, said, both).sum(0), (meant + said > 0).sum(0))

    def f1(counts_BN: np.ndarray) -> np.ndarray:
        meant, said, both = counted(counts_BN)
        return _f1(meant[1], said[1], both[1])

    def matthews(counts_BN: np.ndarray) -> np.ndarray:
        meant, said, both = counted(counts_BN)
        whole = meant.sum(0)
        excess = both.sum(0) * whole - (meant * said).sum(0)
        spread = (whole**2 - (meant**2).sum(0)) * (whole**2 - (said**2).sum(0))
        return _divided(excess, np.sqrt(spread), otherwise=0.0)

    figures = {"accuracy": mean_of(right), "macro_f1": macro_f1, "matthews": matthews}
    return figures | ({"f1": f1} if classes == 2 else {})


def _f1(meant: np.ndarray, said: np.ndarray, both: np.ndarray) -> np.ndarray:
    return _divided(2 * both, meant + said, otherwise=0.0)


def of_values(true_N: np.ndarray, told_N: np.ndarray) -> dict[str, Of]:
    """Correlations and squared error of numbers."""
    true_N, told_N = np.asarray(true_N, float), np.asarray(told_N, float)
    below = [_Below(values_N, values_N) for values_N in (true_N, told_N)]

    def spearman(counts_BN: np.ndarray) -> np.ndarray:
        """Of ranks, whose mean is the same for both."""
        middle_B1 = counts_BN.sum(1, keepdims=True) / 2
        first_BN, second_BN = (each.counted(counts_BN) - middle_B1 for each in below)
        weighted_BN = counts_BN * first_BN
        shared_B, first_B = (_summed(weighted_BN, ranks_BN) for ranks_BN in (second_BN, first_BN))
        return _divided(shared_B, np.sqrt(first_B * _summed(counts_BN * second_BN, second_BN)))

    return {
        "pearson": _pearson(true_N, told_N),
        "spearman": spearman,
        "mean_squared_error": mean_of((true_N - told_N) ** 2),
    }


def _pearson(first_N: np.ndarray, second_N: np.ndarray) -> Of:
    """From sums of the standardised values, their squares and their product; NaN where one of them does not vary."""
    x, y = (_standardised(values_N) for values_N in (first_N, second_N))
    sums_N5 = np.stack([x, y, x * x, y * y, x * y], axis=1)

    def pearson(counts_BN: np.ndarray) -> np.ndarray:
        x, y, xx, yy, xy = (counts_BN @ sums_N5 / counts_BN.sum(1, keepdims=True)).T
        spreads = [
            np.where(square - mean**2 > 1e-13 * square, square - mean**2, 0)  # what is less is rounding
            for mean, square in ((x, xx), (y, yy))
        ]
        return np.clip(_divided(xy - x * y, np.sqrt(spreads[0] * spreads[1])), -1, 1)

    return pearson


def _standardised(values_N: np.ndarray) -> np.ndarray:
    shifted_N = values_N - values_N[0]  # what does not vary at all is then an exact 0
    return (shifted_N - shifted_N.mean()) / (shifted_N.std() or 1)


class _Below:
    """How many of some values are below each of others, equal ones by half, where each value counts several times."""

    def __init__(self, values_N: np.ndarray, others_M: np.ndarray):
        self.order_N = np.argsort(values_N, kind="stable")
        self.ends_M = [np.searchsorted(values_N[self.order_N], others_M, side) for side in ("left", "right")]

    def counted(self, counts_BN: np.ndarray) -> np.ndarray:
        """[B, M]"""
        running = np.zeros((len(counts_BN), len(self.order_N) + 1))
        np.cumsum(counts_BN[:, self.order_N], axis=1, out=running[:, 1:])
        low, high = self.ends_M
        return (running[:, low] + running[:, high]) / 2


def _summed(first_BN: np.ndarray, second_BN: np.ndarray) -> np.ndarray:
    return np.einsum("bn,bn->b", first_BN, second_BN)


def _of_pairs(examples: Examples, outputs: Outputs, right_N: np.ndarray, rows: np.ndarray) -> dict[str, Of]:
    """Whole examples are drawn, with all of their pairs: those of a set are not independent."""
    renumbered = np.full(len(examples), -1)
    renumbered[rows] = np.arange(len(rows))
    owner_P = renumbered[pair_owners(examples)]
    taken = np.flatnonzero((owner_P >= 0) & (examples.is_match_P >= 0))
    owner_P, match_P, told_P = owner_P[taken], examples.is_match_P[taken], outputs.flat[taken]
    counted_N = np.bincount(owner_P, minlength=len(rows))
    right_P = (told_P > 0.5) == (match_P == 1)
    figures = {
        "pair_accuracy": ratio_of(np.bincount(owner_P, right_P, len(rows)), counted_N),
        "auc": area(told_P, match_P == 1, owner_P),
    }
    sets_N = are_sets(examples)[rows]
    if sets_N.any():
        figures["set_accuracy"] = ratio_of(np.where(sets_N, right_N, 0), sets_N)
    return figures


def area(told_P: np.ndarray, match_P: np.ndarray, owner_P: np.ndarray) -> Of:
    """How often a true pair is told higher than a false one; a tie is half."""
    below = _Below(told_P[~match_P], told_P[match_P])
    owners_of_true, owners_of_false = owner_P[match_P], owner_P[~match_P]

    def auc(counts_BN: np.ndarray) -> np.ndarray:
        true_BP, false_BP = counts_BN[:, owners_of_true], counts_BN[:, owners_of_false]
        return _divided(_summed(true_BP, below.counted(false_BP)), true_BP.sum(1) * false_BP.sum(1))

    return auc


def _divided(parts: np.ndarray, wholes: np.ndarray, otherwise: float = np.nan) -> np.ndarray:
    return np.divide(parts, wholes, out=np.full(np.shape(parts), otherwise, float), where=wholes > 0)
