"""What outputs say of each example, and whether that is right.

Letters: N examples, P pairs, R regions, K classes. Several outputs that are equally good share the answer: what is right
is then the share of them that is, so that a model which says the same of everything gains nothing by the order.
"""

from dataclasses import dataclass

import numpy as np

from interbert.corpus.boxes import overlaps_RB
from interbert.corpus.corpus import Corpus
from interbert.corpus.examples import Examples
from interbert.tasks.outputs import Outputs, refuse_no_numbers

_BLOCK = 4096
OVERLAP = 0.5
"""More than this, and a region is the one that was meant."""


@dataclass(frozen=True)
class Answers:
    place_N: np.ndarray
    """int64: which of an example's outputs is the largest: a class, a choice, a pair of the set, a region; -1: it has
    none."""
    sure_N: np.ndarray
    """float64: that output. Of score, the value."""
    right_N: np.ndarray
    """float64: share of 1; NaN where that is not known. Of score, always NaN."""
    overlap_N: np.ndarray | None = None
    """point: float64, of the region with the box that was meant; NaN where that is not known."""

    @property
    def known(self) -> np.ndarray:
        """Numbers of the examples of which it is known whether they are right."""
        return np.flatnonzero(~np.isnan(self.right_N))


def answers_of(examples: Examples, outputs: Outputs, corpus: Corpus | None = None) -> Answers:
    """corpus: where the regions' boxes are, for point."""
    refuse_no_numbers(outputs, examples.ids)
    assert len(outputs) == len(examples.ids), f"{len(outputs)} outputs of {len(examples.ids)} examples"
    best = _Best(outputs)
    if examples.kind == "classify":
        right_N = _right_classes(examples, best.place_N)
    elif examples.kind == "choose":
        right_N = _right_choices(examples, best)
    elif examples.kind == "match":
        right_N = _right_pairs(examples, outputs, best)
    elif examples.kind == "point":
        overlap_R, known_N = _overlaps(examples, outputs, corpus)
        shares = [best.share(values_R) for values_R in (overlap_R > OVERLAP, overlap_R)]
        right_N, overlap_N = (np.where(known_N, share_N, np.nan) for share_N in shares)
        return Answers(best.place_N, best.value_N, right_N, overlap_N)
    else:
        right_N = np.full(len(outputs), np.nan)
    return Answers(best.place_N, best.value_N, right_N)


class _Best:
    """The largest output of each example."""

    def __init__(self, outputs: Outputs):
        self.examples = len(outputs)
        counts_N = np.diff(outputs.offsets)
        self.owner = np.repeat(np.arange(self.examples), counts_N)
        self.local = np.arange(len(self.owner)) - outputs.offsets[self.owner]
        self.value_N = np.full(self.examples, -np.inf)
        np.maximum.at(self.value_N, self.owner, outputs.flat)
        self.is_best = outputs.flat == self.value_N[self.owner]
        self.place_N = np.full(self.examples, -1)
        behind = np.flatnonzero(self.is_best)[::-1]  # the first of several is written last
        self.place_N[self.owner[behind]] = self.local[behind]

    def share(self, values: np.ndarray) -> np.ndarray:
        """The mean of the values that stand where an example's largest outputs do; 0 where it has no outputs."""
        summed_N = np.bincount(self.owner, values * self.is_best, self.examples)
        return summed_N / np.maximum(np.bincount(self.owner, self.is_best, self.examples), 1)


def _right_classes(examples: Examples, place_N: np.ndarray) -> np.ndarray:
    if examples.scores is not None:
        offsets, class_, weight = examples.scores
        counts_N = np.diff(offsets)
        owner = np.repeat(np.arange(len(place_N)), counts_N)
        weight_N = np.bincount(owner, weight * (class_ == place_N[owner]), len(place_N))
        return np.where(counts_N > 0, weight_N, np.nan)
    if examples.labels_N is None:
        return np.full(len(place_N), np.nan)
    return np.where(examples.labels_N >= 0, examples.labels_N == place_N, np.nan)


def _right_choices(examples: Examples, best: _Best) -> np.ndarray:
    if examples.labels_N is None:
        return np.full(best.examples, np.nan)
    right_N = best.share(best.local == examples.labels_N[best.owner])
    return np.where(examples.labels_N >= 0, right_N, np.nan)


def are_sets(examples: Examples) -> np.ndarray:
    """bool [N]: match: whether all pairs are known, and there are true and false ones, so that one can be chosen."""
    owner, count = pair_owners(examples), len(examples.ids)
    known, true = (np.bincount(owner, examples.is_match_P == value, count) for value in (0, 1))
    return (known > 0) & (true > 0) & (known + true == np.diff(examples.first_pair))


def pair_owners(examples: Examples) -> np.ndarray:
    """int64 [P]: the example of each pair."""
    return np.repeat(np.arange(len(examples.ids)), np.diff(examples.first_pair))


def _right_pairs(examples: Examples, outputs: Outputs, best: _Best) -> np.ndarray:
    """Of a set: whether the best pair is a true one. Of pairs that are no set: the share that is told rightly."""
    count = len(examples.ids)
    if examples.is_match_P is None:
        return np.full(count, np.nan)
    owner, known_P = pair_owners(examples), examples.is_match_P >= 0
    told_P = ((outputs.flat > 0.5) == examples.is_match_P) & known_P
    known_N = np.bincount(owner, known_P, count)
    pairs_N = np.bincount(owner, told_P, count) / np.where(known_N > 0, known_N, np.nan)
    return np.where(are_sets(examples), best.share(examples.is_match_P == 1), pairs_N)


def _overlaps(examples: Examples, outputs: Outputs, corpus: Corpus | None) -> tuple[np.ndarray, np.ndarray]:
    """(of each region with the box that it fits best, whether each example's boxes are known)."""
    assert corpus is not None, "regions lie in the corpus"
    overlap_R = np.zeros(len(outputs.flat))
    if examples.boxes is None:
        return overlap_R, np.zeros(len(outputs), bool)
    known_N, counts_N = np.diff(examples.boxes[0]) > 0, np.diff(outputs.offsets)
    for first in range(0, len(outputs), _BLOCK):
        block = np.flatnonzero(known_N[first : first + _BLOCK]) + first
        images, counts = examples.image_P[examples.first_pair[block]], counts_N[block]
        regions_R4 = np.empty((int(counts.sum()), 4), np.float32)
        corpus.read(images, counts, boxes_R4=regions_R4)
        starts = np.cumsum(counts) - counts
        for example, start, count in zip(block.tolist(), starts.tolist(), counts.tolist(), strict=True):
            if count:
                own = overlaps_RB(regions_R4[start : start + count], boxes_of(examples, example))
                overlap_R[outputs.offsets[example] :][:count] = own.max(axis=1)
    return overlap_R, known_N


def boxes_of(examples: Examples, example: int) -> np.ndarray:
    """[B, 4]: point: what is sought; none where that is not known."""
    if examples.boxes is None:
        return np.zeros((0, 4), np.float32)
    offsets, boxes = examples.boxes
    return boxes[offsets[example] : offsets[example + 1]]
