"""A small classifier on those columns, calibrated: what it says is a probability.

It learns from labels that are given, and from weak ones: texts of other pages do not fit; texts of two sources that
say much the same do. Never from what it, or the model, has said itself.

The match head's logit is what it begins with. How far the other columns are believed is tried on labels that were
held out: a few hundred labels tell the classifier little, and it would else order texts worse than the head alone.

Letters: N candidates, F numbers.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from interbert.curate.fit.columns import COLUMNS
from interbert.files import read_json, write_json

_GIVEN = 4.0
"""What a given label weighs, of weak ones; and all weak ones together no more than all given ones."""
_FEWEST = 40
"""Given labels with which it can be tried how far other columns are believed, and with which probabilities can be
calibrated."""
_FOLDS = 5
_BELIEFS = (0.0, 0.03, 0.1, 0.3, 1.0)
"""Of the other columns, beside the head's logit; 0: not at all."""
_BEGINNING = COLUMNS.index("match")


@dataclass(frozen=True)
class Scorer:
    mean_F: np.ndarray
    scale_F: np.ndarray
    weight_F: np.ndarray
    bias: float

    def logits(self, columns_NF: np.ndarray) -> np.ndarray:
        return (columns_NF - self.mean_F) / self.scale_F @ self.weight_F + self.bias

    def probabilities(self, columns_NF: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-np.clip(self.logits(columns_NF), -30, 30)))

    def save(self, path: Path) -> None:
        write_json(path, {
            "columns": list(COLUMNS), "mean": self.mean_F.tolist(), "scale": self.scale_F.tolist(),
            "weight": self.weight_F.tolist(), "bias": self.bias,
        })  # fmt: skip


def load_scorer(path: Path) -> Scorer:
    tree = read_json(path)
    if not isinstance(tree, dict) or tree.get("columns") != list(COLUMNS):
        raise ValueError(
            f"{path}: not a scorer of this version; make one by `interbert curate --train-scorer`"
        )
    rows = (np.array(tree[name]) for name in ("mean", "scale", "weight"))
    return Scorer(*rows, float(tree["bias"]))


def match_alone() -> Scorer:
    """The match head's own probability."""
    weight_F = np.zeros(len(COLUMNS))
    weight_F[_BEGINNING] = 1.0
    return Scorer(np.zeros(len(COLUMNS)), np.ones(len(COLUMNS)), weight_F, 0.0)


@dataclass(frozen=True)
class Labels:
    columns_NF: np.ndarray
    fits_N: np.ndarray
    image_N: np.ndarray
    """A number of each text's image: texts of one are held out together."""

    def taken(self, which: np.ndarray) -> "Labels":
        return Labels(self.columns_NF[which], self.fits_N[which], self.image_N[which])


def train_scorer(given: Labels, weak: Labels, seed: int = 0) -> Scorer:
    if len(np.unique(np.concatenate([given.fits_N, weak.fits_N]).astype(bool))) < 2:
        raise ValueError("all labels are the same: texts that fit and texts that do not are needed")
    if len(given.fits_N) < _FEWEST or len(np.unique(given.fits_N)) < 2:
        return _fitted(given, weak, _BELIEFS[1])
    held_NB = np.stack([_held_out(given, weak, belief, seed) for belief in _BELIEFS], axis=1)
    loss_NB = np.stack([_loss(held_NB[:, n], given.fits_N) for n in range(len(_BELIEFS))], axis=1)
    chosen = _least_as_good(loss_NB, given.image_N)
    scorer = _fitted(given, weak, _BELIEFS[chosen])
    slope, step = _calibrated(held_NB[:, chosen], given.fits_N)
    return replace(scorer, weight_F=slope * scorer.weight_F, bias=slope * scorer.bias + step)


def _least_as_good(loss_NB: np.ndarray, image_N: np.ndarray) -> int:
    """The least belief that is worse than the best one by no more than chance makes it: by two errors of the mean, of
    which an image's texts, that err together, count as one."""
    worse_NB = loss_NB - loss_NB[:, [int(loss_NB.mean(axis=0).argmin())]]
    images, back_N = np.unique(image_N, return_inverse=True)
    worse_IB = np.stack([np.bincount(back_N, one_N) for one_N in worse_NB.T], axis=1)
    error_B = worse_IB.std(axis=0) * len(images) ** 0.5 / len(worse_NB)
    return int(np.argmax(worse_NB.mean(axis=0) <= 2 * error_B))


def _fitted(given: Labels, weak: Labels, belief: float) -> Scorer:
    """belief: what the columns beside the head's logit are scaled by, so that the same penalty holds them down."""
    from sklearn.linear_model import LogisticRegression

    columns_NF = np.concatenate([given.columns_NF, weak.columns_NF])
    mean_F, scale_F = columns_NF.mean(0), columns_NF.std(0)
    scale_F[scale_F < 1e-6] = 1.0
    belief_F = np.full(len(scale_F), belief)
    belief_F[_BEGINNING] = 1.0
    heavy = max(_GIVEN, len(weak.fits_N) / max(len(given.fits_N), 1))
    weights = np.concatenate([np.full(len(given.fits_N), heavy), np.ones(len(weak.fits_N))])
    fits_N = np.concatenate([given.fits_N, weak.fits_N]).astype(bool)
    model = LogisticRegression(max_iter=2000)
    model.fit((columns_NF - mean_F) / scale_F * belief_F, fits_N, weights / weights.mean())
    return Scorer(mean_F, scale_F, model.coef_[0] * belief_F, float(model.intercept_[0]))


def _held_out(given: Labels, weak: Labels, belief: float, seed: int) -> np.ndarray:
    """Of each given label the logit of a scorer that has not seen its image."""
    found_N = np.zeros(len(given.fits_N))
    for held, used in _folds(given.image_N, seed):
        rest = given.taken(used)
        if len(np.unique(np.concatenate([rest.fits_N, weak.fits_N]).astype(bool))) == 2:
            found_N[held] = _fitted(rest, weak, belief).logits(given.columns_NF[held])
    return found_N


def _folds(image_N: np.ndarray, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    images, back_N = np.unique(image_N, return_inverse=True)
    fold_N = np.random.default_rng(seed).permutation(len(images))[back_N] % _FOLDS
    for fold in range(_FOLDS):
        yield np.flatnonzero(fold_N == fold), np.flatnonzero(fold_N != fold)


def _calibrated(logits_N: np.ndarray, fits_N: np.ndarray) -> tuple[float, float]:
    """Slope and step that make probabilities of logits: two numbers, for there are few labels."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=1e3, max_iter=1000).fit(logits_N[:, None], fits_N.astype(bool))
    slope = float(model.coef_[0, 0])
    return (slope, float(model.intercept_[0])) if slope > 0 else (1.0, 0.0)


def _loss(logits_N: np.ndarray, fits_N: np.ndarray) -> np.ndarray:
    return np.logaddexp(0, np.where(fits_N, -logits_N, logits_N))
