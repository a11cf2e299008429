"""Counts of tiles against ranking.py on the whole matrix."""

import numpy as np
import pytest

from interbert.tasks.retrieval.counting import Ranking, own_scores
from interbert.tasks.retrieval.ranking import image_to_text_ranks, retrieval_metrics, text_to_image_ranks
from interbert.tasks.retrieval.tiles import Tile

IMAGES, CAPTIONS = 24, 60


@pytest.fixture
def scores() -> np.ndarray:
    """Few values, so that many tie."""
    return np.random.default_rng(4).integers(0, 6, (IMAGES, CAPTIONS)).astype(np.float32)


IMAGE_OF = np.random.default_rng(5).integers(0, IMAGES - 2, CAPTIONS)


def counted(scores: np.ndarray, among: np.ndarray, fold: np.ndarray) -> Ranking:
    """From tiles that hold the matrix in pieces, in no order."""
    random = np.random.default_rng(6)
    rows, columns = (np.array_split(random.permutation(n), 4) for n in scores.shape)
    tiles = [Tile(b, e) for b in rows for e in columns]
    own = np.full(CAPTIONS, -np.inf, np.float32)
    for tile in tiles:
        own_scores(IMAGE_OF, IMAGES, tile, scores[np.ix_(tile.rows_B, tile.columns_E)], own)
    ranking = Ranking(IMAGE_OF, among, fold, own)
    for tile in tiles:
        ranking.count(tile, scores[np.ix_(tile.rows_B, tile.columns_E)])
    return ranking


ALL, ONE_FOLD = np.ones(CAPTIONS, bool), np.zeros(IMAGES, int)


def test_of_the_whole_matrix_and_of_some_captions(scores):
    assert counted(scores, ALL, ONE_FOLD).figures() == retrieval_metrics(scores, IMAGE_OF)
    some = np.random.default_rng(7).random(CAPTIONS) < 0.4
    assert counted(scores, some, ONE_FOLD).figures() == retrieval_metrics(scores[:, some], IMAGE_OF[some])


def test_pairs_that_were_not_scored_come_last(scores):
    outside = np.random.default_rng(8).random(scores.shape) < 0.7
    scores[outside] = -np.inf
    assert np.isneginf(scores[IMAGE_OF, np.arange(CAPTIONS)]).any()
    by_caption, by_image = counted(scores, ALL, ONE_FOLD).ranks()
    np.testing.assert_array_equal(by_caption, text_to_image_ranks(scores, IMAGE_OF))
    np.testing.assert_array_equal(by_image, image_to_text_ranks(scores, IMAGE_OF))


@pytest.mark.parametrize("share_outside", [0.0, 0.6])
def test_of_folds_each_for_itself(scores, share_outside):
    scores[np.random.default_rng(9).random(scores.shape) < share_outside] = -np.inf
    fold = np.arange(IMAGES) * 3 // IMAGES
    found = counted(scores, ALL, fold).figures()
    parts = []
    for number in range(3):
        rows, columns = np.flatnonzero(fold == number), np.flatnonzero(fold[IMAGE_OF] == number)
        place = np.searchsorted(rows, IMAGE_OF[columns])
        parts.append(retrieval_metrics(scores[np.ix_(rows, columns)], place))
    for way in ("text_to_image", "image_to_text"):
        for name, value in found[way].items():
            assert value == pytest.approx(np.mean([part[way][name] for part in parts]))
