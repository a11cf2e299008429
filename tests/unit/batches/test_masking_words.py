"""Whole words: drawn as one, masked as one, and left out as one where there is no room."""

import numpy as np
import pytest

from interbert.batches.masking import Vocabulary, mask_text
from interbert.rng import Purpose, generator

CLS, SEP, MASK = 2, 3, 4
VOCABULARY = Vocabulary(MASK, np.arange(5, 1000, dtype=np.int32))
RECIPES = ["msm_paper", "msm_released", "mlm"]


def captions(lengths: list[list[int]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Captions of words of so many tokens: ids (500 and up by word), offsets, word numbers."""
    sizes = [size for words in lengths for size in (1, *words, 1)]
    word_T = np.repeat(np.arange(len(sizes)), sizes)
    kinds = np.concatenate([[CLS, *range(500, 500 + len(words)), SEP] for words in lengths])
    cu = np.concatenate([[0], np.cumsum([sum(words) + 2 for words in lengths])]).astype(np.int32)
    return kinds[word_T].astype(np.int32), cu, word_T


def mask(recipe, ids, cu, word_T, draw=0, capacity=10**9, counted=None):
    everyone = np.ones(len(cu) - 1, bool)
    rng = generator(1, Purpose.MASK_TEXT, 0, draw)
    counted = everyone if counted is None else counted
    return mask_text(recipe, rng, VOCABULARY, ids, cu, everyone, counted, capacity, word_T)


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_word_is_masked_whole_or_not_at_all(recipe):
    ids, cu, word_T = captions([[1, 2, 3, 1, 2], [4], [2, 2, 2, 2, 2, 2, 2, 2], [], [1, 1, 3]])
    words_seen = set()
    for draw in range(300):
        found = mask(recipe, ids, cu, word_T, draw)
        words = set(word_T[found.rows_M])
        assert (found.rows_M == np.flatnonzero(np.isin(word_T, list(words)))).all()
        assert (found.targets_M == ids[found.rows_M]).all() and found.targets_M.min(initial=9) > SEP
        changed = np.flatnonzero(found.input_ids_T != ids)
        assert np.isin(changed, found.rows_M).all()
        for word in words:
            now = found.input_ids_T[word_T == word]
            assert (now == MASK).all() or not (now == MASK).any(), "one fate for a word"
        words_seen |= words
    assert words_seen == set(word_T[ids > SEP])


@pytest.mark.parametrize("recipe", RECIPES)
def test_words_of_one_token_are_drawn_as_often_as_tokens_are(recipe):
    ids, cu, word_T = captions([[1] * 12] * 4000)
    by_word, by_token = mask(recipe, ids, cu, word_T), mask(recipe, ids, cu, None)
    assert (by_word.rows_M == by_token.rows_M).all(), "the same draws decide"


def test_a_segment_is_a_run_of_words():
    ids, cu, word_T = captions([[3] * 20] * 3000)
    found = mask("msm_paper", ids, cu, word_T)
    share = len(found.rows_M) / np.count_nonzero(ids > SEP)
    assert share == pytest.approx(0.19, abs=0.01)
    runs = np.split(found.rows_M, np.flatnonzero(np.diff(found.rows_M) > 1) + 1)
    assert {len(run) % 3 for run in runs} == {0} and {3, 6, 9} <= {len(run) for run in runs}


def test_a_word_that_has_no_room_is_left_whole():
    ids, cu, word_T = captions([[3] * 10] * 50)
    counted = np.arange(50) % 2 == 0
    free = mask("msm_paper", ids, cu, word_T, counted=counted)
    for capacity in (0, 1, 3, 4, 8, 50):
        found = mask("msm_paper", ids, cu, word_T, capacity=capacity, counted=counted)
        assert len(found.rows_M) == capacity // 3 * 3
        pair_T = np.repeat(np.arange(50), np.diff(cu))
        same = ~counted[pair_T]
        assert (found.input_ids_T[same] == free.input_ids_T[same]).all()
        left = np.setdiff1d(free.rows_M, found.rows_M)
        assert (found.input_ids_T[left] == ids[left]).all()
