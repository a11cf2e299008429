"""Scores of tiles on disk, so that a killed evaluation goes on where it was."""

import contextlib
from pathlib import Path

import numpy as np

from interbert.files import remove, replaced, write_json
from interbert.tasks.retrieval.tiles import Tile


class TileFolder:
    """A file for each tile that is done, in a folder of its own for everything that decides the scores.

    A file that is damaged, or of another shape, counts as not there.
    """

    def __init__(self, folder: Path, identity: str) -> None:
        self.path = folder / f"tiles-{identity}"

    def begin(self, tiles: list[Tile]) -> set[int]:
        """Numbers of the tiles that are done."""
        self.path.mkdir(parents=True, exist_ok=True)
        write_json(self.path / "tiles.json", {"tiles": len(tiles), "pairs": sum(map(_area, tiles))})
        return {number for number, tile in enumerate(tiles) if self._read(number, tile) is not None}

    def write(self, number: int, scores_BE: np.ndarray) -> None:
        with replaced(self._file(number)) as partial, open(partial, "wb") as file:
            np.save(file, scores_BE)

    def read(self, number: int, tile: Tile) -> np.ndarray:
        scores_BE = self._read(number, tile)
        if scores_BE is None:
            raise ValueError(f"{self._file(number)}: no longer there, or damaged; start the evaluation again")
        return scores_BE

    def _file(self, number: int) -> Path:
        return self.path / f"{number}.npy"

    def _read(self, number: int, tile: Tile) -> np.ndarray | None:
        try:
            scores_BE = np.load(self._file(number))
        except (OSError, ValueError, EOFError):
            return None
        fits = scores_BE.shape == (len(tile.rows_B), len(tile.columns_E)) and scores_BE.dtype == np.float32
        return scores_BE if fits else None


def clear(folder: Path) -> None:
    """Without the scores of any evaluation; what else is there stays."""
    for path in folder.glob("tiles-*"):
        remove(path)
    with contextlib.suppress(OSError):
        folder.rmdir()


def _area(tile: Tile) -> int:
    return len(tile.rows_B) * len(tile.columns_E)
