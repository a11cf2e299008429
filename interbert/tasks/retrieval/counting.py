"""Ranks counted a tile at a time, without the whole matrix: what ranking.py says of it, as whole numbers.

First the score of each caption with its own image is found, then how many others are above it, and how many tie.
Counts of tiles add up, in any order and over any ranks. Pairs that were not scored are minus infinity: they come
after all that were, tied with each other. Letters as in tiles.py.
"""

from typing import Any

import numpy as np

from interbert.tasks.retrieval.ranking import summarise_ranks
from interbert.tasks.retrieval.tiles import Tile


def own_scores(
    image_of_C: np.ndarray, images: int, tile: Tile, scores_BE: np.ndarray, own_C: np.ndarray
) -> None:
    """Puts the scores of captions with their own images, as far as they are in the tile, into own_C."""
    place_I = np.full(images, -1)
    place_I[tile.rows_B] = np.arange(len(tile.rows_B))
    place_E = place_I[image_of_C[tile.columns_E]]
    there = np.flatnonzero(place_E >= 0)
    own_C[tile.columns_E[there]] = scores_BE[place_E[there], there]


class Ranking:
    """Both directions among some captions and the images, which may be split into folds that do not meet."""

    def __init__(
        self, image_of_C: np.ndarray, among_C: np.ndarray, fold_I: np.ndarray, own_C: np.ndarray
    ) -> None:
        """among_C: bool, which captions are ranked. own_C: each one's score with its image, or minus infinity."""
        self.image_of_C, self.among_C, self.fold_I, self.own_C = image_of_C, among_C, fold_I, own_C
        self.best_I = np.full(len(fold_I), -np.inf, np.float32)
        np.maximum.at(self.best_I, image_of_C[among_C], own_C[among_C])
        self.counts = [np.zeros((3, len(image_of_C)), np.int64), np.zeros((3, len(fold_I)), np.int64)]
        """Of each caption's candidates: scored higher, scored the same, scored at all; [3, C]. The same of each
        image's, without its own captions; [3, I]."""

    def count(self, tile: Tile, scores_BE: np.ndarray) -> None:
        chosen = np.flatnonzero(self.among_C[tile.columns_E])
        rows, columns, scores = tile.rows_B, tile.columns_E[chosen], scores_BE[:, chosen]
        image_E = self.image_of_C[columns]
        scored = (scores > -np.inf) & (self.fold_I[rows][:, None] == self.fold_I[image_E])
        others = scored & (rows[:, None] != image_E)
        self.counts[0][:, columns] += _counts(scores, self.own_C[columns], scored, axis=0)
        self.counts[1][:, rows] += _counts(scores, self.best_I[rows][:, None], others, axis=1)

    def ranks(self) -> tuple[np.ndarray, np.ndarray]:
        """float64: of each caption that is ranked its image's rank, of each image with captions their best's."""
        images_F = np.bincount(self.fold_I)
        captions_F = np.bincount(self.fold_I[self.image_of_C[self.among_C]], minlength=len(images_F))
        own_I = np.bincount(self.image_of_C[self.among_C], minlength=len(self.fold_I))
        candidates_C = images_F[self.fold_I[self.image_of_C]] - 1
        candidates_I = captions_F[self.fold_I] - own_I
        # Its own score is among those of a caption; among those of an image, its own captions are not.
        above_C, tied_C, scored_C = self.counts[0] - [[0], [1], [1]]
        above_I, tied_I, scored_I = self.counts[1]
        outside_C, outside_I = np.isneginf(self.own_C), np.isneginf(self.best_I)
        tied_C = np.where(outside_C, candidates_C - (scored_C + 1), tied_C)
        tied_I = np.where(outside_I, candidates_I - scored_I, tied_I)
        by_caption, by_image = 1 + above_C + tied_C / 2, 1 + above_I + tied_I / 2
        return by_caption[self.among_C], by_image[own_I > 0]

    def figures(self) -> dict[str, Any]:
        """Both directions as shares of 1; of folds, the mean of each fold's."""
        by_caption, by_image = self.ranks()
        fold_of_caption = self.fold_I[self.image_of_C[self.among_C]]
        with_captions = np.unique(self.image_of_C[self.among_C])
        return {
            "text_to_image": _mean_of_folds(by_caption, fold_of_caption),
            "image_to_text": _mean_of_folds(by_image, self.fold_I[with_captions]),
            "images": len(self.fold_I),
            "captions": int(self.among_C.sum()),
            "images_without_captions": len(self.fold_I) - len(with_captions),
        }


def _counts(scores: np.ndarray, than: np.ndarray, counted: np.ndarray, axis: int) -> np.ndarray:
    return np.stack([(mask & counted).sum(axis) for mask in (scores > than, scores == than, counted)])


def _mean_of_folds(ranks: np.ndarray, fold: np.ndarray) -> dict[str, float]:
    of_folds = [summarise_ranks(ranks[fold == number]) for number in np.unique(fold)]
    return {name: float(np.mean([figures[name] for figures in of_folds])) for name in of_folds[0]}
