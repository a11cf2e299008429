"""The work of scoring all pairs in pieces: tiles of some images x some captions.

Letters as in batches/batch.py, and I images, C captions, B images and E captions of a tile. A plan depends on the
data and the options alone, never on who works: so do the micro-batches within a tile, and the scores' last bits.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

BLOCK_IMAGES = 64
BLOCK_BYTES = 256 * 2**20
"""Most bytes of region features that are held at a time."""

MICRO_BATCHES = 16
"""About how many a tile makes: what a killed evaluation loses, and what a rank takes at a time."""


@dataclass(frozen=True)
class Tile:
    rows_B: np.ndarray
    """Which of the evaluated images these are, by their number of regions."""
    columns_E: np.ndarray
    """Which captions, by length."""


def plan_tiles(
    parts: Iterable[tuple[np.ndarray, np.ndarray]],
    image_tokens_I: np.ndarray,
    text_tokens_C: np.ndarray,
    *,
    tokens: float,
    bytes_of_region: int,
) -> list[Tile]:
    """Tiles of about so many tokens over each part's images x captions; neighbours have their images in common."""
    tiles = []
    for rows, columns in parts:
        columns = columns[np.argsort(text_tokens_C[columns], kind="stable")]
        for block in image_blocks(rows, image_tokens_I, bytes_of_region):
            cost = (text_tokens_C[columns] * len(block) + image_tokens_I[block].sum()).cumsum()
            pieces = np.floor((cost - cost[0]) / tokens) if len(columns) else cost
            cuts = np.flatnonzero(np.diff(pieces)) + 1
            tiles += [Tile(block, piece) for piece in np.split(columns, cuts) if len(piece)]
    return tiles


def image_blocks(
    rows: np.ndarray, image_tokens_I: np.ndarray, bytes_of_region: int, block_bytes: int = BLOCK_BYTES
) -> list[np.ndarray]:
    """Images of similar size, few enough to be held."""
    rows = rows[np.argsort(image_tokens_I[rows], kind="stable")]
    blocks, start = [], 0
    while start < len(rows):
        held = (image_tokens_I[rows[start : start + BLOCK_IMAGES]] * bytes_of_region).cumsum()
        stop = start + max(1, int(np.searchsorted(held, block_bytes, side="right")))
        blocks.append(rows[start:stop])
        start = stop
    return blocks


def cut_pairs(tokens_P: np.ndarray, budget: int) -> list[tuple[int, int]]:
    """(start, stop) of micro-batches within the budget, about equally full."""
    if not len(tokens_P):
        return []
    before = np.concatenate([[0], np.cumsum(tokens_P, dtype=np.int64)])
    pieces = -(-int(before[-1]) // budget)
    limit = min(budget, -(-int(before[-1]) // pieces) + int(tokens_P.max()))
    cuts, start = [], 0
    while start < len(tokens_P):
        stop = int(np.searchsorted(before, before[start] + limit, side="right")) - 1
        assert stop > start
        cuts.append((start, stop))
        start = stop
    return cuts
