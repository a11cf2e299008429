"""The MPI ranks that a tool was started on: one, where it was not started by MPI."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class World:
    rank: int = 0
    size: int = 1
    barrier: Callable[[], None] = lambda: None
    gather: Callable[[Any], list[Any]] = lambda value: [value]
    """A value of each rank -> all of them, on every rank."""
    abort: Callable[[], None] = lambda: None
    """Ends all ranks: for one that fails, as the others would wait for it for ever."""


def mpi_world() -> World:
    if not ({"OMPI_COMM_WORLD_SIZE", "PMI_SIZE"} & os.environ.keys()):
        return World()
    from mpi4py import MPI

    world = MPI.COMM_WORLD
    return World(world.Get_rank(), world.Get_size(), world.Barrier, world.allgather, lambda: world.Abort(1))
