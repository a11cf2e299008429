"""The most similar captions among very many: sought without the most frequent words, judged with all of them.

Nearly all of a join's work is spent on words that nearly every caption holds, and that tell nearly nothing. So the
search leaves them out and keeps more candidates than are wanted; their products are then completed, and only the
complete ones decide. Letters: N rows asked for, K candidates, C captions, W words, E entries of candidates.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import sparse
from sparse_dot_topn import sp_matmul_topn

from interbert.mining.kin import Kin
from interbert.mining.vectors import load_matrix, save_matrix, transposed, without

_ROWS = 2048
_SPARE, _MORE, _MOST = 3, 4, 48
"""Candidates sought for each one wanted: at first; times so many where too few stood the test; at most."""


@dataclass(frozen=True)
class PrunedSearch:
    rare_CW: sparse.csr_matrix
    rare_WC: sparse.csr_matrix
    frequent_CW: sparse.csr_matrix
    """What the search leaves out; its words are numbered anew."""

    @classmethod
    def of(cls, weights_CW: sparse.csr_matrix, frequent_words: np.ndarray) -> "PrunedSearch":
        rare_CW = without(weights_CW, frequent_words)
        return cls(rare_CW, transposed(rare_CW), weights_CW[:, np.sort(frequent_words)])

    def save(self, folder: Path) -> None:
        for name in self.__dataclass_fields__:
            save_matrix(folder, name, getattr(self, name))

    @classmethod
    def load(cls, folder: Path) -> "PrunedSearch":
        return cls(*(load_matrix(folder, name) for name in cls.__dataclass_fields__))

    def nearest(self, rows_N: np.ndarray, kin: Kin, top: int, below: float) -> tuple[np.ndarray, np.ndarray]:
        """Columns int32 [N, top], -1 where there are fewer, and their similarities, both largest first."""
        found = np.full((len(rows_N), top), -1, dtype=np.int32)
        similarity = np.zeros((len(rows_N), top), dtype=np.float32)
        for start in range(0, len(rows_N), _ROWS):
            pending, keep = np.arange(start, min(start + _ROWS, len(rows_N))), _SPARE * top
            while len(pending) and keep <= _MOST * top:
                part = self._nearest(rows_N[pending], kin, top, keep, below)
                found[pending], similarity[pending], enough = part
                pending, keep = pending[~enough], keep * _MORE
        return found, similarity

    def _nearest(
        self, rows_N: np.ndarray, kin: Kin, top: int, keep: int, below: float
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(columns, similarities, whether a wider search could not better the row)."""
        joined = sp_matmul_topn(self.rare_CW[rows_N], self.rare_WC, top_n=keep, threshold=0.0)
        counts_N = np.diff(joined.indptr)
        row_E = np.repeat(np.arange(len(rows_N)), counts_N)
        complete_E = joined.data + self._products(rows_N, row_E, joined.indices)
        other_E = ~kin.hold(rows_N, row_E, joined.indices)
        fits_E = other_E & (complete_E < below) & (complete_E > 0)
        columns_NK = np.full((len(rows_N), max(keep, top)), -1, dtype=np.int32)
        values_NK = np.zeros(columns_NK.shape, dtype=np.float32)
        place_E = np.arange(len(row_E)) - np.repeat(joined.indptr[:-1], counts_N)
        columns_NK[row_E, place_E] = np.where(fits_E, joined.indices, -1)
        values_NK[row_E, place_E] = np.where(fits_E, complete_E, 0)
        best = np.argpartition(-values_NK, top - 1, axis=1)[:, :top]
        values, columns = np.take_along_axis(values_NK, best, 1), np.take_along_axis(columns_NK, best, 1)
        order = np.argsort(-values, axis=1, kind="stable")
        enough = (np.bincount(row_E[fits_E], minlength=len(rows_N)) >= top) | (counts_N < keep)
        return np.take_along_axis(columns, order, 1), np.take_along_axis(values, order, 1), enough

    def _products(self, rows_N: np.ndarray, row_E: np.ndarray, column_E: np.ndarray) -> np.ndarray:
        """float32 [E]: the frequent words' part of the product of rows_N[row_E] and column_E."""
        words = self.frequent_CW.shape[1]
        if words == 0 or len(row_E) == 0:
            return np.zeros(len(row_E), dtype=np.float32)
        own_NW = self.frequent_CW[rows_N].toarray()
        first_E = self.frequent_CW.indptr[column_E]
        count_E = self.frequent_CW.indptr[column_E + 1] - first_E
        ends_E = np.cumsum(count_E)
        entry = np.arange(ends_E[-1]) + np.repeat(first_E - (ends_E - count_E), count_E)
        word = self.frequent_CW.indices[entry] + np.repeat(row_E * words, count_E)
        products = own_NW.ravel()[word] * self.frequent_CW.data[entry]
        sums = np.concatenate([[0.0], np.cumsum(products, dtype=np.float64)])
        return (sums[ends_E] - sums[ends_E - count_E]).astype(np.float32)
