"""Tiles and micro-batches: every pair once, none too large."""

import numpy as np
import pytest

from interbert.tasks.retrieval.tiles import BLOCK_IMAGES, cut_pairs, image_blocks, plan_tiles


def test_tiles_hold_every_pair_of_each_part_once():
    random = np.random.default_rng(1)
    image_tokens, text_tokens = random.integers(10, 37, 150), random.integers(3, 25, 400)
    parts = [
        (np.arange(0, 100), np.arange(0, 250)),
        (np.arange(100, 150), np.arange(250, 400)),
        (np.arange(3), np.arange(0)),
    ]
    tiles = plan_tiles(parts, image_tokens, text_tokens, tokens=50_000, bytes_of_region=1)
    seen = np.zeros((150, 400), int)
    for tile in tiles:
        seen[np.ix_(tile.rows_B, tile.columns_E)] += 1
        assert len(tile.rows_B) <= BLOCK_IMAGES
        assert (np.diff(text_tokens[tile.columns_E]) >= 0).all()
        assert (np.diff(image_tokens[tile.rows_B]) >= 0).all()
        tokens = image_tokens[tile.rows_B].sum() * len(tile.columns_E) + text_tokens[
            tile.columns_E
        ].sum() * len(tile.rows_B)
        assert tokens <= 50_000 + 2 * BLOCK_IMAGES * 61
    assert (seen[:100, :250] == 1).all() and (seen[100:, 250:] == 1).all()
    assert seen.sum() == 100 * 250 + 50 * 150
    assert len(tiles) > 10


def test_blocks_fit_into_memory():
    tokens = np.array([4, 2, 4, 5, 2, 4, 1])
    blocks = image_blocks(np.arange(7), tokens, bytes_of_region=10, block_bytes=85)
    assert sorted(np.concatenate(blocks)) == list(range(7))
    assert [tokens[block].tolist() for block in blocks] == [[1, 2, 2], [4, 4], [4], [5]]
    assert len(image_blocks(np.arange(2), tokens, bytes_of_region=100, block_bytes=1)) == 2


@pytest.mark.parametrize(("pairs", "budget"), [(1, 61), (700, 61), (700, 500), (700, 10**6), (0, 61)])
def test_micro_batches_cover_every_pair_within_the_budget_and_are_about_equally_full(pairs, budget):
    tokens = np.random.default_rng(0).integers(14, 62, pairs)
    cuts = cut_pairs(tokens, budget)
    assert [pair for start, stop in cuts for pair in range(start, stop)] == list(range(pairs))
    sizes = [tokens[start:stop].sum() for start, stop in cuts]
    assert all(size <= budget for size in sizes)
    if budget >= 500 and pairs:
        assert len(cuts) <= tokens.sum() / (budget - 61) + 1
        assert len(cuts) == 1 or min(sizes[:-1]) > budget - 2 * 61
