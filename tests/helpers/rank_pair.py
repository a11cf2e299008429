"""Two ranks of a tool as two processes that meet by files, without MPI."""

import functools
import multiprocessing
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

from interbert.mpi import World

_PATIENCE = 60


def on_two_ranks(folder: Path, work: Callable[[World], Any]) -> Any:
    """What rank 0 returns; an error where rank 1 fails. folder: for what they tell each other."""
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(2, timeout=_PATIENCE)

    def gather(rank: int, value: Any) -> list[Any]:
        (folder / f"rank{rank}").write_bytes(pickle.dumps(value))
        barrier.wait()
        found = [pickle.loads((folder / f"rank{one}").read_bytes()) for one in range(2)]
        barrier.wait()
        return found

    def world(rank: int) -> World:
        return World(rank, 2, barrier.wait, functools.partial(gather, rank))

    other = context.Process(target=work, args=(world(1),))
    other.start()
    try:
        found = work(world(0))
    finally:
        other.join(_PATIENCE)
        other.kill()
    assert other.exitcode == 0
    return found
