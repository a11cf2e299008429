"""How much of the search can be left out: measured on some captions against the exact join, not guessed.

Letters: S sampled captions, C captions.
"""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from interbert.mining.dense import FEW_WORDS
from interbert.mining.kin import Kin
from interbert.mining.pruned import PrunedSearch
from interbert.mining.vectors import by_frequency
from interbert.rng import Purpose, generator

SAMPLE = 256
_POOLS = (4096, 16384, 65536)
_BLOCK = 32
_DROPPED = (3200, 1600, 800, 400, 200, 100, 50, 25, 12, 0)


@dataclass(frozen=True)
class Shortcut:
    pool: int
    """How many captions, drawn anew for each block of rows, are searched; all of them if they are as many."""
    dropped: int
    """How many of the most frequent words the search leaves out."""
    mass: float
    """The share of the exact neighbours' similarities that the neighbours found this way have, on a sample."""
    sample: int


def calibrate(weights_CW: sparse.csr_matrix, kin: Kin, top: int, below: float, wanted: float) -> Shortcut:
    """The cheapest of some shortcuts that keeps the wanted share; none is taken at wanted = 1."""
    captions, words = weights_CW.shape
    rng = generator(0, Purpose.MINING)
    sample_S = np.sort(rng.permutation(captions)[:SAMPLE])
    if wanted >= 1:
        return Shortcut(captions, 0, 1.0, 0)
    pools = [size for size in _POOLS if size < captions / 2]
    exact, of_pools = _exact(weights_CW, kin, sample_S, top, below, pools)
    if exact == 0:
        return Shortcut(captions, 0, 1.0, len(sample_S))
    for pool, mass in zip(pools, of_pools, strict=True):
        # Half of what may be lost is left for the words.
        if mass >= exact * (1 + wanted) / 2:
            return Shortcut(pool, 0, mass / exact, len(sample_S))
    if words <= FEW_WORDS:
        return Shortcut(captions, 0, 1.0, len(sample_S))
    order = by_frequency(weights_CW)
    for dropped in _DROPPED:
        if dropped >= words:
            continue
        search = PrunedSearch.of(weights_CW, order[:dropped])
        mass = float(search.nearest(sample_S, kin, top, below)[1].sum())
        if mass >= wanted * exact:
            break
    return Shortcut(captions, dropped, mass / exact, len(sample_S))


def _exact(
    weights_CW: sparse.csr_matrix,
    kin: Kin,
    sample_S: np.ndarray,
    top: int,
    below: float,
    pools: list[int],
) -> tuple[float, list[float]]:
    """Sums of the `top` largest similarities of each sampled caption: among all captions, among random pools."""
    shuffled_C = generator(0, Purpose.MINING, 1).permutation(weights_CW.shape[0])
    sums = np.zeros(1 + len(pools))
    for start in range(0, len(sample_S), _BLOCK):
        rows = sample_S[start : start + _BLOCK]
        similarity = np.ascontiguousarray((weights_CW @ weights_CW[rows].toarray().T).T)
        kin.of_rows(rows).blank(similarity)
        similarity[similarity >= below] = 0
        for place, columns in enumerate((slice(None), *(shuffled_C[:size] for size in pools))):
            part = similarity[:, columns]
            wide = min(top, part.shape[1])
            sums[place] += np.partition(part, -wide, axis=1)[:, -wide:].sum()
    return float(sums[0]), sums[1:].tolist()
