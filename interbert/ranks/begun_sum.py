"""Sums over all ranks that are formed while the ranks work on."""

from collections.abc import Callable

import torch
import torch.distributed as dist

from interbert.ranks.distributed import Ranks
from interbert.ranks.read_later import read_later

Sums = Callable[[], list[float]]
"""Waits for the sums, if they are not there yet."""


def begin_sum(values: list[float], ranks: Ranks) -> Sums:
    """Each value summed over all ranks, in float64. Begin on all ranks in the same order."""
    if ranks.world_size == 1:
        return lambda: [float(value) for value in values]
    own = torch.tensor(values, dtype=torch.float64)
    return _on_gpu(own, ranks.device) if ranks.device.type == "cuda" else _on_cpu(own)


def _on_cpu(sums: torch.Tensor) -> Sums:
    work = dist.all_reduce(sums, async_op=True)

    def wait() -> list[float]:
        work.wait()
        return sums.tolist()

    return wait


def _on_gpu(own: torch.Tensor, device: torch.device) -> Sums:
    """By the GPUs, in the order of their work: behind all that was asked of them, before all that follows. The host
    waits for nothing else."""
    sums = own.pin_memory().to(device, non_blocking=True)
    dist.all_reduce(sums)
    return read_later(sums, device)
