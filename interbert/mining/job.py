"""A join too long for one sitting: cut into blocks of rows, each kept in a file of its own as soon as it is done.

The folder of a job holds its inputs (mapped by every process), `job.json` and the finished blocks. Blocks are a
function of the inputs alone, so it does not matter which process does which, or how often a job was stopped.
"""

import multiprocessing
import signal
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from threadpoolctl import threadpool_limits

from interbert.doors import go_with_the_parent
from interbert.files import read_json, replaced, write_json
from interbert.mining import dense
from interbert.mining.kin import Kin
from interbert.mining.pruned import PrunedSearch
from interbert.mining.vectors import load_matrix
from interbert.progress import Progress
from interbert.rng import Purpose, generator

ROWS = 16384


@dataclass(frozen=True)
class Job:
    kind: Literal["pruned", "dense"]
    rows: int
    top: int
    below: float
    pool: int
    identity: str
    """Of all that decides the result."""
    notes: dict[str, Any]
    """What was found out on the way and belongs into the table."""
    block: int = field(default_factory=lambda: ROWS)
    """Rows of a block."""

    @property
    def blocks(self) -> int:
        return -(-self.rows // self.block)

    def save(self, folder: Path) -> None:
        write_json(folder / "job.json", asdict(self))

    @classmethod
    def load(cls, folder: Path) -> "Job":
        return cls(**read_json(folder / "job.json"))


def work_off(folder: Path, job: Job, rank: int, world_size: int, processes: int, progress: Progress) -> None:
    """Do this rank's blocks that are not done yet."""
    mine = [b for b in range(job.blocks) if b % world_size == rank and not _file(folder, b).exists()]
    if processes == 1 or len(mine) < 2:
        worker = _Worker(folder)
        for block in mine:
            progress.advance(worker.do(block))
        return
    context, before = multiprocessing.get_context("spawn"), multiprocessing.active_children()
    with ProcessPoolExecutor(min(processes, len(mine)), context, _open, (folder,)) as pool:
        try:
            for done in as_completed([pool.submit(_do, block) for block in mine]):
                progress.advance(done.result())
        except BaseException:  # Ctrl-C, say: what is not begun is not done
            workers = [each for each in multiprocessing.active_children() if each not in before]
            pool.shutdown(wait=False, cancel_futures=True)
            for worker in workers:
                worker.terminate()
            raise


def gather(folder: Path, job: Job) -> np.ndarray:
    """int32 [rows, top], all blocks being done."""
    return np.concatenate([np.load(_file(folder, block)) for block in range(job.blocks)])


def rows_done(folder: Path, job: Job) -> int:
    done = [block for block in range(job.blocks) if _file(folder, block).exists()]
    return sum(min(job.block, job.rows - block * job.block) for block in done)


class _Worker:
    def __init__(self, folder: Path) -> None:
        self.folder, self.job = folder, Job.load(folder)
        self.kin = Kin.load(folder)

    @cached_property
    def _search(self) -> PrunedSearch:
        return PrunedSearch.load(self.folder)

    @cached_property
    def _weights(self) -> Any:
        path = self.folder / "vectors.npy"
        return np.load(path, mmap_mode="r") if path.exists() else load_matrix(self.folder, "weights_CW")

    @cached_property
    def _shuffled(self) -> np.ndarray:
        return generator(0, Purpose.MINING, 1).permutation(self.job.rows)

    def do(self, block: int) -> int:
        rows = np.arange(block * self.job.block, min((block + 1) * self.job.block, self.job.rows))
        find = self._pruned if self.job.kind == "pruned" else self._dense
        with replaced(_file(self.folder, block)) as partial, open(partial, "wb") as file:
            np.save(file, find(rows))
        return len(rows)

    def _pruned(self, rows_N: np.ndarray) -> np.ndarray:
        return self._search.nearest(rows_N, self.kin, self.job.top, self.job.below)[0]

    def _dense(self, rows_N: np.ndarray) -> np.ndarray:
        pool_M = np.arange(self.job.rows) if self.job.pool >= self.job.rows else self._pool(int(rows_N[0]))
        found = dense.nearest(
            self._weights[rows_N], self._weights[pool_M], self.kin.of_rows(rows_N).among(pool_M),
            self.job.top, self.job.below, int(rows_N[0]),
        )  # fmt: skip
        return np.where(found >= 0, pool_M[found], -1).astype(np.int32)

    def _pool(self, first: int) -> np.ndarray:
        """Other captions for each block: else few captions would serve as everyone's negatives."""
        start = first // self.job.block * self.job.pool
        return np.sort(self._shuffled[(start + np.arange(self.job.pool)) % self.job.rows])


def _file(folder: Path, block: int) -> Path:
    return folder / f"block_{block:06d}.npy"


_worker: _Worker | None = None


def _open(folder: Path) -> None:
    global _worker
    go_with_the_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all: the first process ends the others
    threadpool_limits(1)  # as many processes as cores are enough
    _worker = _Worker(folder)


def _do(block: int) -> int:
    return _worker.do(block)
