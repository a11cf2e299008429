"""The threads that OpenMP keeps for each thread that computes.

GNU's OpenMP, which torch's wheels bring, keeps a team for every thread that ever computed with several. As soon as
all teams together have more members than there are cores, whoever waits for the rest of its team goes to sleep at
each product, and is woken for the next, where else it would look again for a moment: on two cores that is a team
for the thread that loaded a model beside one for the thread that serves it, and a fifth to a half of the time.
"""

import ctypes
from collections.abc import Callable
from functools import cache

import torch

_ALL = 2
"""omp_pause_hard: nothing is kept."""


def give_back() -> None:
    """Ends what is kept for the calling thread, which has it anew as soon as it computes. Nothing, where OpenMP is
    another: there it may be of all threads."""
    pause = _pause()
    if pause is not None:
        pause(_ALL)


@cache
def _pause() -> Callable[[int], int] | None:
    """Of the OpenMP that torch computes with, whichever others are loaded beside it; None where it isn't GNU's."""
    try:
        found_through_torch = ctypes.CDLL(torch._C.__file__)
    except OSError:
        return None
    if hasattr(found_through_torch, "__kmpc_fork_call"):  # LLVM's, or Intel's
        return None
    return getattr(found_through_torch, "omp_pause_resource_all", None)
