"""Hard negatives: for each caption, captions of other images that are near it in TF-IDF, but not too near.

The table is exact and made for small sets (its cost grows with the square of the captions).
"""

from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer

from interbert.config import MismatchSettings, Settings
from interbert.data import cache

MOST_CAPTIONS = 200_000
_SCHEMA, _VERSION = "interbert-candidates", 1
_BLOCK_BYTES = 8 << 20
# Chinese and Japanese write no spaces: there each character is a word.
_WORD = r"[\u3400-\u9fff]|[^\W\u3400-\u9fff]+"
_GROUP = 64
_FEW_WORDS = 512
# Many captions are equally near: similarities closer than this share of them are told apart by chance.
_TIE = 1e-5


class CandidateError(ValueError):
    """A table of candidates that cannot be used, or cannot be made."""


@dataclass(frozen=True)
class CandidateTable:
    rows: np.ndarray
    """int32 [captions, top]: the candidates of each true caption, nearest first, then -1."""
    fingerprint: str
    """Of the corpus that it was mined from."""


def candidates_for(corpus: Any, settings: Settings) -> CandidateTable | None:
    """The table that these settings need: cached beside the data set, or mined; None where they need none."""
    mismatch = settings.mismatch
    if "itm" not in settings.objectives or not mismatch.share or not mismatch.hard_share:
        return None
    if mismatch.side == "image":
        return None
    name = f"candidates-{cache.key(corpus.fingerprint, mismatch.hard_top, mismatch.hard_max_similarity)}.h5"
    for path in cache.find(corpus, name):
        try:
            return read_candidates(path, corpus)
        except CandidateError:
            continue
    table = mine(corpus, mismatch)
    cache.keep(corpus, name, lambda path: write_candidates(path, table, mismatch))
    return table


def mine(corpus: Any, settings: MismatchSettings) -> CandidateTable:
    """The exact table: the `hard_top` nearest captions of other images, all below `hard_max_similarity`."""
    if corpus.captions > MOST_CAPTIONS:
        raise CandidateError(
            f"the data set has {corpus.captions:,} captions; exact TF-IDF candidates are for at most "
            f"{MOST_CAPTIONS:,}: mine a table beforehand, or set mismatch.hard_share=0"
        )
    texts = list(islice(corpus.texts(), corpus.captions))
    image_C = np.asarray(corpus.caption_image[: corpus.captions])
    rows = nearest(tfidf(texts), image_C, settings.hard_top, settings.hard_max_similarity)
    return CandidateTable(rows, corpus.fingerprint)


def tfidf(texts: list[str]) -> sparse.csr_matrix:
    """float32 [captions, words], rows of length 1, words in lower case."""
    try:
        return TfidfVectorizer(token_pattern=_WORD, dtype=np.float32).fit_transform(texts).tocsr()
    except ValueError:  # no word in any caption
        return sparse.csr_matrix((len(texts), 1), dtype=np.float32)


def nearest(weights_CW: sparse.csr_matrix, image_C: np.ndarray, top: int, below: float) -> np.ndarray:
    """int32 [captions, top]: the rows of largest product that is > 0 and < `below`, of other images."""
    captions, words = weights_CW.shape
    padded = -(-captions // _GROUP) * _GROUP
    columns_WC = weights_CW.T.tocsr()
    columns_WC.resize(words, padded)
    if words <= _FEW_WORDS:  # a small world's captions share most of their words: dense products are quicker
        weights_CW, columns_WC = weights_CW.toarray(), columns_WC.toarray()
    order = np.argsort(image_C, kind="stable")
    block = max(1, _BLOCK_BYTES // (4 * padded))
    noise = np.random.Generator(np.random.Philox(key=0)).random(2 * padded, dtype=np.float32)
    result = np.full((captions, top), -1, dtype=np.int32)
    for start in range(0, captions, block):
        rows = np.arange(start, min(start + block, captions))
        similarity = weights_CW[rows] @ columns_WC
        if sparse.issparse(similarity):
            similarity = similarity.toarray()
        _blank_own_image(similarity, rows, image_C, order)
        result[rows] = _top(similarity, rows, 1 - _TIE * noise, top, below)
    return result


def _blank_own_image(
    similarity: np.ndarray, rows: np.ndarray, image_C: np.ndarray, order: np.ndarray
) -> None:
    sorted_images = image_C[order]
    first = np.searchsorted(sorted_images, image_C[rows], side="left")
    count = np.searchsorted(sorted_images, image_C[rows], side="right") - first
    row = np.repeat(np.arange(len(rows)), count)
    place = np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count)
    similarity[row, order[np.repeat(first, count) + place]] = 0


def _top(similarity: np.ndarray, rows: np.ndarray, factors: np.ndarray, top: int, below: float) -> np.ndarray:
    """The columns of the largest values of each row. Works in place.

    The largest `top` values lie in the `top` groups with the largest maxima, so only those are sorted.
    """
    count, padded = similarity.shape
    similarity *= similarity < below
    for values, row in zip(similarity, rows, strict=True):
        # Another piece of the factors for each caption, lest all prefer the same ones among equals.
        shift = int(row) * 2654435761 % padded
        values *= factors[shift : shift + padded]
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


def write_candidates(path: str | Path, table: CandidateTable, settings: MismatchSettings) -> None:
    with h5py.File(path, "w") as file:
        file.attrs.update(
            schema=_SCHEMA,
            version=_VERSION,
            fingerprint=table.fingerprint,
            max_similarity=settings.hard_max_similarity,
        )
        file["candidates"] = table.rows


def read_candidates(path: str | Path, corpus: Any) -> CandidateTable:
    """A table written by `write_candidates`, refused if it is not of this corpus."""
    try:
        with h5py.File(path, "r") as file:
            schema, version = file.attrs.get("schema"), file.attrs.get("version")
            fingerprint = file.attrs.get("fingerprint")
            if schema != _SCHEMA or version != _VERSION:
                raise CandidateError(
                    f"{path}: schema {schema!r}, version {version}; a table of candidates has "
                    f"{_SCHEMA!r}, {_VERSION}"
                )
            rows = file["candidates"][:]
    except (OSError, KeyError) as error:
        raise CandidateError(f"{path}: not a whole table of candidates ({error}); mine it again") from None
    if fingerprint != corpus.fingerprint:
        raise CandidateError(
            f"{path}: mined from other captions (fingerprint {fingerprint}, the data set has "
            f"{corpus.fingerprint}); mine it again"
        )
    if rows.ndim != 2 or len(rows) != corpus.captions or rows.max(initial=-1) >= corpus.captions:
        raise CandidateError(f"{path}: {rows.shape} candidates for {corpus.captions} captions; mine it again")
    return CandidateTable(rows.astype(np.int32, copy=False), fingerprint)
