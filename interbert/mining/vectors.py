"""Captions as TF-IDF vectors, and sparse matrices in files that several processes read at once.

Letters: C captions, W words.
"""

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer

from interbert.config import Words
from interbert.segmenter import segmenter

# Chinese and Japanese write no spaces: there each character is a word.
_WORD = r"[\u3400-\u9fff]|[^\W\u3400-\u9fff]+"
_PARTS = ("data", "indices", "indptr")


def tfidf(texts: Iterable[str], count: int, words: Words = "character") -> sparse.csr_matrix:
    """float32 [captions, words], rows of length 1, words in lower case."""
    how = {"token_pattern": _WORD} if words == "character" else {"analyzer": _by_words()}
    try:
        return TfidfVectorizer(**how, dtype=np.float32).fit_transform(texts).tocsr()
    except ValueError:  # no word in any caption
        return sparse.csr_matrix((count, 1), dtype=np.float32)


def _by_words() -> Callable[[str], list[str]]:
    """What cuts a text into words, without spaces and marks."""
    cut, _ = segmenter("comparing captions by word")
    return lambda text: [word for word, _, _ in cut(text.lower()) if any(map(str.isalnum, word))]


def by_frequency(weights_CW: sparse.csr_matrix) -> np.ndarray:
    """The words (columns), those of most captions first."""
    captions_W = np.bincount(weights_CW.indices, minlength=weights_CW.shape[1])
    return np.argsort(-captions_W, kind="stable")


def without(weights_CW: sparse.csr_matrix, words: np.ndarray) -> sparse.csr_matrix:
    """The same matrix, these words zero and not stored."""
    kept_W = np.ones(weights_CW.shape[1], dtype=bool)
    kept_W[words] = False
    kept = kept_W[weights_CW.indices]
    before = np.concatenate([[0], np.cumsum(kept)])
    parts = (weights_CW.data[kept], weights_CW.indices[kept], before[weights_CW.indptr].astype(np.int32))
    return sparse.csr_matrix(parts, shape=weights_CW.shape)


def transposed(matrix: sparse.csr_matrix) -> sparse.csr_matrix:
    return matrix.T.tocsr()


def save_matrix(folder: Path, name: str, matrix: sparse.csr_matrix) -> None:
    for part in _PARTS:
        np.save(folder / f"{name}_{part}.npy", getattr(matrix, part))
    np.save(folder / f"{name}_shape.npy", np.array(matrix.shape))


def load_matrix(folder: Path, name: str) -> sparse.csr_matrix:
    """Mapped, so that processes on one machine share its memory."""
    parts = tuple(np.load(folder / f"{name}_{part}.npy", mmap_mode="c") for part in _PARTS)
    shape = tuple(np.load(folder / f"{name}_shape.npy").tolist())
    matrix = sparse.csr_matrix(shape, dtype=np.float32)
    matrix.data, matrix.indices, matrix.indptr = parts
    return matrix
