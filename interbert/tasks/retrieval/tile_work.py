"""Scoring all tiles, on any number of ranks: each takes the next tile when it is done with one.

Whoever has scored a tile counts it, so no rank ever holds the whole matrix. With a folder the scores are on disk, and
tiles found there are counted by rank 0; without one they stay in the memory of the rank that made them.
"""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from interbert.progress import Progress
from interbert.ranks.distributed import Ranks
from interbert.tasks.retrieval.pairs import PairScorer
from interbert.tasks.retrieval.tile_folder import TileFolder
from interbert.tasks.retrieval.tiles import Tile

log = logging.getLogger(__name__)


class Scored:
    """Of one rank: the tiles that it has to count."""

    def __init__(self, tiles: list[Tile], folder: TileFolder | None) -> None:
        self._tiles, self._folder = tiles, folder
        self._mine: dict[int, np.ndarray | None] = {}

    def add(self, number: int, scores_BE: np.ndarray) -> None:
        if self._folder is not None:
            self._folder.write(number, scores_BE)
        self._mine[number] = None if self._folder is not None else scores_BE

    def found(self, number: int) -> None:
        """On disk, from an earlier time."""
        self._mine[number] = None

    def __iter__(self) -> Iterator[tuple[Tile, np.ndarray]]:
        for number, scores_BE in self._mine.items():
            tile = self._tiles[number]
            yield tile, self._folder.read(number, tile) if scores_BE is None else scores_BE


def score_tiles(
    scorer: PairScorer, ranks: Ranks, work: Path | None, *, progress: bool = False, title: str = ""
) -> Scored:
    """All ranks call this. An error on one rank is raised on all of them."""
    folder, done = None, set()
    if work is not None:
        folder = TileFolder(work, ranks.main_only(scorer.identity))
        done = ranks.main_only(lambda: folder.begin(scorer.tiles))
    scored = Scored(scorer.tiles, folder)
    if ranks.is_main:
        for number in sorted(done):
            scored.found(number)
    left = [number for number in range(len(scorer.tiles)) if number not in done]
    if done and ranks.is_main:
        log.info(
            "%s: %d of %d tiles were there already (%s)", title, len(done), len(scorer.tiles), folder.path
        )
    take, problem = ranks.counter(), None
    try:
        _work(scorer, left, take, scored, progress and ranks.is_main, title)
    except Exception as error:
        problem = error
    for error in ranks.gather(problem):
        if error is not None:
            raise error
    return scored


def _work(
    scorer: PairScorer, left: list[int], take: Callable[[], int], scored: Scored, shown: bool, title: str
) -> None:
    pairs = [scorer.pairs_in(scorer.tiles[number]) for number in left] if shown else [0] * len(left)
    with Progress(title, sum(pairs), "pairs", shown=shown) as progress:
        begun = 0
        while (place := take()) < len(left):
            number = left[place]
            scored.add(number, scorer.score(scorer.tiles[number]))
            # Tiles are taken in order: those before this one are done, or others are at them.
            progress.advance(sum(pairs[begun : place + 1]))
            begun = place + 1
