"""Who is found, query by query: what the figures are means of, and the candidates that scored highest.

Letters: I images, C captions, both as places in the lineup; K candidates that are kept of each query, best first.
"""

from dataclasses import dataclass, field

import numpy as np

from interbert.ranks.distributed import Ranks
from interbert.tasks.retrieval.tiles import Tile

NOTHING = np.zeros((0, 0))


@dataclass
class Found:
    """Filled by `evaluate_retrieval`; alike on all ranks."""

    most: int = 10
    """K"""
    images_I: np.ndarray = field(default_factory=lambda: NOTHING)
    captions_C: np.ndarray = field(default_factory=lambda: NOTHING)
    """Numbers in the corpus, of the captions that are ranked."""
    image_of_C: np.ndarray = field(default_factory=lambda: NOTHING)
    odds_C: np.ndarray = field(default_factory=lambda: NOTHING)
    """Of each caption with its image."""
    rank_C: np.ndarray = field(default_factory=lambda: NOTHING)
    """Of each caption's image, and of the best of each image's captions; NaN where it has none."""
    rank_I: np.ndarray = field(default_factory=lambda: NOTHING)
    images_CK: np.ndarray = field(default_factory=lambda: NOTHING)
    """-1 where there are no more."""
    odds_CK: np.ndarray = field(default_factory=lambda: NOTHING)
    """Log-odds of a match, minus infinity where there are no more."""
    captions_IK: np.ndarray = field(default_factory=lambda: NOTHING)
    odds_IK: np.ndarray = field(default_factory=lambda: NOTHING)


class Highest:
    """The candidates of each query that score highest, a tile at a time; of equal ones the first."""

    def __init__(self, images: int, among_C: np.ndarray, most: int) -> None:
        """among_C: bool: which captions are ranked; others are neither queries nor candidates."""
        self._among_C, self._most = among_C, most
        self._of_captions = _Kept(len(among_C), most)
        self._of_images = _Kept(images, most)

    def add(self, tile: Tile, scores_BE: np.ndarray) -> None:
        chosen = np.flatnonzero(self._among_C[tile.columns_E])
        columns, scores_BE = tile.columns_E[chosen], scores_BE[:, chosen]
        self._of_captions.add(columns, tile.rows_B, scores_BE.T)
        self._of_images.add(tile.rows_B, columns, scores_BE)

    def put_into(self, found: Found, ranks: Ranks) -> None:
        """Of all ranks."""
        places_CK, odds_CK = self._of_captions.of_all(ranks)
        found.images_CK, found.odds_CK = places_CK[self._among_C], odds_CK[self._among_C]
        found.captions_IK, found.odds_IK = self._of_images.of_all(ranks)


class _Kept:
    def __init__(self, queries: int, most: int) -> None:
        self.places_QK = np.full((queries, most), -1)
        self.odds_QK = np.full((queries, most), -np.inf, np.float32)

    def add(self, queries: np.ndarray, candidates: np.ndarray, odds_QD: np.ndarray) -> None:
        places_QD = np.broadcast_to(candidates, odds_QD.shape)
        places_QD = np.where(np.isneginf(odds_QD), -1, places_QD)  # not on the shortlist
        self.places_QK[queries], self.odds_QK[queries] = _highest(
            np.concatenate([self.places_QK[queries], places_QD], axis=1),
            np.concatenate([self.odds_QK[queries], odds_QD], axis=1),
            self.places_QK.shape[1],
        )

    def of_all(self, ranks: Ranks) -> tuple[np.ndarray, np.ndarray]:
        places, odds = zip(*ranks.gather((self.places_QK, self.odds_QK)), strict=True)
        most = self.places_QK.shape[1]
        return _highest(np.concatenate(places, axis=1), np.concatenate(odds, axis=1), most)


def _highest(places_QN: np.ndarray, odds_QN: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    order = np.lexsort((places_QN, -odds_QN), axis=1)[:, :most]
    return np.take_along_axis(places_QN, order, 1), np.take_along_axis(odds_QN, order, 1)
