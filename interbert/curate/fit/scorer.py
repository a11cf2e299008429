"""A small classifier on those columns, calibrated: what it says is a probability.

It learns from labels that are given, and from weak ones: texts of other pages do not fit; texts of two sources that
say much the same do. Never from what it, or the model, has said itself.

Letters: N candidates, F numbers.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from interbert.curate.fit.columns import COLUMNS
from interbert.files import read_json, write_json

_GIVEN = 4.0
"""What a given label weighs, of weak ones."""
_FEWEST = 40
"""Given labels, half of them held out, with which probabilities can be calibrated."""


@dataclass(frozen=True)
class Scorer:
    mean_F: np.ndarray
    scale_F: np.ndarray
    weight_F: np.ndarray
    bias: float
    steps: tuple[list[float], list[float]] = ((0.0, 1.0), (0.0, 1.0))  # type: ignore[assignment]
    """What the classifier says, rising, and which share of that was right."""

    def probabilities(self, columns_NF: np.ndarray) -> np.ndarray:
        return np.interp(self.raw(columns_NF), *self.steps)

    def raw(self, columns_NF: np.ndarray) -> np.ndarray:
        logits = (columns_NF - self.mean_F) / self.scale_F @ self.weight_F + self.bias
        return 1 / (1 + np.exp(-np.clip(logits, -30, 30)))

    def save(self, path: Path) -> None:
        write_json(path, {
            "columns": list(COLUMNS), "mean": self.mean_F.tolist(), "scale": self.scale_F.tolist(),
            "weight": self.weight_F.tolist(), "bias": self.bias, "steps": [list(one) for one in self.steps],
        })  # fmt: skip


def load_scorer(path: Path) -> Scorer:
    tree = read_json(path)
    if not isinstance(tree, dict) or tree.get("columns") != list(COLUMNS):
        raise ValueError(
            f"{path}: not a scorer of this version; make one by `interbert curate --train-scorer`"
        )
    rows = (np.array(tree[name]) for name in ("mean", "scale", "weight"))
    return Scorer(*rows, float(tree["bias"]), (tree["steps"][0], tree["steps"][1]))


def match_alone() -> Scorer:
    """The match head's own probability."""
    weight_F = np.zeros(len(COLUMNS))
    weight_F[0] = 1.0
    return Scorer(np.zeros(len(COLUMNS)), np.ones(len(COLUMNS)), weight_F, 0.0)


def train_scorer(
    given: tuple[np.ndarray, np.ndarray], weak: tuple[np.ndarray, np.ndarray], seed: int = 0
) -> Scorer:
    """Each: columns [N, F], and whether they fit [N]."""
    from sklearn.isotonic import IsotonicRegression
    from sklearn.linear_model import LogisticRegression

    (given_NF, fits_N), (weak_NF, weak_N) = given, weak
    order = np.random.default_rng(seed).permutation(len(fits_N))
    held = order[: len(order) // 2] if len(order) >= _FEWEST else order[:0]
    used = np.setdiff1d(order, held)
    columns_NF = np.concatenate([given_NF[used], weak_NF])
    labels_N = np.concatenate([fits_N[used], weak_N]).astype(bool)
    if len(set(labels_N.tolist())) < 2:
        raise ValueError("all labels are the same: texts that fit and texts that do not are needed")
    mean_F, scale_F = columns_NF.mean(0), columns_NF.std(0)
    scale_F[scale_F < 1e-6] = 1.0
    weights = np.concatenate([np.full(len(used), _GIVEN), np.ones(len(weak_N))])
    model = LogisticRegression(max_iter=2000).fit((columns_NF - mean_F) / scale_F, labels_N, weights)
    scorer = Scorer(mean_F, scale_F, model.coef_[0], float(model.intercept_[0]))
    if not len(held):
        return scorer
    steps = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip")
    steps.fit(scorer.raw(given_NF[held]), fits_N[held])
    found = (steps.X_thresholds_.tolist(), steps.y_thresholds_.tolist())
    return Scorer(mean_F, scale_F, scorer.weight_F, scorer.bias, found)
