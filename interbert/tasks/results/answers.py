"""What outputs say of each example, and whether that is right.

Letters: N examples, P pairs, R regions, K classes. Several outputs that are equally good share the answer: what is
right is then the share of them that is, so that a model which says the same of everything gains nothing by the order.
"""

from dataclasses import dataclass

import numpy as np

from interbert.corpus.boxes import overlaps_RB
from interbert.corpus.corpus import Corpus
from interbert.corpus.examples import Examples
from interbert.tasks.results.outputs import Outputs, refuse_no_numbers

_BLOCK = 4096
OVERLAP = 0.5
"""More than this, and a region is the one that was meant."""


@dataclass(frozen=True)
class Answers:
    counts_N: np.ndarray
    """bool: the label is known, and the images could be seen: what figures are made of."""
    place_N: np.ndarray
    """int64: which of an example's outputs is the largest: a class, a choice, a pair of the set, a region; -1: it has
    none, or an image was damaged."""
    sure_N: np.ndarray
    """float64: that output. Of score, the value; NaN where an image was damaged."""
    right_N: np.ndarray
    """float64: share of 1; NaN of what does not count. Of score, always NaN."""
    overlap_N: np.ndarray | None = None
    """point: float64, of the region with the box that was meant; NaN of what does not count."""


def answers_of(examples: Examples, outputs: Outputs, corpus: Corpus | None = None) -> Answers:
    """corpus: where the regions' boxes are, for point."""
    refuse_no_numbers(outputs, examples.ids)
    assert len(outputs) == len(examples), f"{len(outputs)} outputs of {len(examples)} examples"
    counts_N = examples.known_N & ~outputs.damaged_N
    place_N, sure_N, right_N, overlap_N = _found(examples, outputs, corpus)
    return Answers(
        counts_N,
        np.where(outputs.damaged_N, -1, place_N),
        np.where(outputs.damaged_N, np.nan, sure_N),
        np.where(counts_N, right_N, np.nan),
        None if overlap_N is None else np.where(counts_N, overlap_N, np.nan),
    )


def _found(
    examples: Examples, outputs: Outputs, corpus: Corpus | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray | float, np.ndarray | None]:
    """The fields of Answers after the first, also where something is not known."""
    if examples.kind in ("classify", "score"):
        table_NK = outputs.table_NK()
        place_N, sure_N = table_NK.argmax(axis=1), table_NK.max(axis=1).astype(float)
        right_N = _right_classes(examples, place_N) if examples.kind == "classify" else np.nan
        return place_N, sure_N, right_N, None
    best = _Best(outputs)
    if examples.kind == "point":
        overlap_R = _overlaps(examples, outputs, corpus)
        return best.place_N, best.value_N, best.share(overlap_R > OVERLAP), best.share(overlap_R)
    if examples.kind == "match":
        return best.place_N, best.value_N, _right_pairs(examples, outputs, best), None
    return best.place_N, best.value_N, best.share(best.local == examples.labels_N[best.owner]), None


class _Best:
    """The largest output of each example, where they have different numbers of them."""

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
    if examples.scores is None:
        return (examples.labels_N == place_N).astype(float)
    offsets, class_, weight = examples.scores
    owner = np.repeat(np.arange(len(place_N)), np.diff(offsets))
    return np.bincount(owner, weight * (class_ == place_N[owner]), len(place_N))


def are_sets(examples: Examples) -> np.ndarray:
    """bool [N]: match: whether all pairs are known, and there are true and false ones, so that one can be chosen."""
    owner = pair_owners(examples)
    known, true = (np.bincount(owner, examples.is_match_P == value, len(examples)) for value in (0, 1))
    return (known > 0) & (true > 0) & (known + true == np.diff(examples.first_pair))


def pair_owners(examples: Examples) -> np.ndarray:
    """int64 [P]: the example of each pair."""
    return np.repeat(np.arange(len(examples)), np.diff(examples.first_pair))


def _right_pairs(examples: Examples, outputs: Outputs, best: _Best) -> np.ndarray:
    """Of a set: whether the best pair is a true one. Of pairs that are no set: the share that is told rightly."""
    owner, known_P = pair_owners(examples), examples.is_match_P >= 0
    told_P = ((outputs.flat > 0.5) == examples.is_match_P) & known_P
    told_N, known_N = (np.bincount(owner, each_P, len(examples)) for each_P in (told_P, known_P))
    return np.where(are_sets(examples), best.share(examples.is_match_P == 1), told_N / np.maximum(known_N, 1))


def _overlaps(examples: Examples, outputs: Outputs, corpus: Corpus | None) -> np.ndarray:
    """Of each region with the box that it fits best; 0 where no box is known."""
    assert corpus is not None, "regions lie in the corpus"
    overlap_R, counts_N = np.zeros(len(outputs.flat)), np.diff(outputs.offsets)
    wanted = np.flatnonzero(examples.known_N & ~outputs.damaged_N & (counts_N > 0))
    for first in range(0, len(wanted), _BLOCK):
        block = wanted[first : first + _BLOCK]
        counts = counts_N[block]
        regions_R4 = np.empty((int(counts.sum()), 4), np.float32)
        corpus.read(examples.image_P[examples.first_pair[block]], counts, boxes_R4=regions_R4)
        starts = np.cumsum(counts) - counts
        for example, start, count in zip(block.tolist(), starts.tolist(), counts.tolist(), strict=True):
            own = overlaps_RB(regions_R4[start : start + count], boxes_of(examples, example))
            overlap_R[outputs.offsets[example] :][:count] = own.max(axis=1)
    return overlap_R


def boxes_of(examples: Examples, example: int) -> np.ndarray:
    """[B, 4]: point: what is sought; none where that is not known."""
    offsets, boxes = examples.boxes
    return boxes[offsets[example] : offsets[example + 1]]
