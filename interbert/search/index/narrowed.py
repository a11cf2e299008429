"""The nearest among some: those that a filter lets through, or all but those that are not wanted."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from interbert.search.index.nearest import Nearest

FEW = 20_000
"""Items that fit a filter, up to which each of them is looked at."""
WIDEST = 16_384
"""Neighbours that a graph is asked for, so long others wait; beyond it all that fit are looked at."""
AT_A_TIME = 20_000
"""That are looked at before the clock is."""


def nearest_of(
    nearest: Nearest,
    query_W: np.ndarray,
    count: int,
    among: np.ndarray | None,
    without: frozenset[int],
    over: Callable[[], bool],
) -> tuple[list[int], list[float]]:
    """Numbers, best first, and inner products. among: only these (sorted); without: none of these.
    TimeoutError as soon as it is `over`."""
    unwanted = np.fromiter(without, np.int64, len(without))
    if among is not None and len(among := np.setdiff1d(among, unwanted)) <= FEW:
        return _looked_at(nearest, query_W, count, among, over)
    whole = len(nearest)
    # As many more as will not do, if those that will do lie about evenly.
    asked, most = count + min(len(without), count), whole
    if among is not None:
        asked, most = 2 * count * max(1, whole // len(among)), min(whole, WIDEST)
    asked = min(asked, most)
    while True:
        _go_on_unless(over)
        found, scores = nearest.search(query_W[None], asked)
        keep = ~np.isin(found[0], unwanted)
        if among is not None:
            keep &= np.isin(found[0], among, assume_unique=True)
        if keep.sum() >= count or asked >= whole:
            return found[0][keep][:count].tolist(), scores[0][keep][:count].tolist()
        if asked >= most:
            assert among is not None
            return _looked_at(nearest, query_W, count, among, over)
        asked = min(most, 4 * asked)


def _looked_at(
    nearest: Nearest, query_W: np.ndarray, count: int, among: np.ndarray, over: Callable[[], bool]
) -> tuple[list[int], list[float]]:
    best, products = np.zeros(0, np.int64), np.zeros(0, np.float32)
    for start in range(0, len(among), AT_A_TIME):
        _go_on_unless(over)
        some = among[start : start + AT_A_TIME]
        best = np.concatenate([best, some])
        products = np.concatenate([products, nearest.vectors(some.tolist()) @ query_W])
        order = np.argsort(-products, kind="stable")[:count]
        best, products = best[order], products[order]
    return best.tolist(), products.tolist()


def _go_on_unless(over: Callable[[], bool]) -> None:
    if over():
        raise TimeoutError("before the nearest were found")
