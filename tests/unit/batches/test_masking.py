"""Each recipe's rule, by statistics over many draws; overlaps by hand and against a plain loop."""

from itertools import pairwise

import numpy as np
import pytest

from interbert.batches.masking import Vocabulary, mask_regions, mask_text, with_overlapping
from interbert.rng import Purpose, generator

CLS, SEP, MASK = 2, 3, 4
VOCABULARY = Vocabulary(MASK, np.arange(5, 1000, dtype=np.int32))
WORD = 500
ALL = 10**9


def captions(words: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Captions of that many words, all the same word: ids and offsets."""
    ids = np.concatenate([[CLS, *[WORD] * n, SEP] for n in words]).astype(np.int32)
    return ids, np.concatenate([[0], np.cumsum(np.array(words) + 2)]).astype(np.int32)


def run_text(recipe, ids, cu_text, draw=0, masked=None, counted=None, capacity=ALL):
    pairs = len(cu_text) - 1
    masked = np.ones(pairs, bool) if masked is None else masked
    counted = np.ones(pairs, bool) if counted is None else counted
    rng = generator(1, Purpose.MASK_TEXT, 0, draw)
    return mask_text(recipe, rng, VOCABULARY, ids, cu_text, masked, counted, capacity)


def run_regions(recipe, boxes, cu_regions, draw=0, masked=None, counted=None, capacity=ALL):
    pairs = len(cu_regions) - 1
    masked = np.ones(pairs, bool) if masked is None else masked
    counted = np.ones(pairs, bool) if counted is None else counted
    rng = generator(1, Purpose.MASK_REGIONS, 0, draw)
    return mask_regions(recipe, rng, boxes, cu_regions, masked, counted, capacity)


@pytest.mark.parametrize("recipe", ["msm_paper", "msm_released", "mlm"])
def test_of_masked_words_80_become_mask_10_random_10_stay(recipe):
    ids, cu_text = captions([20] * 10_000)
    mask = run_text(recipe, ids, cu_text)
    now = mask.input_ids_T[mask.rows_M]
    assert (mask.targets_M == WORD).all()
    assert np.mean(now == MASK) == pytest.approx(0.8, abs=0.01)
    assert np.mean(now == WORD) == pytest.approx(0.1, abs=0.01)
    random = now[(now != MASK) & (now != WORD)]
    assert random.min() >= 5 and len(np.unique(random)) > 900
    untouched = np.ones(len(ids), bool)
    untouched[mask.rows_M] = False
    assert (mask.input_ids_T[untouched] == ids[untouched]).all()


@pytest.mark.parametrize("recipe", ["msm_paper", "msm_released", "mlm"])
def test_the_fate_of_a_word_is_drawn_for_each_word(recipe):
    ids, cu_text = captions([20] * 10_000)
    mask = run_text(recipe, ids, cu_text)
    neighbours = np.diff(mask.rows_M) == 1
    is_mask = mask.input_ids_T[mask.rows_M] == MASK
    assert np.mean((is_mask[1:] & is_mask[:-1])[neighbours]) == pytest.approx(0.64, abs=0.02)


@pytest.mark.parametrize("recipe", ["msm_paper", "msm_released", "mlm"])
def test_only_words_are_masked_whatever_the_lengths(recipe):
    for draw in range(200):
        ids, cu_text = captions([0, 1, 2, 5, 0, 3, 1, 34])
        mask = run_text(recipe, ids, cu_text, draw)
        assert (ids[mask.rows_M] == WORD).all() and (np.diff(mask.rows_M) > 0).all()
        specials = (ids == CLS) | (ids == SEP)
        assert (mask.input_ids_T[specials] == ids[specials]).all()


def test_msm_paper_masks_anchors_and_up_to_two_words_after():
    words = 30
    ids, cu_text = captions([words] * 20_000)
    mask = run_text("msm_paper", ids, cu_text)
    rate = np.bincount(mask.rows_M % (words + 2), minlength=words + 2)[1:-1] / 20_000
    # A word stays if it is no anchor, the one before reaches not 1 on (of 0-2), the one before that not 2 on.
    first, second = 0.1, 1 - 0.9 * (1 - 0.1 * 2 / 3)
    rest = 1 - 0.9 * (1 - 0.1 * 2 / 3) * (1 - 0.1 / 3)
    assert rate[0] == pytest.approx(first, abs=0.01)
    assert rate[1] == pytest.approx(second, abs=0.01)
    assert rate[2:].mean() == pytest.approx(rest, abs=0.002)
    assert rate[2:].std() < 0.005


def test_msm_paper_never_reaches_into_the_next_caption():
    ids, cu_text = captions([1] * 100_000)
    mask = run_text("msm_paper", ids, cu_text)
    assert len(mask.rows_M) / 100_000 == pytest.approx(0.1, abs=0.005)


def test_msm_released_masks_one_span_of_uniform_start_and_length():
    words, pairs = 6, 60_000
    ids, cu_text = captions([words] * pairs)
    mask = run_text("msm_released", ids, cu_text)
    chosen = np.zeros(len(ids), bool)
    chosen[mask.rows_M] = True
    chosen = chosen.reshape(pairs, words + 2)[:, 1:-1]
    start, length = chosen.argmax(axis=1), chosen.sum(axis=1)
    last = words - 1 - chosen[:, ::-1].argmax(axis=1)
    assert (last - start + 1 == length).all() and length.min() >= 1
    expected = np.zeros((words, words + 1))
    for s in range(words):
        for n in range(1, words + 1):
            expected[s, min(n, words - s)] += 1 / words**2
    seen = np.zeros_like(expected)
    np.add.at(seen, (start, length), 1 / pairs)
    np.testing.assert_allclose(seen, expected, atol=0.006)


def test_mlm_masks_single_words():
    ids, cu_text = captions([20] * 10_000)
    mask = run_text("mlm", ids, cu_text)
    assert len(mask.rows_M) / 200_000 == pytest.approx(0.15, abs=0.005)
    chosen = np.zeros(len(ids), bool)
    chosen[mask.rows_M] = True
    after = chosen.reshape(-1, 22)[:, 2:-1][chosen.reshape(-1, 22)[:, 1:-2]]
    assert after.mean() == pytest.approx(0.15, abs=0.01)


def test_pairs_that_do_not_count_are_masked_but_not_predicted():
    ids, cu_text = captions([20] * 4)
    counted = np.array([True, False, True, False])
    masked = np.array([True, True, False, False])
    hidden = np.zeros(4, bool)
    for draw in range(20):
        mask = run_text("mlm", ids, cu_text, draw, masked, counted)
        assert (mask.rows_M // 22 == 0).all()
        hidden |= (mask.input_ids_T != ids).reshape(4, 22).any(axis=1)
    assert hidden.tolist() == [True, True, False, False]


def test_words_drawn_beyond_the_capacity_are_left_as_they_were():
    ids, cu_text = captions([20] * 50)
    free = run_text("mlm", ids, cu_text)
    mask = run_text("mlm", ids, cu_text, capacity=30)
    assert len(free.rows_M) > 100 and mask.rows_M.tolist() == free.rows_M[:30].tolist()
    last = mask.rows_M[-1]
    assert (mask.input_ids_T[: last + 1] == free.input_ids_T[: last + 1]).all()
    assert (mask.input_ids_T[last + 1 :] == ids[last + 1 :]).all()


def test_nothing_to_mask_gives_empty_arrays():
    ids, cu_text = captions([0, 0])
    none = np.zeros((0, 4), np.float32)
    for recipe in ("msm_paper", "msm_released", "mlm"):
        assert len(run_text(recipe, ids, cu_text).rows_M) == 0
    for recipe in ("mrm_paper", "mrm_released", "moc"):
        mask = run_regions(recipe, none, np.zeros(3, np.int32))
        assert len(mask.rows_N) == 0 and len(mask.zeroed_R) == 0


def random_boxes(rng, counts):
    """Boxes that often overlap, on whole numbers so that exact thresholds occur; some without area."""
    corners = np.sort(rng.integers(0, 8, (sum(counts), 2, 2)), axis=1)
    return corners.reshape(-1, 4).astype(np.float32)


def naive_overlaps(anchors, boxes, cu_regions, inclusive):
    result = anchors.copy()
    for first, end in pairwise(cu_regions):
        for a in range(first, end):
            for b in range(first, end):
                wide = min(boxes[a, 2], boxes[b, 2]) - max(boxes[a, 0], boxes[b, 0])
                high = min(boxes[a, 3], boxes[b, 3]) - max(boxes[a, 1], boxes[b, 1])
                shared = max(wide, 0) * max(high, 0)
                areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (boxes[a], boxes[b])]
                union = sum(areas) - shared
                iou = float(shared) / float(union) if union > 0 else 0.0
                if anchors[a] and (iou >= 0.4 if inclusive else iou > 0.4):
                    result[b] = True
    return result


@pytest.mark.parametrize("inclusive", [False, True])
def test_overlaps_equal_a_plain_loop(inclusive):
    rng = np.random.default_rng(0)
    more = 0
    for _ in range(30):
        counts = [7, 0, 12, 1, 9]
        cu_regions = np.concatenate([[0], np.cumsum(counts)])
        boxes, anchors = random_boxes(rng, counts), rng.random(sum(counts)) < 0.2
        pair_R = np.repeat(np.arange(5), counts)
        found = with_overlapping(anchors, boxes, cu_regions, pair_R, inclusive)
        assert (found == naive_overlaps(anchors, boxes, cu_regions, inclusive)).all()
        more += (found & ~anchors).sum()
    assert more > 30


def test_overlaps_by_hand():
    boxes = np.array(
        [
            [0, 0, 10, 10],  # the anchor
            [0, 0, 10, 4],  # inside it: 40 / 100 = 0.4 exactly
            [5, 0, 15, 10],  # half of each: 50 / 150
            [1, 1, 10, 10],  # 81 / 100
            [20, 20, 30, 30],  # apart
            [0, 0, 10, 10],  # the same place in another image
        ],
        np.float32,
    )
    cu_regions, pair_R = np.array([0, 5, 6]), np.array([0, 0, 0, 0, 0, 1])
    anchors = np.array([True, False, False, False, False, False])
    more_than = with_overlapping(anchors, boxes, cu_regions, pair_R, inclusive=False)
    at_least = with_overlapping(anchors, boxes, cu_regions, pair_R, inclusive=True)
    assert more_than.tolist() == [True, False, False, True, False, False]
    assert at_least.tolist() == [True, True, False, True, False, False]


@pytest.mark.parametrize(("recipe", "anchor"), [("mrm_paper", 0.15), ("mrm_released", 0.10)])
def test_mrm_rates_alone_and_overlapping(recipe, anchor):
    pairs = 20_000
    # Three regions an image: two nearly the same, one apart.
    boxes = np.tile(np.array([[0, 0, 10, 10], [0, 0, 10, 9], [50, 50, 60, 60]], np.float32), (pairs, 1))
    mask = run_regions(recipe, boxes, np.arange(0, 3 * pairs + 1, 3))
    rates = mask.zeroed_R.reshape(pairs, 3).mean(axis=0)
    together = 1 - (1 - anchor) ** 2
    np.testing.assert_allclose(rates, [together, together, anchor], atol=0.01)
    twins = mask.zeroed_R.reshape(pairs, 3)
    assert (twins[:, 0] == twins[:, 1]).all()
    assert (np.flatnonzero(mask.zeroed_R) == mask.rows_N).all()


def test_moc_masks_single_regions_and_keeps_a_tenth_in_sight():
    boxes = np.tile(np.array([[0, 0, 10, 10]], np.float32), (100_000, 1))
    mask = run_regions("moc", boxes, np.arange(0, 100_001, 10))
    assert len(mask.rows_N) / 100_000 == pytest.approx(0.15, abs=0.005)
    assert mask.zeroed_R[mask.rows_N].mean() == pytest.approx(0.9, abs=0.01)
    assert mask.zeroed_R.sum() == mask.zeroed_R[mask.rows_N].sum()


def test_regions_of_pairs_that_do_not_count_are_zeroed_but_not_predicted():
    boxes = np.tile(np.array([[0, 0, 10, 10]], np.float32), (400, 1))
    cu_regions = np.arange(0, 401, 100)
    counted, masked = np.array([True, False, True, False]), np.array([True, True, False, False])
    mask = run_regions("mrm_paper", boxes, cu_regions, 0, masked, counted)
    assert mask.zeroed_R.reshape(4, 100).any(axis=1).tolist() == [True, True, False, False]
    assert np.unique(mask.rows_N // 100).tolist() == [0]


def test_regions_drawn_beyond_the_capacity_are_left_in_sight():
    boxes = np.arange(1000, dtype=np.float32)[:, None] * 20 + np.array([0, 0, 10, 10], np.float32)
    free = run_regions("mrm_paper", boxes, np.arange(0, 1001, 10))
    mask = run_regions("mrm_paper", boxes, np.arange(0, 1001, 10), capacity=40)
    assert mask.rows_N.tolist() == free.rows_N[:40].tolist()
    assert np.flatnonzero(mask.zeroed_R).tolist() == mask.rows_N.tolist()


def test_random_words_are_never_special():
    class Tokenizer:
        vocab_size, mask_id, special_ids = 50, 11, (0, 11, 49)

    assert set(range(50)) - set(Vocabulary.of(Tokenizer()).words.tolist()) == {0, 11, 49}
