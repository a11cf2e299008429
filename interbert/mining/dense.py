"""The most similar rows by dense products in blocks: exact, for few words or few rows.

Letters: N rows asked for, M rows to choose from, W words (or any other columns).
"""

import numpy as np
from scipy import sparse

from interbert.mining.kin import Kin

BLOCK_BYTES = 8 << 20
FEW_WORDS = 512
_GROUP = 64
# Many captions are equally near: similarities closer than this share of them are told apart by chance.
_TIE = 1e-5


def nearest(
    weights_NW: sparse.csr_matrix | np.ndarray,
    pool_MW: sparse.csr_matrix | np.ndarray,
    kin: Kin,
    top: int,
    below: float,
    first: int = 0,
) -> np.ndarray:
    """int32 [N, top]: the rows of the pool with the largest product > 0 and < `below` that are not kin.

    -1 where there are fewer. `first`: number of the first row, for the chance among equals.
    """
    columns_WM = _columns(pool_MW)
    if pool_MW.shape[1] <= FEW_WORDS and sparse.issparse(weights_NW):
        weights_NW = (
            weights_NW.toarray()
        )  # a small world's captions share most words: dense products are quicker
    padded = columns_WM.shape[1]
    block = max(1, BLOCK_BYTES // (4 * padded))
    noise = 1 - _TIE * np.random.Generator(np.random.Philox(key=0)).random(2 * padded, dtype=np.float32)
    result = np.full((weights_NW.shape[0], top), -1, dtype=np.int32)
    for start in range(0, weights_NW.shape[0], block):
        rows = slice(start, start + block)
        similarity = weights_NW[rows] @ columns_WM
        similarity = similarity.toarray() if sparse.issparse(similarity) else similarity
        kin.of_rows(rows).blank(similarity)
        numbers = np.arange(first + start, first + start + len(similarity))
        result[rows] = _top(similarity, numbers, noise, top, below)
    return result


def _columns(pool_MW: sparse.csr_matrix | np.ndarray) -> sparse.csr_matrix | np.ndarray:
    """The pool's rows as columns, filled up to whole groups."""
    pool, words = pool_MW.shape
    padded = -(-pool // _GROUP) * _GROUP
    if sparse.issparse(pool_MW) and words > FEW_WORDS:
        columns_WM = pool_MW.T.tocsr()
        columns_WM.resize(words, padded)
        return columns_WM
    columns_WM = np.zeros((words, padded), dtype=np.float32)
    columns_WM[:, :pool] = pool_MW.T.toarray() if sparse.issparse(pool_MW) else pool_MW.T
    return columns_WM


def _top(similarity: np.ndarray, rows: np.ndarray, noise: np.ndarray, top: int, below: float) -> np.ndarray:
    """The columns of the largest values of each row. Works in place.

    The largest `top` values lie in the `top` groups with the largest maxima, so only those are sorted.
    """
    count, padded = similarity.shape
    similarity *= similarity < below
    for values, row in zip(similarity, rows.tolist(), strict=True):
        # Another piece of the noise for each row, lest all prefer the same ones among equals.
        shift = row * 2654435761 % padded
        values *= noise[shift : shift + padded]
    # Group g is columns g, g + groups, g + 2 groups …, so that the maxima are taken over whole rows at once.
    groups = similarity.reshape(count, _GROUP, padded // _GROUP)
    chosen = _largest(groups.max(axis=1), top)[:, None, :]
    values = np.take_along_axis(groups, chosen, axis=2).reshape(count, -1)
    columns = (np.arange(_GROUP)[:, None] * groups.shape[2] + chosen).reshape(count, -1)
    best = _largest(values, top)
    values, columns = np.take_along_axis(values, best, 1), np.take_along_axis(columns, best, 1)
    found = np.full((count, top), -1, dtype=np.int32)
    found[:, : columns.shape[1]] = np.where(values > 0, columns, -1)
    return found


def _largest(values: np.ndarray, top: int) -> np.ndarray:
    """Columns of the `top` largest values of each row (all, if they are fewer), largest first."""
    top = min(top, values.shape[1])
    columns = np.argpartition(values, -top, axis=1)[:, -top:]
    order = np.argsort(-np.take_along_axis(values, columns, 1), axis=1, kind="stable")
    return np.take_along_axis(columns, order, 1)
