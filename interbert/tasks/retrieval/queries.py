"""Text-based image retrieval: queries of a file of their own, each ranked against every image.

A query may be answered by several images, an image may answer several queries, and of some queries it is not known
what answers them: these are ranked as well, to be handed in. Letters as in tiles.py, and Q queries, F pairs that fit.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from interbert.corpus.corpus import Corpus
from interbert.ranks.distributed import Ranks
from interbert.sources.official.muge import Names, query_of
from interbert.sources.official.rows import Example, examples_of, json_lines, parsed
from interbert.tasks.retrieval.ranking import summarise_ranks
from interbert.tasks.retrieval.tile_work import Scored
from interbert.tasks.retrieval.tiles import Tile

BEST = 10
"""Images told of each query: as many as are handed in."""
_ENDINGS = ("", ".jpg", ".png")


@dataclass(frozen=True)
class Queries:
    names: Names
    """What the fields of the file are called."""
    ids: list[int | str]
    texts: list[str]
    query_F: np.ndarray
    image_F: np.ndarray
    """Image of the corpus that fits the query."""
    known_Q: np.ndarray
    """bool: of which queries the file says what fits."""

    def __len__(self) -> int:
        return len(self.ids)


def read_queries(path: Path, corpus: Corpus) -> Queries:
    """Every line checked; an image that fits must be in the data."""
    found: list[tuple[Names, int | str, str, list[str] | None]] = []

    def read(raw: bytes) -> Iterator[Example]:
        found.append(query_of(parsed(raw)))
        yield {"id": found[-1][1]}

    for _ in examples_of(path, json_lines(path), read, Counter()):
        pass
    pairs = [(number, item) for number, query in enumerate(found) for item in query[3] or ()]
    image_of = {item: _image(corpus, item) for item in dict.fromkeys(item for _, item in pairs)}
    lacking = [item for item, image in image_of.items() if image is None]
    if lacking:
        raise ValueError(
            f"{path}: the data lacks {len(lacking):,} of the images that fit, such as {lacking[0]}: give the stores "
            "of all images of the split by --data"
        )
    return Queries(
        found[0][0],
        [query[1] for query in found],
        [query[2] for query in found],
        np.array([number for number, _ in pairs], np.int64),
        np.array([image_of[item] for _, item in pairs], np.int64),
        np.array([query[3] is not None for query in found]),
    )


def _image(corpus: Corpus, item: str) -> int | None:
    found = (corpus.image_of(item + ending) for ending in _ENDINGS)
    return next((image for image in found if image is not None), None)


class Ranked:
    """Counts ranks and keeps the best images of each query, a tile at a time."""

    def __init__(self, queries: Queries, images_I: np.ndarray) -> None:
        """images_I: images of the corpus that are ranked."""
        self._queries, self._images_I = queries, images_I
        place_of = {image: place for place, image in enumerate(images_I.tolist())}
        there = [
            (q, place_of[i]) for q, i in zip(queries.query_F, queries.image_F, strict=True) if i in place_of
        ]
        self._query_F, self._row_F = np.array(there, np.int64).reshape(-1, 2).T
        self.own_Q = np.full(len(queries), -np.inf, np.float32)
        """The score of the best image that fits."""
        self.counts_3Q = np.zeros((3, len(queries)), np.int64)
        """Images that do not fit: scored higher, scored the same, scored at all."""
        self.best_QK = np.full((len(queries), BEST), -np.inf, np.float32)
        self.rows_QK = np.full((len(queries), BEST), -1, np.int64)

    def find_own(self, scored: Iterable[tuple[Tile, np.ndarray]]) -> None:
        for tile, scores_BE in scored:
            own_BE = np.where(self._fits(tile), scores_BE, -np.inf)
            self.own_Q[tile.columns_E] = np.maximum(self.own_Q[tile.columns_E], own_BE.max(axis=0))

    def count(self, scored: Iterable[tuple[Tile, np.ndarray]]) -> None:
        for tile, scores_BE in scored:
            columns, own_E = tile.columns_E, self.own_Q[tile.columns_E]
            others = (scores_BE > -np.inf) & ~self._fits(tile)
            counted = [(others & (scores_BE > own_E)), (others & (scores_BE == own_E)), others]
            self.counts_3Q[:, columns] += np.stack([each.sum(axis=0) for each in counted])
            rows_EB = np.broadcast_to(tile.rows_B, (len(columns), len(tile.rows_B)))
            self._keep(columns, scores_BE.T, rows_EB)

    def join(self, others: list["Ranked"]) -> None:
        """What other ranks have counted of their tiles, this one's among them."""
        self.counts_3Q = sum(other.counts_3Q for other in others)
        everyone = np.arange(len(self._queries))
        theirs = [(other.best_QK, other.rows_QK) for other in others]
        self.best_QK, self.rows_QK = np.full_like(self.best_QK, -np.inf), np.full_like(self.rows_QK, -1)
        for scores_QK, rows_QK in theirs:
            self._keep(everyone, scores_QK, rows_QK)

    def _keep(self, queries_E: np.ndarray, scores_EX: np.ndarray, rows_EX: np.ndarray) -> None:
        scores = np.concatenate([self.best_QK[queries_E], scores_EX], axis=1)
        rows = np.concatenate([self.rows_QK[queries_E], rows_EX], axis=1)
        # Of equals the first image: in whatever order the tiles come.
        order = np.lexsort((rows, -scores), axis=1)[:, :BEST]
        self.best_QK[queries_E] = np.take_along_axis(scores, order, axis=1)
        self.rows_QK[queries_E] = np.take_along_axis(rows, order, axis=1)

    def _fits(self, tile: Tile) -> np.ndarray:
        """bool [B, E]"""
        row_of, column_of = np.full(len(self._images_I), -1), np.full(len(self._queries), -1)
        row_of[tile.rows_B] = np.arange(len(tile.rows_B))
        column_of[tile.columns_E] = np.arange(len(tile.columns_E))
        rows_F, columns_F = row_of[self._row_F], column_of[self._query_F]
        here = (rows_F >= 0) & (columns_F >= 0)
        fits_BE = np.zeros((len(tile.rows_B), len(tile.columns_E)), bool)
        fits_BE[rows_F[here], columns_F[here]] = True
        return fits_BE

    def ranks(self) -> np.ndarray:
        """float64: of each query of which it is known what fits, the rank of the best image that does."""
        above, tied, scored = self.counts_3Q
        right = np.bincount(self._query_F, minlength=len(self._queries))
        # What was not scored comes after all that was, tied with each other.
        outside = np.isneginf(self.own_Q)
        tied = np.where(outside, len(self._images_I) - np.maximum(right, 1) - scored, tied)
        return (1 + np.where(outside, scored, above) + tied / 2)[self._queries.known_Q]

    def figures(self) -> dict[str, Any]:
        ranks = self.ranks()
        told = {"images": len(self._images_I), "queries": len(self._queries), "without_answer": 0}
        told["without_answer"] = int((~self._queries.known_Q).sum())
        if not len(ranks):
            return told
        found = summarise_ranks(ranks)
        mean = (found["r1"] + found["r5"] + found["r10"]) / 3
        return {"text_to_image": found | {"mean_recall": mean}, **told}

    def predictions(self, corpus: Corpus) -> Iterator[dict[str, Any]]:
        """Of each query its ten best images, as they are handed in."""
        if len(self._images_I) < BEST:
            raise ValueError(
                f"there are {len(self._images_I)} images, and exactly {BEST} are handed in of a query"
            )
        names = self._queries.names
        for id_, rows, scores in zip(self._queries.ids, self.rows_QK, self.best_QK, strict=True):
            if np.isneginf(scores).any():
                raise ValueError(
                    f"query {id_} has fewer than {BEST} images on the shortlist: give a longer one"
                )
            items = [corpus.image_id(int(self._images_I[row])) for row in rows]
            yield {names.query: id_, names.items: [_number(item) for item in items]}


def _number(item: str) -> int | str:
    plain = item.rpartition(".")[0] if item.endswith(_ENDINGS[1:]) else item
    return int(plain) if plain.isdecimal() and str(int(plain)) == plain else plain


def rank_all(scored: Scored, queries: Queries, images_I: np.ndarray, ranks: Ranks) -> Ranked:
    """The same on every rank. The tiles are gone through twice."""
    found = Ranked(queries, images_I)
    found.find_own(scored)
    found.own_Q = np.max(ranks.gather(found.own_Q), axis=0)
    found.count(scored)
    found.join(ranks.gather(found))
    return found
